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
from vsbench.engine.estimate import estimate, lines, step_bytes
from vsbench.engine.memory import Storages, tensors_of
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.step import Execution, prepare, take_step
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
    for word in (
        "lambda_l1 = ",
        "parameters",
        "steps",
        "epochs",
        "memory",
        "estimated",
        "disk",
        "no results are written",
    ):
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
    """Keeps its input for each product, and each product for its square."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000, device="meta"))

    def forward(self, x: Tensor) -> Tensor:
        return ((x * self.weight) ** 2 + (x * self.weight) ** 2).sum()


def test_a_storage_counts_once_from_its_making_to_its_end() -> None:
    network, x = Squares(), torch.ones(1000, device="meta")
    with Storages(x.device, [network.weight, x]) as storages:
        assert storages.now == 8000
        loss = network(x)
        assert storages.now == 8000 + 2 * 4000 + 4  # the products, of which the squares are no more, and the loss
        assert storages.peak == 8000 + 5 * 4000  # with both squares and their sum
        torch.autograd.grad(loss, [network.weight])
        del loss
        assert storages.now == 8000
        x.view(10, 100)[0].add_(1)
        assert storages.now == 8000
    assert storages.copied == []


def test_what_comes_from_the_cpu_is_told() -> None:
    x = torch.ones(3, device="meta")
    with Storages(x.device, [x]) as storages:
        _ = x * 2.0 + torch.full((), 1.0)  # numbers go with the operation
        assert storages.copied == []
        _ = x + torch.ones(3).to("meta")
        _ = x[:2] * torch.tensor([1.0, 2.0], device="meta")
    assert storages.copied == [(3,), (2,)]


def shapes(size: int = 2) -> Batch:
    batch = (size, 3, 32, 32)
    return Batch(torch.empty(batch), torch.empty(batch), maps=torch.empty(size, 5, 32, 32))


def held(method: Method[Any], execution: Execution | None = None, halved: bool = False, size: int = 2) -> int:
    """Bytes at a step's peak, by shapes alone."""
    execution = execution or Execution()
    prepare(method, execution)
    return step_bytes(method.to("meta"), shapes(size).each(lambda x: x.to("meta")), execution, halved)


# The CPU's own autocast leaves more at 32 bits than a GPU's, after which ours is made.
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 0.15), ("bf16-mixed", 0.3)])
def test_shapes_take_what_a_step_with_numbers_takes(
    build: Callable[..., Method[Any]], name: str, precision: str, tolerance: float
) -> None:
    """The same steps on the CPU, but for small things that depend on the device."""
    method, batch = build(name, width=16), shapes().each(torch.zeros_like)
    optimizers, fabric = method.optimizers(), make_fabric("cpu", 1, precision)
    with Storages(torch.device("cpu"), tensors_of(method, batch)) as storages:
        for _ in range(2):
            storages.peak = storages.now
            torch.manual_seed(0)
            take_step(fabric, method, batch, optimizers, Execution())
    found = held(build(name, width=16), halved=precision != "32-true")
    assert found == pytest.approx(storages.peak, rel=tolerance)


def test_memory_follows_the_batch_and_how_a_step_is_carried_out(build: Callable[..., Method[Any]]) -> None:
    def cut(**more: Any) -> int:
        return held(build("cut", width=16), **more) - rest

    rest = 4 * 4 * sum(p.numel() for p in build("cut", width=16).parameters())
    assert cut(size=4) == pytest.approx(2 * cut(size=2), rel=0.1)
    assert cut(execution=Execution(accumulate=2)) > 1.3 * cut()  # what D's phase leaves for G's, of both micro-batches
    assert cut(execution=Execution(checkpoint_activations=True)) < 0.8 * cut()
    assert cut(halved=True) < 0.8 * cut()


def test_what_is_not_known_beforehand_is_said(plan: Callable[..., Any]) -> None:
    (line,) = [line for line in lines(plan("pix2pix")) if line.startswith("memory")]
    for word in ("per device", "peak", "weights", "work space", "fragmentation"):
        assert word in line


def test_an_average_is_counted_with_the_weights(plan: Callable[..., Any], build: Callable[..., Method[Any]]) -> None:
    with_it, without = (plan("cut", average=decay)["memory_bytes"] for decay in (0.9, 0.0))
    more = 4 * sum(p.numel() for p in build("cut").parameters())
    assert {part: size - without[part] for part, size in with_it.items() if size != without[part]} == {
        "weights": more, "total": more,
    }  # fmt: skip


def test_a_plan_is_the_same_each_time(plan: Callable[..., Any]) -> None:
    assert plan("unsb")["memory_bytes"] == plan("unsb")["memory_bytes"]
