"""Two processes share the images of an evaluation, and end with the numbers of one, bit for bit."""

import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.files import read_json
from vsbench.weights.encoders import add_encoder, read_card

TILES = 10  # two chunks, one of two images
CARD = "{name: small, size: 24, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], width: 6, licence: CC0, gated: false}"


class Encoder(torch.nn.Module):
    """Features at next to no cost: those of the published networks are most of an evaluation's time."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 6, 5, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolution(x)).mean(dim=(2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs (``own``), an encoder and a ``store`` for it, and images made elsewhere, one of them bad (``outside``)."""
    folder, rng = tmp_path_factory.mktemp("shared"), np.random.default_rng(0)
    for place in ("own/he/train", "own/ihc/train", "own/he/test", "own/ihc/test", "outside"):
        (folder / place).mkdir(parents=True)
        for number in range(TILES if "train" not in place else 3):
            pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(pixels).save(folder / place / f"{number:02d}.png")
    (folder / "outside/09.png").write_bytes(b"nothing")
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):  # torch speaks of its age
        torch.manual_seed(0)
        torch.jit.save(torch.jit.trace(Encoder().eval(), torch.rand(2, 3, 24, 24)), folder / "small.pt")
    (folder / "card.yaml").write_text(CARD)
    (folder / "store").mkdir()
    return folder


def arguments(devices: int, *more: str) -> list[str]:
    return [
        "evaluate", "--images", "outside", "--name", "mine", "--dataset", "folder", "--stain", "er", "--data-root",
        "own", "--device", "cpu", "--devices", f"{devices}", "--results", f"results-{devices}", *more,
    ]  # fmt: skip


def torchrun(warm: Any, devices: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each process of an evaluation has said, started as torchrun starts them, and well ended."""
    monkeypatch.chdir(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "x"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port), ("WORLD_SIZE", devices),
        ("LOCAL_WORLD_SIZE", devices),
    ):  # fmt: skip
        monkeypatch.setenv(name, str(value))
    files, started = [folder / f"said-{devices}-{rank}" for rank in range(devices)], []
    for rank, file in enumerate(files):
        for name in ("RANK", "LOCAL_RANK"):
            monkeypatch.setenv(name, str(rank))
        with file.open("wb") as out:
            given = arguments(devices, "--also", "encoder=small", "--on-bad", "skip")
            started.append(warm.start(given, out.fileno(), out.fileno()))
    codes = [process.wait() for process in started]
    said = [file.read_text() for file in files]
    assert not any(codes), said
    return said


def test_two_processes_give_the_identical_tables(folder: Path, warm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VSBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.setenv(name, str(folder / "store"))
    add_encoder(folder / "small.pt", read_card(folder / "card.yaml"))
    torchrun(warm, 1, folder, monkeypatch)
    said = torchrun(warm, 2, folder, monkeypatch)
    assert ["mine" in text for text in said] == [True, False], said  # the first speaks for both
    real = [(folder / f"results-{devices}/runs/folder-er/real.npz").read_bytes() for devices in (1, 2)]
    assert real[0] == real[1]  # what all have worked out of the real images
    rows = sorted(path.parent for path in folder.glob("results-1/runs/folder-er/*/*/run.json"))
    assert len(rows) == 8
    for row in rows:
        one = row / "evaluation/native"
        two = folder / "results-2" / one.relative_to(folder / "results-1")
        assert (two / "per_image.csv").read_bytes() == (one / "per_image.csv").read_bytes()
        summaries = [read_json(place / "summary.json") for place in (one, two)]
        for summary in summaries:
            summary.pop("pairs")  # paths
        assert summaries[0] == summaries[1]
        with np.load(one / "features.npz") as first, np.load(two / "features.npz") as second:
            assert first.files == second.files
            assert all(np.array_equal(first[name], second[name]) for name in first.files)
    mine = read_json(folder / "results-2/runs/folder-er/mine/external/evaluation/native/summary.json")
    assert (mine["n"], list(mine["skipped"])) == (TILES - 1, ["09"])
    assert mine["values"]["fd_encoder"]["value"] > 0


def test_a_bad_image_of_the_second_process_ends_both(folder: Path) -> None:
    """Started by Fabric, which kills the first process where another ends with an error; without networks."""
    own = {"OMP_NUM_THREADS": "1", "VSBENCH_WEIGHTS": "store", "TORCH_HOME": "store"}
    done = subprocess.run(
        [sys.executable, "-m", "vsbench", *arguments(2)],
        cwd=folder, env=os.environ | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("09.png") == 1
