"""What misaligned pairs cost, and what the method costs: numbers that are known, and rows that are no methods."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsbench.report import build, gallery
from vsbench.report.figures.split import split_figure
from vsbench.report.split import Split, sentences, split_table, splits
from vsbench.report.tables import Comparison, compare, load_results

ERRORS = {  # row: (truth_mae, method, settings, unattainable)
    "best": (2.0, None, {}, None),
    "aligned": (5.0, "regression", {"width": 16}, "trained on what no real data has"),
    "regression+small": (9.0, "regression", {"width": 16}, None),
    "pix2pix+small": (8.0, "pix2pix", {}, None),
    "cut+small": (12.0, "cut", {}, None),
    "asp+small": (10.0, "asp", {}, None),
}


def add(
    tree: Any, row: str, error: float, method: str | None, settings: dict[str, Any], why: str | None, seed: int = 0
) -> None:
    kind = "reference" if method is None else "trained"
    values = {"truth_mae": error, "iod_mae": error}
    folder = tree.add(row, values, dataset="phantom", stain="ki67", kind=kind, seed=seed)
    table = pd.read_csv(folder / "evaluation/native/per_image.csv", dtype={"id": str})
    # each slide has its own ease, the same for all rows; means are as given
    ease = np.array([-0.5, 0.0, 0.5])[np.arange(len(table)) % 3]
    table.assign(truth_mae=error + ease).to_csv(folder / "evaluation/native/per_image.csv", index=False)
    if method is not None:
        record = json.loads((folder / "run.json").read_text())
        record |= {"method": method, "config": settings} | ({"unattainable": why} if why else {})
        (folder / "run.json").write_text(json.dumps(record))


@pytest.fixture
def comparison(tree: Any) -> Comparison:
    for row, given in ERRORS.items():
        add(tree, row, *given)
    (found,) = compare(load_results(tree.results))
    return found


def test_distances_are_split_by_what_the_control_loses(comparison: Comparison) -> None:
    (split,) = splits(comparison, resamples=200)
    found = {
        one.row.key: (one.group, one.distance.estimate, one.misalignment.estimate, one.rest.estimate)
        for one in split.distances
    }
    assert found == {
        "pix2pix+small": ("paired", pytest.approx(6), pytest.approx(4), pytest.approx(2)),
        "asp+small": ("weak", pytest.approx(8), pytest.approx(4), pytest.approx(4)),
        "cut+small": ("unpaired", pytest.approx(10), 0, pytest.approx(10)),
        "regression+small": ("control", pytest.approx(7), pytest.approx(4), pytest.approx(3)),
        "aligned": ("reference", pytest.approx(3), 0, pytest.approx(3)),
    }
    assert list(found) == ["pix2pix+small", "asp+small", "cut+small", "regression+small", "aligned"]
    for one in split.distances:  # slides are as easy for all: differences do not vary
        assert (one.distance.low, one.distance.high) == pytest.approx((one.distance.estimate,) * 2)


def test_every_method_has_a_sentence(comparison: Comparison) -> None:
    (split,) = splits(comparison, resamples=200)
    said = {one.row.key: sentence for one, sentence in zip(split.distances, sentences(split), strict=True)}
    assert "4.0" in said["pix2pix+small"] or "4.00" in said["pix2pix+small"]
    assert "for misaligned pairs (as regression+small loses it)" in said["pix2pix+small"]
    assert "(as" not in said["regression+small"]  # it is its own control
    assert said["cut+small"].endswith("it learns from no pair.")
    assert said["aligned"].endswith("trained on what no real data has.")


def test_three_trainings_are_drawn_too_and_one_is_said_to_be_one(tree: Any) -> None:
    for row, given in ERRORS.items():
        add(tree, row, *given)
    for seed, more in ((1, 2.0), (2, -2.0)):  # of the same mean
        add(tree, "cut+small", ERRORS["cut+small"][0] + more, *ERRORS["cut+small"][1:], seed=seed)
    (comparison,) = compare(load_results(tree.results))
    (split,) = splits(comparison, resamples=200)
    found = {one.row.key: (one.distance, said) for one, said in zip(split.distances, sentences(split), strict=True)}
    assert found["cut+small"][0].estimate == pytest.approx(10)
    assert found["cut+small"][0].high - found["cut+small"][0].low > 1
    assert found["asp+small"][0].high == pytest.approx(found["asp+small"][0].low)
    assert found["cut+small"][1].startswith("cut+small (3 trainings) is ")
    assert found["asp+small"][1].startswith("asp+small (one training) is ")


def test_the_figure_has_a_line_for_each_row_and_says_what_is_not_attainable(
    comparison: Comparison, tmp_path: Path
) -> None:
    found = splits(comparison)
    (drawn,) = split_figure(found, tmp_path)
    assert all(path.is_file() for path in drawn.files)
    table = pd.read_csv(drawn.file("csv"))
    assert list(table["row"]) == [one.row.key for one in found[0].distances]
    assert "not attainable on real data" in drawn.caption
    pd.testing.assert_frame_equal(table[["distance"]], split_table(found)[["distance"]])


def test_what_is_trained_on_unattainable_pairs_is_a_reference(comparison: Comparison) -> None:
    """It is best here, and neither ranked nor among the methods."""
    rows = {row.key: row for row in comparison.rows}
    assert not rows["aligned"].is_method
    assert "aligned" not in comparison.methods
    assert comparison.rows[-2:] == (rows["aligned"], rows["best"])
    assert [row.key for row in comparison.unbeaten("truth_mae")] == ["aligned", "best"]


@pytest.mark.parametrize("without", ["aligned", "best"])
def test_without_a_control_or_a_ceiling_nothing_is_split(tree: Any, tmp_path: Path, without: str) -> None:
    for row, given in ERRORS.items():
        if row != without:
            add(tree, row, *given)
    (comparison,) = compare(load_results(tree.results))
    assert splits(comparison) == []
    assert split_figure([], tmp_path) == []


def test_other_settings_are_no_control(tree: Any) -> None:
    """The same method trained longer differs in more than its pairs."""
    for row, given in ERRORS.items():
        add(tree, row, *(given if row != "aligned" else (5.0, "regression", {"width": 32}, "why")))
    (comparison,) = compare(load_results(tree.results))
    assert splits(comparison) == []


def test_a_report_splits_once_for_its_figure_and_its_text(
    tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row, given in ERRORS.items():
        add(tree, row, *given)
    asked: list[Comparison] = []

    def counted(comparison: Comparison) -> list[Split]:
        asked.append(comparison)
        return splits(comparison, resamples=20)

    monkeypatch.setattr(build, "splits", counted)
    monkeypatch.setattr(gallery, "FIGURES", {})  # the others take long
    written = build.build_report(tree.results, tmp_path, page=False, warn=lambda text: None)
    assert len(asked) == 1
    assert {tmp_path / "split.md", tmp_path / "figures/split-phantom-ki67.png"} <= set(written)


def test_a_report_without_figures_says_why_it_has_no_split(tree: Any, tmp_path: Path) -> None:
    for row, given in ERRORS.items():
        add(tree, row, *given)
    for table in tree.results.glob("runs/*/aligned/*/evaluation/native/per_image.csv"):
        table.unlink()
    said: list[str] = []
    written = build.build_report(tree.results, tmp_path, figures=False, page=False, warn=said.append)
    assert not any("split" in path.name for path in written)
    assert sum("no split of distances" in sentence for sentence in said) == 1
