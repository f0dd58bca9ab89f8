"""An ablation study at a glance: one panel per value, what is measured beside what was printed.

Where one number varies, over that number on a logarithmic axis; else row below row.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from vsbench.errors import RunError
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.style import GREY, PAGE_WIDTH, PALETTE, new_figure, style, write
from vsbench.report.notation import mathtext, shorten, slug, stain_name
from vsbench.report.suites import SuiteTable, printed_name, setting_name
from vsbench.report.tables import Row

CAPTION = (
    "Ablation study. Filled marks: mean over seeds; bars: standard deviation over seeds; small dots: single seeds. "
    "Open marks: as printed in the literature, by its own protocol. Arrows: the better direction."
)
COLUMNS, WIDEST = 4, 2.1  # panels side by side, and inches of one
ROW_HEIGHT, PANEL_HEIGHT, HEAD, FOOT, LAST_FOOT, NAMES, GAP = 0.17, 1.35, 0.42, 0.46, 0.22, 1.35, 0.42  # inches
LONGEST_NAME = 26
SINGLES_BELOW = 0.27  # of a row's height
BETTER = {"low": "↓", "high": "↑", "zero": "→ 0"}
WORD: dict[str, Any] = {"fontsize": 5, "color": GREY, "style": "italic", "parse_math": False}
SINGLE: dict[str, Any] = {"marker": ".", "markersize": 2.2, "color": "0.55", "linestyle": "none", "zorder": 1.5}
MARKS: dict[str, dict[str, Any]] = {
    "measured": {"marker": "o", "markersize": 3.6, "color": PALETTE[0], "linestyle": "none", "zorder": 3},
    "as printed": {
        "marker": "D", "markersize": 3.6, "color": PALETTE[3], "markerfacecolor": "white", "markeredgewidth": 0.8,
        "linestyle": "none", "zorder": 4,
    },
}  # fmt: skip

Line = dict[str, Any]  # one row of the study and one value, as it stands in the CSV


def ablation_data(table: SuiteTable) -> list[Line]:
    """One line per row and value: mean, sd and printed number; ``not_shown`` says why there is no mean to draw."""
    records = []
    for place, row in enumerate(table.rows):
        measured = table.measured(row)
        for value in table.values:
            column = table.column(value)
            record: Line = {
                "row": row.name,
                "name": printed_name(row),
                "place": table.axis[1][place] if table.axis else place,
                "metric": value,
                "unit": column.unit if column else "",
                "mean": None,
                "sd": None,
                "seeds": 0,
                "single": "",
                "printed": table.published(row).get(value),
                "not_shown": "not run",
            }
            if measured is not None:
                cell = measured.cell(value)
                readings = [run.values[value] for run in measured.runs if value in run.values]
                single = [r.value for r in readings if r.value is not None and r.protocol == cell.protocol]
                record |= {"mean": cell.mean, "sd": cell.sd, "seeds": len(single)}
                record |= {"single": " ".join(map(repr, single)), "not_shown": _why_not(table, measured, value)}
            records.append(record)
    return records


def _why_not(table: SuiteTable, measured: Row, value: str) -> str:
    """A word on the figure for a value of a row that ran, and has no mark; empty where it has one."""
    mean = measured.cell(value).mean
    if mean is None:
        return "n/a"
    assert table.comparison is not None
    if table.comparison.difference(measured, value):
        return "other data" if not table.comparison.same_data(measured) else "other protocol"
    return "" if math.isfinite(mean) else f"{'−' * (mean < 0)}∞"


def ablation(table: SuiteTable, folder: Path) -> list[Drawn]:
    """Draw ``ablation-<study>.{pdf,png,csv}``.

    Raises RunError where no row has a number, neither measured nor printed.
    """
    data = ablation_data(table)
    shown = [value for value in table.values if _has_numbers(data, value)]
    study = table.study
    if not shown:
        raise RunError(f"{study.name}: no row was run and none is printed; nothing to draw. Run vsbench ablate first")
    missing = [f"{value} (no row has it)" for value in table.values if value not in shown]
    for row in table.rows:
        if table.measured(row) is None:
            reasons = dict.fromkeys(table.missing[row.name, seed] for seed in table.seeds)
            missing.append(f"{row.name} ({'; '.join(reasons)})")
    drawn = Drawn(folder / f"ablation-{slug(study.name)}", CAPTION, tuple(missing))
    down = -(-len(shown) // COLUMNS)
    across = -(-len(shown) // down)
    height = PANEL_HEIGHT if table.axis else ROW_HEIGHT * (len(table.rows) + 0.6)
    left = GAP if table.axis else NAMES
    with style():
        total = HEAD + down * (height + FOOT) - FOOT + (LAST_FOOT + 0.1 if table.axis else LAST_FOOT)
        width = min((PAGE_WIDTH - left) / across, WIDEST)
        figure = new_figure(left + across * width, total)
        for i, value in enumerate(shown):
            box = (left + i % across * width, total - HEAD - (i // across) * (height + FOOT) - height, width, height)
            first = i % across == 0
            axes = _panel(figure, box, gap=GAP if table.axis else 0.12)
            lines = [line for line in data if line["metric"] == value]
            _along_axis(axes, table, lines) if table.axis else _row_by_row(axes, table, lines, named=first)
            _label(axes, table, value)
        _head(figure, table, data, left / figure.get_figwidth(), 1 - 0.04 / total)
        write(figure, drawn, pd.DataFrame(data))
    return [drawn]


def _has_numbers(data: list[Line], value: str) -> bool:
    lines = [line for line in data if line["metric"] == value]
    return any(line["not_shown"] == "" or line["printed"] is not None for line in lines)


def _panel(figure: Figure, box: tuple[float, float, float, float], gap: float) -> Axes:
    """Axes in a box of inches, with a gap on its right for the next one's numbers."""
    x, y, width, height = box
    page_width, page_height = figure.get_size_inches()
    axes: Axes = figure.add_axes((x / page_width, y / page_height, (width - gap) / page_width, height / page_height))
    axes.tick_params(labelsize=6, length=2, pad=2)
    sns.despine(ax=axes)
    return axes


