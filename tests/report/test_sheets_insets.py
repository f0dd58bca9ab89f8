"""Each tile of a sheet has the same window enlarged, and a map of its DAB density on one scale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from vsbench.errors import RunError
from vsbench.report.figures.inset import MAP_PIXELS, Window, choose_window, density_map, top_of_scale
from vsbench.report.figures.sheets import INSET, image_sheets
from vsbench.report.figures.style import DPI
from vsbench.report.tables import Comparison, compare, load_results
from vsbench.stain.dab import density_table, optical_density_dab, read_levels

Tree = Any  # the class in conftest.py, which cannot be imported from here
VALUES = {"r_c": 60.0, "r_p": 40.0}
BROWN, DARK, GLASS = (110, 60, 30), (40, 10, 2), (240, 238, 240)


def only(tree: Tree) -> Comparison:
    (comparison,) = compare(load_results(tree.results))
    return comparison


def table_of(tree: Tree, folder: Path) -> pd.DataFrame:
    table = pd.concat(
        pd.read_csv(drawn.file("csv"), dtype={"id": str}) for drawn in image_sheets(only(tree), folder)
    ).reset_index(drop=True)
    homes = {"<data>": tree.images, "runs": tree.results / "runs"}  # no path of this machine is in it
    parts = table["path"].str.partition("/")
    return table.assign(path=[str(homes[home] / file) for home, file in zip(parts[0], parts[2], strict=True)])


def test_the_window_is_where_most_dab_is() -> None:
    levels = np.random.default_rng(0).integers(150, 256, (41, 64)).astype(np.uint8)
    levels[22:30, 35:47] = 20
    window = choose_window(levels)
    assert (window.height, window.width) == (10, 16)
    density = density_table().astype(float)[levels]
    sums = {
        (top, left): density[top : top + 10, left : left + 16].sum()
        for top in range(41 - 10 + 1)
        for left in range(64 - 16 + 1)
    }
    assert (window.top, window.left) == max(sums, key=lambda place: sums[place])
    assert window.of(levels).shape == (10, 16)


def test_of_equal_windows_the_first_is_taken() -> None:
    assert choose_window(np.full((40, 40), 93, np.uint8)) == Window(0, 0, 10, 10)
    levels = np.full((400, 400), 93, np.uint8)
    levels[37:137, 200:300] = levels[300:400, 11:111] = 17
    assert choose_window(levels) == Window(37, 200, 100, 100)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (5, 512)])
def test_any_image_has_a_window(shape: tuple[int, int]) -> None:
    levels = np.full(shape, 255, np.uint8)
    levels[-1, -1] = 0
    window = choose_window(levels)
    assert window.of(levels).min() == 0
    assert window.of(levels).shape == (window.height, window.width)


@pytest.mark.parametrize(
    ("window", "corner"),
    [
        (Window(0, 0, 10, 10), (True, True)),
        (Window(30, 0, 10, 10), (False, True)),
        (Window(0, 30, 10, 10), (True, False)),
        (Window(30, 30, 10, 10), (False, False)),
    ],
)
def test_the_enlarged_window_lies_opposite(window: Window, corner: tuple[bool, bool]) -> None:
    assert window.opposite(40, 40) == corner


def test_a_map_is_averaged_density_and_not_density_of_averages() -> None:
    stripes = np.empty((2 * MAP_PIXELS, 2 * MAP_PIXELS, 3), np.uint8)
    stripes[::2], stripes[1::2] = BROWN, GLASS
    small = density_map(read_levels(stripes))
    assert small.shape == (MAP_PIXELS, MAP_PIXELS)
    assert small.mean() == pytest.approx(optical_density_dab(stripes).mean(), rel=1e-5)
    assert np.array_equal(density_map(read_levels(stripes[:9, :9])), optical_density_dab(stripes[:9, :9]))


def test_the_scale_ends_near_the_strongest_stain_and_ignores_a_few_saturated_pixels() -> None:
    faint = np.full((100, 100), 0.33, np.float32)
    faint[0, :3] = 2.7
    assert top_of_scale([faint]) == pytest.approx(0.4)
    assert top_of_scale([faint, np.full((100, 100), 1.0, np.float32)]) == pytest.approx(1.0)
    assert top_of_scale([np.zeros((4, 4), np.float32)]) == 0.1


def test_the_table_has_window_and_densities(make_tree: Callable[..., Tree], tmp_path: Path) -> None:
    tree = make_tree(n=5, size=64)
    tree.add("cut", VALUES)
    table = table_of(tree, tmp_path)
    for _, line in table.groupby("id"):
        real = line[line["column"] == "Real IHC (adjacent)"].iloc[0]
        window = choose_window(read_levels(np.asarray(Image.open(real["path"]))).levels)
        for row in line.to_dict("records"):
            assert Window(*(row[f"window_{name}"] for name in ("top", "left", "height", "width"))) == window
            if row["column"] == "H&E":
                assert np.isnan(row["window_mean_od"])
            else:
                density = optical_density_dab(np.asarray(Image.open(row["path"]))).astype(float)
                inside = density[window.top : window.top + window.height, window.left : window.left + window.width]
                assert row["window_mean_od"] == pytest.approx(inside.mean(), rel=1e-6)
                assert row["mean_od"] == pytest.approx(density.mean(), rel=1e-6)


def test_sheets_of_one_comparison_share_the_scale(tree: Tree, tmp_path: Path) -> None:
    for i in range(9):
        tree.add(f"m{i}", VALUES)
    for fake in (tree.results / "runs" / "mist-er" / "m8").rglob("*.png"):
        Image.fromarray(np.full((32, 32, 3), DARK, np.uint8)).save(fake)
    sheets = image_sheets(only(tree), tmp_path)
    tops = [set(pd.read_csv(drawn.file("csv"))["scale_top_od"]) for drawn in sheets]
    assert len(sheets) == 2
    assert tops[0] == tops[1]
    dark = float(optical_density_dab(np.full((1, 1, 3), DARK, np.uint8))[0, 0])
    assert tops[0].pop() == pytest.approx(np.ceil(10 * dark) / 10)


@pytest.mark.parametrize("size", [(32, 32), (64, 16), (16, 64)])
@pytest.mark.parametrize("methods", [1, 7])
def test_a_sheet_fits_a_page(tree: Tree, tmp_path: Path, methods: int, size: tuple[int, int]) -> None:
    for i in range(methods):
        tree.add(f"m{i}", VALUES)
    for file in (*tree.images.rglob("*.png"), *tree.results.rglob("*.png")):
        with Image.open(file) as image:
            picture = image.resize(size)
        picture.save(file)
    (drawn,) = image_sheets(only(tree), tmp_path)
    with Image.open(drawn.file("png")) as image:
        width, height = (pixels / DPI for pixels in image.size)
    assert width < 7.2
    assert height < 8.3  # leaves room for the caption


def test_the_enlarged_window_is_what_the_frame_holds(
    make_tree: Callable[..., Tree], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an H&E whose window alone is green, the inset is green, and lies where the window is not."""
    tree = make_tree(n=1, size=64)
    tree.add("cut", VALUES)
    tissue = np.full((64, 64, 3), GLASS, np.uint8)
    tissue[40:56, 8:24] = BROWN
    Image.fromarray(tissue).save(next((tree.images / "er-ihc").glob("*.png")))
    tissue[40:56, 8:24] = (0, 255, 0)
    Image.fromarray(tissue).save(next((tree.images / "er-he").glob("*.png")))
    shown = []
    draw = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: shown.append((a[1], k["extent"])) or draw(*a, **k))
    image_sheets(only(tree), tmp_path)
    (_, tile), (zoom, corner) = shown[:2]
    assert zoom.shape == (16, 16, 3)
    assert (zoom == (0, 255, 0)).all()
    assert corner[1] == pytest.approx(tile[1])  # right
    assert corner[3] == pytest.approx(tile[3])  # top
    assert corner[1] - corner[0] == pytest.approx(INSET * (tile[1] - tile[0]))


def test_an_image_of_another_size_is_named(tree: Tree, tmp_path: Path) -> None:
    folder = tree.add("cut", VALUES)
    for fake in folder.rglob("*.png"):
        Image.new("RGB", (16, 20)).save(fake)
    with pytest.raises(RunError, match=r"images/test/\d+\.png: 20×16 pixels, but the real IHC .* has 32×32"):
        image_sheets(only(tree), tmp_path)


@pytest.mark.parametrize(("protocol", "side"), [("size-16x16-box", 16), ("resize-box", 32)])
def test_images_are_drawn_at_the_size_at_which_they_were_measured(
    tree: Tree, tmp_path: Path, protocol: str, side: int
) -> None:
    folder = tree.add("theirs", VALUES, kind="external")
    for fake in folder.rglob("*.png"):
        Image.new("RGB", (48, 48), BROWN).save(fake)
    tree.also_in(folder, protocol)
    (comparison,) = compare(load_results(tree.results, protocol=protocol))
    (drawn,) = image_sheets(comparison, tmp_path)
    table = pd.read_csv(drawn.file("csv"))
    assert set(table["height"]) == set(table["width"]) == {side}
