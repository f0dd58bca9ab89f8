"""The rows of a comparison on the same draws of slides, from their per-image tables and features.

A row's number is the mean over its seeds; so is its statistic, the seeds' own under the same draws. A row whose files
are missing or damaged, or give another number than its summary, is left out: results often travel without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import RunError
from vsbench.evaluation.evaluated import read_features, read_table
from vsbench.evaluation.intervals import reason_without
from vsbench.metric import Value
from vsbench.names import brief
from vsbench.report.tables import Comparison, EvaluatedRun, Row
from vsbench.stats.bootstrap import Interval, Kind, bootstrap, resample_counts
from vsbench.stats.distances import DISTANCES
from vsbench.stats.features import Features
from vsbench.stats.moments import Array, Pooled, mean
from vsbench.stats.paired import Swaps, averaged, draw_swaps, matched, swap_test
from vsbench.stats.slides import Slides, group
from vsbench.stats.table import judged, table_statistics

SAME = 1e-6  # relative: a table that gives another value than its summary is not the one that was summed up
SEEDS = 3  # trainings of a method from which on these can be drawn too
ALMOST = 1e-2  # the same of features, kept in fewer digits than they were summed up in


@dataclass(frozen=True, eq=False)
class Ground:
    """What all values share: draws and exchanges of the slides, and by folder of an evaluation what its table gives.

    ``order``: where in the table, and so in the features, the images of the comparison stand. ``left_out``: title of a
    row whose tables can't be used → why.
    """

    slides: Slides
    counts: Array
    swaps: Swaps
    tables: dict[Path, pd.DataFrame]
    pooled: dict[Path, dict[str, Pooled]]
    order: dict[Path, NDArray[np.intp]]
    left_out: dict[str, str]

    def features(self, run: EvaluatedRun) -> dict[str, Features]:
        """A run's features in the order of the images. Not kept: those of many runs may not fit in memory."""
        folder = run.summary.parent
        features = read_features(folder, len(self.order[folder]))
        return {name: array[self.order[folder]] for name, array in features.items()}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A row's value, and those of its K trainings in R resamples, ``draws`` (K, R).

    ``pooled``: the statistics of the trainings where they are functions of sums; () for a distance of features.
    """

    row: Row
    runs: tuple[EvaluatedRun, ...]
    value: float
    draws: Array
    pooled: tuple[Pooled, ...]

    def redrawn(self, rng: np.random.Generator) -> Array:
        """The means in the resamples, (R,), over trainings that are drawn too, anew in each."""
        places = rng.integers(len(self.draws), size=self.draws.shape)
        return np.take_along_axis(self.draws, places, axis=0).mean(axis=0)

    def interval(self, slides: int) -> Interval:
        """Of the mean over trainings."""
        draws = self.draws.mean(axis=0)
        kind: Kind = "percentile" if self.pooled else "centred"
        # ``bootstrap`` asks for the value of all slides once, and for those of the draws: both are known
        return bootstrap(
            lambda counts: draws if len(counts) > 1 else np.array([self.value]),
            np.empty((len(draws), slides)),
            kind=kind,
        )


def common_ground(comparison: Comparison, values: Sequence[Value], resamples: int, seed: int) -> Ground:
    """Read the tables of all rows that were measured on the comparison's images.

    Raises RunError where none can be used.
    """
    ids = pd.Index([pair.id for pair in comparison.typical.pairs])
    tables: dict[Path, pd.DataFrame] = {}
    order: dict[Path, NDArray[np.intp]] = {}
    pooled: dict[Path, dict[str, Pooled]] = {}
    left_out: dict[str, str] = {}
    slides, names = None, pd.Series()
    for row in comparison.rows:
        folders = [run.summary.parent for run in row.runs]
        try:
            if not comparison.same_data(row):
                raise RunError("measured on other images")
            for folder in folders:
                table = read_table(folder)
                order[folder] = _places(table, ids, folder)
                tables[folder] = table.iloc[order[folder]]
            if slides is None:
                names = tables[folders[0]]["slide"]
                slides = group(names, warn=lambda text: None)  # the caution is kept in it
            for folder in folders:
                if not tables[folder]["slide"].equals(names):
                    raise RunError(f"{folder}: its table has other slides than other rows' tables; evaluate again")
                pooled[folder] = table_statistics(tables[folder], values, slides)
        except RunError as error:
            left_out[row.title] = str(error)
        except KeyError as error:
            left_out[row.title] = f"{folder}: its per-image table has no column {brief(error.args[0])}; evaluate again"
    if slides is None:
        raise RunError("; ".join(f"{title}: {why}" for title, why in left_out.items()))
    counts, swaps = resample_counts(slides.count, resamples, seed), draw_swaps(slides.count, resamples, seed)
    return Ground(slides, counts, swaps, tables, pooled, order, left_out)


def counted(row: Row, value: str) -> list[EvaluatedRun]:
    """The runs whose value is in the row's number: those that have it, by the protocol of the row's cell."""
    protocol = row.cell(value).protocol
    readings = [(run, run.values[value]) for run in row.runs if value in run.values]
    return [run for run, reading in readings if reading.value is not None and reading.protocol == protocol]


def draw(row: Row, value: Value, ground: Ground) -> Drawn:
    """A row's value in all resamples; the row has the value, and is not left out.

    Raises RunError where the value does not follow from the row's files.
    """
    runs = counted(row, value.name)
    if all(value.name in ground.pooled[run.summary.parent] for run in runs):
        pooled = tuple(ground.pooled[run.summary.parent][value.name] for run in runs)
        own = [one(np.ones((1, ground.slides.count)))[0] for one in pooled]
        for run, own_value in zip(runs, own, strict=True):
            if not np.isclose(own_value, float(run.values[value.name].value or 0.0), rtol=SAME, atol=SAME * SAME):
                raise RunError(f"{run.summary.parent}: its table and its summary differ; evaluate again")
        return Drawn(row, tuple(runs), float(np.mean(own)), np.stack([one(ground.counts) for one in pooled]), pooled)
    return Drawn(row, tuple(runs), float(row.cell(value.name).mean or 0.0), _of_features(runs, value, ground), ())


def exchange(first: Drawn, second: Drawn, value: Value, ground: Ground) -> float:
    """p of the difference of two rows, both drawn; of their distances from zero where that is best.

    NaN where it does not exist, as that of infinite values.

    Raises RunError where the tables are not of the same real images.
    """
    try:
        if first.pooled and second.pooled:
            pairs = matched(first.pooled, second.pooled)
            one, other = (judged(averaged(trainings), value) for trainings in zip(*pairs, strict=True))
        else:
            runs = [(ground.features(a), ground.features(b)) for a, b in matched(first.runs, second.runs)]
            scores = [DISTANCES[value.name].scores_of(a, b) for a, b in runs]
            means = (mean(np.mean(part, axis=0), ground.slides) for part in zip(*scores, strict=True))
            one, other = (judged(part, value) for part in means)
        return swap_test(one, other, ground.swaps)
    except ValueError:
        raise RunError("the tables differ on the same real images; evaluate all again") from None


def _of_features(runs: Sequence[EvaluatedRun], value: Value, ground: Ground) -> Array:
    """A distance of features in resamples, (K, R), with the value as its mean: repeated images make it larger."""
    distance = DISTANCES.get(value.name)
    if distance is None:
        lacking = value.column is not None
        raise RunError(f"per_image.csv has no column {value.column}" if lacking else reason_without(value))
    draws = []
    for run in runs:
        features = ground.features(run)
        if absence := distance.absence(features):
            raise RunError(absence)
        own = float(run.values[value.name].value or 0.0)
        statistic = distance.of(features, ground.slides)
        found = statistic(np.ones((1, ground.slides.count)))[0]
        if not distance.sampled and not np.isclose(found, own, rtol=ALMOST, atol=1e-3):
            raise RunError(f"{run.summary.parent}: its features and its summary differ; evaluate again")
        moves = statistic(ground.counts[: distance.resamples])
        draws.append(own + moves - np.nanmean(moves))
    return np.stack(draws)


def _places(table: pd.DataFrame, ids: pd.Index, folder: Path) -> NDArray[np.intp]:
    """Where the images stand in a table that holds these and no other."""
    if table.index.is_unique and len(table) == len(ids):
        places = table.index.get_indexer(ids)
        if (places >= 0).all():
            return places
    raise RunError(f"{folder}: its table lists other images than its summary; evaluate again")
