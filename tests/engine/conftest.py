"""Tiny pairs, and methods as small as they go."""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vsbench.checks._training import drawn_for
from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.method import Method
from vsbench.registry import load, names

PATIENCE_S = 120
OF_THE_MACHINE = ("images_per_s", "memory_mb")  # columns of a log, not of the training
COMMON: dict[str, Any] = {
    "steps": 4, "crop_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1, "lambda_identity": 0.5,
}  # fmt: skip
CONTRASTIVE: dict[str, Any] = {"blocks": 1, "taps": (0, 4, 8, 12), "patches": 16}
TINY: dict[str, dict[str, Any]] = {
    "pix2pix": {"downs": 3},
    "cyclegan": {"blocks": 1, "pool_size": 3},  # smaller than what four steps put into it
    "cut": CONTRASTIVE,
    "flsesim": {
        "blocks": 1,
        "pool_size": 3,
        "taps": (6, 8),
        "patches": 16,
        "patch_size": 8,
        "lambda_contrastive": 1.0,
        "augment": True,
    },
    "pyramidp2p": {"blocks": 1},
    "regression": {"downs": 3},
    "tdkstain": {"blocks": 1, "discriminators": 2, "estimator_width": 4},
    "unsb": CONTRASTIVE,
    "monce": {**CONTRASTIVE, "iterations": 5},
    "qsattn": CONTRASTIVE,
    "simgan": {**CONTRASTIVE, "discriminator_width": 4, "iterations": 5},
    "asp": {**CONTRASTIVE, "discriminator_width": 4, "lambda_identity": 1.0},
    "src": CONTRASTIVE,
    "ppt": {**CONTRASTIVE, "discriminator_width": 4},
    "pspstain": {**CONTRASTIVE, "discriminator_width": 4, "lr_discriminator": 1e-4},
    "cssp2p": {"discriminator_width": 4},
    "usigan": {**CONTRASTIVE, "discriminator_width": 4, "iterations": 5},
}


@pytest.fixture(params=names("vsbench.methods"))
def name(request: pytest.FixtureRequest) -> str:
    """Each registered method in turn; those without a line in TINY fail."""
    return str(request.param)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """``tiny("cut", lr=1e-4)``: the options of a small method, on top of its ``cpu`` preset."""

    def options(name: str, **more: Any) -> dict[str, Any]:
        known = load("vsbench.methods", name).configure().model_dump()
        return {key: value for key, value in COMMON.items() if key in known} | TINY[name] | more

    return options


@pytest.fixture(scope="session")
def build(tiny: Callable[..., dict[str, Any]]) -> Callable[..., Method[Any]]:
    """``build("cut", width=8)``: a small method."""

    def make(name: str, **more: Any) -> Method[Any]:
        method = load("vsbench.methods", name)
        made: Method[Any] = method(method.configure("cpu", tiny(name, **more)))
        made.equip(drawn_for(made))
        return made

    return make


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training pairs for the data set ``folder``, 40 × 44, of random colours in blocks."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        (root / side / "train").mkdir(parents=True)
        for name in "abcde":
            blocks = rng.integers(60, 256, (10, 11, 3), dtype=np.uint8)
            pixels = blocks.repeat(4, axis=0).repeat(4, axis=1)
            Image.fromarray(pixels).save(root / side / "train" / f"{name}.png")
    return root


@pytest.fixture(scope="session")
def command(tiny: Callable[..., dict[str, Any]], data_root: Path) -> Callable[..., list[str]]:
    """``command("cut", results, "--resume", steps=9)``: a small training as a process of its own would run it."""

    def make(name: str, results: Path, *more: object, **options: Any) -> list[str]:
        settings = [f"--set={key}={value}" for key, value in tiny(name, **options).items()]
        start = [sys.executable, "-c", "from vsbench.cli.app import main; main()", "train", name, "--preset", "cpu"]
        where = ["--dataset", "folder", "--stain", "er", "--data-root", data_root, "--results", results]
        return [*start, *map(str, where), "--device", "cpu", *settings, *map(str, more)]

    return make


