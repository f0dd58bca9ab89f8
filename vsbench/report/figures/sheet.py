"""One sheet of images: tiles over the whole width of a page, beside each its enlarged window and its map of DAB."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from vsbench.report.dab_scale import FULL, colour_map, positive_density
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.inset import Window
from vsbench.report.figures.style import DPI, GREY, PAGE_WIDTH, new_figure, save, style
from vsbench.report.notation import shorten
from vsbench.report.scale_bar import scale_bar

LEAST_TILE = 3.5 / 2.54  # inches, of a tile's longer side
GAP, GUTTER, TEXT, MAX_HEIGHT = 0.04, 0.14, 0.4, 8.2  # inches; under MAX_HEIGHT there is room for the caption
BESIDE = 0.5  # of a tile's side: the enlarged window and the map
MOST_COLUMNS = 6  # of tiles that are much higher than wide
BAR = 0.08  # inches
SMALL: dict[str, Any] = {"fontsize": 5.5, "color": GREY, "parse_math": False}
CASED = [withStroke(linewidth=1.4, foreground="white")]  # black on any image

Box = tuple[float, float, float, float]  # left, bottom, width, height in inches


@dataclass(frozen=True)
class Tile:
    """One image of a sheet, as it is drawn, with its enlarged window.

    ``size``: height and width in pixels. ``densities``: map of the optical density of DAB, its means over tile and
    window; None for the H&E. ``said``: of the densities.
    """

    head: str
    path: Path
    size: tuple[int, int]
    pixels: NDArray[np.uint8]
    zoom: NDArray[np.uint8]
    densities: tuple[NDArray[np.float32], float, float] | None
    said: str
    row: str | None
    seed: int | None


@dataclass(frozen=True)
class Line:
    """The tiles of one test pair, H&E first.

    ``name``: what they show, with the marker. ``pixel_size``: µm of a pixel as it is drawn, None where it is unknown.
    """

    id: str
    slide: str
    name: str
    window: Window
    tiles: list[Tile]
    pixel_size: float | None


@dataclass(frozen=True)
class Layout:
    """How many tiles stand side by side, how wide they are (inches), and how many lines of them a sheet holds."""

    columns: int
    width: float
    lines: int

    @classmethod
    def of(cls, lowest: float, highest: float, tiles: int) -> "Layout":
        """For tiles of these shapes (height over width), ``tiles`` of each pair: all the width of the page is used.

        As many stand side by side as can with their longer side of ``LEAST_TILE``.
        """
        least = LEAST_TILE / max(1.0, lowest)
        fit = int((PAGE_WIDTH + GUTTER) / ((1 + BESIDE) * least + GAP + GUTTER) + 1e-9)
        columns = max(1, min(fit, tiles, MOST_COLUMNS))
        width = ((PAGE_WIDTH - (columns - 1) * GUTTER) / columns - GAP) / (1 + BESIDE)
        width = min(width, (MAX_HEIGHT / math.ceil(3 / columns) - TEXT) / highest)  # H&E, a method, real: on one sheet
        return cls(columns, width, max(1, int(MAX_HEIGHT / (width * highest + TEXT))))

    @property
    def tiles(self) -> int:
        """How many tiles a sheet holds."""
        return self.columns * self.lines

    @property
    def pitch(self) -> float:
        """From one tile to the next (inches)."""
        return (PAGE_WIDTH + GUTTER) / self.columns

    def lines_of(self, tiles: int) -> int:
        """How many lines so many tiles take."""
        return -(-tiles // self.columns)


def draw_sheet(lines: Sequence[Line], layout: Layout, drawn: Drawn) -> None:
    """Write the PDF and the PNG of a sheet."""
    heights = [layout.width * line.tiles[0].size[0] / line.tiles[0].size[1] for line in lines]
    rows = [layout.lines_of(len(line.tiles)) for line in lines]
    total = sum(count * (height + TEXT) for count, height in zip(rows, heights, strict=True))
    with style():
        figure = new_figure(PAGE_WIDTH, total)
        page = figure.add_axes((0, 0, 1, 1))  # one for all tiles, in inches
        page.set_axis_off()
        top = total
        for line, height, count in zip(lines, heights, rows, strict=True):
            for place, tile in enumerate(line.tiles):
                row, column = divmod(place, layout.columns)
                y = top - row * (height + TEXT) - height
                _draw_tile(page, line, tile, (column * layout.pitch, y, layout.width, height), layout)
            top -= count * (height + TEXT)
        page.set(xlim=(0, PAGE_WIDTH), ylim=(0, total))  # imshow has moved them
        for image in page.images:
            image.set_interpolation("none")  # PDF keeps the pixels themselves
        save(figure, drawn.file("pdf"))
        for image in page.images:
            left, right, *_ = image.get_extent()
            smaller = image.get_size()[1] > (right - left) * DPI
            image.set_interpolation("antialiased" if smaller else "nearest")  # never blurred by enlarging
        save(figure, drawn.file("png"))


def _draw_tile(page: Axes, line: Line, tile: Tile, box: Box, layout: Layout) -> None:
    """A tile in its box, with its window beside it above its map, and what they are below."""
    x, y, width, height = box
    window, (rows, columns) = line.window, tile.size
    _draw_image(page, tile.pixels, box)
    left, bottom = x + width * window.left / columns, y + height * (1 - (window.top + window.height) / rows)
    frame = Rectangle((left, bottom), width * window.width / columns, height * window.height / rows)
    frame.set(fill=False, edgecolor="black", linewidth=0.6, path_effects=CASED)
    page.add_patch(frame)
    _draw_bar(page, columns, line.pixel_size, box)
    side = (width * BESIDE, (height - GAP) / 2)
    beside = x + width + GAP
    zoom = (beside, y + height - side[1], side[0], side[1])
    _draw_image(page, tile.zoom, zoom)
    _draw_bar(page, window.width, line.pixel_size, zoom)
    if tile.densities is None:
        _draw_scale(page, (beside, y, side[0], side[1]))
    else:
        _draw_image(page, tile.densities[0], (beside, y, *side), cmap=colour_map(), vmin=0, vmax=FULL)
    room = layout.pitch - GUTTER
    for place, (text, looks) in enumerate(
        ((tile.head, {"fontsize": 6.5, "parse_math": False}), (line.name, SMALL), (tile.said, SMALL))
    ):
        shown = shorten(text, int(room * 110 / float(looks["fontsize"])))
        page.text(x, y - 0.035 - 0.105 * place, shown, va="top", **looks)


def _draw_bar(page: Axes, pixels: int, pixel_size: float | None, box: Box) -> None:
    """A scale bar in the lower right corner of an image that is so many pixels wide."""
    x, y, width, _ = box
    bar = scale_bar(pixels, pixel_size)
    ends = (x + width - 0.05 - bar.share * width, x + width - 0.05)
    page.plot(ends, (y + 0.05, y + 0.05), color="black", linewidth=0.8, solid_capstyle="butt", path_effects=CASED)
    at = (ends[0] + ends[1]) / 2
    page.text(at, y + 0.07, bar.text, fontsize=4.5, color="black", ha="center", va="bottom", path_effects=CASED)


def _draw_scale(page: Axes, box: Box) -> None:
    """The colours of the maps, in the place of the map that an H&E has not."""
    x, y, _, height = box
    foot, high = y + 0.03, height - 0.17
    _draw_image(page, np.linspace(FULL, 0, 256)[:, None], (x, foot, BAR, high), cmap=colour_map(), vmin=0, vmax=FULL)
    positive = positive_density()
    for density, text in ((0.0, "0"), (positive, f"{positive:.2f}: stained"), (FULL, f"{FULL:g} and more")):
        at = foot + high * density / FULL
        page.plot((x, x + BAR + 0.03), (at, at), color="black", linewidth=0.5)
        page.text(x + BAR + 0.05, at, text, va="center", fontsize=5, color=GREY)
    page.text(x, y + height, "DAB (OD)", va="top", fontsize=5, color=GREY)


def _draw_image(page: Axes, pixels: NDArray[Any], box: Box, **colours: Any) -> None:
    x, y, width, height = box
    page.imshow(pixels, extent=(x, x + width, y, y + height), aspect="auto", **colours)
    page.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=GREY, linewidth=0.3))
