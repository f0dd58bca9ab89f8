"""What is planted is found, and the rest left alone: the whole audit, on a small set made of the phantom."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vsbench.audit.page import build_page, findings, table_one
from vsbench.audit.registration import SURE, residual_shift
from vsbench.audit.run import Audit, audit, write_tables
from vsbench.audit.tiles import measure

NASTY = "<script>alert(1)</script>_01"


@pytest.fixture(scope="module")
def figures() -> Any:
    """``benchmarks.audit``, which is beside the package, not in it."""
    root = str(Path(__file__).parents[2])
    sys.path.insert(0, root)
    try:
        from benchmarks import audit as module
    finally:
        sys.path.remove(root)
    return module


@pytest.fixture(scope="module")
def planted(figures: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return figures.plant(tmp_path_factory.mktemp("planted"), size=192, slides=6, tiles=2, faults=4)


@pytest.fixture(scope="module")
def found(planted: Any) -> Audit:
    return audit(planted.pairs(), "ki67")


def test_planted_faults_are_found_and_nothing_else(figures: Any, planted: Any, found: Audit) -> None:
    scores = figures.score(planted, found)
    assert {name: (s.planted, s.false) for name, s in scores.items() if s.found < s.planted or s.false} == {}
    assert sum(s.planted for s in scores.values()) >= 20


def test_overlaps_are_measured_to_the_pixel(found: Audit) -> None:
    """Of (1/4, 0), (0, 1/4), (1/2, 0), (0, 1/2) of 192 pixels."""
    shifts = {(d.dy, d.dx): d.overlap for d in found.duplicates if d.kind == "overlap" and d.image == "he"}
    assert {(abs(dy), abs(dx)): share for (dy, dx), share in shifts.items()} == {
        (48, 0): 0.75,
        (0, 48): 0.75,
        (96, 0): 0.5,
        (0, 96): 0.5,
    }


def test_shifts_are_measured_within_what_the_sections_are_distorted_by(figures: Any, found: Audit) -> None:
    for row in (row for row in found.tiles if row.shifted):
        dy, dx = figures.MOVES[int(row.id[-1])]
        assert row.shift_y == pytest.approx(192 * dy, abs=6)
        assert row.shift_x == pytest.approx(192 * dx, abs=6)


def test_unrelated_sections_give_no_sure_shift(figures: Any, planted: Any) -> None:
    """What makes a shift sure must not come of accident: H&E and IHC of the tiles of different slides."""
    measured = [measure(pair, "ki67") for pair in planted.pairs() if re.fullmatch(r"P0[1-5]_00_0\d", pair.id)]
    he, ihc = ([figures.landmarks(m, kind) for m in measured] for kind in ("he", "ihc"))
    slides = [m.pair.slide for m in measured]
    shifts = [
        residual_shift(a, b)
        for a, s in zip(he, slides, strict=True)
        for b, t in zip(ihc, slides, strict=True)
        if s != t
    ]
    assert len(shifts) == 80
    assert sum(shift is None or shift.confidence >= SURE for shift in shifts) <= 1


def test_the_summary_counts_what_the_tables_hold(found: Audit, planted: Any) -> None:
    s = found.summary
    assert s["pairs"] == {split: sum(r.split == split for r in found.tiles) for split in ("train", "test")}
    assert s["slides_shared"] == len(planted.shared) == 2
    assert s["slides_drifting"] == sorted(planted.drifting)
    across = [pair for pair in planted.alike if len({split for split, _ in pair}) == 2]
    assert s["tile_pairs_across_splits"] == s["test_pairs_leaking"] == len(across)
    assert s["tile_pairs_within_a_split"] == len(planted.alike) - len(across)
    assert s["test_share_leaking"] == len(across) / s["pairs"]["test"]
    assert s["blank"] == len(planted.blank)
    rates = [row.pearson_r for row in found.tiles if row.pearson_r is not None]
    assert s["pearson_r"] == pytest.approx(sum(rates) / len(rates))
    assert any(line.startswith(f"LEAK: {len(across)} test pairs") for line in findings(found))


def test_tables_can_be_read_again_and_rebuild_table_one(found: Audit, tmp_path: Path) -> None:
    paths = write_tables([found], "folder", tmp_path)
    assert [path.name for path in paths] == ["tiles.csv", "duplicates.csv", "slides.csv", "summary.json"]
    table = pd.read_csv(tmp_path / "tiles.csv")
    assert len(table) == len(found.tiles)
    assert len(pd.read_csv(tmp_path / "duplicates.csv")) == len(found.duplicates)
    assert len(pd.read_csv(tmp_path / "slides.csv")) == len(found.slides)
    stored = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["stains"]["ki67"]
    assert stored == json.loads(json.dumps(found.summary))
    (row,) = table_one([found], "Own").rows
    n = stored["pairs"]
    rate = f"{100 * table['pearson_r'].mean():.2f} %"
    assert row == ["Own", "Ki67", str(stored["slides"]), str(n["train"]), str(n["test"]), rate]


def test_the_page_stands_alone_and_shows_the_worst(found: Audit) -> None:
    page = build_page([found], "Own <b>data</b>")
    html = page.html()
    assert "<b>data</b>" not in html
    assert "Own &lt;b&gt;data&lt;/b&gt;" in html
    assert "<script" not in html
    assert {source.split(";")[0] for source in re.findall(r'(?:src|href)="([^"]*)"', html)} == {"data:image/jpeg"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    for title in ("Tissue in two splits", "Tissue twice within a split", "Blank", "Shifted", "Stained unlike the rest"):
        assert f"<h3>{title}: " in html
        assert f"### {title}: " in page.markdown()
    assert len(html) < 2_000_000


def test_names_are_escaped_on_the_page(planted: Any, tmp_path: Path) -> None:
    (tile,) = (pair for pair in planted.pairs() if pair.id.endswith("blank_0"))
    paths = [tmp_path / kind / f"{NASTY.replace('/', '')}.png" for kind in ("he", "ihc")]
    for path, source in zip(paths, (tile.he, tile.ihc), strict=True):
        path.parent.mkdir()
        path.write_bytes(source.read_bytes())
    pair = type(tile)(NASTY, paths[0], paths[1], NASTY, "train")
    page = build_page([audit([pair], "ki67")], "Own")
    assert NASTY not in page.html()
    assert "train/&lt;script&gt;" in page.html()
    assert "<script>" not in page.markdown()
