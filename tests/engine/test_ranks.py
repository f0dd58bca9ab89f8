"""Two processes that share each batch train like one that has all of it, whoever starts them."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.step import _reduce_gradients, broadcast
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.registry import load, names

NAMES = names("vsbench.methods")
BATCH = {"simgan": 4, "usigan": 4}  # two images in each process: their matrices lie within and between processes
SETTINGS: dict[str, dict[str, Any]] = {
    "asp": {"asp_schedule": "sigmoid"},  # weights that differ from the first step on
    "cyclegan": {"pool_size": 1},  # full after the first image
    "simgan": {"images_per_transport": 4},  # patches of images that lie in different processes
    "pix2pix": {"downs": 6, "load_size": 64, "crop_size": 64},  # so deep that it has dropout
}
LR = 1e-3
STEPS = 2
SCRIPT = """
import json, sys
from pathlib import Path

import torch

from vsbench.cli.app import app
from vsbench.engine.step import finite
from vsbench.errors import RunError
from vsbench.nn.norm import BatchNorm, Dropout
from vsbench.ranks import share

for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
rank = torch.distributed.get_rank()
said = finite({"d": torch.tensor(1.0 + rank), "g": torch.tensor(-2.0)}, 6, (f"tile-{rank}",))
try:
    finite({"d": torch.tensor(1.0), "g": torch.tensor(1.0 if rank == 0 else float("inf"))}, 6, (f"tile-{rank}",))
except RunError as error:
    said["error"] = str(error)
