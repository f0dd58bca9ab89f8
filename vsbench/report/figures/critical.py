"""Critical-difference diagrams: mean ranks of methods over slides, with bars over those that can't be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from vsbench.errors import RunError
from vsbench.metric import Value
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of, short_names
from vsbench.report.figures.perimage import declared, methods_with_tables
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, Look, look, new_figure, style, write
from vsbench.report.notation import mathtext, slug
from vsbench.report.resampled import Ground, counted
from vsbench.report.tables import Comparison, Row
from vsbench.report.verdict import p_text
from vsbench.stats.friedman import Friedman, friedman
from vsbench.stats.moments import Array

VALUES = ("iod_mae", "r_c", "phv_avg", "truth_mae")  # means of a number that each image has
MIN_METHODS = 3  # of two the paired test says all there is to say
MIN_SLIDES = 5  # of fewer, even one order of the methods on all slides would hardly be shown
CAPTION = (
    "Mean ranks of the methods over {slides} slides, each ranked by the mean of its images; 1 is the best. Bars join "
    "methods that are not distinguishable: nearer than the critical difference CD (Nemenyi, 5 %, all pairs), or all "
    "where Friedman's p is 0.05 or more. Of a method with several seeds their mean is ranked."
)
LEFT, RIGHT = 1.17, 2.33  # inches: the ends of the axis of ranks; names stand outside
TITLE, AXIS, BAR, LEVEL, FOOT = 0.26, 0.22, 0.075, 0.135, 0.1  # inches: heights
NAME = 22  # characters


@dataclass(frozen=True, eq=False)
class Panel:
    """One value: its methods, and their ranks over slides."""

    value: Value
    rows: tuple[Row, ...]
    found: Friedman

    @property
    def height(self) -> float:
        """Inches."""
        return TITLE + AXIS + BAR * len(self.found.groups()) + LEVEL * ((len(self.rows) + 1) // 2) + FOOT


def critical_differences(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``critical-<dataset>-<stain>.{pdf,png,csv}``, a panel for each of ``VALUES``.

    Raises RunError for fewer than 3 methods or 5 slides, unknown slides, and where no value can be ranked.
    """
    names = [name for name in VALUES if name in comparison.columns and comparison.columns[name].protocol]
    if not names:
        raise RunError(f"{comparison.name}: none of {', '.join(VALUES)} was measured")
    rows, ground, missing = methods_with_tables(comparison, *names)
    if len(rows) < MIN_METHODS:
        raise RunError(f"{comparison.name}: ranks over slides need {MIN_METHODS} methods, there are {len(rows)}")
    if (comparison.typical.n_slides or 0) < 2:
        raise RunError(f"{comparison.name}: slides unknown or one, and images of one slide are not independent")
    if ground.slides.count < MIN_SLIDES:
        raise RunError(
            f"{comparison.name}: ranks over slides need {MIN_SLIDES} slides, there are {ground.slides.count}"
        )
    panels, gone = [], list(missing)
    for value in declared(*names):
        try:
            panels.append(_panel(comparison, value, rows, ground))
        except RunError as error:
            gone.append(f"{value.name} ({error})")
    if not panels:
        raise RunError(f"{comparison.name}: {'; '.join(gone)}")
    slides = sorted({panel.found.blocks for panel in panels})
    caption = CAPTION.format(slides=" or ".join(map(str, slides)))
    drawn = Drawn(folder / f"critical-{slug(comparison.name)}", caption, tuple(gone))
    height = sum(panel.height for panel in panels) + 0.2
    with style():
        figure = new_figure(COLUMN_WIDTH, height)
        title = heading_of(comparison)
        figure.text(0.5, 1 - 0.13 / height, title, fontsize=7, ha="center", parse_math=False)
        top = height - 0.2
        for panel in panels:
            top -= panel.height
            axes = figure.add_axes((0, top / height, 1, panel.height / height))
            axes.set(xlim=(0, COLUMN_WIDTH), ylim=(0, panel.height))  # so that all that is drawn is in inches
            axes.axis("off")
            looks = [look(comparison, row) for row in panel.rows]
            _draw(axes, panel, comparison.columns[panel.value.name].label, looks)
        write(figure, drawn, _table(comparison, panels))
    return [drawn]


