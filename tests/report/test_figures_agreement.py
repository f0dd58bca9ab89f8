"""Bland–Altman plots hold the numbers of the metric, and of nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsbench.errors import RunError
from vsbench.metrics.agreement import bland_altman
from vsbench.report.figures.agreement import METHODS, agreement
from vsbench.report.tables import Comparison, compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "evaluation" / "native" / "per_image.csv", dtype={"id": str})


def test_lines_are_those_of_the_metric_for_the_first_seed(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=12)
    folder = tree.add("cut", {"r_p": 30.0}, seed=2)
    tree.add("cut", {"r_p": 90.0}, seed=5)
    (drawn,) = agreement(only(tree), tmp_path)
    shown = pd.read_csv(drawn.file("csv"), dtype={"id": str})
    table = table_of(folder)
    expected = bland_altman(table["mean_od"].to_numpy(), table["mean_od_real"].to_numpy())
    lines = shown.set_index("what")["difference"]
    assert lines[["bias", "lower", "upper"]].tolist() == pytest.approx(expected)
    assert set(shown["seed"]) == {2}
    dots = shown[shown["what"] == "image"]
    assert dots["id"].tolist() == table["id"].tolist()
    assert dots["difference"].to_numpy() == pytest.approx((table["mean_od"] - table["mean_od_real"]).to_numpy())
    assert dots["mean"].to_numpy() == pytest.approx((table["mean_od"] + table["mean_od_real"]).to_numpy() / 2)


def test_intervals_hold_their_lines_and_are_over_slides(tree: Tree, tmp_path: Path) -> None:
    """Images of a slide that are all alike: three slides decide, however many images there are."""
    folder = tree.add("cut", {"r_p": 30.0})
    table = table_of(folder)
    gap = np.array([0.0, 0.1, 0.3])[np.arange(len(table)) % 3]
    table = table.assign(mean_od=table["mean_od_real"] + gap)
    table.to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
    (drawn,) = agreement(only(tree), tmp_path)
    lines = pd.read_csv(drawn.file("csv")).set_index("what").loc[["bias", "lower", "upper"]]
    assert ((lines["low"] <= lines["difference"]) & (lines["difference"] <= lines["high"])).all()
    assert lines.loc["bias", ["low", "high"]].tolist() == pytest.approx([0, 0.3])  # a slide drawn three times
    assert "over 3 slides" in drawn.caption
    assert "extremes" in drawn.caption


def test_many_methods_make_several_sheets_on_the_same_axes(tree: Tree, tmp_path: Path) -> None:
    for i in range(METHODS + 1):
        tree.add(f"m{i}", {})
    sheets = agreement(only(tree), tmp_path)
    assert [drawn.stem.name for drawn in sheets] == ["agreement-mist-er-1", "agreement-mist-er-2"]
    rows = [pd.read_csv(drawn.file("csv"))["row"].unique().tolist() for drawn in sheets]
    assert [len(part) for part in rows] == [4, 3]
    assert [row for part in rows for row in part] == [f"m{i}" for i in range(METHODS + 1)]


def test_references_are_no_methods(tree: Tree, tmp_path: Path) -> None:
    tree.add("he", {}, kind="reference")
    with pytest.raises(RunError, match="no method"):
        agreement(only(tree), tmp_path)
    tree.add("cut", {})
    (drawn,) = agreement(only(tree), tmp_path)
    assert set(pd.read_csv(drawn.file("csv"))["row"]) == {"cut"}


def test_one_image_has_a_bias_and_no_limits(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=1)
    tree.add("cut", {})
    (drawn,) = agreement(only(tree), tmp_path)
    lines = pd.read_csv(drawn.file("csv")).set_index("what")
    assert np.isfinite(lines.loc["bias", "difference"])
    assert lines.loc[["lower", "upper"], "difference"].isna().all()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda table: table.drop(columns="mean_od"), "no column mean_od;"),
        (lambda table: table.assign(mean_od="x"), "damaged"),
        (lambda table: table.assign(mean_od=np.nan), "no mean density"),
        (lambda table: table.iloc[:-1], "other images"),
    ],
)
def test_a_method_without_densities_is_named(
    tree: Tree, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    tree.add("asp", {})
    folder = tree.add("cut", {})
    spoil(table_of(folder)).to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
    (drawn,) = agreement(only(tree), tmp_path)
    (missing,) = drawn.missing
    assert missing.startswith("cut (")
    assert says in missing


def test_equal_and_blank_images_are_drawn(tree: Tree, tmp_path: Path) -> None:
    """Axes have a width, however alike the images are."""
    folder = tree.add("cut", {})
    table = table_of(folder).assign(mean_od=0.0, mean_od_real=0.0)
    table.to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
    (drawn,) = agreement(only(tree), tmp_path)
    assert pd.read_csv(drawn.file("csv")).set_index("what").loc["bias", "difference"] == 0


def test_hostile_names_are_text_and_files_the_same_twice(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", {}, title="<b>$x \\frac{ 50%_a&b " + "long " * 12)
    table = table_of(folder)
    table.assign(slide=[f"$\\bad{i % 3}" for i in range(len(table))]).to_csv(
        folder / "evaluation" / "native" / "per_image.csv", index=False
    )
    summary = json.loads((folder / "evaluation" / "native" / "summary.json").read_text())
    assert summary["title"].startswith("<b>")
    files = [agreement(only(tree), tmp_path / name)[0].files for name in ("one", "two")]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
