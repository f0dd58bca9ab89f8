"""What separates a method from the best possible prediction: what misaligned pairs cost, and what the method costs.

Only where the answer is known can this be told, on a phantom. A *control* is one method trained twice with the same
settings: on pairs whose IHC is the H&E's own section, which no real data has, and on the pairs as they are. The former
less the latter is what misalignment costs; what is left of a method's distance to the ceiling is the method's:

    ceiling − method = (aligned − control) + rest

The rest of the control itself is what its network and training miss even on pairs that fit. A method that was trained
twice is its own control. One that learns from no pair pays nothing for misalignment. A negative rest: the method bears
misaligned pairs better than the control does; a negative cost: so does the control itself, by luck or because it is
held from learning too much by heart. Limits are over slides, and over trainings of what was trained three times or
more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsbench.errors import RunError
from vsbench.metric import Value, penalty
from vsbench.report.figures.perimage import declared
from vsbench.report.groups import TITLES, Group, group_of
from vsbench.report.notation import decimals
from vsbench.report.resampled import SEEDS, Drawn, common_ground, draw
from vsbench.report.tables import Comparison, Row
from vsbench.stats.bootstrap import RESAMPLES, Interval, centred_interval

CEILING = "best"  # the reference row
VALUES = ("cell_auc", "truth_mae")  # those of true cells and true images, as far as they were measured
PARTS = ("distance", "misalignment", "rest")
LIMITS = (
    "In brackets 95 % limits over slides, and over trainings where there are three or more; of fewer, what another "
    "training would change is not in them."
)


@dataclass(frozen=True)
class Distance:
    """A row's distance to the ceiling in one value, worse counted up, and its two parts, with their limits."""

    row: Row
    group: Group
    distance: Interval
    misalignment: Interval
    rest: Interval
    control: Row | None  # whose two trainings told what misalignment costs; None: it learns from no pair


@dataclass(frozen=True)
class Split:
    """All rows in one value, by group and the shortest distance first; ``left_out``: title of a row, and why."""

    comparison: Comparison
    value: str
    distances: tuple[Distance, ...]
    left_out: Mapping[str, str]


def splits(comparison: Comparison, resamples: int = RESAMPLES) -> list[Split]:
    """The split in each of ``VALUES`` that has one; none where no control was trained on pairs that fit.

    Raises RunError where the tables of the control or of the ceiling can't be used.
    """
    twins = _twins(comparison)
    ceiling = next((row for row in comparison.rows if row.runs[0].row == CEILING and not row.is_method), None)
    if not twins or ceiling is None:
        return []
    values = declared(*(name for name in VALUES if ceiling.cell(name).mean is not None))
    ground = common_ground(comparison, values, resamples, seed=0)
    found = []
    for value in values:
        drawn: dict[str, Drawn] = {}
        left_out: dict[str, str] = {}
        for row in (row for row in comparison.rows if row is ceiling or row.is_method or row in twins.values()):
            try:
                if row.title in ground.left_out:
                    raise RunError(ground.left_out[row.title])
                if (why := comparison.difference(row, value.name)) is not None:
                    raise RunError(why)
                if row.cell(value.name).mean is not None:
                    drawn[row.key] = draw(row, value, ground)
            except RunError as error:
                left_out[row.title] = str(error)
        found.append(_split(comparison, value, ceiling, twins, drawn, left_out, ground.slides.count))
    return found


def _twins(comparison: Comparison) -> dict[str, Row]:
    """For each method that was trained on aligned pairs too, by its row's key, that reference."""
    aligned = [row for row in comparison.rows if row.runs[0].unattainable and comparison.same_data(row)]
    return {
        row.key: twin
        for row in comparison.rows
        for twin in aligned
        if row.is_method and (row.runs[0].method, row.runs[0].settings) == (twin.runs[0].method, twin.runs[0].settings)
    }


