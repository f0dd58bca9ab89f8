"""Ways to carry out a training that save time or memory: each trains as the plain way does, to rounding."""

import functools
import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vsbench.cli.options import make_fabric
from vsbench.engine.run import Run, require_same
from vsbench.engine.start import _require_one_scale
from vsbench.engine.step import Execution, prepare, take_step
from vsbench.errors import RunError, UsageError
from vsbench.losses.contrastive import patch_nce
from vsbench.losses.transport import unbalanced_plan
from vsbench.method import Batch, Method, Phase
from vsbench.registry import load, names

NAMES = names("vsbench.methods")
DROPOUT = {"downs": 6}  # the least depth at which Pix2Pix has dropout; halves 64 pixels to 1
ALONE: dict[str, dict[str, Any]] = {  # nothing random in a step, and nothing that looks at several images
    "asp": {"taps": (8, 12), "patches": 16 * 16, "spectral_discriminator": False},
    "cut": {"taps": (8, 12), "patches": 16 * 16},
    "cyclegan": {"pool_size": 10},
    "src": {"taps": (8, 12), "patches": 16 * 16},
    "ppt": {"taps": (8, 12), "patches": 16 * 16},
    "monce": {"taps": (8, 12), "patches": 16 * 16},
    "qsattn": {"taps": (8, 12), "patches": 16 * 16, "attention_from": 1},
    "simgan": {"taps": (8, 12), "patches": 16 * 16, "lambda_cc": 0.0, "spectral_discriminator": False},
    "usigan": {
        "taps": (8, 12),
        "patches": 16 * 16,
        "lambda_cc": 0.0,
        "lambda_odc": 0.0,
        "spectral_discriminator": False,
    },
}
Build = Callable[..., Method[Any]]
Found = dict[str, Tensor]


@pytest.fixture
def fresh(build: Build) -> Build:
    """``fresh("cut", width=8)``: the same weights each time."""

    def make(name: str, **options: Any) -> Method[Any]:
        torch.manual_seed(0)
        return build(name, **options)

    return make


def images(count: int, size: int = 32) -> Batch:
    """Pairs that all differ."""
    generator = torch.Generator().manual_seed(5)
    he, ihc = torch.rand((2, count, 3, size, size), generator=generator) * 2 - 1
    maps = torch.rand((count, 5, size, size), generator=generator)  # for methods that ask for them
    return Batch(he, ihc, tuple("abcdefgh"[:count]), maps=maps)


def taken(method: Method[Any], execution: Execution, batch: Batch, steps: int = 2, precision: str = "32") -> Found:
    """The losses of the steps, and by name the gradients of the first one, and the buffers in the end."""
    prepare(method, execution)
    fabric = make_fabric("cpu", 1, precision)
    optimizers = {key: fabric.setup_optimizers(optimizer) for key, optimizer in method.train().optimizers().items()}
    torch.manual_seed(1)
    found = {}
    for step in range(steps):
        losses = take_step(fabric, method, batch, optimizers, execution)
        found |= {f"{name} in step {step + 1}": loss for name, loss in losses.items()}
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
            found |= {f"gradient of {name}": gradient for name, gradient in gradients.items()}
    return found | dict(method.named_buffers())


