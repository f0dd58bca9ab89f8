"""A training on the GPU that is stopped and goes on ends with the bits of one that never stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vsbench.cli.options import make_fabric
from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.request import Request
from vsbench.engine.run import Run
from vsbench.engine.start import start
from vsbench.engine.step import Execution
from vsbench.engine.trainer import Progress, Rhythm
from vsbench.records.run import EXACT

# an image pool; batch norm and dropout; bilinear interpolation; noise and a batch's memory; transport and correlations
NAMES = ("usigan", "cyclegan", "pix2pix", "unsb", "tdkstain", "flsesim")
CASES = [*((name, "32-true") for name in NAMES), ("usigan", "16-mixed"), ("pix2pix", "16-mixed")]
STEPS, STOP = 5, 3


class StoppedError(Exception):
    """Stands for a power cut."""


class Watch:
    """A display that pulls the plug after a step."""

    def __init__(self, stop_at: int) -> None:
        self.stop_at = stop_at

    def say(self, line: str) -> None: ...

    def step(self, title: str, progress: Progress) -> None:
        if progress.step == self.stop_at:
            raise StoppedError


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of 128² of random colours in blocks."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        (root / side / "train").mkdir(parents=True)
        for name in "abcdef":
            blocks = rng.integers(60, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(root / side / "train" / f"{name}.png")
    return root


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_resumed_it_is_the_same_bit_for_bit(
    device: str, name: str, precision: str, pairs: Path, tmp_path: Path
) -> None:
    def train(results: str, stop_at: int = 0, resume: bool = False) -> Run:
        request = Request(
            name, "folder", "er", "cpu", {"steps": STEPS}, data_root=pairs, results=tmp_path / results,
            execution=Execution(deterministic=True),
        )  # fmt: skip
        fabric = make_fabric(device, 1, precision)
        return start(request, fabric, resume, 0, Rhythm(log=1, sheet=100, checkpoint=2), Watch(stop_at))

    whole, again = train("whole"), train("again")
    with pytest.raises(StoppedError):
        train("stopped", stop_at=STOP)
    resumed = train("stopped", resume=True)
    expected = content(whole)
    assert whole.trained.repetition == EXACT
    for run in (again, resumed):
        found = content(run)
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), key


def content(run: Run) -> dict[str, Any]:
    """Weights, and all that optimizers keep, of the last checkpoint."""
    newest = checkpoints(run.checkpoints)[-1]
    assert newest.step == STEPS
    states = torch.load(newest.state, weights_only=True)["optimizers"]
    kept = {
        f"{name} {number} {slot}": tensor
        for name, optimizer in states.items()
        for number, slots in optimizer["state"].items()
        for slot, tensor in slots.items()
    }
    return load_file(newest.weights) | kept
