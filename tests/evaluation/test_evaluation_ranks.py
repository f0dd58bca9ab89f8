"""Two processes share the images of an evaluation, and end with the numbers of one, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.files import read_json

TILES = 10  # two chunks, one of two images
SCRIPT = """
from vsbench.cli.app import main
from vsbench.registry import load

for large in ("fid", "fid_pytorch"):  # most of the time, and fd_vgg16 is a distance of sets too
    load("vsbench.metrics", large).on_request = True
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs (``own``), the command as a file, and images made elsewhere of which one is bad (``outside``)."""
    folder, rng = tmp_path_factory.mktemp("shared"), np.random.default_rng(0)
    for place in ("own/he/train", "own/ihc/train", "own/he/test", "own/ihc/test", "outside"):
        (folder / place).mkdir(parents=True)
        for number in range(TILES if "train" not in place else 3):
            pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(pixels).save(folder / place / f"{number:02d}.png")
    (folder / "outside/09.png").write_bytes(b"nothing")
    (folder / "script.py").write_text(SCRIPT)
    return folder


def evaluate(folder: Path, devices: int, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable, "script.py", "evaluate", "--images", "outside", "--name", "mine", "--dataset", "folder",
        "--stain", "er", "--data-root", "own", "--device", "cpu", "--devices", f"{devices}", "--weights", "random:0",
        "--results", f"results-{devices}", *more,
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VSBENCH_")} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_two_processes_give_the_identical_tables(folder: Path) -> None:
    for devices in (1, 2):
        done = evaluate(folder, devices, "--on-bad", "skip")
        assert done.returncode == 0, done.stderr
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
    assert mine["values"]["fd_vgg16"]["protocol"].endswith("@random:0")


def test_a_bad_image_of_the_second_process_ends_both(folder: Path) -> None:
    done = evaluate(folder, 2)
    assert done.returncode == 1
    assert done.stderr.count("09.png") == 1
