import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.errors import DataError, RunError
from vsbench.report.figures.ellipses import ENOUGH, covering, ellipse_of
from vsbench.report.figures.labels import label_points
from vsbench.report.figures.scatter import scatter
from vsbench.report.figures.sheets import choose_pairs, image_sheets
from vsbench.report.figures.style import new_figure, style
from vsbench.report.tables import Comparison, compare, load_results
from vsbench.stain.dab import integrated_density
from vsbench.stats.bootstrap import resample_counts

Tree = Any  # the class in conftest.py, which cannot be imported from here

VALUES = {"r_c": 60.0, "r_p": 40.0, "r_avg": 50.0}


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def test_scatter_data_are_means_and_spreads_over_seeds(tree: Tree, tmp_path: Path) -> None:
    for seed, shift in enumerate((0.0, 1.5, 4.5)):
        tree.add("cut", {name: value + shift for name, value in VALUES.items()}, seed=seed)
    tree.add("he", {"r_c": 100.0, "r_p": 20.0, "r_avg": 60.0}, kind="reference")
    tree.add("mean-colour", {"r_c": "constant", "r_p": "all equal", "r_avg": "no R_c"}, kind="reference")
    tree.add("elsewhere", VALUES, kind="external", data_digest="f" * 64)
    tree.add("wrong", VALUES | {"r_c": "inf"})
    [drawn] = scatter(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv")).set_index("title")
    seeds = pd.Series([60.0, 61.5, 64.5])
    assert table.loc["cut", ["r_c", "r_c_sd"]].tolist() == pytest.approx([seeds.mean(), seeds.std()])
    assert table.loc["cut", "seeds"] == 3
    assert table.loc["mean-colour", ["r_c", "r_p"]].isna().all()
    assert table.loc["mean-colour", "not_shown"] == "no R_c: constant; no R_p: all equal"
    assert [text.split(" (")[0] for text in drawn.missing[:3]] == ["elsewhere", "wrong", "mean-colour"]
    assert table.loc["wrong", "not_shown"] == "R_c is infinite"


def regroup(folder: Path, slides: Callable[[int], str]) -> pd.DataFrame:
    """Give the images of a run other slides; the new table."""
    path = folder / "evaluation" / "native" / "per_image.csv"
    table = pd.read_csv(path, dtype={"id": str})
    table["slide"] = [slides(place) for place in range(len(table))]
    table.to_csv(path, index=False)
    return table


def test_an_ellipse_is_that_of_the_resampled_points(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    """Recomputed image by image for two seeds: mean R_c, Pearson's r of the densities, their covariance over draws."""
    tree = make_tree(n=12)
    tables = [
        regroup(tree.add("cut", VALUES | {"r_p": 40.0 + 9 * seed}, seed=seed), lambda i: f"s{i % 5}") for seed in (0, 1)
    ]
    (drawn,) = scatter(only(tree), tmp_path)
    line = pd.read_csv(drawn.file("csv")).iloc[0]
    counts, slide = resample_counts(5, 10_000, 0).astype(int), np.arange(12) % 5
    points = []
    for row in counts[:1000]:
        images = np.repeat(np.arange(12), row[slide])
        r = [np.corrcoef(t["intden"].to_numpy()[images], t["intden_real"].to_numpy()[images])[0, 1] for t in tables]
        points.append((np.mean([t["r_c"].to_numpy()[images].mean() for t in tables]), 100 * np.mean(r)))
    found = ellipse_of(np.array(points), 5)
    assert line["ellipse_slides"] == 5
    assert line[["ellipse_major", "ellipse_minor"]].tolist() == pytest.approx([found.major, found.minor], rel=0.15)
    assert abs((line["ellipse_angle"] - found.angle + 90) % 180 - 90) < 5
    assert "95 % confidence over 5 slides" in drawn.caption


def test_an_ellipse_follows_the_spread_of_its_points() -> None:
    """Along (−4, 3): half axes are standard errors times the root of the quantile, wider by S / (S − 1)."""
    along, across = np.array([-4, 3]) / 5, np.array([3, 4]) / 5
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(20_000, 2))
    ellipse = ellipse_of(noise[:, :1] * 6 * along + noise[:, 1:] * 2 * across, 10)
    assert ellipse.angle == pytest.approx(np.degrees(np.arctan2(3, -4)), abs=1)
    scale = np.sqrt(10 / 9 * covering(10))
    assert (ellipse.major, ellipse.minor) == pytest.approx((6 * scale, 2 * scale), rel=0.02)
    assert ellipse.reach == pytest.approx((scale * np.hypot(4.8, 1.2), scale * np.hypot(3.6, 1.6)), rel=0.02)
    with pytest.raises(RunError, match="resamples have no value"):
        ellipse_of(np.where(noise < -1, np.nan, noise), 10)


def test_an_ellipse_of_many_slides_is_the_normal_one_and_of_few_wider() -> None:
    assert covering(100_000) == pytest.approx(-2 * np.log(0.05), rel=1e-3)
    assert covering(10) == pytest.approx(2 * 9 / 8 * 4.459, rel=1e-3)  # F(2, 8) at 95 %, as tabulated
    assert covering(ENOUGH - 1) == pytest.approx(-2 * np.log(0.05), rel=1e-6)


def test_ellipses_of_few_or_unknown_slides_say_what_they_are_worth(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES)
    (drawn,) = scatter(only(tree), tmp_path)
    assert "Dashed ellipses: spread over 3 slides" in drawn.caption
    regroup(folder, lambda i: "")
    (drawn,) = scatter(only(tree), tmp_path)
    assert "over 6 images" in drawn.caption
    assert "slides unknown" in drawn.caption


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "damaged"),
        (lambda path: path.write_text(path.read_text().replace("r_c", "other")), "r_c"),
        (lambda path: path.write_text(path.read_text().replace("slide 1", "slide 2")), ""),
        (lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1])), "other images"),
    ],
)
def test_without_a_table_there_is_a_point_and_no_ellipse(
    tree: Tree, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    for row in ("asp", "cut"):
        folder = tree.add(row, VALUES)
    spoil(folder / "evaluation" / "native" / "per_image.csv")
    (drawn,) = scatter(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv")).set_index("row")
    assert (table["not_shown"].isna() & table["r_c"].notna()).all()
    assert table["ellipse_major"].notna().tolist() == [True, False]
    (missing,) = drawn.missing
    assert missing.startswith("the ellipse of cut (")
    assert says in missing


def test_a_table_of_other_numbers_than_the_summary_gives_no_ellipse(tree: Tree, tmp_path: Path) -> None:
    path = tree.add("cut", VALUES) / "evaluation" / "native" / "per_image.csv"
    pd.read_csv(path, dtype={"id": str}).assign(r_c=61.0).to_csv(path, index=False)
    (drawn,) = scatter(only(tree), tmp_path)
    assert "differ" in drawn.missing[0]


def test_figures_show_something_and_are_the_same_twice(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    tree.add("elsewhere", VALUES | {"r_p": 45.0}, kind="external", title=r"$\frac$ a_b 染 \x{}" + "long " * 20)
    tree.add("he", VALUES | {"r_p": 20.0}, kind="reference")
    comparison = only(tree)
    files = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        files.append([f for d in (*scatter(comparison, folder), *image_sheets(comparison, folder)) for f in d.files])
    assert len(files[0]) == 6
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
        if first.suffix == ".png":
            assert np.asarray(Image.open(first).convert("RGB")).std() > 10
        if first.suffix == ".pdf":
            assert first.read_bytes().startswith(b"%PDF")
            assert b"CreationDate" not in first.read_bytes()


def test_drawing_leaves_matplotlib_as_it_was(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", VALUES)
    before = {key: mpl.rcParams[key] for key in mpl.rcParams if key != "backend"}
    scatter(only(tree), tmp_path)
    assert {key: mpl.rcParams[key] for key in before} == before


def test_drawing_leaves_the_backend_to_the_user(tree: Tree) -> None:
    tree.add("cut", VALUES)
    program = (
        "import sys; from pathlib import Path; from vsbench.report.build import build_report; import matplotlib as mpl;"
        f"build_report(Path({str(tree.results)!r}), Path({str(tree.results / 'report')!r}), latex=False);"
        "print(mpl.get_backend())"
    )
    environment = os.environ | {"MPLBACKEND": "svg"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "svg"


def test_scatter_needs_a_point(tree: Tree, tmp_path: Path) -> None:
    tree.add("cut", {"r_c": 60.0, "r_p": "constant"})
    with pytest.raises(RunError, match="no row has both"):
        scatter(only(tree), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_names_beside_points_keep_clear_of_each_other(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = [tuple(point) for point in generator.normal(50, 6, (14, 2))] + [(100.0, 20.0), (12.0, 98.0)]
    with style():
        figure = new_figure(3.5, 3.2)
        axes = figure.add_axes((0.125, 0.125, 0.85, 0.81))
        axes.set(xlim=(0, 110), ylim=(0, 110))
        texts = label_points(axes, points, [f"Method {i:02d}" for i in range(16)])
        boxes = np.array([text.get_window_extent().extents for text in texts])
        marks = axes.transData.transform(points)
        frame = axes.get_window_extent().extents
    for i, box in enumerate(boxes):
        others = np.delete(boxes, i, axis=0)
        apart = (box[:2] >= others[:, 2:] - 1e-6) | (others[:, :2] >= box[2:] - 1e-6)
        assert apart.any(axis=1).all()
        assert not ((marks > box[:2]) & (marks < box[2:])).all(axis=1).any()
        assert (box[:2] >= frame[:2]).all()
        assert (box[2:] <= frame[2:]).all()


def table_of(densities: Sequence[float], slides: list[str] | None = None) -> pd.DataFrame:
    names = [f"{i:02d}" for i in range(len(densities))]
    return pd.DataFrame({"id": names, "slide": slides or [""] * len(names), "density": densities})


def test_pairs_lie_at_the_quantiles() -> None:
    densities = np.random.default_rng(0).permutation(80).astype(float)
    chosen = table_of(densities).set_index("id").loc[choose_pairs(table_of(densities)), "density"]
    for density, quantile in zip(chosen, (1 / 8, 3 / 8, 5 / 8, 7 / 8), strict=True):
        assert abs(density - np.quantile(densities, quantile)) <= 1


def test_pairs_come_from_different_slides_where_there_are_enough() -> None:
    densities = list(range(40))
    slides = [f"s{i // 20}" for i in range(20)] + ["s1"] * 18 + ["s2", "s3"]
    table = table_of(densities, slides)
    chosen = table.set_index("id").loc[choose_pairs(table)]
    assert set(chosen["slide"]) == {"s0", "s1", "s2", "s3"}
    assert chosen["density"].is_monotonic_increasing


def test_pairs_do_not_depend_on_the_order_of_the_table() -> None:
    table = table_of([1.0, 1.0, 2.0, 2.0, 3.0, 0.5, 0.5], ["a", "b", "a", "b", "", "", "c"])
    assert choose_pairs(table) == choose_pairs(table.sample(frac=1, random_state=0))


def test_few_pairs() -> None:
    assert choose_pairs(table_of([2.0, 1.0])) == ["01", "00"]


def test_sheet_shows_each_column_and_measures_it(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=9, size=48)
    tree.add("cut", VALUES, seed=1, title="CUT")
    tree.add("cut", VALUES, seed=4, title="CUT")
    tree.add("he", VALUES, kind="reference")
    (drawn,) = image_sheets(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv"), dtype={"id": str})
    assert table["column"].tolist() == ["H&E", "CUT", "Real IHC (adjacent)", "True IHC"] * 2
    assert set(table["seed"].dropna()) == {1}
    for line in table.itertuples():
        if line.column == "H&E":
            assert np.isnan(line.mean_od)
        else:
            data, inside, below = line.path.partition("<data>/")
            pixels = np.asarray(Image.open(tree.images / below if inside else tree.results / data))
            assert line.mean_od == pytest.approx(integrated_density(pixels) / pixels[..., 0].size, rel=1e-12)
    real = table[table["column"] == "Real IHC (adjacent)"]["mean_od"]
    assert real.is_monotonic_increasing


def test_many_methods_make_several_sheets(tree: Tree, tmp_path: Path) -> None:
    for i in range(17):
        tree.add(f"m{i:02d}", VALUES)
    sheets = image_sheets(only(tree), tmp_path)
    columns = [pd.read_csv(drawn.file("csv"))["row"].dropna().unique().tolist() for drawn in sheets]
    assert [len(part) for part in columns] == [9, 9, 8, 8]  # of each of two pairs
    assert [row for part in columns[::2] for row in part] == [f"m{i:02d}" for i in range(17)]


def test_a_missing_image_is_named(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES)
    for image in (folder / "images" / "test").glob("*.png"):
        image.unlink()
    with pytest.raises(DataError, match=r"cut/seed-0/images/test/\d+\.png: no such file"):
        image_sheets(only(tree), tmp_path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(path.read_text().replace("intden_real", "other")), "intden_real"),
        (lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1])), "not the pairs of"),
    ],
)
def test_a_damaged_table_is_named(tree: Tree, tmp_path: Path, spoil: Callable[[Path], object], says: str) -> None:
    path = tree.add("cut", VALUES) / "evaluation" / "native" / "per_image.csv"
    spoil(path)
    with pytest.raises(RunError) as caught:
        image_sheets(only(tree), tmp_path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_ids_are_names_and_not_numbers(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES)
    summary_file, table_file = (folder / "evaluation" / "native" / name for name in ("summary.json", "per_image.csv"))
    summary, table = json.loads(summary_file.read_text()), pd.read_csv(table_file, dtype=str)
    for i, name in enumerate(["NA", "007", "1e5", "nan", "TRUE", "0"]):
        summary["pairs"][i]["id"] = table.loc[i, "id"] = name
    summary_file.write_text(json.dumps(summary))
    table.to_csv(table_file, index=False)
    (drawn,) = image_sheets(only(tree), tmp_path)
    shown = pd.read_csv(drawn.file("csv"), dtype=str, keep_default_na=False)["id"]
    assert set(shown) <= {"NA", "007", "1e5", "nan", "TRUE", "0"}
