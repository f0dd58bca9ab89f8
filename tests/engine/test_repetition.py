"""``--deterministic``: the same training, by algorithms that a GPU repeats bit for bit."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vsbench.cli.options import make_fabric
from vsbench.engine.repetition import WORKSPACE, repeatable, repetition
from vsbench.engine.run import Run, require_same
from vsbench.engine.step import Execution, take_step
from vsbench.errors import RunError, UsageError
from vsbench.method import Batch, Method, Phase
from vsbench.records.run import EXACT

Build = Callable[..., Method[Any]]
ASKED = Execution(deterministic=True)
# What torch.use_deterministic_algorithms lists as raising on CUDA, as far as networks have it. Of bilinear
# interpolation torch.nn.functional has another form there.
RAISING = {
    "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward",
    "replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward",
    "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "avg_pool3d_backward",
    "adaptive_max_pool2d_backward", "max_pool3d_with_indices_backward", "fractional_max_pool2d_backward",
    "upsample_linear1d_backward", "upsample_bicubic2d_backward", "upsample_trilinear3d_backward",
    "grid_sampler_2d_backward", "nll_loss2d_forward", "kthvalue", "median", "histc", "bincount", "put_", "cumsum",
}  # fmt: skip


class Seen(TorchDispatchMode):
    """Notes the operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        self.names.add(function.__name__.partition(".")[0])
        return function(*arguments, **(named or {}))


@pytest.fixture
def taken(build: Build) -> Callable[..., dict[str, Tensor]]:
    """A first step: its losses, the gradients of each optimizer as one vector, and the image before it."""

    def take(name: str, execution: Execution) -> dict[str, Tensor]:
        torch.manual_seed(0)
        method, fabric = build(name).train(), make_fabric("cpu", 1, "32-true")
        generator = torch.Generator().manual_seed(5)
        he, ihc = torch.rand((2, 2, 3, 32, 32), generator=generator) * 2 - 1
        batch = Batch(he, ihc, ("a", "b"), maps=torch.rand((2, 5, 32, 32), generator=generator))
        optimizers = method.optimizers()
        with repeatable(execution):
            with torch.no_grad():
                found = {"image": method.translate(he)}
            torch.manual_seed(1)
            found |= take_step(fabric, method, batch, optimizers, execution)
        for key, optimizer in optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            found[f"gradient of {key}"] = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        return found

    return take


def test_every_generator_gives_the_same_bits_and_gradients_to_rounding(
    taken: Callable[..., dict[str, Tensor]], name: str
) -> None:
    """And in no step is anything that CUDA can't do deterministically."""
    with Seen() as seen:
        found = taken(name, ASKED)
    assert not seen.names & RAISING
    expected = taken(name, Execution())
    assert torch.equal(found["image"], expected["image"])
    for key, tensor in expected.items():  # in whose order the terms of a pixel near the border are added is another
        error = float((found[key] - tensor).norm() / tensor.norm())
        assert error < 1e-4, f"{key}: {error:.1e}"


def test_without_it_the_borders_are_torchs_own(taken: Callable[..., dict[str, Tensor]]) -> None:
    with Seen() as seen:
        taken("cut", Execution())
    assert {"reflection_pad2d_backward", "replication_pad2d_backward"} <= seen.names


def test_it_holds_within_and_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    (variable,) = WORKSPACE
    monkeypatch.delenv(variable, raising=False)
    with repeatable(ASKED):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ[variable] == ":4096:8"
        with repeatable(Execution()):
            assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert variable not in os.environ
    monkeypatch.setenv(variable, ":16:8")
    with pytest.raises(ZeroDivisionError), repeatable(ASKED):
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ[variable] == ":16:8"


def test_what_has_no_deterministic_form_is_said_in_a_line(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    method = build("cut")

    def step(batch: Batch) -> Any:
        batch.he.clone().put_(torch.tensor([0, 0]), torch.ones(2))  # raises on a CPU as well
        yield Phase(("generator",), {})

    monkeypatch.setattr(method, "training_step", step)
    batch = Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), ("a",))
    with repeatable(ASKED), pytest.raises(RunError, match=r"^--deterministic: CUT cannot: put_ .*leave it out$"):
        take_step(make_fabric("cpu", 1, "32-true"), method, batch, {}, ASKED)


def test_compiled_networks_are_refused() -> None:
    with pytest.raises(UsageError, match="--deterministic with --compile"):
        Execution(compile=True, deterministic=True)


def test_the_record_says_how_a_training_repeats(
    vsbench: Callable[..., "subprocess.CompletedProcess[str]"], data_root: Path, tmp_path: Path
) -> None:
    settings = [f"--set={s}" for s in ("steps=1", "crop_size=32", "width=4", "batch_size=1", "blocks=1")]
    where = ["--dataset", "folder", "--stain", "er", "--data-root", data_root, "--device", "cpu", "--workers", "0"]
    done = vsbench("train", "cyclegan", "--preset", "cpu", *settings, *where, "--deterministic")
    assert done.returncode == 0, done.stderr
    run = Run(next(tmp_path.glob("results/runs/*/*/seed-0")))
    record = run.trained
    assert (record.execution or {})["deterministic"] is True
    assert record.repetition == EXACT
    before = {key: value for key, value in (record.execution or {}).items() if key != "deterministic"}
    older = record.model_copy(update={"execution": before})
    with pytest.raises(RunError, match="execution"):
        require_same(run, older, record)
    plain = record.model_copy(update={"execution": before | {"deterministic": False}})
    assert not plain.differences(older)  # a record of an older version goes on as it was


def test_on_a_gpu_it_says_that_bits_may_differ() -> None:
    assert repetition(Execution(), torch.device("cpu")) == EXACT
    assert repetition(ASKED, torch.device("cuda")) == EXACT
    said = repetition(Execution(), torch.device("cuda"))
    assert "CUDA" in said
    assert "may differ" in said
