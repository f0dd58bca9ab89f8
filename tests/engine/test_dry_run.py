"""What a training would take, before it takes it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.estimate import SavedTensors, activation_bytes, estimate
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.step import Execution
from vsbench.engine.trainer import Rhythm
from vsbench.errors import UsageError
from vsbench.method import Batch, Method

Vsbench = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 2**20


@pytest.fixture
def plan(data_root: Path, tiny: Callable[..., Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What a small training is estimated to take."""

    def make(name: str, rhythm: Rhythm | None = None, execution: Execution | None = None, **options: Any) -> Any:
        request = Request(
            name, "folder", "er", "cpu", tiny(name, **options), data_root=data_root, results=tmp_path / "results",
            execution=execution or Execution(),
        )  # fmt: skip
        return estimate(request, make_fabric("cpu", 1, "32-true"), rhythm or Rhythm())

    return make


def test_it_writes_nothing_and_says_what_a_script_needs(vsbench: Vsbench, data_root: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    arguments = ("train", "cut", "--dataset", "folder", "--stain", "er", "--data-root", data_root, "--dry-run")
    done = vsbench(*arguments, "--device", "cpu", "--set", "crop_size=64", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    plan = json.loads(done.stdout)
    assert plan["config"]["crop_size"] == 64
    assert plan["parameters"] == {"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384}
    assert (plan["steps"], plan["epochs"], plan["steps_per_epoch"]) == (2000, 400.0, 5)
    assert set(tmp_path.rglob("*")) == before


def test_it_reads_well(vsbench: Vsbench, data_root: Path, tmp_path: Path) -> None:
    arguments = ("train", "pix2pix", "--dataset", "folder", "--stain", "er", "--data-root", data_root, "--dry-run")
    done = vsbench(*arguments, "--device", "cpu", "--preset", "cpu", "--set", "crop_size=32")
    for word in ("lambda_l1 = ", "parameters", "steps", "epochs", "memory", "estimated", "disk", "nothing is written"):
        assert word in done.stdout, word
    assert not (tmp_path / "results").exists()


def test_settings_that_do_not_fit_are_said(plan: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="crop_size"):
        plan("cut", crop_size=33)


def test_the_checkpoint_is_as_large_as_said(
    plan: Callable[..., Any], train: Callable[..., Run], tmp_path: Path, name: str
) -> None:
    """Weights and moments; besides, files have heads, and a state the random generators and image pools."""
    options = {"width": 16}
    run = train(tmp_path, name, **options)
    newest = checkpoints(run.checkpoints)[-1]
    found = sum(path.stat().st_size for path in (newest.weights, newest.state))
    estimated = plan(name, **options)["disk_bytes"]["checkpoint"]
    assert estimated < found < estimated + 0.4 * MIB


def test_how_many_checkpoints_stay(plan: Callable[..., Any]) -> None:
    assert plan("cut", Rhythm(checkpoint=3), steps=2)["checkpoints_kept"] == 1
    assert plan("cut", Rhythm(checkpoint=3), steps=10)["checkpoints_kept"] == 2  # 9 and 10
    assert plan("cut", Rhythm(checkpoint=3, keep=1, keep_every=4), steps=10)["checkpoints_kept"] == 3  # 4, 8 and 10


def test_weights_gradients_and_moments_are_counted_exactly(
    plan: Callable[..., Any], build: Callable[..., Method[Any]]
) -> None:
    memory = plan("cut")["memory_bytes"]
    trained = 4 * sum(p.numel() for p in build("cut").parameters())
    assert (memory["gradients"], memory["optimizers"]) == (trained, 2 * trained)
    assert memory["total"] == sum(size for part, size in memory.items() if part != "total")


class Squares(nn.Module):
    """Keeps its input for each square, and the weight for the product."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        return ((x * self.weight) ** 2 + (x * self.weight) ** 2).sum()


def test_a_tensor_is_counted_once_while_it_is_kept_and_weights_are_not() -> None:
    network, x = Squares(), torch.ones(1000, device="meta")
    with SavedTensors(network) as saved:
        loss = network(x)
        assert saved.now == 3 * 4000  # x for both products, and each product for its square
        torch.autograd.grad(loss, [network.weight])
        assert (saved.now, saved.peak) == (0, 12_000)


def zeros() -> Batch:
    shape = (2, 3, 32, 32)
    return Batch(torch.zeros(shape), torch.zeros(shape), maps=torch.zeros(2, 5, 32, 32))


def test_meta_tensors_are_kept_like_real_ones(build: Callable[..., Method[Any]], name: str) -> None:
    """The same step with numbers in it keeps the same bytes, but for small ones that depend on the device."""
    real = activation_bytes(build(name), zeros())
    with torch.device("meta"):
        meta = activation_bytes(build(name), zeros())
    assert meta == pytest.approx(real, rel=0.15)


def test_activations_grow_with_the_batch_and_micro_batches(plan: Callable[..., Any]) -> None:
    one, two = (plan("cyclegan", batch_size=size)["memory_bytes"]["activations"] for size in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.05)
    halves = plan("cyclegan", execution=Execution(accumulate=2), batch_size=1)["memory_bytes"]["activations"]
    assert halves == 2 * one
