"""F-LSeSim's settings; its formulas are held against the oracles elsewhere."""

import json
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.method import Batch
from vsbench.nn import VGGFeatures
from vsbench.registry import load

FLSeSim = load("vsbench.methods", "flsesim")
colour_jitter = import_module("vsbench.methods._colour_jitter").colour_jitter
SMALL = {"width": 4, "blocks": 1, "discriminator_layers": 1, "crop_size": 32, "batch_size": 1, "taps": (3, 6)}
Vsbench = Callable[..., "subprocess.CompletedProcess[str]"]


def small(**options: Any) -> Any:
    method = FLSeSim(FLSeSim.configure("cpu", SMALL | options))
    method.equip(None if method.config.features == "imagenet" else lambda name: {}[name])
    return method


@pytest.fixture
def command(tmp_path: Path) -> list[object]:
    """A training on three tiny tiles, where no weights are."""
    for side in ("he", "ihc"):
        (tmp_path / "pairs" / side / "train").mkdir(parents=True)
        for number in range(3):
            pixels = np.full((32, 32, 3), 80 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pairs" / side / "train" / f"{number}.png")
    where = ["--dataset", "folder", "--stain", "er", "--data-root", tmp_path / "pairs", "--device", "cpu"]
    small = ["--set=steps=1", "--set=taps=[3,6]", "--set=width=4", "--set=blocks=1", "--set=crop_size=32"]
    return ["train", "flsesim", "--preset", "cpu", *where, *small]


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_without_vgg16_nothing_is_trained_and_the_mend_is_said(
    vsbench: Vsbench, command: list[object], tmp_path: Path, more: tuple[str, ...]
) -> None:
    done = vsbench(*command, "--set=features=imagenet", *more, TORCH_HOME=tmp_path / "hub")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "vgg16-imagenet1k-v1" in line
    assert "vsbench weights fetch" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("more", [("--variant", "random_features"), ()])
def test_random_features_need_no_file_and_the_record_says_so(
    vsbench: Vsbench, command: list[object], tmp_path: Path, more: tuple[str, ...]
) -> None:
    done = vsbench(*command, *more, TORCH_HOME=tmp_path / "hub")
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "results").rglob("run.json"))
    assert record["pretrained"] == {}
    assert (record["config"]["features"], record["config"]["features_seed"]) == ("random", 0)
    assert record["parameters"].keys() == {"generator", "discriminator"}
    assert ("random_features" in record["row"]) == bool(more)


def test_published_settings_want_the_published_kernels() -> None:
    for variant in ("", "learned"):
        with torch.device("meta"):
            method = FLSeSim(FLSeSim.configure(options={"variant": variant}))
        assert list(method.weights_needed()) == ["vgg16-imagenet1k-v1"]


def test_random_kernels_are_those_of_the_seed_and_draw_nothing() -> None:
    kernels = []
    for seed in (0, 0, 1):
        method = small(features_seed=seed)
        before = torch.get_rng_state()
        method.equip(lambda name: {}[name])
        assert torch.equal(torch.get_rng_state(), before)
        (network,) = method.frozen.values()
        assert isinstance(network, VGGFeatures)
        assert not any(p.requires_grad for p in network.parameters())
        assert set(method.state_dict()) == set(dict(method.named_parameters()))
        kernels.append(network.features[2].weight)
        torch.rand(1)
    assert torch.equal(kernels[0], kernels[1])
    assert not torch.equal(kernels[0], kernels[2])


def test_colours_alone_cost_nothing_and_structure_does() -> None:
    """The same features at other places are a gap; a map times two, or moved by a constant, is none by cosines."""
    method = small(similarity="cosine")
    features = [torch.rand(2, 8, 8, 8, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    assert method.spatial_gap(features, [2 * f + 1 for f in features]) < 1e-6
    assert method.spatial_gap(features, [f.flip(3) for f in features]) > 0.05


def test_projections_learn_what_the_generator_is_then_held_to() -> None:
    method = small(variant="learned")
    he, ihc = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    names = [name for phase in method.training_step(Batch(he, ihc)) for name in phase.losses]
    assert names == list(FLSeSim.card.losses)
    assert set(method.optimizers()) == {"projections", "discriminator", "generator"}
    assert set(small().optimizers()) == {"discriminator", "generator"}


def test_the_pool_is_part_of_the_training_state() -> None:
    method = small(pool_size=3)
    for number in range(5):
        method.pool.exchange(torch.full((1, 3, *2 * (method.config.crop_size,)), float(number)))
    other = small(pool_size=3)
    other.load_training_state(method.training_state())
    assert [float(x.mean()) for x in other.pool.images] == [float(x.mean()) for x in method.pool.images]


def test_colour_jitter_is_torchvisions() -> None:
    """Its steps in any order, on floats."""
    functional = pytest.importorskip("torchvision.transforms.functional")
    images = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    found = (colour_jitter(images * 2 - 1, 0.5, 0.5, 0.5, 0.3) + 1) / 2
    torch.manual_seed(0)
    draws, orders = 2 * torch.rand(6, 4) - 1, torch.rand(6, 4).argsort(dim=1)
    changes = [
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    ]
    for image, draw, order, ours in zip(images, draws.tolist(), orders.tolist(), found, strict=True):
        for change in order:
            amount = 0.3 * draw[3] if change == 3 else 1 + 0.5 * draw[change]
            image = changes[change](image, amount)
        torch.testing.assert_close(ours, image, rtol=0, atol=1e-3)  # its weights of grey have a digit more


def test_every_image_gets_colours_of_its_own() -> None:
    image = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    changed = colour_jitter(image.expand(2, -1, -1, -1), 0.5, 0.5, 0.5, 0.3)
    assert (changed[0] - changed[1]).abs().max() > 0.05
    assert changed.abs().max() <= 1