@pytest.fixture(scope="session")
def begin(warm: Any) -> Callable[[list[str], Path], Any]:
    """``begin(command("cut", results), log)``: it runs in a process of its own, and adds what it says to ``log``.

    Not a pipe: that would stay open as long as the workers of a killed process live.
    """

    def run(command: list[str], log: Path) -> Any:
        with log.open("ab") as output:
            return warm.start(command[3:], output.fileno(), output.fileno())

    return run


@pytest.fixture(scope="session")
def rows() -> Callable[[Run], list[dict[str, str]]]:
    """The rows of a run's log, without what is of the machine."""
    return _rows


@pytest.fixture(scope="session")
def assert_same_end() -> Callable[[Run, Run], None]:
    """Asserts that weights, optimizers, pools, random numbers, log and sheet of two runs are equal bit for bit."""

    def assert_same_end(run: Run, expected: Run) -> None:
        ends = [checkpoints(r.checkpoints)[-1] for r in (run, expected)]
        assert ends[0].step == ends[1].step
        found, wanted = (load_file(end.weights) for end in ends)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor), name
        states = [_numbers(torch.load(end.state, weights_only=True)) for end in ends]
        assert all(state["engine"].pop("seconds") > 0 for state in states)  # of the machine too
        assert states[0] == states[1]
        assert _rows(run) == _rows(expected)
        sheet = f"step-{ends[0].step:08d}.png"
        assert (run.samples / sheet).read_bytes() == (expected.samples / sheet).read_bytes()

    return assert_same_end


def _rows(run: Run) -> list[dict[str, str]]:
    with run.log_file.open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in OF_THE_MACHINE} for row in csv.DictReader(file)]


def _numbers(state: Any) -> Any:
    """Nested lists in place of tensors, so that == compares them."""
    if isinstance(state, torch.Tensor):
        return state.tolist()
    if isinstance(state, dict):
        return {key: _numbers(value) for key, value in state.items()}
    return [_numbers(value) for value in state] if isinstance(state, list | tuple) else state


class StoppedError(Exception):
    """Stands for a power cut."""


class Watch:
    """A display that pulls the plug when a step is reported."""

    def __init__(self, stop_at: int | None) -> None:
        self.stop_at = stop_at

    def say(self, line: str) -> None:
        print(line)

    def step(self, title: str, progress: Progress) -> None:
        if progress.step == self.stop_at:
            raise StoppedError


@pytest.fixture(scope="session")
def train(data_root: Path, tiny: Callable[..., dict[str, Any]]) -> Callable[..., Run]:
    """``train(results, "cut", stop_at=3, lr=1e-4)``; what the training says is printed."""

    def run(
        results: Path,
        name: str,
        *,
        root: Path = data_root,
        resume: bool = False,
        accept_data: bool = False,
        stop_at: int | None = None,
        log: int = 1,
        checkpoint: int = 2,
        precision: str = "32-true",
        rhythm: dict[str, Any] | None = None,
        request: dict[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        asked = Request(
            name, "folder", "er", "cpu", tiny(name, **options), data_root=root, results=results, **(request or {})
        )
        fabric = make_fabric("cpu", 1, precision)
        kept = Rhythm(log, 100, checkpoint, **(rhythm or {}))
        return start(asked, fabric, resume, 0, kept, Watch(stop_at), accept_data)

    return run


@pytest.fixture(scope="session")
def whole(train: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """The run of a method that never stopped, trained once."""
    trained: dict[str, Run] = {}

    def run(name: str) -> Run:
        if name not in trained:
            trained[name] = train(tmp_path_factory.mktemp("whole"), name)
        return trained[name]

    return run


@pytest.fixture(scope="session")
def stopped(train: Callable[..., Run]) -> Callable[..., Run]:
    """``stopped(results, "cut", stop_at=3)``: a run whose plug was pulled when that step was reported."""

    def run(results: Path, name: str, stop_at: int, **more: Any) -> Run:
        with pytest.raises(StoppedError):
            train(results, name, stop_at=stop_at, **more)
        return Run(next(results.glob("runs/*/*/seed-0")))

    return run


@pytest.fixture(scope="session")
def wait_for_rows() -> Callable[[Path, Any, Path], None]:
    """``wait_for_rows(results, process, log)``: until a training has logged three rows, before which it may not end."""

    def wait(results: Path, process: Any, log: Path) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(table.read_text().count("\n") > 3 for table in results.glob("runs/*/*/seed-0/log.csv")):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)

    return wait
