"""Sheets of images: the H&E, each method, the real IHC of the adjacent section, and the true IHC where it is known.

Each tile has a window of it enlarged in a corner, the same window in all tiles of a pair, and below it its DAB density.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from vsbench.cells import neutral_table
from vsbench.data.decode import read_rgb
from vsbench.errors import RunError
from vsbench.evaluation.evaluated import read_table
from vsbench.evaluation.sizes import brought_to
from vsbench.files import write_text
from vsbench.records.summary import PairFiles
from vsbench.report.figures import inset
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.inset import Window, choose_window, density_map, top_of_scale
from vsbench.report.figures.style import DPI, GREY, PAGE_WIDTH, new_figure, save, style
from vsbench.report.notation import shorten, slug
from vsbench.report.provenance.places import Places
from vsbench.report.tables import Comparison, EvaluatedRun, Row, runs_of
from vsbench.stain.dab import density_of, read_levels

PAIRS = 4
METHODS = 7  # on one sheet; more methods make further sheets, each with the H&E and the real IHC again
MAX_PIXELS = 512  # of a tile's side; larger images are averaged down: enough for 600 dpi in print
RULE = (
    f"up to {PAIRS} test pairs at evenly spaced ranks of the mean DAB density of the real IHC (four: at quantiles 1/8, "
    "3/8, 5/8, 7/8), each from a slide not yet shown where there is one; ties by id"
)
CAPTION = (
    f"Test images. Rows, with slide and id: {RULE}. In the corner, enlarged, what the small frame holds: {inset.RULE}. "
    "Below a tile: optical density (OD) of its DAB as Fiji reads it, with its mean; one scale for all maps, and what "
    "is beyond its end has the colour of the end. Of a method with several seeds the first is shown."
)
MARGIN, GAP, CAPTION_HEIGHT, HEAD, MAX_TILE, MAX_HEIGHT = 0.24, 0.04, 0.13, 0.36, 1.3, 8.2  # inches
INSET = 0.45  # of a tile's side
ZOOM_PIXELS = 256  # of an enlarged window's side
COLOURS = "magma_r"  # perceptually uniform, and pale where there is no stain
BAR = 0.07  # inches
DENSITY = "intden_real"  # the column of the per-image table: of the real IHC, summed over its pixels
CHARACTERS = 21  # of a heading on an inch
SMALL: dict[str, Any] = {"fontsize": 5, "color": GREY, "parse_math": False, "linespacing": 1.1}

Box = tuple[float, float, float, float]  # left, bottom, width, height in inches


@dataclass(frozen=True)
class Tile:
    """One image of a sheet, as it is drawn, with its enlarged window.

    ``densities``: map of the optical density of DAB, its means over tile and window; None for the H&E.
    """

    head: str
    path: Path
    size: tuple[int, int]
    pixels: NDArray[np.uint8]
    zoom: NDArray[np.uint8]
    densities: tuple[NDArray[np.float32], float, float] | None
    row: str | None
    seed: int | None


@dataclass(frozen=True)
class Line:
    """The tiles of one test pair, H&E first."""

    id: str
    slide: str
    window: Window
    tiles: list[Tile]


def choose_pairs(table: pd.DataFrame, count: int = PAIRS) -> list[str]:
    """Ids by ``RULE``, from faint to strong. ``table`` has columns id, slide (empty: unknown) and density."""
    order = table.sort_values(["density", "id"]).reset_index(drop=True)
    ids, slides = order["id"].tolist(), order["slide"].tolist()
    count = min(count, len(ids))
    chosen: list[int] = []
    for step in range(count):
        target = (step + 0.5) / count * len(ids) - 0.5
        free = [rank for rank in range(len(ids)) if rank not in chosen]
        seen = {slides[rank] for rank in chosen}
        fresh = [rank for rank in free if slides[rank] and slides[rank] not in seen]
        chosen.append(min(fresh or free, key=lambda rank: (abs(rank - target), ids[rank])))
    return [ids[rank] for rank in sorted(chosen)]


def image_sheets(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``images-<dataset>-<stain>[-<part>].{pdf,png,csv}``; the first seed stands for a method with several.

    Raises RunError where no method was measured on the data of this comparison or its table lacks a column, DataError
    naming an image that can't be read.
    """
    methods = [row for row in comparison.rows if row.is_method and comparison.same_data(row)]
    if not methods:
        raise RunError(f"{comparison.name}: no method was evaluated; no images to show")
    table = _densities(methods[0].runs[0])
    slides = dict(zip(table["id"], table["slide"], strict=True))
    pairs = [(pair_id, slides[pair_id]) for pair_id in choose_pairs(table)]
    n_sheets = -(-len(methods) // METHODS)
    parts = [[methods[i] for i in part] for part in np.array_split(np.arange(len(methods)), n_sheets)]
    others = [row for row in comparison.rows if row.is_method and not comparison.same_data(row)]
    left_out = tuple(f"{row.title} (measured on other images)" for row in others)
    sheets = [[_line(part, pair_id, slide) for pair_id, slide in pairs] for part in parts]
    top = top_of_scale([t.densities[0] for lines in sheets for line in lines for t in line.tiles if t.densities])
    drawn, places = [], Places.of(runs_of([comparison]))
    for number, lines in enumerate(sheets, start=1):
        name = f"images-{slug(comparison.name)}{f'-{number}' if n_sheets > 1 else ''}"
        drawn.append(Drawn(folder / name, CAPTION, left_out))
        _draw(lines, top, drawn[-1], places)
    return drawn


def _line(methods: Sequence[Row], pair_id: str, slide: str) -> Line:
    shared = methods[0].runs[0]
    pair = _pair(shared, pair_id)
    ihc = shared.folder / pair.ihc
    real = read_rgb(ihc)
    stored = (real.shape[0], real.shape[1])
    if (common := brought_to(shared.protocol, stored)) is not None:
        real = common.bring(ihc, real)
    window, size = _window(real)

    def tile(head: str, path: Path, run: EvaluatedRun = shared, measured: bool = True, row: str | None = None) -> Tile:
        pixels = read_rgb(path)
        if (to := brought_to(run.protocol, stored)) is not None:
            pixels = to.bring(path, pixels)
        if pixels.shape[:2] != size:
            here, there = (f"{h}×{w}" for h, w in (pixels.shape[:2], size))
            raise RunError(f"{path}: {here} pixels, but the real IHC of pair {pair_id} has {there}; evaluate again")
        densities = _densities_of(pixels, window) if measured else None
        return Tile(
            head,
            path,
            size,
            _at_most(pixels, MAX_PIXELS),
            _at_most(window.of(pixels), ZOOM_PIXELS),
            densities,
            row,
            run.seed if row is not None else None,
        )

    tiles = [tile("H&E", shared.folder / pair.he, measured=False)]
    for row in methods:
        run = row.runs[0]
        fake = _pair(run, pair_id).fake
        if fake is None:
            raise RunError(f"{run.summary}: pair {pair_id} has no generated image; evaluate the run again")
        tiles.append(tile(row.title, run.folder / fake, run, row=row.key))
    tiles.append(tile("Real IHC (adjacent)", ihc))
    if pair.truth is not None:
        tiles.append(tile("True IHC", shared.folder / pair.truth))
    return Line(pair_id, slide, window, tiles)


def _window(ihc: NDArray[np.uint8]) -> tuple[Window, tuple[int, int]]:
    """The window to enlarge in all tiles of a pair, and their (height, width)."""
    levels = read_levels(ihc).levels
    return choose_window(levels), (levels.shape[0], levels.shape[1])


def _densities_of(pixels: NDArray[np.uint8], window: Window) -> tuple[NDArray[np.float32], float, float]:
    dab = read_levels(pixels)
    inside = np.bincount(window.of(dab.levels).reshape(-1), minlength=256)
    return density_map(dab), density_of(dab.counts).mean, density_of(inside).mean


def _at_most(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The image, averaged down where a side is longer."""
    factor = -(-max(pixels.shape[:2]) // side)
    return np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels


def _pair(run: EvaluatedRun, pair_id: str) -> PairFiles:
    found = [pair for pair in run.pairs if pair.id == pair_id]
    if len(found) != 1:
        raise RunError(f"{run.summary}: {len(found)} pairs of id {pair_id}; evaluate the run again")
    return found[0]


def _densities(run: EvaluatedRun) -> pd.DataFrame:
    """Columns id, slide, density (mean optical density of DAB in the real IHC) of a run's per-image table."""
    table = read_table(run.summary.parent, [pair.id for pair in run.pairs])
    if missing := [name for name in (DENSITY, "height", "width") if name not in table]:
        raise RunError(f"{run.summary.with_name('per_image.csv')}: no column {missing[0]}; evaluate the run again")
    density = table[DENSITY] / (table["height"] * table["width"])
    return pd.DataFrame({"slide": table["slide"].fillna(""), "density": density}).reset_index()


def _draw(lines: Sequence[Line], top: float, drawn: Drawn, places: Places) -> None:
    heads = [tile.head for tile in max(lines, key=lambda line: len(line.tiles)).tiles]
    shapes = [line.tiles[0].size[0] / line.tiles[0].size[1] for line in lines]
    fixed = HEAD + (GAP + CAPTION_HEIGHT) * len(lines)
    width = min((PAGE_WIDTH - MARGIN) / len(heads) - GAP, MAX_TILE, (MAX_HEIGHT - fixed) / (2 * sum(shapes)))
    total = fixed + 2 * width * sum(shapes)
    with style():
        figure = new_figure(MARGIN + len(heads) * (width + GAP), total)
        page = figure.add_axes((0, 0, 1, 1))  # one for all tiles, in inches
        page.set_axis_off()
        y = total - HEAD
        for i, head in enumerate(heads):
            text = "\n".join(textwrap.wrap(shorten(head, 42), max(8, int(CHARACTERS * width)))[:3])
            x = MARGIN + i * (width + GAP) + width / 2
            page.text(x, y + 0.05, text, ha="center", va="bottom", fontsize=6, parse_math=False, linespacing=1.1)
        for line, shape in zip(lines, shapes, strict=True):
            height = width * shape
            y -= height
            name = "\n".join(shorten(text, 24) for text in (line.slide, line.id) if text)
            page.text(MARGIN - 0.04, y + height / 2, name, rotation=90, ha="right", va="center", ma="center", **SMALL)
            for i, tile in enumerate(line.tiles):
                _draw_tile(page, tile, line.window, (MARGIN + i * (width + GAP), y, width, height))
            y -= GAP + height
            _draw_scale(page, top, (MARGIN, y, width, height))
            for i, tile in enumerate(line.tiles):
                if tile.densities is not None:
                    x = MARGIN + i * (width + GAP)
                    _draw_map(page, *tile.densities[:2], top, (x, y, width, height))
            y -= CAPTION_HEIGHT
        page.set(xlim=(0, figure.get_figwidth()), ylim=(0, total))  # imshow has moved them
        for image in page.images:
            image.set_interpolation("none")  # PDF keeps the pixels themselves
        save(figure, drawn.file("pdf"))
        for image in page.images:
            left, right, *_ = image.get_extent()
            smaller = image.get_size()[1] > (right - left) * DPI
            image.set_interpolation("antialiased" if smaller else "nearest")  # never blurred by enlarging
        save(figure, drawn.file("png"))
    write_text(drawn.file("csv"), neutral_table(_data(lines, top, places)).to_csv(index=False))


def _draw_tile(page: Axes, tile: Tile, window: Window, box: Box) -> None:
    """A tile in its box, its window enlarged in the corner farthest from it."""
    x, y, width, height = box
    _draw_image(page, tile.pixels, box, GREY, 0.3)
    rows, columns = tile.size
    lower, right = window.opposite(rows, columns)
    corner = (x + (1 - INSET) * width * right, y + (1 - INSET) * height * (not lower), INSET * width, INSET * height)
    _draw_image(page, tile.zoom, corner, "black", 0.6)
    left, bottom = x + width * window.left / columns, y + height * (1 - (window.top + window.height) / rows)
    size = (width * window.width / columns, height * window.height / rows)
    page.add_patch(Rectangle((left, bottom), *size, fill=False, edgecolor="black", linewidth=0.6))


def _draw_map(page: Axes, density: NDArray[np.float32], mean: float, top: float, box: Box) -> None:
    x, y, width, _ = box
    _draw_image(page, density, box, GREY, 0.3, cmap=COLOURS, vmin=0, vmax=top)
    page.text(x + width / 2, y - 0.02, f"OD {mean:.3f}", ha="center", va="top", **SMALL)


def _draw_scale(page: Axes, top: float, box: Box) -> None:
    """The colours of the maps, at the right of the box below the H&E, which has no map."""
    x, y, width, height = box
    left = x + width - BAR
    _draw_image(page, np.linspace(top, 0, 256)[:, None], (left, y, BAR, height), GREY, 0.3, cmap=COLOURS)
    for share, align in ((0, "bottom"), (0.5, "center"), (1, "top")):
        page.text(left - 0.03, y + share * height, f"{share * top:.3g}", ha="right", va=align, **SMALL)
    page.text(left - 0.22, y + height / 2, "DAB (OD)", rotation=90, ha="right", va="center", **SMALL)


def _draw_image(page: Axes, pixels: NDArray[Any], box: Box, edge: str, line: float, **colours: Any) -> None:
    x, y, width, height = box
    page.imshow(pixels, extent=(x, x + width, y, y + height), aspect="auto", **colours)
    page.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=edge, linewidth=line))


def _data(lines: Sequence[Line], top: float, places: Places) -> pd.DataFrame:
    records = [
        {
            "id": line.id,
            "slide": line.slide,
            "column": tile.head,
            "row": tile.row,
            "seed": tile.seed,
            "path": places.text(str(tile.path)),
            "height": tile.size[0],
            "width": tile.size[1],
            "mean_od": tile.densities[1] if tile.densities else None,
            **{f"window_{name}": pixels for name, pixels in asdict(line.window).items()},
            "window_mean_od": tile.densities[2] if tile.densities else None,
            "scale_top_od": top,
            "rule": RULE,
            "window_rule": inset.RULE,
        }
        for line in lines
        for tile in line.tiles
    ]
    return pd.DataFrame(records).astype({"seed": "Int64"})
