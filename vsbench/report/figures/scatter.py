"""The scatter of content against pathology: R_p over R_c, one mark per row, with lines of equal R_avg."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Ellipse as Patch
from matplotlib.ticker import MaxNLocator

from vsbench.errors import RunError
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.ellipses import Ellipses, ellipses
from vsbench.report.figures.labels import label_points
from vsbench.report.figures.names import heading_of
from vsbench.report.figures.style import COLUMN_WIDTH, GREY, PAGE_WIDTH, Look, look, new_figure, style, write
from vsbench.report.notation import mathtext, shorten, slug
from vsbench.report.tables import Comparison, Row
from vsbench.stats.moments import Array

CROWD = 12  # points above which a column of the page is too narrow for their names
ELLIPSE = ("major", "minor", "angle", "slides")
CAPTION = (
    r"$R_p$ over $R_c$. Grey lines join points of equal $R_\mathrm{avg}$, which is printed at their end. "
    "Open grey marks: references. Bars: standard deviation over seeds."
)


def scatter_data(comparison: Comparison, found: Ellipses) -> pd.DataFrame:
    """One line per row: R_c, R_p and R_avg in percent, mean and standard deviation over seeds; empty where absent.

    ``not_shown`` says why a row has no point: a value is absent, or does not compare with the others. ``ellipse_*``:
    half axes in percent, angle of the major one from the R_c axis in degrees, number of slides; ``no_ellipse``: why a
    method has none.
    """
    lines = []
    for row in comparison.rows:
        line: dict[str, object] = {"dataset": comparison.dataset, "stain": comparison.stain, "kind": row.kind}
        line |= {"row": row.key, "title": row.title, "seeds": len(row.runs)}
        for value in ("r_c", "r_p", "r_avg"):
            cell = row.cell(value)
            line |= {value: cell.mean, f"{value}_sd": cell.sd}
        line |= {"not_shown": _why_not_shown(comparison, row)}
        one = found.of.get(row.key)
        line |= {f"ellipse_{name}": None if one is None else getattr(one, name) for name in ELLIPSE}
        lines.append(line | {"no_ellipse": found.missing.get(row.key, "")})
    return pd.DataFrame(lines).astype({"ellipse_slides": "Int64"})


def scatter(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw R_p over R_c into ``scatter-<dataset>-<stain>.{pdf,png,csv}``; bars are standard deviations over seeds.

    Raises RunError where no row has both values.
    """
    found = ellipses(comparison)
    table = scatter_data(comparison, found)
    shown = table[table["not_shown"] == ""]
    if shown.empty:
        raise RunError(f"{comparison.name}: no row has both R_c and R_p")
    missing = [f"{title} ({why})" for title, why in zip(table["title"], table["not_shown"], strict=True) if why]
    for why in dict.fromkeys(filter(None, table["no_ellipse"])):
        missing.append(f"the ellipse of {', '.join(table['title'][table['no_ellipse'] == why])} ({why})")
    drawn = Drawn(folder / f"scatter-{slug(comparison.name)}", f"{CAPTION}{found.caption}", tuple(missing))
    with style():
        many = len(shown) > CROWD
        figure = new_figure(*((PAGE_WIDTH, 0.62 * PAGE_WIDTH) if many else (COLUMN_WIDTH, 0.9 * COLUMN_WIDTH)))
        axes = figure.add_axes((0.075, 0.09, 0.91, 0.86) if many else (0.15, 0.125, 0.825, 0.81))
        reach = _reach(shown, found)
        axes.set(xlim=_limits(shown["r_c"], reach[:, 0]), ylim=_limits(shown["r_p"], reach[:, 1]))
        _lines_of_equal_average(axes)
        looks = {row.key: look(comparison, row) for row in comparison.rows}
        _draw_ellipses(axes, shown, found, looks)
        _draw_points(axes, shown, looks)
        points = list(zip(shown["r_c"].astype(float), shown["r_p"].astype(float), strict=True))
        label_points(axes, points, [shorten(title, 32) for title in shown["title"]])
        labels = {value: mathtext(comparison.columns[value].label) for value in ("r_c", "r_p")}
        axes.set_xlabel(f"{labels['r_c']} (%): structure of the H&E kept", labelpad=2)
        axes.set_ylabel(f"{labels['r_p']} (%): DAB as in the real IHC", labelpad=1)
        title = heading_of(comparison)
        axes.set_title(title, fontsize=7, parse_math=False)
        sns.despine(ax=axes)
        write(figure, drawn, table)
    return [drawn]


