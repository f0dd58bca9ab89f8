"""An evaluation by how well its pairs match: values in the worst, middle and best matched third of the test pairs.

Against a real IHC of another section a value blames the pairing, too. Where methods change places between the thirds,
the order on all pairs is partly an order of how methods bear bad pairs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from types import MappingProxyType

import numpy as np
import pandas as pd

from vsbench import registry
from vsbench.data.pairs import few
from vsbench.errors import RunError, UsageError
from vsbench.evaluation.evaluated import read_table
from vsbench.metric import Value, penalty
from vsbench.names import brief
from vsbench.report.resampled import counted
from vsbench.report.tables import Comparison, Row
from vsbench.stats.bootstrap import RESAMPLES, Interval, bootstrap_all, resample_counts
from vsbench.stats.moments import Pooled, difference
from vsbench.stats.paired import averaged, can_show
from vsbench.stats.slides import Slides, group
from vsbench.stats.table import judged, table_statistics

SHOWN = ("iod_mae", "r_p", "r_avg", "ssim", "nuclei_f1", "truth_mae")  # in figures, tables and sentences
THIRDS = ("worst matched", "middle", "best matched")
FEWEST = 3  # pairs of a third
UNTURNED = "No two methods change places between the worst and the best matched third"


@dataclass(frozen=True)
class Quality:
    """How well a pair matches: ``column`` of the per-image table of a reference ``row``, times ``scale``."""

    label: str
    row: str
    column: str
    scale: float
    mend: str


QUALITIES: Mapping[str, Quality] = MappingProxyType(
    {
        "ncc": Quality("NCC of H&E and real IHC", "real-ihc", "r_c", 0.01, "evaluate again, for its reference rows"),
        "mi": Quality(
            "mutual information of H&E and real IHC, in bits",
            "he",
            "mutual_information",
            1.0,
            "run vsbench evaluate --all --also pixels",
        ),
        "nuclei": Quality(
            "F1 of the nuclei of H&E and real IHC",
            "real-ihc",
            "nuclei_f1",
            1.0,
            "run vsbench evaluate --all --also nuclei",
        ),
    }
)


@dataclass(frozen=True, eq=False)
class Third:
    """Test pairs whose quality is from ``low`` to ``high``, and the slides they are of."""

    name: str
    low: float
    high: float
    ids: pd.Index
    slides: Slides


@dataclass(frozen=True)
class Turn:
    """``first`` is ahead of ``second`` among the worst matched pairs, and behind among the best matched.

    ``is_shown``: whether both differences are other than 0 by their 95 % limits, of slides that are enough to show any.
    """

    value: str
    first: Row
    second: Row
    is_shown: bool


@dataclass(frozen=True, eq=False)
class Strata:
    """``cells``: row key and value → its interval in each third, of the values that follow from the per-image tables.

    ``left_out``: title of a row that has none, and why; and of pairs without a quality.
    """

    comparison: Comparison
    quality: Quality
    thirds: tuple[Third, ...]
    cells: dict[tuple[str, str], tuple[Interval, ...]]
    turns: tuple[Turn, ...]
    left_out: dict[str, str]

    @property
    def values(self) -> list[str]:
        """Those that any row has, in the order of the comparison's columns."""
        there = {value for _, value in self.cells}
        return [name for name in self.comparison.columns if name in there]

    @property
    def shown(self) -> list[str]:
        """Those of ``SHOWN``; as many others where none of these is there."""
        return [name for name in SHOWN if name in self.values] or self.values[: len(SHOWN)]

    @property
    def rows(self) -> list[Row]:
        """Those with a value that is shown: methods, or references alone where there is no method."""
        rows = [row for row in self.comparison.rows if any((row.key, name) in self.cells for name in self.shown)]
        return [row for row in rows if row.is_method] or rows


def checked_quality(name: str) -> Quality:
    """The quality of this name. Raises UsageError naming the known ones."""
    if name not in QUALITIES:
        raise UsageError(f"--strata {brief(name)}: no such quality of pairs; one of {', '.join(QUALITIES)}")
    return QUALITIES[name]


def stratify(comparison: Comparison, quality: Quality, resamples: int = RESAMPLES, seed: int = 0) -> Strata:
    """A comparison by thirds of its pairs. Deterministic.

    Raises RunError where the quality was not measured, or there are too few pairs.
    """
    known = {v.name: v for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}
    values = [known[name] for name, column in comparison.columns.items() if column.is_score and name in known]
    ids = pd.Index([pair.id for pair in comparison.typical.pairs])
    thirds, left_out = _thirds(comparison, quality, ids)
    pooled: dict[tuple[str, str], list[Pooled]] = {}
    for row in comparison.rows:
        try:
            for name, statistics in _of_row(comparison, row, values, thirds, ids).items():
                pooled[row.key, name] = statistics
        except RunError as error:
            left_out[row.title] = str(error)
    counts = [resample_counts(third.slides.count, resamples, seed) for third in thirds]
    by_third = [
        bootstrap_all({str(number): own[place] for number, own in enumerate(pooled.values())}, counts[place])
        for place in range(len(thirds))
    ]
    cells = {key: tuple(found[str(n)] for found in by_third) for n, key in enumerate(pooled)}
    turns = tuple(
        _turns(comparison, [known[name] for name in comparison.columns if name in known], pooled, cells, thirds, counts)
    )
    return Strata(comparison, quality, thirds, cells, turns, left_out)


