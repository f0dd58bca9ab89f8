"""Paired differences: each dot is a slide, the bar is the interval that ``vsbench compare`` gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.evaluation.compare import compare as compare_runs
from vsbench.evaluation.evaluated import read
from vsbench.report.figures.differences import FEW, _central, differences
from vsbench.report.tables import Comparison, compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def data_of(tree: Tree, folder: Path) -> pd.DataFrame:
    (drawn,) = differences(only(tree), folder)
    return pd.read_csv(drawn.file("csv"))


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "evaluation" / "native" / "per_image.csv", dtype={"id": str})


def test_dots_and_means_are_those_of_the_tables(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    """Over two seeds of one method; in SSIM, where high is good, the other method is best."""
    tree = make_tree(n=9)
    seeds = [tree.add("cut", {"iod_mae": 0.02 + 0.01 * s, "ssim": 0.5}, seed=s) for s in (0, 1)]
    asp = tree.add("asp", {"iod_mae": 0.05, "ssim": 0.6})
    tree.add("he", {"iod_mae": 0.001, "ssim": 0.9}, kind="reference")  # no method, so not the best one
    found = data_of(tree, tmp_path)
    cut = sum(table_of(folder).set_index("slide")[["iod_mae", "ssim"]] for folder in seeds) / 2
    gap = table_of(asp).set_index("slide")[["iod_mae", "ssim"]] - cut
    for value, sign, row in (("iod_mae", 1, "asp"), ("ssim", -1, "cut")):
        part = found[(found["value"] == value)]
        assert set(part["row"]) == {row}
        dots = part.dropna(subset="slide").set_index("slide")["difference"]
        expected = sign * gap[value].groupby(level=0).mean()
        assert dots.to_dict() == pytest.approx(expected.to_dict())
        (mean,) = part[part["slide"].isna()]["difference"]
        assert mean == pytest.approx(sign * gap[value].mean())


def test_intervals_are_those_of_the_command_that_compares(tree: Tree, tmp_path: Path) -> None:
    folders = [tree.add(row, {"iod_mae": value}) for row, value in (("asp", 0.05), ("cut", 0.02))]
    line = data_of(tree, tmp_path).iloc[0]
    (test,) = compare_runs(read([Run(folder) for folder in folders]), ["iod_mae"]).tests
    gap = test.comparison.difference
    assert line[["difference", "low", "high"]].tolist() == pytest.approx([gap.estimate, gap.low, gap.high])


def test_images_are_judged_by_the_truth_where_it_is_known(tree: Tree, tmp_path: Path) -> None:
    for row, value in (("asp", 0.05), ("cut", 0.02)):
        place = tree.add(row, {"iod_mae": value, "ssim": 0.4}) / "evaluation" / "native"
        table_of(place.parents[1]).assign(truth_mae=value).to_csv(place / "per_image.csv", index=False)
    assert set(data_of(tree, tmp_path)["value"]) == {"iod_mae", "ssim"}
    for file in tree.results.glob("runs/*/*/*/evaluation/native/summary.json"):
        summary = json.loads(file.read_text())
        reading = summary["values"]["ssim"] | {"best": "low", "value": 0.05 if summary["row"] == "asp" else 0.02}
        summary["values"]["truth_mae"] = reading
        file.write_text(json.dumps(summary))
    assert set(data_of(tree, tmp_path)["value"]) == {"iod_mae", "truth_mae"}


def test_unknown_slides_give_a_dot_per_image(tree: Tree, tmp_path: Path) -> None:
    for row, value in (("asp", 0.05), ("cut", 0.02)):
        folder = tree.add(row, {"iod_mae": value})
        table = table_of(folder).assign(slide="")
        table.to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
    (drawn,) = differences(only(tree), tmp_path)
    dots = pd.read_csv(drawn.file("csv"), dtype={"slide": str})["slide"].dropna()
    assert dots.tolist() == [f"{i:03d}" for i in range(6)]
    assert "each of 6 images" in drawn.caption
    assert "slides unknown" in drawn.caption


def test_outliers_of_many_images_do_not_press_the_others_together(
    make_tree: Callable[..., Tree], tmp_path: Path
) -> None:
    dots = np.array([*np.linspace(-0.01, 0.03, 999), 5.0])
    assert _central(dots) == pytest.approx((-0.013, 0.033), abs=0.001)
    assert _central(dots + 1)[0] < 0, "zero is in the figure"
    tree = make_tree(n=FEW + 1, size=8)
    for row, value in (("asp", 0.05), ("cut", 0.02)):
        folder = tree.add(row, {"iod_mae": value})
        table_of(folder).assign(slide="").to_csv(folder / "evaluation" / "native" / "per_image.csv", index=False)
    (drawn,) = differences(only(tree), tmp_path)
    assert "1 % of the dots" in drawn.caption


def test_one_image_has_a_difference_and_no_interval(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=1)
    for row, value in (("asp", 0.05), ("cut", 0.02)):
        tree.add(row, {"iod_mae": value})
    mean = data_of(tree, tmp_path).iloc[0]
    assert mean["difference"] == pytest.approx(0.03)
    assert np.isnan(mean["low"])


def test_methods_that_do_not_compare_are_named(tree: Tree, tmp_path: Path) -> None:
    values = {"iod_mae": 0.05, "ssim": 0.4}
    for row in ("asp", "cut"):
        tree.add(row, values)
    tree.add("elsewhere", values, data_digest="f" * 64)
    tree.add("other", values | {"iod_mae": {"value": 0.01, "protocol": "iod_mae/mine"}})
    tree.add("half", {"iod_mae": 0.05, "ssim": "too small"})
    lost = tree.add("lost", values) / "evaluation" / "native" / "per_image.csv"
    lost.unlink()
    (drawn,) = differences(only(tree), tmp_path)
    said = " | ".join(drawn.missing)
    for part in ("elsewhere (measured on other", "lost (", "half in ssim (too small)", "other in iod_mae (measured by"):
        assert part in said
    assert "asp" not in said
    shown = pd.read_csv(drawn.file("csv"))
    assert set(shown["row"]) | set(shown["best"]) == {"asp", "cut", "half", "other"}


def test_one_method_has_nothing_to_differ_from(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", {"iod_mae": 0.05})
    tree.add("he", {"iod_mae": 0.05}, kind="reference")
    with pytest.raises(RunError, match="need two methods"):
        differences(only(tree), tmp_path)


def test_nothing_to_draw_from_says_why(tree: Tree, tmp_path: Path) -> None:
    for row in ("asp", "cut"):
        tree.add(row, {"r_c": 50.0})
    with pytest.raises(RunError, match="need two methods"):
        differences(only(tree), tmp_path)


def test_hostile_names_are_text_and_files_the_same_twice(tree: Tree, tmp_path: Path) -> None:
    for i, title in enumerate(("<b>$x", "50%_a&b \\frac{", "染 " + "long " * 12)):
        tree.add(f"m{i}", {"iod_mae": 0.01 + 0.01 * i, "ssim": 0.1}, title=title)
    files = [differences(only(tree), tmp_path / name)[0].files for name in ("one", "two")]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()
    png = np.asarray(Image.open(files[0][1]).convert("RGB"))
    assert png[:, :3].min() == 255, "a name is cut at the edge"
