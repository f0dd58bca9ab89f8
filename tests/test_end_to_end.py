"""The three commands on a tree shaped like MIST, as a user types them."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from vsbench.evaluation.references import REFERENCES
from vsbench.registry import load

Command = Callable[..., "subprocess.CompletedProcess[str]"]
METHODS = ("cut", "cyclegan", "pix2pix", "usigan")
TINY = ("--preset", "cpu", "--set", "steps=2", "--set", "crop_size=64", "--set", "batch_size=2", "--workers", "0")


@pytest.fixture(scope="module")
def mist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MIST-shaped tree of phantom tiles, 96 × 96: five for training, four for testing."""
    folder = tmp_path_factory.mktemp("mist")
    phantom = load("vsbench.datasets", "phantom").from_options(
        {"size": 96, "slides_train": 1, "tiles_per_slide": 5, "slides_test": 1}
    )
    for split, name in (("train", "train"), ("test", "val")):
        for pair in phantom.pairs(folder / "cache", "er", split)[: {"train": 5, "test": 4}[split]]:
            for file, letter in ((pair.he, "A"), (pair.ihc, "B")):
                target = folder / "MIST" / "ER" / "TrainValAB" / f"{name}{letter}" / f"{pair.id}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    return folder


def states(printed: str) -> list[str]:
    """Last column of the table that ``vsbench evaluate`` prints."""
    return re.findall(r"(measured|unchanged)\s*$", printed, flags=re.MULTILINE)


def run_row(folder: Path, method: str) -> Path:
    return folder / "results" / "runs" / "mist-er" / f"{method}+cpu" / "seed-0"


def test_three_commands(vsbench: Command, mist: Path, tmp_path: Path) -> None:
    for method in METHODS:
        trained = vsbench("train", method, "--dataset", "mist", "--stain", "er", *TINY, VSBENCH_DATA=mist)
        assert trained.returncode == 0, trained.stderr
        run = run_row(tmp_path, method)
        assert trained.stdout.strip() == str(run.relative_to(tmp_path))
        record = json.loads((run / "run.json").read_text())
        assert record["finished"] is True
        assert record["train_pairs"] == 5
        log = pd.read_csv(run / "log.csv")
        assert log["step"].tolist() == [2]
        losses = load("vsbench.methods", method).card.losses
        without = [name for name in losses if name.startswith("g_identity")]  # of weight 0 in these presets
        assert log[[name for name in losses if name not in without]].notna().all(axis=None)

    evaluated = vsbench("evaluate", "--all")  # the data lie where they lay in training
    assert evaluated.returncode == 0, evaluated.stderr
    for method in METHODS:
        folder = run_row(tmp_path, method) / "evaluation" / "native"
        table = pd.read_csv(folder / "per_image.csv", index_col="id")
        summary = json.loads((folder / "summary.json").read_text())
        assert len(table) == summary["n"] == 4
        assert summary["values"]["iod_mae"]["value"] == pytest.approx(table["iod_mae"].mean())
        r = 100 * table["intden"].corr(table["intden_real"])
        assert summary["values"]["r_p"]["value"] == pytest.approx(r)
        assert summary["values"]["fid"]["value"] is None
        assert "missing" in summary["values"]["fid"]["reason"]
        images = sorted((run_row(tmp_path, method) / "images" / "test").iterdir())
        assert [path.stem for path in images] == table.index.tolist()
        with Image.open(images[0]) as image:
            assert image.size == (96, 96)
    rows = [name for name in REFERENCES if name != "best"]  # that one needs a known answer
    for row in rows:
        assert (tmp_path / "results/runs/mist-er" / row / "reference/evaluation/native/summary.json").is_file()

    again = vsbench("evaluate", "--all")
    assert again.returncode == 0
    assert states(again.stdout) == ["unchanged"] * (len(METHODS) + len(rows))

    reported = vsbench("report", "--latex")
    assert reported.returncode == 0, reported.stderr
    tables = sorted((tmp_path / "results" / "report" / "tables").glob("*.tex"))
    text = "".join(path.read_text() for path in tables)
    for title in ("USIGAN", "CUT", "CycleGAN", "Pix2Pix"):
        assert title in text
    assert (tmp_path / "results" / "report" / "main.tex").is_file()
    if shutil.which("pdflatex") is None:
        return  # compiling is tested with the report itself, which says so where pdflatex is missing
    compiled = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=tmp_path / "results" / "report",
        capture_output=True,
        text=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout[-2000:]


