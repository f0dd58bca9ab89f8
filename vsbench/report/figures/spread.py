"""Printed numbers beside those of reruns, on the axis of all that is printed there: one panel for each place."""

from collections.abc import Sequence
from pathlib import Path

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vsbench.report.figures.ablation import BETTER
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.style import GREY, PAGE_WIDTH, PALETTE, new_figure, style, write
from vsbench.report.notation import mathtext, shorten
from vsbench.report.printed import declared, label
from vsbench.report.spread import Column, Spreads
from vsbench.report.spread_text import pairs_table, place

CAPTION = (
    "Printed numbers (open marks) and what others got who ran the method again (dots), by method. Grey lines: the "
    "printed numbers of all methods there. Arrows: the better direction."
)
OTHER = " Reruns on other test images, crops and implementations: the gap is first of all the protocol's."
ACROSS = 2  # panels side by side
NAMES, GAP = 0.8, 0.15  # inches: on the left of a panel, and on its right
ROW, HEAD, FOOT = 0.17, 0.3, 0.42  # inches: of a method, of the legend, and below a panel
TITLE, TEST = 0.22, 0.11  # inches above a panel, and more where the test images are named
LONGEST_NAME, LONGEST_TEST = 16, 58
MARKS = {
    "printed": {
        "marker": "D", "markersize": 3.8, "color": PALETTE[3], "markerfacecolor": "white", "markeredgewidth": 0.9,
        "linestyle": "none", "zorder": 4,
    },
    "run again": {"marker": "o", "markersize": 3.2, "color": PALETTE[0], "linestyle": "none", "zorder": 3},
    "printed, all methods": {"color": "0.82", "linewidth": 0.6, "zorder": 0},
}  # fmt: skip


def draw_spreads(spreads: Spreads, folder: Path) -> list[Drawn]:
    """Draw ``spread.{pdf,png,csv}``, and ``spread-other`` of other test images; those that have something to show.

    Places where one method stands alone are not shown.
    """
    drawn = []
    for own, name in ((True, "spread"), (False, "spread-other")):
        columns = [column for column in spreads.on(own) if column.compares]
        if columns:
            drawn.append(Drawn(folder / name, CAPTION + ("" if own else OTHER)))
            _draw(columns, drawn[-1])
    return drawn


def _draw(columns: Sequence[Column], drawn: Drawn) -> None:
    rows = [columns[i : i + ACROSS] for i in range(0, len(columns), ACROSS)]
    heights = [ROW * (max(len(column.spreads) for column in row) + 0.4) for row in rows]
    title = TITLE + TEST * any(column.test for column in columns)
    total, width = HEAD + sum(heights) + len(rows) * (title + FOOT), PAGE_WIDTH / ACROSS
    with style():
        figure = new_figure(PAGE_WIDTH, total)
        top = total - HEAD
        for row, most in zip(rows, heights, strict=True):
            for i, column in enumerate(row):
                height = ROW * (len(column.spreads) + 0.4)
                x, y = i * width + NAMES, top - title - height
                box = (x / PAGE_WIDTH, y / total, (width - NAMES - GAP) / PAGE_WIDTH, height / total)
                _panel(figure.add_axes(box), column)
            top -= most + title + FOOT
        _legend(figure, 1 - 0.04 / total)
        write(figure, drawn, pairs_table(columns))


def _panel(axes: Axes, column: Column) -> None:
    """The methods of a place from top to bottom."""
    axes.tick_params(labelsize=6, length=2, pad=2)
    sns.despine(ax=axes)
    axes.set(ylim=(len(column.spreads) - 0.3, -0.7), axisbelow=True)
    names = [shorten(spread.method, LONGEST_NAME) for spread in column.spreads]
    axes.set_yticks(range(len(names)), names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    for claim in column.claims.values():
        axes.axvline(claim, **MARKS["printed, all methods"])
    for y, spread in enumerate(column.spreads):
        printed, reruns = ([float(n.value) for n in numbers] for numbers in (spread.printed, spread.reruns))
        axes.plot([min(printed + reruns), max(printed + reruns)], [y, y], color=GREY, linewidth=0.7, zorder=2)
        axes.plot(printed, [y] * len(printed), **MARKS["printed"])
        axes.plot(reruns, [y] * len(reruns), **MARKS["run again"])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    known = declared().get(column.metric)
    arrow = f" {BETTER[known.best]}" if known else ""
    axes.set_xlabel(f"{mathtext(label(column.metric))}{arrow}", fontsize=6.5, labelpad=1)
    axes.set_title(place(column), fontsize=7, loc="left", pad=3 + 72 * TEST * bool(column.test), parse_math=False)
    axes.annotate(
        shorten(column.test, LONGEST_TEST), (0, 1), (0, 3), "axes fraction", "offset points", fontsize=5.5,
        color=GREY, parse_math=False,
    )  # fmt: skip


def _legend(figure: Figure, y: float) -> None:
    handles = [Line2D([], [], **marks, label=name) for name, marks in MARKS.items()]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.01, y), ncols=3, fontsize=6.5, frameon=False,
        borderaxespad=0, handletextpad=0.4,
    )  # fmt: skip
