"""Evaluated runs as far as a reader study looks at them, and readers who score as they are told."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vsbench.reader_study.draw import Item, Key

Score = Callable[[Item, int], int]  # item and number of its question → score


def add_run(results: Path, row: str, *, data: str = "mist-er", n: int = 8, slides: int = 4, seed: int = 0) -> Path:
    """One run of ``n`` pairs; the first pixel of an image tells its row and number."""
    dataset, stain = data.split("-")
    folder = results / "runs" / data / row / f"seed-{seed}"
    pairs, lines = [], ["id,slide"]
    for number in range(n):
        he, ihc = (picture(results / "data" / data / part / f"{number}.png", part, number) for part in ("he", "ihc"))
        fake = picture(folder / "images" / f"{number}.png", row, number).relative_to(folder)
        pairs.append({"id": f"p{number}", "he": str(he), "ihc": str(ihc), "fake": str(fake), "truth": None})
        lines.append(f"p{number},{f's{number % slides}' if slides else ''}")
    place = folder / "evaluation" / "native"
    place.mkdir(parents=True)
    (place / "per_image.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = {
        "schema": 1, "kind": "trained", "dataset": dataset, "stain": stain, "split": "test", "protocol": "native",
        "row": row, "title": row.upper(), "seed": seed, "n": n, "n_slides": slides or None, "sizes": ["4x4"],
        "data_digest": data, "vsbench": "0", "pairs": pairs, "warnings": [], "values": {},
    }  # fmt: skip
    (place / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def picture(path: Path, what: str, number: int) -> Path:
    """A 4 × 4 image whose file says what it is, in a note that must not reach readers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = PngInfo()
    note.add_text("Software", f"made by {what}")
    pixels = np.full((4, 4, 3), (sum(what.encode()) % 256, number, 7), np.uint8)
    Image.fromarray(pixels).save(path, pnginfo=note)
    return path


def write_scores(key: Key, path: Path, reader: str, score: Score) -> Path:
    """What the form saves."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study", "reader", "item", "question", "score"])
        for item in key.items:
            for number in range(len(key.questions)):
                writer.writerow([key.study, reader, item.name, f"q{number + 1}", score(item, number)])
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two methods on one stain and one of them on another, on eight tissues of four slides."""
    folder = tmp_path / "results"
    for row, data in (("cut", "mist-er"), ("asp", "mist-er"), ("cut", "mist-pr")):
        add_run(folder, row, data=data)
    return folder


@pytest.fixture
def make_run() -> Callable[..., Path]:
    """``add_run``."""
    return add_run


@pytest.fixture
def score_as() -> Callable[[Key, Path, str, Score], Path]:
    """``write_scores``."""
    return write_scores
