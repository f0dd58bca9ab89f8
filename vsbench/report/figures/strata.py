"""Main values in the worst, middle and best matched third of the pairs: a panel for each value, a line for a method."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from vsbench.errors import RunError
from vsbench.report.figures.ablation import BETTER
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of, short_names
from vsbench.report.figures.style import PAGE_WIDTH, look, new_figure, style, write
from vsbench.report.notation import mathtext, slug
from vsbench.report.strata import Strata, sentences, strata_table
from vsbench.report.tables import Row

CAPTION = (
    "Values by thirds of the pairs, from the worst to the best matched by the {quality} ({limits}; {units}). "
    "Arrows: the better direction. Lines join what is one method's; whiskers: 95 % limits over slides, where there are "
    "any. {turned}"
)
PANEL, HEAD, FOOT, LEFT, RIGHT, GAP, NAMES = 1.7, 0.34, 0.42, 0.5, 0.1, 0.55, 1.6  # inches
ACROSS = 3  # panels in a row
SPREAD, STEP = 0.6, 0.09  # of the distance of two thirds: over which marks stand side by side, and between two
WIDEST = 2.2  # inches of a panel
NAME = 30  # characters


def strata_figure(strata: Strata, folder: Path) -> Drawn:
    """Draw ``strata-<dataset>-<stain>.{pdf,png,csv}``, a panel for each value that is shown; methods, or
    references alone where there is no method.

    Raises RunError where no row has any of the values.
    """
    comparison = strata.comparison
    values = strata.shown
    rows = strata.rows
    if not rows:
        raise RunError(f"{comparison.name}: no row has a value by thirds of its pairs")
    thirds = strata.thirds
    caption = CAPTION.format(
        quality=strata.quality.label,
        limits=", ".join(f"{third.low:.2f} to {third.high:.2f}" for third in thirds),
        units=", ".join(f"{len(third.ids)} pairs of {third.slides.counted}" for third in thirds),
        turned=". ".join(sentences(strata, lambda name: comparison.columns[name].label)) + ".",
    )
    missing = tuple(f"{title} ({why})" for title, why in strata.left_out.items())
    drawn = Drawn(folder / f"strata-{slug(comparison.name)}", caption, missing)
    across = min(ACROSS, len(values))
    down = -(-len(values) // across)
    width = min(WIDEST, (PAGE_WIDTH - NAMES - LEFT - RIGHT - (across - 1) * GAP) / across)
    whole = LEFT + across * width + (across - 1) * GAP + RIGHT + NAMES
    height = HEAD + down * (PANEL + FOOT)
    with style():
        figure = new_figure(whole, height)
        title = heading_of(comparison, 40)
        figure.text(0.5, 1 - 0.12 / height, title, fontsize=7, ha="center", va="top", parse_math=False)
        for place, name in enumerate(values):
            line, column = divmod(place, across)
            left, bottom = LEFT + column * (width + GAP), height - HEAD - (line + 1) * PANEL - line * FOOT
            box = (left / whole, bottom / height, width / whole, (PANEL - 0.15) / height)
            _panel(figure.add_axes(box), strata, name, rows)
        key = figure.add_axes((1 - NAMES / whole, 0, NAMES / whole, 1 - HEAD / height))
        _names(key, strata, rows, NAMES, height - HEAD)
        write(figure, drawn, strata_table(strata))
    return drawn


def _panel(axes: Axes, strata: Strata, name: str, rows: Sequence[Row]) -> None:
    column = strata.comparison.columns[name]
    steps = (np.arange(len(rows)) - (len(rows) - 1) / 2) * min(STEP, SPREAD / len(rows))
    for step, row in zip(steps, rows, strict=True):
        intervals = strata.cells.get((row.key, name))
        if intervals is None:
            continue
        drawn = look(strata.comparison, row)
        x = np.arange(len(intervals)) + step
        means = np.array([one.estimate if np.isfinite(one.estimate) else np.nan for one in intervals])
        axes.plot(x, means, color=drawn.colour, linewidth=0.5, alpha=0.5)
        for at, mean, one in zip(x, means, intervals, strict=True):
            if np.isfinite([one.low, one.high]).all():
                axes.plot([at, at], [one.low, one.high], color=drawn.colour, linewidth=0.7)
            axes.plot(at, mean, **drawn.marked(3.5))
    unit = "" if column.unit == "1" else f" ({column.unit})"
    axes.set_title(f"{mathtext(column.label)}{unit} {BETTER[column.best]}", fontsize=6.5)
    axes.set_xticks(range(len(strata.thirds)), ["worst\nmatched", "middle\n", "best\nmatched"], fontsize=5.5)
    axes.set_xlim(-0.5, len(strata.thirds) - 0.5)
    axes.tick_params(labelsize=5.5)


def _names(axes: Axes, strata: Strata, rows: Sequence[Row], width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(0, height))  # in inches
    axes.axis("off")
    for place, (row, name) in enumerate(zip(rows, short_names([row.title for row in rows], NAME), strict=True)):
        y = height - 0.2 - 0.15 * place
        axes.plot(0.12, y, **look(strata.comparison, row).marked(3.5))
        axes.text(0.22, y, name, fontsize=5.5, va="center", parse_math=False)
