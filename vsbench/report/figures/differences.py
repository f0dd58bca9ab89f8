"""Paired differences of every method to the best one, slide by slide: is the lead one of all slides, or of a few?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vsbench.errors import RunError
from vsbench.metric import Value, penalty
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of
from vsbench.report.figures.perimage import declared, methods_with_tables, mind, unit_names
from vsbench.report.figures.style import COLUMN_WIDTH, look, new_figure, style, write
from vsbench.report.notation import mathtext, shorten, slug
from vsbench.report.resampled import Ground, draw
from vsbench.report.tables import Comparison, Row
from vsbench.stats.bootstrap import Interval, bootstrap_all
from vsbench.stats.moments import Array, Pooled, difference
from vsbench.stats.paired import averaged
from vsbench.stats.table import judged

STAIN = "iod_mae"
IMAGE = ("truth_mae", "ssim")  # the first of these that any method has
NAMES, ROW, FOOT, HEAD = 1.15, 0.19, 0.36, 0.36  # inches
CHARACTERS = 22  # of a name
FEW = 40  # dots in a row, above which they are drawn smaller and outliers cut off
CAPTION = (
    "Differences of methods to the best one (at 0, by its mean) on the same images. Dots: one for each of {units}, "
    "at the same height in all rows; bars: the mean over all images and seeds with its 95 % interval over these, of "
    "one comparison each, not corrected for their number. The best is chosen on the same data, so its lead looks "
    "larger than it is."
)
BEYOND = " Axes end where 1 % of the dots lie beyond."


@dataclass(frozen=True, eq=False)
class Gap:
    """A method less the best one: of each slide, and of all images. ``low`` and ``high`` in it may be NaN."""

    row: Row
    slides: Array
    mean: Interval


@dataclass(frozen=True)
class Panel:
    """The methods that have one value, all but the best of them as gaps to it."""

    value: Value
    best: Row
    gaps: tuple[Gap, ...]


def differences(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``differences-<dataset>-<stain>.{pdf,png,csv}``: one panel for the amount of stain, one for the image.

    Raises RunError where there are fewer than two methods with per-image tables in any of these values.
    """
    there = [v for v in IMAGE if any(row.is_method and row.cell(v).mean is not None for row in comparison.rows)]
    names = [name for name in (STAIN, *there[:1]) if name in comparison.columns]
    methods, ground, missing = methods_with_tables(comparison, *names)
    panels, reasons = [], list(missing)
    for value in declared(*names):
        panel, left_out = _panel(comparison, value, methods, ground)
        panels += [] if panel is None else [panel]
        reasons += left_out
    if not panels:
        more = "; ".join(reasons) or "evaluate a second one on the same images"
        raise RunError(f"{comparison.name}: differences need two methods with a per-image table: {more}")
    caption = CAPTION.format(units=ground.slides.counted) + (BEYOND if ground.slides.count > FEW else "")
    caption += mind(ground.slides, *(gap.mean.caution for panel in panels for gap in panel.gaps))
    drawn = Drawn(folder / f"differences-{slug(comparison.name)}", caption, tuple(reasons))
    _draw(comparison, panels, drawn, unit_names(ground))
    return [drawn]


def _panel(comparison: Comparison, value: Value, methods: list[Row], ground: Ground) -> tuple[Panel | None, list[str]]:
    """The panel of one value, and why methods are not in it; None for fewer than two."""
    found: dict[str, Pooled] = {}
    rows: dict[str, Row] = {}
    reasons = []
    for row in methods:
        try:
            if row.cell(value.name).mean is None:
                raise RunError("; ".join(dict.fromkeys(reason for _, reason in row.cell(value.name).missing)))
            if (why := comparison.difference(row, value.name)) is not None:
                raise RunError(why)
            pooled = draw(row, value, ground).pooled
            found[row.key], rows[row.key] = judged(averaged(pooled), value), row
        except (RunError, ValueError) as error:
            reasons.append(f"{row.title} in {value.name} ({error})")
    if len(found) < 2:
        return None, reasons
    once = np.ones((1, ground.slides.count))
    score = {key: penalty(float(pooled(once)[0]), value.best) for key, pooled in found.items()}
    best, *others = sorted(score, key=lambda key: (score[key], key))
    gaps = {key: difference(found[key], found[best]) for key in others}
    intervals = bootstrap_all(gaps, ground.counts)
    each = np.eye(ground.slides.count)
    return Panel(value, rows[best], tuple(Gap(rows[k], gaps[k](each), intervals[k]) for k in others)), reasons