def _singles(line: Line) -> list[float]:
    """The numbers of single seeds; none where there is but one, which is the mean."""
    numbers = [float(text) for text in line["single"].split()]
    return numbers if len(numbers) > 1 else []


def _along_axis(axes: Axes, table: SuiteTable, lines: list[Line]) -> None:
    """A line over the number that varies; a row without a mark is a gap with a word."""
    assert table.axis is not None
    setting, numbers = table.axis
    margin = (max(numbers) / min(numbers)) ** 0.09
    axes.set(xscale="log", xlim=(min(numbers) / margin, max(numbers) * margin), xmargin=0)
    axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{number:g}" for number in numbers])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(mathtext(setting_name(setting)), fontsize=6.5, labelpad=1)
    printed = [line["printed"] for line in lines]
    axes.plot(numbers, np.array(printed, float), **MARKS["as printed"] | {"linestyle": "--", "linewidth": 0.7})
    means, spread = ([line[part] if line["not_shown"] == "" else None for line in lines] for part in ("mean", "sd"))
    bars = np.nan_to_num(np.array(spread, float))  # one seed: no bar
    axes.errorbar(numbers, np.array(means, float), bars, **MARKS["measured"] | {"linestyle": "-", "linewidth": 0.9})
    for line in lines:
        if line["not_shown"] == "":
            singles = _singles(line)
            axes.plot([line["place"] * margin**0.3] * len(singles), singles, **SINGLE)
    where = blended_transform_factory(axes.transData, axes.transAxes)
    for line in lines:
        if line["not_shown"] != "":
            y, align = (0.98, "top") if _in_lower_half(line["printed"], axes.get_ylim()) else (0.02, "bottom")
            axes.text(line["place"], y, line["not_shown"], transform=where, rotation=90, ha="center", va=align, **WORD)


def _row_by_row(axes: Axes, table: SuiteTable, lines: list[Line], named: bool) -> None:
    """Rows from top to bottom; the names stand at the first panel of a line alone."""
    axes.set(ylim=(len(lines) - 0.3, -0.7), xmargin=0.12, axisbelow=True)
    names = [shorten(printed_name(row), LONGEST_NAME) if named else "" for row in table.rows]
    axes.set_yticks(range(len(lines)), names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", color="0.92", linewidth=0.5)
    for line in lines:
        place = [line["place"]]
        if line["not_shown"] == "":
            singles = _singles(line)
            axes.plot(singles, [line["place"] + SINGLES_BELOW] * len(singles), **SINGLE)
            axes.errorbar([line["mean"]], place, xerr=[line["sd"] or 0.0], elinewidth=0.8, **MARKS["measured"])
        if line["printed"] is not None:
            axes.plot([line["printed"]], place, **MARKS["as printed"])
    where = blended_transform_factory(axes.transAxes, axes.transData)
    for line in lines:
        if line["not_shown"] != "":
            x, align = (0.99, "right") if _in_lower_half(line["printed"], axes.get_xlim()) else (0.01, "left")
            axes.text(x, line["place"], line["not_shown"], transform=where, ha=align, va="center", **WORD)


def _in_lower_half(number: float | None, limits: tuple[float, float]) -> bool:
    """So that a word stands where the printed mark does not."""
    return number is None or 2 * number < sum(limits)


def _label(axes: Axes, table: SuiteTable, value: str) -> None:
    column = table.column(value)
    if column is None:
        axes.set_title(value, fontsize=6.5, pad=3, parse_math=False)
        return
    unit = "" if column.unit == "1" else f" ({column.unit})"
    arrow = f" {BETTER[column.best]}" if column.is_score else ""
    axes.set_title(f"{mathtext(column.label)}{unit}{arrow}", fontsize=6.5, pad=3)


def _head(figure: Figure, table: SuiteTable, data: list[Line], left: float, top: float) -> None:
    """The study's name, and a legend of the marks that appear."""
    study = table.study
    text = f"{study.method}, {study.suite}: {shorten(study.dataset, 30)}, {shorten(stain_name(study.stain), 30)}"
    figure.text(left, top, text, ha="left", va="top", fontsize=7, parse_math=False)
    measured = any(line["not_shown"] == "" for line in data)
    marks = {name: mark for name, mark in MARKS.items() if (measured if name == "measured" else table.printed)}
    figure.legend(
        [Line2D([], [], **mark) for mark in marks.values()], list(marks), loc="upper right", bbox_to_anchor=(1, top),
        ncols=2, frameon=False, fontsize=6, borderpad=0, handletextpad=0.2, columnspacing=1,
    )  # fmt: skip
