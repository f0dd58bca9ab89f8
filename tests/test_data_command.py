"""``vsbench data``: what it prints, its exit codes, and that a training leaves prepared files alone."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """Six pairs of 64² in a layout of the data set ``folder``."""
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, n in (("train", 4), ("test", 2)):
            folder = tmp_path / "download" / side / split
            folder.mkdir(parents=True)
            for number in range(n):
                blocks = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
                Image.fromarray(blocks).save(folder / f"S{number % 2}_{number}.png")
    return tmp_path / "download"


def test_a_download_is_prepared_and_verified(vsbench: Command, download: Path, tmp_path: Path) -> None:
    prepared = vsbench("data", "prepare", "folder", download, "data", "--stain", "er")
    assert (prepared.returncode, prepared.stderr) == (0, "")
    assert prepared.stdout.splitlines() == [
        "folder er train: 4 pairs",
        "folder er test: 2 pairs",
        "12 files linked, 0 copied, 0 there already: data/folder",
    ]
    place = ("--stain", "er", "--data-root", "data/folder", "--data", "slide=^(S.)")
    verified = vsbench("data", "verify", "folder", *place)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.splitlines() == [
        "folder er train: 4 pairs, 2 slides",
        "folder er test: 2 pairs, 2 slides",
        "12 images decoded whole, faults: 0",
    ]
    fast = vsbench("data", "verify", "folder", *place, "--fast", "--json")
    assert json.loads(fast.stdout)["images"] == 12


def test_faults_are_lines_and_an_exit_code(vsbench: Command, download: Path) -> None:
    (download / "ihc/train/S0_0.png").unlink()
    (download / "he/test/S1_1.png").write_bytes(b"<html>")
    place = ("--stain", "er", "--data-root", download)
    found = vsbench("data", "verify", "folder", *place)
    assert found.returncode == 1
    name, image = [line for line in found.stdout.splitlines() if line.startswith(("name: ", "image: "))]
    assert "S0_0.png; add the partners or move these files away" in name
    assert f"{download / 'he/test/S1_1.png'}: no image that can be read" in image
    assert found.stderr == f"error: {download}: faults in folder: 2; mend them and verify again\n"
    report = json.loads(vsbench("data", "verify", "folder", *place, "--json").stdout)
    assert [fault["kind"] for fault in report["faults"]] == ["name", "image"]
    assert report["faults"][1]["files"] == [str(download / "he/test/S1_1.png")]
    assert [count["pairs"] for count in report["counts"]] == [3, 2]


def test_what_is_prepared_in_part_fails(vsbench: Command, download: Path) -> None:
    (download / "ihc/train/S0_0.png").unlink()
    prepared = vsbench("data", "prepare", "folder", download, "data", "--stain", "er")
    assert prepared.returncode == 1
    assert prepared.stdout.startswith("folder er test: 2 pairs\n")
    spare, reason, error = prepared.stderr.splitlines()
    assert spare.startswith("7 images are in none of these pairs: he/train/S0_0.png")
    assert reason.startswith(f"not prepared: {download}/he/train: no partner in {download}/ihc/train for S0_0.png")
    assert error == f"error: {download}: prepared in part; mend what is listed above, and run the same again"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["prepare", "phantom", "SOURCE", "data"], "makes its own images"),
        (["prepare", "folder", "SOURCE", "data"], "takes any stain: give --stain"),
        (["prepare", "folder", "SOURCE", "SOURCE/x", "--stain", "er"], "where nothing is written"),
        (["prepare", "folder", "SOURCE", "data", "--stain", "er", "--side-by-side", "left"], "he or ihc, whichever"),
        (["prepare", "folder", "SOURCE", "data", "--stain", "er", "--data", "paired=false"], "prepare arranges pairs"),
        (["prepare", "nothing", "SOURCE", "data"], "unknown name 'nothing'"),
        (["verify", "mist", "--data-root", "SOURCE", "--stain", "cd8"], "unknown stain 'cd8'"),
        (["verify", "mist", "--data-root", "nowhere"], "no such folder"),
        (["verify", "folder", "--data-root", "SOURCE"], "takes any stain: give --stain"),
    ],
)
def test_what_cannot_be_meant_is_refused(vsbench: Command, download: Path, arguments: list[str], reason: str) -> None:
    refused = vsbench("data", *(argument.replace("SOURCE", str(download)) for argument in arguments))
    assert refused.returncode == 2
    assert reason in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_training_writes_nothing_to_prepared_files(vsbench: Command, download: Path, tmp_path: Path) -> None:
    """They may be hard links: what is written to them is written to the download."""
    vsbench("data", "prepare", "folder", download, "data", "--stain", "er")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.glob("d*/**/*")}
    small = [f"--set={setting}" for setting in ("steps=2", "crop_size=32", "batch_size=1", "downs=3", "width=4")]
    place = ("--dataset", "folder", "--stain", "er", "--data-root", "data/folder")
    trained = vsbench("train", "pix2pix", *place, "--preset", "cpu", *small, "--workers", "0")
    assert trained.returncode == 0, trained.stderr
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.glob("d*/**/*")} == before
    assert len(before) > 24