norm, layer = BatchNorm(3), Dropout(0.5)
torch.manual_seed(0)
x, w = torch.randn((2, 4, 3, 2, 2)) + 3
mine = share(x).requires_grad_()
out = norm(mine)
(out * share(w)).sum().backward()
said |= {name: value.tolist() for name, value in norm.state_dict().items()}
said |= {"out": out.tolist(), "gradient": mine.grad.tolist(), "dropped": layer(share(w)).tolist()}
Path(f"rank-{rank}.json").write_text(json.dumps(said))
"""
Options = Callable[..., dict[str, Any]]
Trained = dict[str, Run]


class Silent:
    """A display that shows nothing."""

    def say(self, line: str) -> None: ...

    def step(self, title: str, progress: Progress) -> None: ...


def arguments(name: str, results: Path, data_root: Path, options: dict[str, Any]) -> list[str]:
    """The command line of a training in two processes."""
    settings = results / f"{name}.yaml"
    settings.write_text(json.dumps(options))
    return [
        "train", name, "--dataset", "folder", "--stain", "er", "--preset", "cpu", "--config", str(settings),
        "--data-root", str(data_root), "--results", str(results), "--device", "cpu", "--devices", "2",
        "--workers", "0", "--log-every", "1", "--checkpoint-every", "1",
    ]  # fmt: skip


def command_line(folder: Path) -> Path:
    """A file that is the command: --devices runs the file anew that the process was started with."""
    script = folder / "script.py"
    script.write_text("from vsbench.cli.app import main\n\nmain()\n")
    return script


def run_all(processes: list[tuple[list[object], dict[str, str]]], folder: Path) -> None:
    """Start processes, each with its variables, and wait for them."""
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, command)], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"} | own,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for command, own in processes
    ]  # fmt: skip
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "GLOBAL_RANK" not in said, "what Fabric says to its own users"


@pytest.fixture(scope="module")
def options(tiny: Options) -> Callable[[str, int], dict[str, Any]]:
    """``options("cut", 2)``: for this many processes."""
    return lambda name, ranks: tiny(
        name, steps=STEPS, lr=LR, batch_size=BATCH.get(name, 2) // ranks, **SETTINGS.get(name, {})
    )


@pytest.fixture(scope="module")
def together(
    options: Callable[[str, int], dict[str, Any]], data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """The run of a single process with all images of each batch."""
    trained: Trained = {}

    def run(name: str) -> Run:
        if name not in trained:
            request = Request(
                name, "folder", "er", "cpu", options(name, 1), data_root=data_root,
                results=tmp_path_factory.mktemp("together"),
            )  # fmt: skip
            trained[name] = start(request, make_fabric("cpu", 1, "32"), False, 0, Rhythm(log=1, checkpoint=1), Silent())
        return trained[name]

    return run


@pytest.fixture(scope="module")
def by_torchrun(
    options: Callable[[str, int], dict[str, Any]], data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trained]:
    """The folder of two processes that trained all methods, and the runs."""
    folder = tmp_path_factory.mktemp("torchrun")
    commands = [arguments(name, folder, data_root, options(name, 2)) for name in NAMES]
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run_all([([*launcher, script, json.dumps(commands)], {})], folder)
    return folder, {name: run_of(folder, name) for name in NAMES}


def run_of(results: Path, name: str) -> Run:
    run = Run(next(results.glob(f"runs/*/{name}+cpu/seed-0")))
    assert (run.record.world, run.record.finished) == (2, True)
    return run


def rows(run: Run, losses: tuple[str, ...]) -> list[list[float]]:
    """Epoch, learning rate and the losses that are switched on."""
    with run.log_file.open(newline="") as file:
        return [[float(row[key]) for key in ("epoch", "lr", *losses) if row[key]] for row in csv.DictReader(file)]


def assert_same_training(two: Run, one: Run, name: str) -> None:
    """Losses, first gradients (as Adam's moments), statistics, random numbers and weights.

    Biases before an instance norm have no gradient but rounding, of which Adam makes steps of the learning rate's size:
    so weights may lie twice the sum of all rates apart, and gradients are measured by the largest of their optimizer.
    The losses of the second step tell whether the weights that matter are the same.
    """
    losses = load("vsbench.methods", name).card.losses
    found, expected = rows(two, losses), rows(one, losses)
    assert len(found) == len(expected) == STEPS
    for step, (left, right) in enumerate(zip(found, expected, strict=True), 1):
        assert left == pytest.approx(right, rel=2e-5, abs=1e-8), f"step {step}"

    states = [torch.load(checkpoints(run.checkpoints)[0].state, weights_only=True) for run in (two, one)]
    for key in states[1]["optimizers"]:
        moments = [[entry["exp_avg"] for entry in state["optimizers"][key]["state"].values()] for state in states]
        assert len(moments[0]) == len(moments[1]) > 0
        largest = max(float(moment.abs().max()) for moment in moments[1])
        for halves, whole in zip(*moments, strict=True):
            torch.testing.assert_close(halves, whole, rtol=1e-4, atol=1e-5 * largest)
    assert torch.equal(states[0]["random"]["torch"], states[1]["random"]["torch"])

    weights = [load_file(checkpoints(run.checkpoints)[-1].weights) for run in (two, one)]
    assert weights[0].keys() == weights[1].keys()
    for key, wanted in weights[1].items():
        loose = 0.0 if "running" in key or "tracked" in key else 2 * STEPS * LR
        torch.testing.assert_close(
            weights[0][key], wanted, rtol=1e-5, atol=loose + 1e-6, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.fixture
def filters() -> torch.nn.Conv2d:
    """In channels_last, with gradients."""
    layer = torch.nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    layer(torch.rand(1, 2, 5, 5)).square().sum().backward()
    return layer


def test_gradients_of_all_are_laid_out_as_their_parameters(filters: torch.nn.Conv2d) -> None:
    """Else fused optimizers refuse them, and others take the slow way."""
    parameters = list(filters.parameters())
    own = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    two: Any = SimpleNamespace(world_size=2, all_reduce=lambda flat, reduce_op: 2 * flat)
    _reduce_gradients(two, parameters)
    for parameter, gradient in zip(parameters, own, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, 2 * gradient)
        assert parameter.grad.stride() == parameter.stride()


def test_the_first_ones_weights_are_sent_as_tensors(filters: torch.nn.Conv2d, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickled tensor of a GPU arrives on the sender's: every process would take memory of the first one."""
    weights = filters.weight.detach().clone()

    def sent(message: torch.Tensor, source: int) -> None:
        assert message.is_contiguous()
        message.add_(1)

    monkeypatch.setattr(torch.distributed, "broadcast", sent)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", None)
    broadcast(filters)  # type: ignore[arg-type]  # what has parameters and buffers
    assert torch.equal(filters.weight, weights + 1)
    assert filters.weight.is_contiguous(memory_format=torch.channels_last)


def test_two_processes_train_like_one(
    by_torchrun: tuple[Path, Trained], together: Callable[[str], Run], name: str
) -> None:
    """CUT and USIGAN: positions and the spectral norm's vectors; CycleGAN: image pools that fill and exchange;
    Pix2Pix: batch norm and dropout; USIGAN: correlations of images that lie in different processes; ASP: weights whose
    mean is 1 over all of them.
    """
    assert_same_training(by_torchrun[1][name], together(name), name)


def test_losses_are_means_over_processes_and_one_that_is_not_finite_stops_all(
    by_torchrun: tuple[Path, Trained],
) -> None:
    """The second process's only, and the first names it too."""
    for rank in (0, 1):
        said = json.loads((by_torchrun[0] / f"rank-{rank}.json").read_text())
        assert (said["d"], said["g"]) == (1.5, -2.0)
        assert said["error"].startswith("step 7: loss g is inf on tile-1;")


def test_batch_norm_and_dropout_of_two_processes(by_torchrun: tuple[Path, Trained]) -> None:
    """torch's own, of all images: output, running statistics, gradient, mask."""
    said = [json.loads((by_torchrun[0] / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    norm = torch.nn.BatchNorm2d(3)
    torch.manual_seed(0)
    x, w = torch.randn((2, 4, 3, 2, 2)) + 3
    x.requires_grad_()
    out = norm(x)
    (out * w).sum().backward()
    expected = {"out": out.detach(), "gradient": x.grad, "dropped": torch.nn.functional.dropout(w, 0.5)}
    for key, whole in expected.items():
        found = torch.cat([torch.tensor(part[key]) for part in said])
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    for key, value in norm.state_dict().items():
        for part in said:
            torch.testing.assert_close(torch.tensor(part[key]), value, msg=lambda text, key=key: f"{key}: {text}")


def test_devices_starts_the_second_process(
    together: Callable[[str], Run],
    options: Callable[[str, int], dict[str, Any]],
    data_root: Path,
    tmp_path: Path,
) -> None:
    """By running the same file again."""
    run_all(
        [([command_line(tmp_path), *arguments("pix2pix", tmp_path, data_root, options("pix2pix", 2))], {})], tmp_path
    )
    assert_same_training(run_of(tmp_path, "pix2pix"), together("pix2pix"), "pix2pix")


def test_slurm_starts_both_processes(
    together: Callable[[str], Run],
    options: Callable[[str, int], dict[str, Any]],
    data_root: Path,
    tmp_path: Path,
) -> None:
    """As srun does: each finds its rank in the variables."""
    command = [command_line(tmp_path), *arguments("pix2pix", tmp_path, data_root, options("pix2pix", 2))]
    job = {
        "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NODEID": "0",
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NODELIST": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
    }  # fmt: skip
    run_all([(command, job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}) for rank in "01"], tmp_path)
    assert_same_training(run_of(tmp_path, "pix2pix"), together("pix2pix"), "pix2pix")
