"""The three commands on real histology: the registered serial sections beside the repository, laid out like MIST."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]
TEST_TISSUE = "birl-lesions"  # grouped by tissue: its five pairs are never trained on


@pytest.fixture
def cima(shared: Path, tmp_path: Path) -> Path:
    """A MIST-shaped tree of the sample pairs. They are not stained for ER; the folder's name is only MIST's."""
    for side, letter in (("he", "A"), ("ihc", "B")):
        for file in sorted((shared / "data" / "cima" / side).glob("*.png")):
            split = "val" if file.name.startswith(TEST_TISSUE) else "train"
            target = tmp_path / "data" / "MIST" / "ER" / "TrainValAB" / f"{split}{letter}" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return tmp_path / "data"


def test_three_commands_on_real_pairs(vsbench: Command, cima: Path, tmp_path: Path) -> None:
    small = ("--preset", "cpu", "--set", "steps=3", "--workers", "0")
    trained = vsbench("train", "usigan", "--dataset", "mist", "--stain", "er", *small, VSBENCH_DATA=cima)
    assert trained.returncode == 0, trained.stderr
    evaluated = vsbench("evaluate", "--all", VSBENCH_DATA=cima)
    assert evaluated.returncode == 0, evaluated.stderr
    reported = vsbench("report", "--latex")
    assert reported.returncode == 0, reported.stderr

    rows = tmp_path / "results" / "runs" / "mist-er"
    record = json.loads((rows / "usigan+cpu/seed-0/run.json").read_text())
    assert (record["train_pairs"], record["train_slides"]) == (29, 2)
    summary = json.loads((rows / "usigan+cpu/seed-0/evaluation/native/summary.json").read_text())
    assert (summary["n"], summary["n_slides"], summary["sizes"]) == (5, 1, ["256x256"])
    assert "truth_mae" not in summary["values"]
    assert any("slides" in warning for warning in summary["warnings"])
    real = pd.read_csv(rows / "real-ihc/reference/evaluation/native/per_image.csv")
    assert (real["intden"] > 0).all()
    assert not math.isclose(real["intden"].min(), real["intden"].max())
    table = (tmp_path / "results/report/tables/methods-mist.tex").read_text()
    assert "USIGAN (cpu preset)" in table


def test_bci_files_as_published(vsbench: Command, shared: Path, tmp_path: Path) -> None:
    """JPEG bytes in files named .png, 1024 × 1024, no slide in the name."""
    root = tmp_path / "BCI_dataset"
    shutil.copytree(shared / "data" / "bci", root)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    for side in ("HE", "IHC"):
        (root / side / "train").mkdir()
        for file in (root / side / "test").iterdir():
            shutil.copy(file, root / side / "train" / file.name.replace("_test_", "_train_"))
    outside = tmp_path / "outside"
    shutil.copytree(root / "HE" / "test", outside)
    evaluated = vsbench(
        "evaluate", "--images", outside, "--name", "copy", "--dataset", "bci", "--stain", "her2", "--data-root", root
    )
    assert evaluated.returncode == 0, evaluated.stderr
    rows = tmp_path / "results" / "runs" / "bci-her2"
    copied = json.loads((rows / "copy/external/evaluation/native/summary.json").read_text())
    unchanged = json.loads((rows / "he/reference/evaluation/native/summary.json").read_text())
    assert copied["values"] == unchanged["values"]
    assert copied["values"]["r_c"]["value"] == pytest.approx(100)
    assert copied["n_slides"] is None
    measured = vsbench("measure", *sorted((root / "IHC" / "test").iterdir()), "--json")
    densities = [row["intden"] for row in json.loads(measured.stdout)]
    table = pd.read_csv(rows / "real-ihc/reference/evaluation/native/per_image.csv")
    assert densities == pytest.approx(table["intden"].tolist(), rel=1e-12)