def test_only_what_changed_is_measured_again(vsbench: Command, mist: Path, tmp_path: Path) -> None:
    vsbench("train", "cut", "--dataset", "mist", "--stain", "er", *TINY, VSBENCH_DATA=mist)
    vsbench("evaluate", "--all")
    image = next((run_row(tmp_path, "cut") / "images" / "test").glob("*.png"))
    Image.new("RGB", (96, 96), (180, 120, 60)).save(image)
    again = vsbench("evaluate", "--all")
    assert sorted(states(again.stdout)) == ["measured"] + ["unchanged"] * (
        len(REFERENCES) - 1
    )  # none is the best possible


def test_references_alone(vsbench: Command, tmp_path: Path) -> None:
    """On the phantom the best possible prediction is one of them, and better than what knows nothing."""
    small = [f"--data={option}" for option in ("size=96", "tiles_per_slide=2", "slides_train=1", "slides_test=1")]
    where = ("--dataset", "phantom", "--stain", "er", "--data-root", tmp_path / "cache", *small)
    evaluated = vsbench("evaluate", "--references", *where)
    assert evaluated.returncode == 0, evaluated.stderr
    folder = tmp_path / "results/runs/phantom-er"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(REFERENCES)
    error = {
        row: json.loads((folder / row / "reference/evaluation/native/summary.json").read_text())["values"]["truth_mae"]
        for row in ("best", "he", "mean-colour")
    }
    assert error["best"]["value"] < 0.5 * min(error["he"]["value"], error["mean-colour"]["value"])
    for arguments in (("--references",), ("--references", "--all"), ("--references", "--dataset", "phantom")):
        refused = vsbench("evaluate", *arguments)
        assert refused.returncode == 2, refused.stderr
        assert "--references" in refused.stderr


def test_the_card_of_the_phantom_prints_ceiling_and_floor(vsbench: Command) -> None:
    shown = vsbench("datasets", "phantom").stdout
    assert "best possible" in shown
    assert any(line.split()[:2] == ["her2", "iod_mae"] for line in shown.splitlines())
    stated = json.loads(vsbench("datasets", "phantom", "--json").stdout)["bounds"]
    assert {"stain", "value", "protocol", "ceiling", "identity", "mean_colour"} == set(stated[0])


def test_images_made_elsewhere(vsbench: Command, mist: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(mist / "MIST/ER/TrainValAB/valB", outside)
    where = ("--dataset", "mist", "--stain", "er", "--data-root", mist)
    evaluated = vsbench("evaluate", "--images", outside, "--name", "copy", *where)
    assert evaluated.returncode == 0, evaluated.stderr
    summary = json.loads((tmp_path / "results/runs/mist-er/copy/external/evaluation/native/summary.json").read_text())
    assert summary["values"]["iod"]["value"] == 0
    assert summary["values"]["ssim"]["value"] == 1
    assert summary["values"]["psnr"]["value"] == "inf"

    next(outside.iterdir()).unlink()
    missing = vsbench("evaluate", "--images", outside, "--name", "copy", *where)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert "missing" in missing.stderr


def test_translate(vsbench: Command, mist: Path, tmp_path: Path) -> None:
    vsbench("train", "usigan", "--dataset", "mist", "--stain", "er", *TINY, VSBENCH_DATA=mist)
    run = run_row(tmp_path, "usigan")
    odd = tmp_path / "odd.png"
    Image.new("RGB", (61, 77), (200, 150, 190)).save(odd)
    done = vsbench("translate", run, odd, tmp_path / "odd-ihc.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "odd-ihc.png") as image:
        assert (image.size, image.mode) == ((61, 77), "RGB")
    again = vsbench("translate", run, odd, tmp_path / "odd-ihc.png")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr

    weights = next((run / "checkpoints").glob("*.safetensors"))
    folder = vsbench("translate", weights, mist / "MIST/ER/TrainValAB/valA", tmp_path / "ihc")
    assert folder.returncode == 0, folder.stderr
    evaluated = vsbench("evaluate", run)
    assert evaluated.returncode == 0, evaluated.stderr
    for path in (tmp_path / "ihc").iterdir():  # the same pixels as in evaluation
        assert path.read_bytes() == (run / "images" / "test" / path.name).read_bytes()


def test_finished_and_unfinished_runs(vsbench: Command, mist: Path, tmp_path: Path) -> None:
    command = ("train", "cut", "--dataset", "mist", "--stain", "er", *TINY)
    assert vsbench(*command, VSBENCH_DATA=mist).returncode == 0
    log = run_row(tmp_path, "cut") / "log.csv"
    before = log.stat().st_mtime_ns
    again = vsbench(*command, VSBENCH_DATA=mist)
    assert (again.returncode, log.stat().st_mtime_ns) == (0, before)
    assert "finished already" in again.stderr
    other = vsbench(*command, "--set", "lr=1e-4", VSBENCH_DATA=mist)
    assert other.returncode == 1
    assert "lr = 0.001 there, 0.0001 here" in other.stderr
    assert "--label" in other.stderr
