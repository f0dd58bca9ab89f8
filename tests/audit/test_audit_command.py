"""``vsbench data audit`` as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Command = Callable[..., Any]


def make(root: Path, missing: bool = False) -> None:
    """Two slides of own pairs, one of them in both splits."""
    rng = np.random.default_rng(0)
    for split, names in (("train", ("S1_0", "S1_1")), ("test", ("S1_2", "S2_0"))):
        for kind in ("he", "ihc"):
            (root / kind / split).mkdir(parents=True)
            for name in names[: 1 if missing and kind == "ihc" else None]:
                Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
                    root / kind / split / f"{name}.png"
                )


def test_audit_writes_a_page_and_tables(vsbench: Command, tmp_path: Path) -> None:
    make(tmp_path / "own")
    Image.new("P", (64, 64)).save(tmp_path / "own" / "he" / "train" / "S1_9.gif")
    own = ("folder", "--stain", "er", "--data-root", tmp_path / "own", "--data", "slide=^[^_]+")
    done = vsbench("data", "audit", *own)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "warning: not read, though beside the images: .gif (1): he/train/S1_9.gif\n"
    assert "er: LEAK: 1 of 2 slides are in more than one split" in done.stdout
    written = {path.name for path in (tmp_path / "results" / "audit" / "folder-er").iterdir()}
    assert written == {"index.html", "index.md", "tiles.csv", "duplicates.csv", "slides.csv", "summary.json"}
    done = vsbench("data", "audit", *own, "--json", "--out", tmp_path / "there")
    assert json.loads(done.stdout)["stains"]["er"]["pairs"] == {"train": 2, "test": 2}
    assert json.loads(done.stdout) == json.loads((tmp_path / "there" / "summary.json").read_text(encoding="utf-8"))


def test_what_cannot_be_audited_is_one_line(vsbench: Command, tmp_path: Path) -> None:
    make(tmp_path / "own", missing=True)
    for arguments, code, said in (
        (("folder", "--stain", "er", "--data-root", tmp_path / "own"), 1, "no partner"),
        (("folder", "--data-root", tmp_path / "own"), 2, "--stain NAME"),
    ):
        done = vsbench("data", "audit", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert said in done.stderr


def test_no_file_of_an_audit_names_where_the_data_lie(vsbench: Command, tmp_path: Path) -> None:
    root = tmp_path / "ada zq17mark" / "own"
    make(root)
    (root / "he/test/S1_2.png").write_bytes(b"no image")
    for kind in ("he", "ihc"):
        (root / kind / "train").rename(root / kind / "train-zq17mark")
    done = vsbench("data", "audit", "folder", "--stain", "er", "--data-root", root)
    assert done.returncode == 0, done.stderr
    assert str(root) in done.stderr  # the terminal says where
    files = list((tmp_path / "results" / "audit" / "folder-er").iterdir())
    assert not [file.name for file in files if b"zq17mark" in file.read_bytes()]
    page = (tmp_path / "results" / "audit" / "folder-er" / "index.md").read_text()
    assert "train left out" in page
    assert "S1\\_2.png" in page.replace("S1_2.png", "S1\\_2.png")
