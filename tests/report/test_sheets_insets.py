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
from vsbench.report.dab_scale import FULL
from vsbench.report.figures.inset import MAP_PIXELS, Window, choose_window, density_map
from vsbench.report.figures.sheets import image_sheets
from vsbench.report.figures.style import DPI, PAGE_WIDTH
from vsbench.report.tables import Comparison, compare, load_results
from vsbench.stain.dab import POSITIVE_LEVEL, density_table, optical_density_dab, read_levels

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


def test_the_window_is_where_stain_is_and_not_where_dark_nuclei_are() -> None:
    """Many pixels below the threshold outweigh the few stained ones in density, but are no stain."""
    levels = np.full((40, 40), 255, np.uint8)
    levels[:10, :10] = POSITIVE_LEVEL + 5
    levels[25, 25:31] = POSITIVE_LEVEL
    window = choose_window(levels)
    assert (window.of(levels) == POSITIVE_LEVEL).sum() == 6


def test_without_stain_in_the_real_image_the_window_is_where_methods_stain() -> None:
    real, generated = np.full((40, 40), 180, np.uint8), np.full((2, 40, 40), 255, np.uint8)
    real[:10, :10] = POSITIVE_LEVEL + 1
    generated[0, 30:36, 12:18] = 40
    generated[1, 2, 2] = 40
    assert (choose_window(real, generated).of(generated[0]) == 40).sum() == 36
    assert choose_window(real) == Window(0, 0, 10, 10), "nothing is stained: all DAB counts"
    asked: list[int] = []
    real[39, 39] = 0
    choose_window(real, (asked.append(1) or one for one in generated))  # type: ignore[func-returns-value]
    assert asked == []


def test_a_map_is_averaged_density_and_not_density_of_averages() -> None:
    stripes = np.empty((2 * MAP_PIXELS, 2 * MAP_PIXELS, 3), np.uint8)
    stripes[::2], stripes[1::2] = BROWN, GLASS
    small = density_map(read_levels(stripes))
    assert small.shape == (MAP_PIXELS, MAP_PIXELS)
    assert small.mean() == pytest.approx(optical_density_dab(stripes).mean(), rel=1e-5)
    assert np.array_equal(density_map(read_levels(stripes[:9, :9])), optical_density_dab(stripes[:9, :9]))


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


def test_all_maps_have_the_one_scale_of_the_report(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the stain: a faint set and a saturated one are drawn alike, and the threshold is seen."""
    for i in range(9):
        tree.add(f"m{i}", VALUES)
    for fake in (tree.results / "runs" / "mist-er" / "m8").rglob("*.png"):
        Image.fromarray(np.full((32, 32, 3), DARK, np.uint8)).save(fake)
    ends = []
    draw = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: ends.append((k.get("vmin"), k.get("vmax"))) or draw(*a, **k))
    sheets = image_sheets(only(tree), tmp_path)
    assert set(ends) == {(None, None), (0, FULL)}
    tables = pd.concat(pd.read_csv(drawn.file("csv")) for drawn in sheets)
    assert set(tables["scale_top_od"]) == {FULL}
    assert set(tables["positive_od"].round(4)) == {0.4065}


@pytest.mark.parametrize("size", [(32, 32), (64, 16), (16, 64), (40, 32)])
@pytest.mark.parametrize("methods", [1, 3, 7, 17])
def test_a_sheet_takes_the_width_of_a_page_and_tiles_are_large(
    tree: Tree, tmp_path: Path, methods: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(methods):
        tree.add(f"m{i}", VALUES)
    for file in (*tree.images.rglob("*.png"), *tree.results.rglob("*.png")):
        with Image.open(file) as image:
            picture = image.resize(size)
        picture.save(file)
    for file in tree.results.rglob("per_image.csv"):
        table = pd.read_csv(file, dtype={"id": str}).assign(width=size[0], height=size[1])
        table.to_csv(file, index=False)
    boxes: list[tuple[float, ...]] = []
    draw = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: boxes.append((*k["extent"], *np.shape(a[1]))) or draw(*a, **k))
    sheets = image_sheets(only(tree), tmp_path)
    for drawn in sheets:
        with Image.open(drawn.file("png")) as image:
            width, height = (pixels / DPI for pixels in image.size)
        assert width == pytest.approx(PAGE_WIDTH, abs=1 / DPI)
        assert height < 8.3  # leaves room for the caption
    tiles = [box for box in boxes if box[4:] == (size[1], size[0], 3)]
    assert len(tiles) >= methods + 3
    for left, right, bottom, top, *_ in tiles:
        assert max(right - left, top - bottom) >= 3.5 / 2.54 - 1e-9
        assert (top - bottom) / (right - left) == pytest.approx(size[1] / size[0])
    assert max(box[1] for box in boxes) == pytest.approx(PAGE_WIDTH), "the last column ends with the page"
    shown = pd.concat(pd.read_csv(drawn.file("csv"), dtype={"id": str}) for drawn in sheets)
    by_pair = shown.dropna(subset="row").groupby("id")["row"].agg(set)
    assert len(by_pair) >= 2
    assert all(len(rows) == methods for rows in by_pair)


def test_the_enlarged_window_is_what_the_frame_holds_and_lies_beside_the_tile(
    make_tree: Callable[..., Tree], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an H&E whose window alone is green, the enlarged part is green, and covers nothing of the tile."""
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
    (_, tile), (zoom, beside) = shown[:2]
    assert zoom.shape == (16, 16, 3)
    assert (zoom == (0, 255, 0)).all()
    assert beside[0] > tile[1]
    assert (beside[1] - beside[0]) / 16 > (tile[1] - tile[0]) / 64, "it is enlarged"


def test_under_each_tile_stand_marker_tile_and_both_densities_with_their_difference(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.add("cut", VALUES, stain="her2", title="CUT")
    texts: list[str] = []
    write = Axes.text
    monkeypatch.setattr(Axes, "text", lambda *a, **k: texts.append(str(a[3])) or write(*a, **k))
    (drawn,) = image_sheets(only(tree), tmp_path)
    table = pd.read_csv(drawn.file("csv"), dtype={"id": str})
    for _, line in table.groupby("id"):
        name = f"HER2, {line['id'].iloc[0]} (slide {line['slide'].iloc[0]})"
        assert texts.count(name) == len(line)
        density = line.set_index("column")["mean_od"]
        real = density["Real IHC (adjacent)"]
        gap = density["CUT"] - real
        sign = "+" if gap > 0 else "−"
        expected = (
            f"DAB {density['CUT']:.3f}, real {real:.3f} OD: {sign}{abs(gap):.3f} ({sign}{100 * abs(gap) / real:.0f} %)"
        )
        assert expected in texts
    assert sum(text.endswith(" µm") for text in texts) == 2 * len(table), "a scale bar in each tile and window"


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