def _split(
    comparison: Comparison, value: Value, ceiling: Row, twins: Mapping[str, Row], drawn: Mapping[str, Drawn],
    left_out: dict[str, str], slides: int,
) -> Split:  # fmt: skip
    rows = {row.key: row for row in comparison.rows}
    controls = {key: twin for key, twin in twins.items() if {key, twin.key} <= drawn.keys()}
    if ceiling.key not in drawn or not controls:
        why = "; ".join(f"{title}: {reason}" for title, reason in left_out.items())
        raise RunError(f"{comparison.name}: no split of distances in {value.name}: {why or 'the control has none'}")

    rng = np.random.default_rng([0, len(drawn)])  # not the stream that the slides came from
    means = {
        key: penalty(one.redrawn(rng) if len(one.draws) >= SEEDS else one.draws.mean(axis=0), value.best)
        for key, one in drawn.items()
    }

    def worse(one: str, other: str) -> tuple[float, np.ndarray]:
        """By how much a row is worse than another: as they are, and in each resample."""
        gap = penalty(drawn[one].value, value.best) - penalty(drawn[other].value, value.best)
        return gap, means[one] - means[other]

    first = min(controls)  # the same for all that have none of their own
    distances = []
    for key, row in ((key, rows[key]) for key in drawn):
        group, aligned = group_of(row), row in twins.values()
        if not (row.is_method or aligned):
            continue
        if group == "elsewhere":
            left_out[row.title] = "whether it learned from pairs is not known"
            continue
        control = None if aligned or group == "unpaired" else rows[key if key in controls else first]
        whole = worse(key, ceiling.key)
        lost = (0.0, np.zeros_like(whole[1])) if control is None else worse(control.key, controls[control.key].key)
        rest = whole[0] - lost[0], whole[1] - lost[1]
        of_all, of_pairs, of_method = (
            centred_interval(estimate, moves, slides) for estimate, moves in (whole, lost, rest)
        )
        distances.append(Distance(row, group, of_all, of_pairs, of_method, control))
    order = list(TITLES)
    distances.sort(key=lambda one: (order.index(one.group), one.distance.estimate))
    return Split(comparison, value.name, tuple(distances), left_out)


def sentences(split: Split) -> list[str]:
    """One for each method, in plain text, and one for what was trained on pairs that fit."""
    column = split.comparison.columns[split.value]
    places = decimals(split.value, column.unit, [one.distance.estimate for one in split.distances])
    unit = "" if column.unit == "1" else f" {column.unit}"

    def text(part: Interval) -> str:
        number = f"{part.estimate:.{places}f}".replace("-", "−")
        if not np.isfinite([part.low, part.high]).all():
            return f"{number}{unit}"
        low, high = (f"{limit:.{places}f}".replace("-", "−") for limit in (part.low, part.high))
        return f"{number}{unit} [{low}, {high}]"

    said = []
    for one in split.distances:
        trainings = "one training" if len(one.row.runs) == 1 else f"{len(one.row.runs)} trainings"
        start = f"{one.row.title} ({trainings}) is {text(one.distance)} from the best possible prediction"
        if one.group == "reference":
            said.append(f"{start}, on pairs that fit: what network and training miss; {one.row.runs[0].unattainable}.")
        elif one.control is None:
            said.append(f"{start}, all of it the method's own: it learns from no pair.")
        else:
            own = "" if one.control is one.row else f" (as {one.control.title} loses it)"
            said.append(
                f"{start}: {text(one.misalignment)} for misaligned pairs{own}, {text(one.rest)} the method's own."
            )
    return said


def split_table(found: Sequence[Split]) -> pd.DataFrame:
    """One line per value and row, with the limits of each part."""
    lines = []
    for split in found:
        for one, sentence in zip(split.distances, sentences(split), strict=True):
            line: dict[str, object] = {
                "dataset": split.comparison.dataset, "stain": split.comparison.stain, "value": split.value,
                "protocol": split.comparison.columns[split.value].protocol, "group": one.group, "row": one.row.key,
                "title": one.row.title, "control": "" if one.control is None else one.control.key,
            }  # fmt: skip
            for part in PARTS:
                interval: Interval = getattr(one, part)
                line |= {part: interval.estimate, f"{part}_low": interval.low, f"{part}_high": interval.high}
            lines.append(line | {"sentence": sentence})
    return pd.DataFrame(lines)


def split_text(found: Sequence[Split]) -> str:
    """The sentences of all of them, in Markdown; empty where there is none."""
    parts: list[str] = []
    for split in found:
        heading = f"## {split.comparison.where}: {split.value}"
        parts += [heading, "", LIMITS, "", *map("- {}".format, sentences(split)), ""]
    return "\n".join(parts)