def _why_not_shown(comparison: Comparison, row: Row) -> str:
    reasons = []
    for value, name in (("r_c", "R_c"), ("r_p", "R_p")):
        cell = row.cell(value)
        if cell.mean is None:
            reasons += [f"no {name}: {reason}" for _, reason in cell.missing]
        elif not math.isfinite(cell.mean):
            reasons.append(f"{name} is infinite")
        elif difference := comparison.difference(row, value):
            reasons.append(difference)
    return "; ".join(dict.fromkeys(reasons))


def _draw_points(axes: Axes, shown: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    for line in shown.to_dict("records"):
        axes.errorbar(
            line["r_c"],
            line["r_p"],
            xerr=None if pd.isna(line["r_c_sd"]) else line["r_c_sd"],
            yerr=None if pd.isna(line["r_p_sd"]) else line["r_p_sd"],
            elinewidth=0.7,
            zorder=3,
            **looks[str(line["row"])].marked(),
        )


def _draw_ellipses(axes: Axes, shown: pd.DataFrame, found: Ellipses, looks: Mapping[str, Look]) -> None:
    for line in shown.to_dict("records"):
        if ellipse := found.of.get(str(line["row"])):
            colour = looks[str(line["row"])].colour
            axes.add_patch(
                Patch(
                    (line["r_c"], line["r_p"]),
                    2 * ellipse.major,
                    2 * ellipse.minor,
                    angle=ellipse.angle,
                    facecolor=to_rgba(colour, 0.06),
                    edgecolor=to_rgba(colour, 0.6),
                    linestyle=(0, (4, 2)) if ellipse.rough else "-",
                    linewidth=0.6,
                    zorder=1,
                )
            )


def _reach(shown: pd.DataFrame, found: Ellipses) -> Array:
    """(N, 2): how far bars and ellipses reach from the points, along each axis."""
    bars = shown[["r_c_sd", "r_p_sd"]].astype(float).fillna(0.0).to_numpy()
    outlines = [found.of[key].reach if key in found.of else (0.0, 0.0) for key in shown["row"]]
    return np.maximum(bars, outlines)


def _limits(values: pd.Series, reach: Array) -> tuple[float, float]:
    """Limits with a margin for labels; at least ten percentage points wide, and hardly beyond ±100 %."""
    low, high = max(float((values - reach).min()), -100.0), min(float((values + reach).max()), 100.0)
    margin = max(0.12 * (high - low), 5.0)
    return low - margin, high + margin


def _lines_of_equal_average(axes: Axes) -> None:
    """Lines R_c + R_p = 2 R_avg at round values, each with its R_avg where it leaves the axes at the top or right."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = (left + bottom) / 2, (right + top) / 2
    averages = [tick for tick in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high) if low < tick < high]
    symbol = r"$R_\mathrm{avg}$ = "  # once is enough
    for average in averages:
        axes.plot([left, right], [2 * average - left, 2 * average - right], color="0.85", linewidth=0.5, zorder=0)
        x = min(right, 2 * average - bottom)  # where the line meets the right or the lower edge
        y = 2 * average - x
        if x < left + 0.06 * (right - left):  # no room for its number
            continue
        axes.annotate(
            f"{symbol if average == averages[-1] else ''}{average:g}".replace("-", "−"),
            (x, y),
            textcoords="offset points",
            xytext=(-1, 1),
            ha="right",
            va="bottom",
            fontsize=5,
            color=GREY,
            annotation_clip=False,
        )
