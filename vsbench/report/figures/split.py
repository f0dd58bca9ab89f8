"""How far each method is from the best possible prediction, and what of it misaligned pairs cost: bars by group."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of, short_names
from vsbench.report.figures.style import GREY, PAGE_WIDTH, look, new_figure, style, write
from vsbench.report.groups import TITLES
from vsbench.report.notation import mathtext, slug
from vsbench.report.split import Distance, Split, split_table
from vsbench.report.tables import Comparison

CAPTION = (
    "Distance to the best possible prediction (at 0), by what a training needs. Hatched: what misaligned pairs cost, "
    "which a control tells that was trained on pairs that fit, too; plain: the rest, the method's own. A part below "
    "zero is narrow and runs back: a cost where the control itself is no worse for misaligned pairs, a rest where the "
    "method bears them better than the control. Whiskers: 95 % limits of the distance, over slides, and over trainings "
    "where there are three or more. Pairs that fit are not attainable on real data"
)
NAMES, LINE, HEADING, HEAD, FOOT, GAP, RIGHT = 1.35, 0.145, 0.15, 0.3, 0.38, 0.2, 0.1  # inches
NAME = 24  # characters


def split_figure(found: Sequence[Split], folder: Path) -> list[Drawn]:
    """Draw ``split-<dataset>-<stain>.{pdf,png,csv}`` of one comparison, a panel for each value; none of no split."""
    if not found:
        return []
    comparison = found[0].comparison
    missing = {f"{title} ({why})": None for split in found for title, why in split.left_out.items()}
    drawn = Drawn(folder / f"split-{slug(comparison.name)}", CAPTION, tuple(missing))
    rows = _lines(found[0])
    height = HEAD + sum(LINE if isinstance(row, Distance) else HEADING for row in rows) + FOOT
    room = (PAGE_WIDTH - NAMES - RIGHT - GAP * (len(found) - 1)) / len(found)
    with style():
        figure = new_figure(PAGE_WIDTH, height)
        for place, split in enumerate(found):
            box = (NAMES + place * (room + GAP), FOOT, room, height - HEAD - FOOT)
            whole = (PAGE_WIDTH, height, PAGE_WIDTH, height)
            axes = figure.add_axes(tuple(part / of for part, of in zip(box, whole, strict=True)))  # type: ignore[arg-type]
            _panel(axes, split, rows, names=place == 0)
        title = heading_of(comparison, 40)
        figure.text(0.5, 1 - 0.05 / height, title, fontsize=7, ha="center", va="top", parse_math=False)
        write(figure, drawn, split_table(found))
    return [drawn]


def _lines(split: Split) -> list[Distance | str]:
    """What stands on the lines of a figure, from the top: headings of groups, and rows."""
    lines: list[Distance | str] = []
    for group, members in groupby(split.distances, key=lambda one: one.group):
        lines += [TITLES[group], *members]
    return lines


def _panel(axes: Axes, split: Split, lines: Sequence[Distance | str], names: bool) -> None:
    own = {one.row.key: one for one in split.distances}
    shown = [line for line in lines if isinstance(line, Distance)]
    short = dict(zip([one.row.key for one in shown], short_names([o.row.title for o in shown], NAME), strict=True))
    y = 0.0
    for line in lines:
        y += (LINE if isinstance(line, Distance) else HEADING) / 2
        if isinstance(line, str):
            if names:
                axes.text(-0.01, y, line, transform=axes.get_yaxis_transform(), fontsize=5.5, ha="right", va="center",
                          style="italic", color=GREY)  # fmt: skip
        else:
            if names:
                axes.text(-0.01, y, short[line.row.key], transform=axes.get_yaxis_transform(), fontsize=5.5, ha="right",
                          va="center", parse_math=False)  # fmt: skip
            if line.row.key in own:
                _bar(axes, split.comparison, own[line.row.key], y)
        y += (LINE if isinstance(line, Distance) else HEADING) / 2
    column = split.comparison.columns[split.value]
    axes.axvline(0, color="0.3", linewidth=0.6, zorder=3)
    axes.use_sticky_edges = False  # bars that run back would end at the names
    axes.margins(x=0.03)
    axes.autoscale_view(scaley=False)
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    unit = "" if column.unit == "1" else f" ({column.unit})"
    axes.set_xlabel(f"{mathtext(column.label)}: distance to the best{unit}", fontsize=6, labelpad=2)
    axes.tick_params(axis="x", labelsize=5.5, length=2, pad=2)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _bar(axes: Axes, comparison: Comparison, one: Distance, y: float) -> None:
    drawn, height = look(comparison, one.row), 0.6 * LINE
    lost, rest = one.misalignment.estimate, one.rest.estimate
    if one.control is not None:  # in front of the rest where it runs back over it
        axes.barh(y, lost, (0.4 if lost < 0 else 1) * height, color="white", edgecolor=GREY, hatch="/////",
                  linewidth=0.4, zorder=2 if lost < 0 else 1)  # fmt: skip
    filled = "white" if one.group == "reference" else drawn.colour
    axes.barh(y, rest, (0.5 if rest < 0 else 1) * height, left=lost, color=filled, edgecolor=drawn.colour,
              linewidth=0.6, zorder=1.5)  # fmt: skip
    if np.isfinite([one.distance.low, one.distance.high]).all():
        axes.plot([one.distance.low, one.distance.high], [y, y], color="black", linewidth=0.7, zorder=3)