def _draw(comparison: Comparison, panels: list[Panel], drawn: Drawn, slides: list[str]) -> None:
    first = panels[0]
    rows = {row.key: row for panel in panels for row in (panel.best, *(gap.row for gap in panel.gaps))}
    order = {
        key: place for place, key in enumerate(dict.fromkeys([first.best.key, *(g.row.key for g in first.gaps), *rows]))
    }
    height = HEAD + ROW * len(order) + FOOT
    room = (COLUMN_WIDTH - NAMES) / len(panels)
    with style():
        figure = new_figure(COLUMN_WIDTH, height)
        for place, panel in enumerate(panels):
            box = (NAMES + place * room, FOOT, room - 0.12, ROW * len(order))
            axes = figure.add_axes((box[0] / COLUMN_WIDTH, box[1] / height, box[2] / COLUMN_WIDTH, box[3] / height))
            _draw_panel(axes, comparison, panel, order)
            axes.set_yticks(
                range(len(order)), [shorten(rows[key].title, CHARACTERS) for key in order] if place == 0 else []
            )
            for label in axes.get_yticklabels():
                label.set(parse_math=False, fontsize=6)
        title = heading_of(comparison)
        figure.text(0.5, 1 - 0.05 / height, title, fontsize=7, ha="center", va="top", parse_math=False)
        write(figure, drawn, _data(panels, slides))


def _draw_panel(axes: Axes, comparison: Comparison, panel: Panel, order: dict[str, int]) -> None:
    axes.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    axes.plot(0, order[panel.best.key], zorder=3, **look(comparison, panel.best).marked())
    for gap in panel.gaps:
        y, mean, own = order[gap.row.key], gap.mean, look(comparison, gap.row)
        heights = y + np.linspace(-0.3, 0.3, len(gap.slides)) if len(gap.slides) > 1 else [y]
        size, alpha = (2.2, 0.7) if len(gap.slides) <= FEW else (1.2, 0.35)
        axes.plot(gap.slides, heights, "o", color="0.55", markersize=size, markeredgewidth=0, alpha=alpha, zorder=1)
        if np.isfinite(mean.low):
            axes.plot([mean.low, mean.high], [y, y], color=own.colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        axes.plot(mean.estimate, y, zorder=3, **own.marked())
    column = comparison.columns[panel.value.name]
    unit = "" if column.unit == "1" else f" ({column.unit})"
    axes.set_title(f"{mathtext(column.label)}{unit}", fontsize=7, pad=3)
    axes.set_xlabel("← worse · better →" if column.best == "high" else "← better · worse →", fontsize=6, labelpad=2)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.margins(x=0.08)
    if len(panel.gaps[0].slides) > FEW:  # few outliers would press all others into one line
        axes.set_xlim(*_central(np.concatenate([gap.slides for gap in panel.gaps])))
    axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=False))
    axes.tick_params(axis="x", labelsize=6, length=2, pad=2)
    axes.tick_params(axis="y", length=0, pad=2)
    sns.despine(ax=axes, left=True)


def _central(dots: Array) -> tuple[float, float]:
    """Limits that hold 99 % of the dots, and 0."""
    low, high = np.quantile(dots[np.isfinite(dots)], (0.005, 0.995))
    margin = 0.08 * (high - low) or 0.01
    return float(min(low, 0) - margin), float(max(high, 0) + margin)


def _data(panels: list[Panel], slides: list[str]) -> pd.DataFrame:
    """One line per dot and one per bar (``slide`` empty, with ``low`` and ``high``)."""
    lines: list[dict[str, object]] = []
    for panel in panels:
        for gap in panel.gaps:
            place: dict[str, object] = {
                "value": panel.value.name,
                "best": panel.best.key,
                "row": gap.row.key,
                "title": gap.row.title,
            }
            interval = {"difference": gap.mean.estimate, "low": gap.mean.low, "high": gap.mean.high}
            lines.append(place | {"slide": None} | interval)
            lines += [place | {"slide": s, "difference": d} for s, d in zip(slides, gap.slides, strict=True)]
    return pd.DataFrame(lines)