def slide_means(rows: Sequence[Row], value: Value, ground: Ground) -> Array:
    """(slides, methods): the mean over a slide's images and a method's seeds; NaN where a seed has no number there."""
    means = []
    for row in rows:
        columns = [ground.tables[run.summary.parent][value.column] for run in counted(row, value.name)]
        by_slide = [column.groupby(ground.slides.index).mean().to_numpy(np.float64) for column in columns]
        means.append(np.mean(by_slide, axis=0))
    return np.stack(means, axis=1)


def _panel(comparison: Comparison, value: Value, rows: Sequence[Row], ground: Ground) -> Panel:
    usable = [
        row
        for row in rows
        if row.cell(value.name).mean is not None
        and comparison.difference(row, value.name) is None
        and all(value.column in ground.tables[run.summary.parent] for run in counted(row, value.name))
    ]
    if len(usable) < MIN_METHODS:
        raise RunError(f"ranks need {MIN_METHODS} methods, {len(usable)} compare")
    means = slide_means(usable, value, ground)
    means = means[~np.isnan(means).any(axis=1)]
    if len(means) < MIN_SLIDES:
        raise RunError(f"ranks need {MIN_SLIDES} slides, all methods have it on {len(means)}")
    return Panel(value, tuple(usable), friedman(means, value.best))


def _draw(axes: Axes, panel: Panel, label: str, looks: Sequence[Look]) -> None:
    found, count = panel.found, len(panel.rows)
    order = np.argsort(found.ranks, kind="stable")
    names = short_names([row.title for row in panel.rows], NAME)

    def x(rank: float) -> float:
        return LEFT + (rank - 1) / (count - 1) * (RIGHT - LEFT)

    axis = panel.height - TITLE - AXIS
    p = "all tie" if np.isnan(found.p) else f"Friedman p = {p_text(found.p)}".replace("= <", "< ")
    axes.text(0.06, panel.height - 0.15, f"{mathtext(label)}, {p}", fontsize=6)
    reach = x(1 + found.critical)
    if reach < COLUMN_WIDTH - 0.1:  # wider than the column says enough in words
        axes.plot([LEFT, reach], [axis + 0.2] * 2, color=GREY, linewidth=0.8, marker="|", markersize=3)
    axes.text(LEFT - 0.05, axis + 0.2, f"CD {found.critical:.2f}", fontsize=5.5, ha="right", va="center", color=GREY)
    axes.plot([LEFT, RIGHT], [axis] * 2, color="black", linewidth=0.7)
    step = 1 if count <= 10 else 2
    for rank in range(1, count + 1):
        axes.plot([x(rank)] * 2, [axis, axis + 0.035], color="black", linewidth=0.6)
        if (rank - 1) % step == 0:
            axes.text(x(rank), axis + 0.045, str(rank), fontsize=5.5, ha="center", va="bottom")
    groups = found.groups()
    for level, group in enumerate(groups, start=1):
        ends = [x(found.ranks[group[0]]) - 0.025, x(found.ranks[group[-1]]) + 0.025]
        axes.plot(ends, [axis - BAR * level] * 2, color=GREY, linewidth=2.2, solid_capstyle="butt")
    below = axis - BAR * len(groups) - 0.04
    half = (count + 1) // 2
    for place, method in enumerate(order):
        at = x(found.ranks[method])
        left = place < half
        y = below - LEVEL * ((place if left else count - 1 - place) + 0.5)
        side, end = ("right", LEFT - 0.1) if left else ("left", RIGHT + 0.1)
        axes.plot([at, at, end], [axis, y, y], color="black", linewidth=0.5)
        axes.plot([at, end], [axis, y], zorder=3, **looks[method].marked(3))
        axes.text(
            end + (-0.06 if left else 0.06), y, names[method], fontsize=5.5, ha=side, va="center", parse_math=False
        )


def _table(comparison: Comparison, panels: Sequence[Panel]) -> pd.DataFrame:
    lines = []
    for panel in panels:
        found, groups = panel.found, panel.found.groups()
        for method in np.argsort(found.ranks, kind="stable"):
            row, own = panel.rows[method], [str(i) for i, group in enumerate(groups, start=1) if method in group]
            lines.append(
                {"dataset": comparison.dataset, "stain": comparison.stain, "value": panel.value.name,
                 "method": row.key, "title": row.title, "seeds": len(row.runs), "mean_rank": found.ranks[method],
                 "bars": " ".join(own), "slides": found.blocks, "friedman_chi2": found.chi2, "friedman_p": found.p,
                 "critical_difference": found.critical}
            )  # fmt: skip
    return pd.DataFrame(lines)
