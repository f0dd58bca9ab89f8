"""Cost against quality: training time, parameters, memory and speed of the trained methods."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.records.images import Stamp
from vsbench.records.run import TrainedRecord
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.labels import label_points
from vsbench.report.figures.names import heading_of
from vsbench.report.figures.style import COLUMN_WIDTH, PAGE_WIDTH, Look, look, new_figure, style, write
from vsbench.report.notation import mathtext, shorten, slug
from vsbench.report.tables import Comparison, EvaluatedRun

QUALITY = ("iod_mae", "r_avg")
COSTS = {  # column of the data: (on the axis, what is missing where no run has it)
    "wall_time_s": ("training time ({unit})", "training times are not recorded"),
    "parameters": ("parameters (million)", "numbers of parameters are not recorded"),
    "peak_memory_bytes": ("training memory (GiB)", "training memory is not recorded (it is on a GPU alone)"),
    "images_per_s": ("translation (images/s)", "the speed of translation is not recorded"),
}
TIMES = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
PANEL, LEFT, GAP, HEAD, FOOT, LINE = 1.3, 0.55, 0.13, 0.3, 0.36, 0.13  # inches
CHARACTERS = 17  # on an inch
CAPTION = (
    "Cost against quality of the trained methods, means over seeds; costs on logarithmic axes. "
    "Parameters: of all networks that are trained, discriminators too. Time and memory: of training; with the "
    "number of steps, the size of crops and the device they are settings as much as properties of a method."
)
DEVICES = " Several devices were used (letters): time, memory and speed compare within one alone."


@dataclass(frozen=True)
class Scale:
    """How a cost is shown: its numbers are divided by ``unit``."""

    label: str
    unit: float


def cost(comparison: Comparison, folder: Path) -> list[Drawn]:
    """Draw ``cost-<dataset>-<stain>.{pdf,png,csv}``: a panel for each cost that is recorded and each quality.

    Raises RunError where no trained method has a record of its cost and a quality.
    """
    values = [name for name in QUALITY if name in comparison.columns]
    table, missing = cost_data(comparison, values)
    values = [name for name in values if name in table and table[name].notna().any()]
    if not values:
        why = "; ".join(missing) or "train one, and evaluate it with " + " or ".join(QUALITY)
        raise RunError(f"{comparison.name}: no trained method with its cost and quality: {why}")
    costs = [name for name in COSTS if table[name].notna().any()]
    missing += [why for name, (_, why) in COSTS.items() if name not in costs]
    devices = list(dict.fromkeys([*table["device"], *table["translated_on"].dropna()]))
    caption = CAPTION + (DEVICES if len(devices) > 1 else f" Device: {devices[0]}.")
    drawn = Drawn(folder / f"cost-{slug(comparison.name)}", caption, tuple(missing))
    _draw(comparison, table, costs, values, devices, drawn)
    return [drawn]


def cost_data(comparison: Comparison, values: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """(One line per training, why trainings or numbers are not there).

    Columns: row, title, seed, device, precision, steps, wall_time_s, parameters,
    peak_memory_bytes, images_per_s, translated_on, and the values; empty where absent.
    """
    lines, missing = [], []
    for row in comparison.rows:
        if row.kind != "trained" or not comparison.same_data(row):
            continue
        for run in row.runs:
            try:
                record = _record(run)
            except RunError as error:
                missing.append(f"{row.title} ({error})")
                continue
            speed = _speed(run)
            lines.append(
                {
                    "row": row.key,
                    "title": row.title,
                    "seed": run.seed,
                    "device": record.device if record.world in (None, 1) else f"{record.world} × {record.device}",
                    "precision": record.precision or "",
                    "steps": record.steps,
                    "wall_time_s": record.wall_time_s,
                    "parameters": sum((record.parameters or {}).values()) or None,
                    "peak_memory_bytes": record.peak_memory_bytes,
                    "images_per_s": None if speed is None else speed.images_per_s,
                    "translated_on": None if speed is None else speed.device,
                    **{name: _reading(comparison, run, name) for name in values},
                }
            )
    table = pd.DataFrame(lines)
    if not table.empty:
        numbers = [*COSTS, *values]
        table[numbers] = table[numbers].astype(float)
    return table, missing


def _record(run: EvaluatedRun) -> TrainedRecord:
    found = Run(run.folder)
    record = found.trained
    if not record.finished:
        raise RunError(f"{found.record_file}: the training is not finished")
    for name in ("wall_time_s", "device", "parameters"):
        if not getattr(record, name):
            raise RunError(f"{found.record_file}: {name} is not recorded")
    return record


def _speed(run: EvaluatedRun) -> Stamp | None:
    """None where it is not recorded, as of images made before it was, or by another machine without a note."""
    try:
        stamp = Stamp.read(Run(run.folder).stamp(run.split))
    except RunError:
        return None
    return stamp if stamp.images_per_s else None


def _reading(comparison: Comparison, run: EvaluatedRun, name: str) -> float | None:
    reading = run.values.get(name)
    comparable = reading is not None and reading.protocol == comparison.columns[name].protocol
    return reading.value if reading is not None and comparable and np.isfinite(reading.value or 0.0) else None


def _draw(
    comparison: Comparison,
    table: pd.DataFrame,
    costs: Sequence[str],
    values: Sequence[str],
    devices: Sequence[str],
    drawn: Drawn,
) -> None:
    looks = {row.title: look(comparison, row) for row in comparison.rows if row.key in set(table["row"])}
    letters = dict(zip(devices, ascii_lowercase, strict=False)) if len(devices) > 1 else {}
    page, keys = (COLUMN_WIDTH, 2) if len(costs) <= 2 else (PAGE_WIDTH, 3)  # keys: beside each other below the panels
    foot = FOOT + LINE * (-(-len(looks) // keys) + -(-len(letters) // keys)) + 0.05
    height = HEAD + len(values) * (PANEL + GAP) - GAP + foot
    width = (page - LEFT - 0.05 - GAP * (len(costs) - 1)) / len(costs)
    with style():
        figure = new_figure(page, height)
        for column, of in enumerate(costs):
            scale = _scale(of, table[of])
            for line, value in enumerate(values):
                left, bottom = LEFT + column * (width + GAP), height - HEAD - (line + 1) * PANEL - line * GAP
                axes = figure.add_axes((left / page, bottom / height, width / page, PANEL / height))
                _set_axes(axes, table[of] / scale.unit, table[value])
                lowest = line == len(values) - 1
                axes.tick_params(labelsize=6, length=2, pad=2, labelbottom=lowest, labelleft=column == 0)
                axes.set_xlabel(scale.label if lowest else "", fontsize=6.5, labelpad=2)
                axes.set_ylabel(_quality(comparison, value) if column == 0 else "", fontsize=6.5, labelpad=3)
                _draw_points(axes, _points(table, of, value), scale, looks, letters)
        title = heading_of(comparison)
        figure.text(0.5, 1 - 0.05 / height, title, fontsize=7, ha="center", va="top", parse_math=False)
        _draw_key(figure, looks, letters, keys, foot - FOOT)
        write(figure, drawn, table)


def _points(table: pd.DataFrame, of: str, value: str) -> pd.DataFrame:
    """Means over the seeds of a method on one device: columns title, device, x, y."""
    device = table["translated_on"] if of == "images_per_s" else table["device"]
    points = pd.DataFrame({"title": table["title"], "device": device, "x": table[of], "y": table[value]})
    return points.dropna().groupby(["title", "device"], as_index=False).mean()


def _draw_points(
    axes: Axes, points: pd.DataFrame, scale: Scale, looks: Mapping[str, Look], letters: Mapping[str, str]
) -> None:
    x, y = (points["x"] / scale.unit).to_numpy(), points["y"].to_numpy()
    for title, *at in zip(points["title"], x, y, strict=True):
        axes.plot(*at, **looks[title].marked(4))
    if letters:
        label_points(axes, list(zip(x, y, strict=True)), [letters[device] for device in points["device"]])


def _set_axes(axes: Axes, x: pd.Series, y: pd.Series) -> None:
    """Limits and ticks: the same for all panels of a column or a line."""
    margin = max(1.25, float(x.max() / x.min()) ** 0.12)
    low, high = float(x.min() / margin), float(x.max() * margin)
    spread = 0.14 * float(y.max() - y.min()) or 0.1 * abs(float(y.max())) or 1.0
    axes.set_xscale("log")
    axes.set(xlim=(low, high), ylim=(float(y.min()) - spread, float(y.max()) + spread))
    axes.xaxis.set_major_locator(FixedLocator(ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    sns.despine(ax=axes)


def ticks(low: float, high: float) -> list[float]:
    """At most five round numbers from ``low`` to ``high`` on a logarithmic axis; even steps where it is short."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if 3 <= len(found) <= 5:
            return found
    if len(found) > 5:
        return found[:: -(-len(found) // 5)]
    return [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]


def _scale(of: str, numbers: pd.Series) -> Scale:
    label, _ = COSTS[of]
    if of != "wall_time_s":
        return Scale(label, {"parameters": 1e6, "peak_memory_bytes": 2.0**30, "images_per_s": 1.0}[of])
    unit, seconds = next((u for u in TIMES if numbers.max() >= 2 * u[1]), TIMES[-1])
    return Scale(label.format(unit=unit), seconds)


def _quality(comparison: Comparison, value: str) -> str:
    column = comparison.columns[value]
    unit = "" if column.unit == "1" else f" ({column.unit})"
    return f"{mathtext(column.label)}{unit}, {column.best} is good"


def _draw_key(figure: Figure, looks: Mapping[str, Look], letters: Mapping[str, str], keys: int, top: float) -> None:
    """The names behind the marks, and the devices behind the letters, from ``top`` inches downwards."""
    page, height = figure.get_size_inches()
    room = (page - LEFT) / keys
    characters = int(CHARACTERS * room) - 2
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page), ylim=(0, height))  # in inches
    axes.set_axis_off()
    lines = -(-len(looks) // keys)
    for place, (name, own) in enumerate(looks.items()):
        x, y = LEFT + place % keys * room, top - place // keys * LINE
        axes.plot(x, y - 0.045, **own.marked(4))
        axes.text(x + 0.08, y, shorten(name, characters), fontsize=6, va="top", parse_math=False)
    for place, (device, letter) in enumerate(letters.items()):
        x, y = LEFT + place % keys * room, top - (lines + place // keys) * LINE
        text = f"{letter}: {shorten(device, characters)}"
        axes.text(x - 0.03, y, text, fontsize=6, va="top", parse_math=False)
