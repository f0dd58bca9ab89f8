"""Generators of the official codes, by the stored names, shapes and order: what comes out is the vector's image."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from vsbench.engine.checkpoint import load_method, weights_of
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError, UserError
from vsbench.exchange.imports import import_generator
from vsbench.exchange.official import read_state_dict
from vsbench.records.run import ImportedRecord
from vsbench.registry import load, names

ORDERS = {  # method → (file of vectors, vector, key of its generator's parameters)
    "asp": ("asp", "parameters", "parameter_order_G"),
    "cssp2p": ("cssp2p", "parameters", "order_G"),
    "cut": ("cut", "cut_step_losses", "parameter_order_G"),
    "cyclegan": ("cyclegan", "step_losses", "parameter_order_G"),
    "flsesim": ("cut", "cut_step_losses", "parameter_order_G"),  # as its card says, and those of the next two
    "monce": ("cut", "cut_step_losses", "parameter_order_G"),
    "pix2pix": ("pix2pix", "step_losses_no_dropout", "parameter_order_G"),
    "ppt": ("ppt", "parameters", "parameters_G"),
    "pyramidp2p": ("pyramidp2p", "step_losses_no_dropout", "parameter_order_G"),
    "pspstain": ("pspstain", "parameters", "parameter_order_G"),
    "qsattn": ("cut", "cut_step_losses", "parameter_order_G"),
    "simgan": ("asp", "parameters", "parameter_order_G"),
    "src": ("src", "parameters", "parameter_order_G"),
    "tdkstain": ("tdkstain", "step_losses", "parameter_order_G"),
    "unsb": ("unsb", "generator", "parameters"),
    "usigan": ("usigan", "networks_spectral_exact_sigma", "parameter_order_G"),
}


def filled(n: int, shape: list[int]) -> Tensor:
    """The vectors' rule."""
    k, size = torch.arange(10007), int(np.prod(shape))
    period = (0.001 if len(shape) == 1 else 0.05) * torch.sin(0.01 * ((31 * k * k + 17 * k + 101 * n) % 10007).double())
    return period.repeat(-(-size // 10007))[:size].reshape(shape).float()


@pytest.fixture
def official(shared: Path) -> Callable[[str], dict[str, Tensor]]:
    """The parameters of a method's official generator, by their official names in their order."""

    def make(method: str) -> dict[str, Tensor]:
        file, name, key = ORDERS[method]
        vectors = json.loads((shared / "oracles" / f"{file}.json").read_text(encoding="utf-8"))["vectors"]
        (order,) = (vector["expected"][key] for vector in vectors if vector["name"] == name)
        return {parameter: filled(n, shape) for n, (parameter, shape) in enumerate(order)}

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            (tmp_path / "data" / side / split).mkdir(parents=True)
            for name in ("a", "b"):
                pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / side / split / f"{name}.png")
    return tmp_path / "data"


def imported(file: Path, method: str, root: Path, **options: Any) -> Run:
    return import_generator(file, method, "folder", "er", options, {}, root, results=root.parent / "results")


def saved(path: Path, tensors: Any) -> Path:
    torch.save(tensors, path)
    return path


def narrow(tensors: dict[str, Tensor], by: int = 8) -> dict[str, Tensor]:
    """The same network at an eighth of the width, filled by the same rule, with singular vectors where it has such."""
    found = {}
    for n, (name, value) in enumerate(tensors.items()):
        shape = [size // by if size >= 64 else size for size in value.shape[:2]] + list(value.shape[2:])
        found[name] = filled(n, shape)
        if name.endswith("weight_orig"):
            module = name.removesuffix("weight_orig")
            matrix = found[name].flatten(1)
            found |= {f"{module}weight_u": matrix[:, 0].clone(), f"{module}weight_v": matrix[0].clone()}
    return found


@pytest.mark.parametrize("method", [name for name in names("vsbench.methods") if name != "regression"])
def test_every_official_generator_finds_its_places(
    method: str, official: Callable[[str], dict[str, Tensor]], root: Path
) -> None:
    tensors = narrow(official(method))
    run = imported(saved(root / "latest_net_G.pth", tensors), method, root, width=8)
    ours = load_method(weights_of(run))
    parameters = dict(ours.get_submodule(ours.translator).named_parameters())
    if method == "unsb":  # whose official network has its blocks first, and dead layers in them
        for here, there in (
            ("model.4.weight", "model.4.weight"),
            ("model.13.branch.2.weight", "model_res.1.conv_fin.2.weight"),
            ("model.20.style.bias", "model_res.8.adaptive.style_net.bias"),
            ("model.26.weight", "model_upsample.5.weight"),
            ("mapping.7.bias", "z_transform.7.bias"),
        ):
            assert torch.equal(parameters[here], tensors[there]), here
    else:
        due = [value for name, value in tensors.items() if not name.endswith(("weight_u", "weight_v"))]
        for (name, parameter), value in zip(parameters.items(), due, strict=True):
            assert torch.equal(parameter, value), name


@pytest.mark.parametrize("method", ["cut", "cyclegan", "pix2pix"])
def test_an_official_generator_translates_as_ours_filled_by_the_same_rule(
    method: str, official: Callable[[str], dict[str, Tensor]], root: Path
) -> None:
    run = imported(saved(root / "latest_net_G.pth", official(method)), method, root)
    assert isinstance(run.record, ImportedRecord)
    assert (run.record.row, run.record.origin) == (f"{method}+imported", "latest_net_G.pth")
    ours = load("vsbench.methods", method)(load("vsbench.methods", method).configure())
    with torch.no_grad():
        for n, parameter in enumerate(ours.get_submodule(ours.translator).parameters()):
            parameter.copy_(filled(n, list(parameter.shape)))
    he = torch.rand(1, 3, 256, 256) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(load_method(weights_of(run)).translate(he), ours.eval().translate(he))


def test_what_it_translates_is_the_vectors_image(
    official: Callable[[str], dict[str, Tensor]], shared: Path, root: Path
) -> None:
    vectors = json.loads((shared / "oracles" / "cut.json").read_text(encoding="utf-8"))["vectors"]
    (vector,) = (vector for vector in vectors if vector["name"] == "cut_step_losses")
    b, c, i, j = np.ogrid[0:2, 0:3, 0:64, 0:64]  # the vector's A
    wave = np.sin(0.11 * i * (1 + 0.3 * c) + 0.7 * b) * np.cos(0.07 * j * (1 + 0.2 * b) + 0.5 * c)
    he = np.clip(0.35 - 0.1 * c + 0.55 * wave, -1, 1)
    method = load_method(weights_of(imported(saved(root / "g.pth", official("cut")), "cut", root)))
    with torch.inference_mode():
        fake = method.translate(torch.from_numpy(he).float())
    expected = vector["expected"]["fake_B"]
    assert fake.mean().item() == pytest.approx(expected["mean"], abs=1e-5)
    assert fake.flatten()[:4].tolist() == pytest.approx(expected["first4"], abs=1e-5)
    assert fake.flatten()[-4:].tolist() == pytest.approx(expected["last4"], abs=1e-5)


@pytest.mark.parametrize("wrapped", ["module", "state_dict", "statistics", "filters", "legacy"])
def test_forms_in_which_people_have_them(
    wrapped: str, official: Callable[[str], dict[str, Tensor]], root: Path
) -> None:
    tensors = official("cut")
    plain = weights_of(imported(saved(root / "plain.pth", tensors), "cut", root))
    found: Any = tensors
    if wrapped == "module":  # of several GPUs
        found = {f"module.{key}": value for key, value in tensors.items()}
    if wrapped == "state_dict":
        found = {"epoch": 3, "state_dict": tensors}
    if wrapped == "statistics":  # which instance norm kept before torch 0.4
        found = {}
        for key, value in tensors.items():
            found[key] = value
            if key == "model.1.bias":
                found |= {"model.2.running_mean": torch.zeros(64), "model.2.running_var": torch.ones(64)}
    if wrapped == "filters":
        found = tensors | {"model.7.filt": torch.ones(128, 1, 3, 3)}
    torch.save(found, root / "other.pth", _use_new_zipfile_serialization=wrapped != "legacy")
    run = import_generator(root / "other.pth", "cut", "folder", "er", {}, {}, root, "other", root / "results")
    one, two = (load_method(weights).generator.state_dict() for weights in (plain, weights_of(run)))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_spectral_norm_in_torchs_old_form(official: Callable[[str], dict[str, Tensor]], root: Path) -> None:
    """weight_orig with the singular vectors u and v, which are buffers and so come after it."""
    tensors: dict[str, Tensor] = {}
    expected: dict[str, Tensor] = {}
    for key, value in official("usigan").items():
        tensors[key] = value
        if key.endswith("weight_orig"):
            layer = nn.Linear(value[0].numel(), len(value))
            layer.weight.data = value.flatten(1)
            layer = spectral_norm(layer, n_power_iterations=20)
            layer(torch.zeros(1, value[0].numel()))
            module = key.removesuffix("weight_orig")
            tensors |= {f"{module}weight_u": layer.weight_u, f"{module}weight_v": layer.weight_v}
            sigma = layer.weight_u @ value.flatten(1) @ layer.weight_v
            expected[module.rstrip(".")] = value / sigma
    method = load_method(weights_of(imported(saved(root / "g.pth", tensors), "usigan", root)))
    for module, weight in expected.items():
        torch.testing.assert_close(method.generator.get_submodule(module).weight, weight)


def test_a_file_of_another_network_says_what_it_looks_like(
    official: Callable[[str], dict[str, Tensor]], root: Path
) -> None:
    file = saved(root / "g.pth", official("cut"))
    with pytest.raises(
        UsageError, match=r"g\.pth: not a generator of usigan as it is set \(without spectral norm\).*looks like.*cut"
    ):
        imported(file, "usigan", root)
    with pytest.raises(UsageError, match=r"layer 16.*looks like.*cut"):
        imported(file, "cut", root, blocks=6)
    with pytest.raises(UsageError, match=r"layer 1 is 64×3×7×7, where 32×3×7×7"):
        imported(file, "cut", root, width=32)
    small = load("vsbench.methods", "cut")(load("vsbench.methods", "cut").configure(options={"width": 8, "blocks": 6}))
    with pytest.raises(UsageError, match=r"looks like.*cut --set width=8 --set blocks=6"):
        imported(saved(root / "small.pth", small.generator.state_dict()), "cut", root)
    assert not (root.parent / "results").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_what_is_no_state_dict_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    (root / "text.pth").write_text("hello")
    whole = saved(root / "whole.pth", {"a.weight": torch.ones(3)}).read_bytes()
    (root / "cut.pth").write_bytes(whole[: len(whole) // 2])
    shutil.copy(root / "he/test/a.png", root / "image.pth")
    for name, thing, said in (
        ("nan", {"a.weight": torch.tensor([float("nan")])}, "not finite"),
        ("evil", {"a.weight": Evil()}, "tensors alone"),
        ("list", [torch.ones(2)], "no state dict"),
        ("empty", {}, "no state dict"),
        ("two", {"net_G": {"a": torch.ones(1)}, "state_dict": {"a": torch.ones(1)}}, "one network"),
    ):
        with pytest.raises(UserError, match=f"{name}.pth.*{said}"):
            read_state_dict(saved(root / f"{name}.pth", thing))
    for name in ("text", "cut", "image"):
        with pytest.raises(UserError, match=f"{name}.pth"):
            read_state_dict(root / f"{name}.pth")
    assert not Path("touched").exists()


def test_one_row_is_one_file(official: Callable[[str], dict[str, Tensor]], root: Path) -> None:
    tensors = official("cut")
    file = saved(root / "g.pth", tensors)
    run = imported(file, "cut", root)
    before = weights_of(run).stat().st_mtime_ns
    assert imported(file, "cut", root) == run
    assert weights_of(run).stat().st_mtime_ns == before
    other = saved(root / "h.pth", {key: 2 * value for key, value in tensors.items()})
    with pytest.raises(RunError, match=r"another import.*--label"):
        imported(other, "cut", root)
    weights_of(run).unlink()
    with pytest.raises(RunError, match="import the generator again"):
        weights_of(run)
    assert imported(file, "cut", root) == run


def test_a_whole_training_of_the_official_code_gives_its_generator(
    official: Callable[[str], dict[str, Tensor]], root: Path
) -> None:
    """CSSP2P-GAN's is saved with its discriminator, and with a classifier that nobody uses; it may be compiled."""
    narrowed = narrow(official("cssp2p"))
    for prefix in ("generator.", "generator._orig_mod."):
        tensors = {f"{prefix}{name}": value for name, value in narrowed.items()}
        tensors |= {f"{prefix}encoder.model.fc.weight": torch.ones(10, 256), "discriminator.enc.0.bias": torch.ones(8)}
        file = saved(root / f"{len(prefix)}.ckpt", {"epoch": 7, "state_dict": tensors})
        run = import_generator(
            file, "cssp2p", "folder", "er", {"width": 8}, {}, root, f"r{len(prefix)}", root / "results"
        )
        found = dict(load_method(weights_of(run)).generator.named_parameters())
        for parameter, due in zip(found.values(), narrowed.values(), strict=True):
            assert torch.equal(parameter, due)