def assert_near(found: Found, expected: Found) -> None:
    """Losses and buffers to a relative 1e-5, gradients to 1e-4 of the largest: some are nothing but rounding."""
    assert found.keys() == expected.keys()
    largest = max(float(tensor.abs().max()) for name, tensor in expected.items() if "gradient" in name)
    for name, tensor in expected.items():
        tolerance = 1e-4 * largest if "gradient" in name else 1e-6
        torch.testing.assert_close(
            found[name].contiguous(), tensor, rtol=1e-5, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_channels_last(fresh: Build, name: str) -> None:
    method = fresh(name)
    found = taken(method, Execution(channels_last=True), images(2), steps=1)
    filters = [p for p in method.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert filters
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    assert_near(found, taken(fresh(name), Execution(), images(2), steps=1))


def test_images_come_in_channels_last(fresh: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = fresh("cut"), []
    step = method.training_step
    monkeypatch.setattr(method, "training_step", lambda batch: seen.append(batch) or step(batch), raising=True)
    taken(method, Execution(channels_last=True, accumulate=2), images(4), steps=1)
    assert [batch.ids for batch in seen] == [("a", "b"), ("c", "d")]
    for image in (image for batch in seen for image in (batch.he, batch.ihc)):
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert not image.is_contiguous()


def test_checkpoint_activations(fresh: Build, name: str) -> None:
    """Losses, dropout's masks, running statistics and gradients are equal; less is kept for the backward pass."""
    options, size = (DROPOUT | {"crop_size": 64}, 64) if name == "pix2pix" else ({}, 32)
    found, kept = [], []
    for recompute in (True, False):
        saved: list[int] = []

        def note(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            found.append(taken(fresh(name, **options), Execution(checkpoint_activations=recompute), images(2, size)))
        kept.append(sum(saved))
    assert_near(*found)
    assert kept[0] < 0.75 * kept[1]


def test_a_method_that_cannot_recompute(fresh: Build) -> None:
    method = fresh("pix2pix")
    method.generator, method.discriminator = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 1, 1)
    with pytest.raises(UsageError, match="Pix2Pix has no network that can recompute"):
        prepare(method, Execution(checkpoint_activations=True))


def of_new_networks() -> list[str]:
    """The methods with a network that is of other layers than those of the methods before: networks are compiled."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for name in NAMES:
        method = load("vsbench.methods", name)
        with torch.device("meta"):
            made = method(method.configure("cpu"))
        kinds = {tuple(type(layer).__name__ for layer in network.modules()) for network in made.children()}
        found += [name] if kinds - seen else []
        seen |= kinds
    return found


@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@pytest.mark.parametrize(
    ("name", "recompute"), [(name, False) for name in of_new_networks()] + [("cut", True), ("pix2pix", True)]
)
def test_compile(fresh: Build, monkeypatch: pytest.MonkeyPatch, name: str, recompute: bool) -> None:
    """Nothing in the networks runs otherwise. With the backend that runs the traces as they are: inductor, which makes
    code of them, takes a minute for these networks on a CPU.
    """

    def relu(self: nn.ReLU, x: Tensor) -> Tensor:
        assert torch.compiler.is_compiling()
        return torch.relu(x)

    torch.compiler.reset()
    expected = taken(fresh(name), Execution(), images(2), steps=1)
    method = fresh(name)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(nn.ReLU, "forward", relu)
    keys = method.state_dict().keys()
    found = taken(method, Execution(compile=True, checkpoint_activations=recompute), images(2), steps=1)
    assert method.state_dict().keys() == keys
    assert_near(found, expected)


@pytest.mark.filterwarnings("ignore")
def test_compiled_code(fresh: Build) -> None:
    """Inductor's, for the U-Net alone."""
    torch.compiler.reset()
    options: dict[str, Any] = {"downs": 2, "lambda_adversarial": 0.0}
    found = taken(fresh("pix2pix", **options), Execution(compile=True), images(2), steps=1)
    assert_near(found, taken(fresh("pix2pix", **options), Execution(), images(2), steps=1))


@pytest.mark.parametrize("name", ALONE)
def test_micro_batches_are_one_larger_batch(fresh: Build, name: str) -> None:
    """Where images do not mix, two of one image are one of two: the second step shows that the weights agree."""
    pieces = taken(fresh(name, **ALONE[name]), Execution(accumulate=2), images(2))
    assert_near(pieces, taken(fresh(name, **ALONE[name]), Execution(), images(2)))


def test_micro_batches_have_batch_statistics_of_their_own(fresh: Build) -> None:
    """Pix2Pix: losses and gradients are the means over micro-batches."""
    both = images(2)
    pieces = taken(fresh("pix2pix", lambda_adversarial=0.0), Execution(accumulate=2), both, steps=1)
    alone = [
        taken(
            fresh("pix2pix", lambda_adversarial=0.0), Execution(), Batch(both.he[i, None], both.ihc[i, None]), steps=1
        )
        for i in (0, 1)
    ]
    means = {name: (alone[0][name] + alone[1][name]) / 2 for name in pieces if name.startswith(("g_l1", "gradient"))}
    assert_near({name: pieces[name] for name in means}, means)
    whole = taken(fresh("pix2pix", lambda_adversarial=0.0), Execution(), both, steps=1)
    assert float(whole["g_l1 in step 1"]) != pytest.approx(float(pieces["g_l1 in step 1"]), rel=1e-5)


def test_all_networks_take_one_step_for_all_micro_batches(fresh: Build) -> None:
    """In lockstep: the discriminator has stepped before any generator loss is made."""
    both = images(2)
    pieces = taken(fresh("pix2pix"), Execution(accumulate=2), both, steps=1)
    ahead = [taken(fresh("pix2pix"), Execution(), Batch(both.he[i, None], both.ihc[i, None]), steps=1) for i in (0, 1)]
    for name in ("d_real in step 1", "d_fake in step 1"):  # before any step
        torch.testing.assert_close(pieces[name], (ahead[0][name] + ahead[1][name]) / 2)
    tracked = pieces["discriminator.model.3.num_batches_tracked"]
    assert tracked == 6  # three passes for each micro-batch


def test_phases_that_depend_on_the_images(fresh: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    method = fresh("cut")
    loss = next(method.discriminator.parameters()).sum()
    step = lambda batch: iter([Phase(("discriminator",), {batch.ids[0]: loss})])  # noqa: E731
    monkeypatch.setattr(method, "training_step", step)
    with pytest.raises(AssertionError, match="depend on its images"):
        taken(method, Execution(accumulate=2), images(2), steps=1)


class Types(TorchDispatchMode):
    """Notes the types of the floating tensors that come out of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, function: Any, _: Any, arguments: Any = (), named: Any = None) -> Any:
        out = function(*arguments, **(named or {}))
        parts = out if isinstance(out, tuple | list) else (out,)
        self.seen |= {part.dtype for part in parts if isinstance(part, Tensor) and part.is_floating_point()}
        return out


def test_patch_nce_stays_in_32_bits_under_mixed_precision() -> None:
    """Cosines near 1 and a temperature of 0.07 leave no room for 16."""
    queries, keys = torch.nn.functional.normalize(torch.randn(2, 1, 6, 8), dim=-1)
    with torch.autocast("cpu", torch.bfloat16), Types() as types:
        patch_nce(queries, keys, 0.07)
    assert types.seen == {torch.float32}


def test_transport_stays_in_32_bits_under_mixed_precision(fresh: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    types = Types()

    def spied(*args: Any, **kwargs: Any) -> Tensor:
        with types:
            return unbalanced_plan(*args, **kwargs)

    monkeypatch.setattr("vsbench.methods.usigan.unbalanced_plan", spied)
    taken(fresh("usigan"), Execution(), images(2), steps=1, precision="bf16-mixed")
    assert types.seen == {torch.float32}


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="no half precision on the CPU"):
        make_fabric("cpu", 1, "16-mixed")


class TwoAtOnce(nn.Module):
    """A method whose one phase drives two optimizers: their gradients are −3 and −5."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Batch) -> Any:
        yield Phase(drives=("one", "other"), losses={"g": -3 * self.one - 5 * self.other})


def test_optimizers_of_a_phase_have_one_loss_scale() -> None:
    """A new one is set after all of them have stepped: here after each step, twice as large."""
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=1)
    half = MixedPrecision("16-mixed", "cpu", scaler)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[half, LightningEnvironment()])
    method: Any = TwoAtOnce()
    plain = {"one": torch.optim.SGD([method.one], 1.0), "other": torch.optim.SGD([method.other], 1.0)}
    optimizers = {key: fabric.setup_optimizers(optimizer) for key, optimizer in plain.items()}
    take_step(fabric, method, images(1), optimizers, Execution())
    assert [parameter.item() for parameter in method.parameters()] == [3.0, 5.0]
    assert scaler.get_scale() == 8.0


def test_gradients_that_add_up_over_steps_need_no_loss_scale(fresh: Build) -> None:
    adds_up, cleared = fresh("ppt", heads_cleared=False), fresh("ppt")
    with pytest.raises(UsageError, match="16-mixed: PPT, as it is set, adds gradients up"):
        _require_one_scale(adds_up, "16-mixed")
    for method, precision in ((adds_up, "bf16-mixed"), (adds_up, "32-true"), (cleared, "16-mixed")):
        _require_one_scale(method, precision)


def test_flags_are_recorded_and_part_of_the_run(
    vsbench: Callable[..., "subprocess.CompletedProcess[str]"], data_root: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({"steps": 1, "crop_size": 32, "width": 4, "batch_size": 1, "downs": 3}))
    command = ("train", "pix2pix", "--dataset", "folder", "--stain", "er", "--preset", "cpu", "--config", settings,
               "--data-root", data_root, "--device", "cpu", "--workers", "0", "--precision", "32")  # fmt: skip
    flags = ("--channels-last", "--accumulate", "2", "--checkpoint-activations")
    done = vsbench(*command, *flags)
    assert done.returncode == 0, done.stderr
    run = Run(next(tmp_path.glob("results/runs/*/*/seed-0")))
    record = run.trained
    expected = {"compile": False, "channels_last": True, "accumulate": 2, "checkpoint_activations": True}
    expected["deterministic"] = False
    assert (record.execution, record.precision) == (expected, "32-true")
    with pytest.raises(RunError, match="execution"):
        require_same(run, record, record.model_copy(update={"execution": asdict(Execution())}))