def sentences(strata: Strata, called: Callable[[str], str] = str) -> list[str]:
    """Where the order of methods changes between the worst and the best matched third, in the values that are shown.

    ``called``: what a value is called, where not by its name.
    """
    said, unshown = [], []
    for name in strata.shown:
        turns = [turn for turn in strata.turns if turn.value == name]
        if pairs := few([f"{t.first.title} is ahead of {t.second.title}" for t in turns if t.is_shown]):
            said.append(f"{called(name)}: among the worst matched pairs {pairs}, among the best matched it is behind")
        elif turns:
            unshown.append(called(name))
    if unshown:
        said.append(f"{', '.join(unshown)}: methods change places, by less than {_units(strata)} show")
    return said or [UNTURNED]


def _units(strata: Strata) -> str:
    """``9 slides``: of the third of the worst or best matched pairs that has fewer."""
    return min((strata.thirds[0].slides, strata.thirds[-1].slides), key=lambda slides: slides.count).counted


def strata_table(strata: Strata) -> pd.DataFrame:
    """One line per row, value and third, with its limits over slides; ``reason`` says why there are none."""
    comparison, lines = strata.comparison, []
    for row in comparison.rows:
        for name in strata.values:
            for third, interval in zip(strata.thirds, strata.cells.get((row.key, name), ()), strict=False):
                lines.append({
                    "dataset": comparison.dataset, "stain": comparison.stain, "quality": strata.quality.label,
                    "third": third.name, "from": third.low, "to": third.high, "n": len(third.ids),
                    "units": third.slides.count, "unit_kind": third.slides.unit, "kind": row.kind, "title": row.title,
                    "value": name, "protocol": comparison.columns[name].protocol,
                    **dict(zip(("mean", "low", "high"), _numbers(interval), strict=True)),
                    "reason": "" if np.isfinite(interval.low) else interval.caution or "",
                    "caution": third.slides.caution or "",
                })  # fmt: skip
    return pd.DataFrame(lines)


def _numbers(interval: Interval) -> tuple[float | None, ...]:
    return tuple(n if np.isfinite(n) else None for n in (interval.estimate, interval.low, interval.high))


def _thirds(comparison: Comparison, quality: Quality, ids: pd.Index) -> tuple[tuple[Third, ...], dict[str, str]]:
    row = next((r for r in comparison.rows if r.runs[0].row == quality.row and comparison.same_data(r)), None)
    if row is None:
        raise RunError(f"no row {quality.row}, from which the {quality.label} is known: {quality.mend}")
    table = read_table(row.runs[0].summary.parent)
    if quality.column not in table:
        raise RunError(f"the {quality.label} is not measured: {quality.mend}")
    found = quality.scale * table[quality.column].reindex(ids)
    known = found.dropna().sort_values(kind="stable")
    if len(known) < len(THIRDS) * FEWEST:
        raise RunError(f"{len(known)} pairs have a {quality.label}: too few for thirds of {FEWEST} or more")
    left_out = {}
    if len(known) < len(found):
        left_out[f"{len(found) - len(known)} pairs"] = f"they have no {quality.label}"
    thirds = []
    for name, places in zip(THIRDS, np.array_split(np.arange(len(known)), len(THIRDS)), strict=True):
        own = known.iloc[places]
        slides = group(table["slide"].reindex(own.index), warn=lambda text: None)
        thirds.append(Third(name, float(own.min()), float(own.max()), own.index, slides))
    return tuple(thirds), left_out


def _of_row(
    comparison: Comparison, row: Row, values: Sequence[Value], thirds: Sequence[Third], ids: pd.Index
) -> dict[str, list[Pooled]]:
    """By value, the row's statistic in each third: the mean over its seeds."""
    if not comparison.same_data(row):
        raise RunError("measured on other images")
    found: dict[str, list[Pooled]] = {}
    statistics = {}
    for run in row.runs:
        table = read_table(run.summary.parent)
        if len(table) != len(ids) or not ids.isin(table.index).all():
            raise RunError(f"{run.summary.parent}: its table lists other images than its summary; evaluate again")
        try:
            statistics[run.summary.parent] = [table_statistics(table.loc[t.ids], values, t.slides) for t in thirds]
        except KeyError as error:
            raise RunError(f"{run.summary.parent}: no column {brief(error.args[0])}; evaluate again") from None
    for value in values:
        runs = [] if comparison.difference(row, value.name) else counted(row, value.name)
        if runs and all(value.name in one for run in runs for one in statistics[run.summary.parent]):
            found[value.name] = [
                averaged([statistics[run.summary.parent][place][value.name] for run in runs])
                for place in range(len(thirds))
            ]
    return found


def _turns(
    comparison: Comparison,
    values: Sequence[Value],
    pooled: Mapping[tuple[str, str], Sequence[Pooled]],
    cells: Mapping[tuple[str, str], Sequence[Interval]],
    thirds: Sequence[Third],
    counts: Sequence[np.ndarray],
) -> Iterator[Turn]:
    for value in values:
        rows = [row for row in comparison.rows if row.is_method and (row.key, value.name) in cells]
        ends = {
            row.key: [penalty(cells[row.key, value.name][place].estimate, value.best) for place in (0, -1)]
            for row in rows
        }
        for first, second in permutations(rows, 2):
            worst, best = zip(ends[first.key], ends[second.key], strict=True)
            if worst[0] < worst[1] and best[0] > best[1]:
                gaps = [
                    difference(*(judged(pooled[row.key, value.name][place], value) for row in (first, second)))
                    for place in (0, -1)
                ]
                limits = [bootstrap_all({"": gap}, counts[n])[""] for n, gap in zip((0, -1), gaps, strict=True)]
                enough = all(can_show(thirds[n].slides.count, len(rows) - 1) for n in (0, -1))
                yield Turn(value.name, first, second, enough and all(one.low > 0 or one.high < 0 for one in limits))
