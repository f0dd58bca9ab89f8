"""The heat map of a reader study: what each reader thought of each method, and what they thought together."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, PAGE_WIDTH, new_figure, style, write
from vsbench.report.notation import shorten

READER = "reader "  # what the columns of readers begin with
COLOURS = "cividis"  # from dark to light: the same for all kinds of sight, and in grey
NAMES, CHARACTERS = 1.15, 22  # room of the methods' names in inches, and how much is written of them
CELL, ALL, ROW, BLOCK = 0.27, 0.5, 0.25, 0.12  # inches: a reader's cell, that of all, their height, between stains
LEAST = 0.2  # of a cell that has room for its number
TITLE, HEAD, KEY = 0.36, 0.55, 0.3  # inches: question and stains, readers' names, the scale
CAPTION = (
    "Mean scores from {low} to {high} by method and reader: {question} All readers: the mean over them, with its 95 % "
    "interval over slides; it holds for other tissue under these readers, not for other readers."
)


Colour = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layout:
    """Inches of a sheet: its width, that of a reader's cell, and that of a block of all readers of one data set."""

    page: float
    cell: float
    block: float
    blocks: int


def readers(means: pd.DataFrame, folder: Path, scale: tuple[int, int]) -> list[Drawn]:
    """Draw ``heatmap-<question>[-<part>].{pdf,png,csv}``, numbered, one per question; none where there is no score.

    ``means``: columns data (data set and stain), question, method, one ``reader NAME`` of each reader, and ``all`` with
    its limits ``low`` and ``high``, NaN where these do not exist. ``scale``: the least and the greatest score.
    """
    drawn = []
    for number, (question, asked) in enumerate(means.groupby("question", sort=False), start=1):
        data = list(dict.fromkeys(asked["data"]))
        layout = _layout(len(_names(asked)), len(data))
        sheets = -(-len(data) // layout.blocks)
        methods = list(asked.groupby("method")["all"].mean().sort_values(ascending=False, kind="stable").index)
        text = CAPTION.format(low=scale[0], high=scale[1], question=_sentence(str(question)))
        for part, places in enumerate(np.array_split(np.arange(len(data)), sheets), start=1):
            stem = folder / f"heatmap-{number}{f'-{part}' if sheets > 1 else ''}"
            drawn.append(Drawn(stem, text))
            here = asked[asked["data"].isin([data[place] for place in places])]
            _draw(here, str(question), methods, layout, scale, drawn[-1])
    return drawn


def _names(means: pd.DataFrame) -> list[str]:
    return [column for column in map(str, means) if column.startswith(READER)]


def _sentence(question: str) -> str:
    text = " ".join(question.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _layout(readers_: int, data: int) -> Layout:
    """Up to one column of a journal wide where that holds all, else a page with as many blocks as it holds."""
    for page in (COLUMN_WIDTH, PAGE_WIDTH):
        room = page - NAMES
        cell = min(CELL, (room - BLOCK - ALL) / readers_)
        block = cell * readers_ + ALL + BLOCK
        blocks = int(room / block + 1e-9)
        if cell >= LEAST and blocks >= data:
            return Layout(NAMES + data * block, cell, block, data)
    return Layout(NAMES + min(blocks, data) * block, cell, block, blocks)


def _draw(
    means: pd.DataFrame, question: str, methods: list[str], layout: Layout, scale: tuple[int, int], drawn: Drawn
) -> None:
    data = list(dict.fromkeys(means["data"]))
    width = max(NAMES + len(data) * layout.block, 2.6)
    height = TITLE + HEAD + ROW * len(methods) + KEY
    top = height - TITLE - HEAD
    with style():
        figure = new_figure(width, height)
        page = figure.add_axes((0, 0, 1, 1))
        page.set(xlim=(0, width), ylim=(0, height))
        page.set_axis_off()
        page.text(
            width / 2,
            height - 0.04,
            shorten(question, int(16 * width)),
            fontsize=7,
            ha="center",
            va="top",
            parse_math=False,
        )
        for line, method in enumerate(methods):
            y = top - (line + 0.5) * ROW
            page.text(
                NAMES - 0.05, y, shorten(method, CHARACTERS), fontsize=6, ha="right", va="center", parse_math=False
            )
        for place, name in enumerate(data):
            own = means[means["data"] == name].set_index("method").reindex(methods)
            _draw_block(page, own, name, NAMES + place * layout.block, top, layout, scale)
        _draw_scale(page, scale)
        write(figure, drawn, means)


def _draw_block(
    page: Axes, own: pd.DataFrame, name: str, left: float, top: float, layout: Layout, scale: tuple[int, int]
) -> None:
    """The cells of one data set, with the names of readers above them."""
    names = _names(own)
    widths = [layout.cell] * len(names) + [ALL]
    lefts = left + np.cumsum([0.0, *widths[:-1]])
    middle = left + sum(widths) / 2
    page.text(
        middle,
        top + HEAD,
        shorten(name, int(14 * sum(widths))),
        fontsize=6.5,
        ha="center",
        va="bottom",
        parse_math=False,
    )
    for reader, x, width in zip([*names, "all"], lefts, widths, strict=True):
        label = "all readers" if reader == "all" else reader.removeprefix(READER)
        page.text(
            x + width / 2,
            top + 0.04,
            shorten(label, 11),
            fontsize=5.5,
            rotation=90,
            ha="center",
            va="bottom",
            parse_math=False,
        )
        for line, score in enumerate(own[reader].astype(float)):
            limits = own.iloc[line][["low", "high"]].astype(float) if reader == "all" else None
            _draw_cell(page, (x, top - (line + 1) * ROW), width, score, limits, scale)


def _draw_cell(
    page: Axes,
    corner: tuple[float, float],
    width: float,
    score: float,
    limits: pd.Series | None,
    scale: tuple[int, int],
) -> None:
    """A coloured cell with its number; an empty one where there is no score."""
    known = not np.isnan(score)
    colour = _colour(score, scale) if known else (1.0, 1.0, 1.0, 1.0)
    edge = "white" if known else "0.85"
    page.add_patch(Rectangle(corner, width, ROW, facecolor=colour, edgecolor=edge, linewidth=0.5))
    if not known or width < LEAST:
        return
    ink = _ink(colour)
    x, y = corner[0] + width / 2, corner[1] + ROW / 2
    if limits is None or limits.isna().any():
        page.text(
            x, y, f"{score:.1f}" if width < CELL else f"{score:.2f}", fontsize=5.5, color=ink, ha="center", va="center"
        )
        return
    page.text(x, y - 0.005, f"{score:.2f}", fontsize=6, color=ink, ha="center", va="bottom")
    page.text(x, y - 0.025, f"{limits['low']:.2f}–{limits['high']:.2f}", fontsize=4.5, color=ink, ha="center", va="top")


def _draw_scale(page: Axes, scale: tuple[int, int]) -> None:
    """What the colours stand for, below the names."""
    page.text(NAMES - 0.05, 0.12, "score", fontsize=6, color=GREY, ha="right", va="center")
    for place, score in enumerate(range(scale[0], scale[1] + 1)):
        left, colour = NAMES + place * CELL, _colour(score, scale)
        page.add_patch(Rectangle((left, 0.05), CELL, 0.14, facecolor=colour, edgecolor="white", linewidth=0.5))
        page.text(left + CELL / 2, 0.12, str(score), fontsize=5.5, color=_ink(colour), ha="center", va="center")


def _colour(score: float, scale: tuple[int, int]) -> Colour:
    return mpl.colormaps[COLOURS]((score - scale[0]) / (scale[1] - scale[0]))


def _ink(colour: Colour) -> str:
    """White on dark cells, black on light ones."""
    return "white" if np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5 else "black"
