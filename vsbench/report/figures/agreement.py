"""Bland–Altman plots: by how much the DAB of a generated image differs from the real one's, and at which density."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vsbench.errors import RunError
from vsbench.names import said
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.names import heading_of
from vsbench.report.figures.perimage import methods_with_tables, mind
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, Look, look, new_figure, style, write
from vsbench.report.notation import shorten, signed, slug
from vsbench.report.resampled import Ground
from vsbench.report.tables import Comparison, Row
from vsbench.stats.bootstrap import Interval, bootstrap_all
from vsbench.stats.moments import agreement_spread, joined, mean
from vsbench.stats.table import NORMAL_95

METHODS, COLUMNS = 6, 2  # on one sheet
PANEL, GAP, LEFT, FOOT, HEAD = 1.0, 0.34, 0.47, 0.34, 0.42  # inches
FEW = 12  # slides: so many may each have a mark for their mean
CAPTION = (
    "Agreement (Bland–Altman) of the mean DAB density of generated images with that of the real IHC of the adjacent "
    "section, one dot per image: their difference over their mean; above 0 there is too much stain. Solid line: bias; "
    "dashed lines: 95 % limits of agreement, 1.96 standard deviations of the differences off it; bands: their 95 % "
    "intervals over {units}. Of a method with several seeds the first is shown."
)
SLIDES = " Large open marks: means of the images of a slide."


@dataclass(frozen=True, eq=False)
class Panel:
    """One training of a method: ``points`` has columns id, slide, mean and difference (OD)."""

    row: Row
    seed: int | None
    points: pd.DataFrame
    bias: Interval
    lower: Interval
    upper: Interval


def agreement(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``agreement-<dataset>-<stain>[-<part>].{pdf,png,csv}``, six methods on a sheet, all on the same axes.

    Raises RunError where no method has mean densities in its per-image table.
    """
    methods, ground, missing = methods_with_tables(comparison)
    panels, reasons = [], list(missing)
    for row in methods:
        try:
            panels.append(_panel(row, ground))
        except RunError as error:
            reasons.append(f"{row.title} ({error})")
    if not panels:
        why = "; ".join(reasons) or "evaluate one on these images"
        raise RunError(f"{comparison.name}: no method with mean densities in its per-image table: {why}")
    few = 1 < ground.slides.count <= FEW and ground.slides.count < len(ground.slides.index)
    cautions = [interval.caution for p in panels for interval in (p.bias, p.lower, p.upper)]
    caption = CAPTION.format(units=ground.slides.counted) + few * SLIDES + mind(ground.slides, *cautions)
    x, y = _limits(panels)
    sheets = -(-len(panels) // METHODS)
    drawn = []
    for number, part in enumerate(np.array_split(np.arange(len(panels)), sheets), start=1):
        name = f"agreement-{slug(comparison.name)}{f'-{number}' if sheets > 1 else ''}"
        drawn.append(Drawn(folder / name, caption, tuple(reasons)))
        _draw(comparison, [panels[i] for i in part], (x, y), few, drawn[-1])
    return drawn


def _panel(row: Row, ground: Ground) -> Panel:
    run = row.runs[0]
    table = ground.tables[run.summary.parent]
    if absent := [column for column in ("mean_od", "mean_od_real") if column not in table]:
        raise RunError(f"{run.summary.parent}: per_image.csv has no column {absent[0]}; evaluate it again")
    try:
        fake, real = (table[column].to_numpy(np.float64) for column in ("mean_od", "mean_od_real"))
    except ValueError as error:
        raise RunError(f"{run.summary.parent}: per_image.csv is damaged ({said(error)}); evaluate it again") from None
    if not np.isfinite(fake - real).any():
        raise RunError(f"{run.summary.parent}: per_image.csv has no mean density of any image; evaluate it again")
    bias = mean(fake - real, ground.slides, "bias")
    spread = agreement_spread(fake, real, ground.slides)
    found = {
        "bias": bias,
        "lower": joined(bias, spread, "lower", lambda middle, sd: middle - NORMAL_95 * sd),
        "upper": joined(bias, spread, "upper", lambda middle, sd: middle + NORMAL_95 * sd),
    }
    points = {
        "id": table.index,
        "slide": table["slide"].fillna(""),
        "mean": (fake + real) / 2,
        "difference": fake - real,
    }
    return Panel(row, run.seed, pd.DataFrame(points), **bootstrap_all(found, ground.counts))


def _limits(panels: Sequence[Panel]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of both axes, for all sheets: every dot is within, and every limit of agreement with its interval."""
    points = pd.concat([panel.points for panel in panels])
    ends = [e for p in panels for i in (p.bias, p.lower, p.upper) for e in (i.estimate, i.low, i.high)]
    found = []
    for values in (points["mean"].to_numpy(), np.append(points["difference"], [*ends, 0.0])):
        low, high = np.nanmin(values), np.nanmax(values)
        margin = 0.06 * (high - low) or 0.01
        found.append((float(low - margin), float(high + margin)))
    return found[0], found[1]


def _draw(
    comparison: Comparison,
    panels: Sequence[Panel],
    limits: tuple[tuple[float, float], tuple[float, float]],
    slides: bool,
    drawn: Drawn,
) -> None:
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    height = HEAD + lines * PANEL + (lines - 1) * GAP + FOOT
    width = (COLUMN_WIDTH - LEFT - 0.08 - (columns - 1) * 0.12) / columns
    with style():
        figure = new_figure(COLUMN_WIDTH, height)
        for place, panel in enumerate(panels):
            line, column = divmod(place, columns)
            left, bottom = LEFT + column * (width + 0.12), height - HEAD - line * (PANEL + GAP) - PANEL
            axes = figure.add_axes((left / COLUMN_WIDTH, bottom / height, width / COLUMN_WIDTH, PANEL / height))
            axes.set(xlim=limits[0], ylim=limits[1])
            _draw_panel(axes, panel, look(comparison, panel.row), slides)
            lowest = place + columns >= len(panels)
            axes.tick_params(labelsize=6, length=2, pad=2, labelbottom=lowest, labelleft=column == 0)
        title = heading_of(comparison)
        figure.text(0.5, 1 - 0.05 / height, title, fontsize=7, ha="center", va="top", parse_math=False)
        middle = (LEFT + COLUMN_WIDTH) / 2 / COLUMN_WIDTH
        figure.text(middle, 0.04 / height, "mean of generated and real: DAB density (OD)", fontsize=6.5, ha="center")
        centre = 1 - (HEAD + (lines * (PANEL + GAP) - GAP) / 2) / height
        figure.text(0.01, centre, "generated − real (OD)", fontsize=6.5, rotation=90, va="center")
        write(figure, drawn, _data(panels))


def _draw_panel(axes: Axes, panel: Panel, own: Look, slides: bool) -> None:
    axes.axhline(0, color="0.8", linewidth=0.5, zorder=0)
    for interval, dashes in ((panel.bias, "-"), (panel.lower, "--"), (panel.upper, "--")):
        if np.isfinite(interval.low):
            axes.axhspan(interval.low, interval.high, color=GREY, alpha=0.13, linewidth=0, zorder=0)
        if np.isfinite(interval.estimate):
            axes.axhline(interval.estimate, color=GREY, linestyle=dashes, linewidth=0.9, zorder=1)
    many = len(panel.points) > 100
    dots = own.marked(1.4 if many else 3.2)
    axes.plot(panel.points["mean"], panel.points["difference"], alpha=0.4 if many else 0.9, zorder=2, **dots)
    if slides:
        means = panel.points.groupby("slide")[["mean", "difference"]].mean()
        axes.plot(means["mean"], means["difference"], zorder=3, **replace(own, fill="none").marked(6))
    axes.set_title(shorten(panel.row.title, 28), fontsize=6.5, pad=9, parse_math=False)
    numbers = f"bias {_number(panel.bias)}, limits {_number(panel.lower)} and {_number(panel.upper)}"
    axes.text(0.5, 1.02, numbers, transform=axes.transAxes, fontsize=5, color=GREY, ha="center", va="bottom")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    sns.despine(ax=axes)


def _number(interval: Interval) -> str:
    return "n/a" if np.isnan(interval.estimate) else signed(interval.estimate, 3)


def _data(panels: Sequence[Panel]) -> pd.DataFrame:
    """``what``: image (a dot), or bias, lower or upper, whose ``difference`` has limits ``low`` and ``high``."""
    parts = []
    for panel in panels:
        names = ("bias", "lower", "upper")
        found = [getattr(panel, name) for name in names]
        lines = {
            "difference": [i.estimate for i in found],
            "low": [i.low for i in found],
            "high": [i.high for i in found],
        }
        own = pd.concat([pd.DataFrame({"what": names, **lines}), panel.points.assign(what="image")])
        own.insert(0, "row", panel.row.key)
        own.insert(1, "title", panel.row.title)
        own.insert(2, "seed", panel.seed)
        parts.append(own)
    return pd.concat(parts)
