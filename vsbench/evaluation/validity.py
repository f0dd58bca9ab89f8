"""Do metrics follow the true error? The true IHC is degraded in known ways, and judged as a method's images would be.

Only a data set that can stain its tissue anew, and knows the true IHC, can tell: the phantom.
"""

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.stats import rankdata

from vsbench import __version__, registry
from vsbench.benchmark import BENCHMARK
from vsbench.bounds import SEED, require_whole
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair, pairs_digest
from vsbench.data.root import cache_folder
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.degrade import DEGRADATIONS, GRADES, Case, settings
from vsbench.evaluation.group import SPLIT
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.onepass import Maker, Measured, measure, set_values
from vsbench.markers import marker
from vsbench.metric import Absent, Image, Metric, Value, penalty

YARDSTICK = "truth_dab_mae"
TRUE_ERROR = "true_error"  # beside the names of the degradations: what a value is compared with
UNDEGRADED = ("none", 0)
CONSTANT = "the value does not change"  # as a reason for no correlation
SAME = 1e-9  # relative; a value that moves less does not move: networks and matrix roots round

Count = Callable[[str, int, int], None]  # (what, done, of how many)
Set = tuple[str, int]  # (degradation, grade): the images of one of them


@dataclass(frozen=True)
class ValidityStudy:
    """What to study. ``options`` are the data set's; ``seed`` is that of the degradations."""

    dataset: str
    stain: str
    options: dict[str, Any] = field(default_factory=dict)
    data_root: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("--seed", self.seed, 0, SEED)
        object.__setattr__(self, "stain", marker(self.stain))  # one marker, one name


@dataclass(frozen=True)
class Validity:
    """What came out.

    ``sets``: a line per degradation, grade and value: ``level``, ``value`` (NaN if absent), ``reason``.
    ``tracking``: a line per value (``metric``) and what it is compared with (``against``: TRUE_ERROR over all sets, or
    a degradation over its grades): ``rho``, Spearman's rank correlation, + where the value gets worse with it;
    ``change``, how much worse the value gets from grade 0 to the last, as a share of its range over all sets;
    ``reason``, why there is no ``rho``. ``per_image``: all columns of all images by degradation, grade and id.
    ``record``: how it was done.
    """

    values: dict[str, Value]
    sets: pd.DataFrame
    tracking: pd.DataFrame
    per_image: pd.DataFrame
    record: dict[str, Any]


def study_validity(study: ValidityStudy, instrument: Instrument, count: Count | None = None) -> Validity:
    """Degrade, measure and correlate. Deterministic by the study.

    Raises UsageError for a data set that cannot stain its tissue anew, DataError as an evaluation does.
    """
    source = registry.load("vsbench.datasets", study.dataset).from_options(study.options)
    if not hasattr(source, "specimen"):
        raise UsageError(f"{study.dataset}: can't stain its tissue anew, so nothing is known of it; take phantom")
    root = study.data_root if study.data_root is not None else cache_folder()
    pairs = [
        replace(pair, labels={**pair.labels, "stain": study.stain}) for pair in source.pairs(root, study.stain, SPLIT)
    ]
    tell = count or (lambda what, done, total: None)
    with tempfile.TemporaryDirectory(prefix="vsbench-validity-") as folder:
        images = Path(folder)
        for done, pair in enumerate(pairs, start=1):
            render_sets(Case(source.specimen(study.stain, pair.id), _truth(pair), study.seed, pair.id), images)
            tell("degrading", done, len(pairs))
        measured = _measure_sets(pairs, images, instrument.metrics, tell)
    # counts of images are caveats, not scores
    values = {value.name: value for metric in instrument.all for value in metric.values if value.unit != "images"}
    missing = {value.name: reason for _, metric, reason in instrument.absent for value in metric.values}
    absent: dict[str, float | Absent] = {name: Absent(reason) for name, reason in missing.items()}
    sets = sets_table({key: set_values(instrument.metrics, row) | absent for key, row in measured.items()}, values)
    per_image = pd.concat({key: row.table for key, row in measured.items()}, names=["degradation", "grade"])
    record = {
        "schema": 1,
        "dataset": study.dataset,
        "dataset_options": source.config.model_dump(mode="json"),
        "stain": study.stain,
        "split": SPLIT,
        "n": len(pairs),
        "n_slides": len({pair.slide for pair in pairs}),
        "sizes": sorted({f"{h}x{w}" for h, w in zip(per_image["height"], per_image["width"], strict=True)}),
        "data_digest": pairs_digest(pairs),
        "seed": study.seed,
        "yardstick": {"value": YARDSTICK, "protocol": values[YARDSTICK].protocol},
        "degradations": settings(),
        "protocols": {name: value.protocol for name, value in values.items()},
        "provenance": instrument.provenance,
        "absent": {name: reason for name, reason in missing.items() if name in values},
        "warnings": [*source.warnings, *instrument.broken],
        "vsbench": __version__,
        "benchmark": BENCHMARK,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return Validity(values, sets, tracking(sets, values), per_image, record)


def all_sets() -> dict[Set, float]:
    """The level of each set: first the undegraded one (NaN), then degradation by degradation."""
    graded = {(d.name, grade): level for d in DEGRADATIONS for grade, level in enumerate(d.levels, start=1)}
    return {UNDEGRADED: np.nan, **graded}


def render_sets(case: Case, folder: Path) -> None:
    """Write the images of all degradations and grades into ``folder``."""
    for degradation in DEGRADATIONS:
        for grade, level in enumerate(degradation.levels, start=1):
            path = _file(folder, (degradation.name, grade), case.id)
            path.parent.mkdir(exist_ok=True)
            Picture.fromarray(degradation.apply(case, level)).save(path, compress_level=1)


def _measure_sets(
    pairs: Sequence[Pair], images: Path, metrics: Mapping[str, Metric], tell: Count
) -> dict[Set, Measured]:
    """The generated images of all sets in one pass; and the true IHC against each degraded reference."""
    makers: dict[Set, Maker] = {UNDEGRADED: lambda pair, he, real: _truth(pair)}
    others: list[Set] = []
    for degradation in DEGRADATIONS:
        found = [(degradation.name, grade) for grade in range(1, GRADES + 1)]
        if degradation.of_reference:
            others += found
        else:
            makers |= {key: _reader(images, key) for key in found}
    total = len(pairs) * (len(makers) + len(others))
    measured: dict[Set, Measured] = {}

    def judge(judged: Sequence[Pair], rows: Mapping[Set, Maker]) -> None:
        before = len(pairs) * len(measured)
        found = measure(
            judged,
            {_name(key): make for key, make in rows.items()},
            metrics,
            done=lambda done: tell("measuring", before + done, total),
        )
        for key in rows:
            measured[key] = _found(found[_name(key)])

    judge(pairs, makers)
    for key in others:
        judge([replace(pair, ihc=_file(images, key, pair.id)) for pair in pairs], {key: makers[UNDEGRADED]})
    return {key: measured[key] for key in all_sets()}


def sets_table(found: Mapping[Set, Mapping[str, float | Absent]], values: Mapping[str, Value]) -> pd.DataFrame:
    """The lines of ``Validity.sets``."""
    lines = []
    for key, level in all_sets().items():
        for name in values:
            value = found[key][name]
            number, reason = (np.nan, value.reason) if isinstance(value, Absent) else (value, "")
            lines.append((*key, level, name, number, reason))
    return pd.DataFrame(lines, columns=["degradation", "grade", "level", "metric", "value", "reason"])


def tracking(sets: pd.DataFrame, values: Mapping[str, Value]) -> pd.DataFrame:
    """The lines of ``Validity.tracking`` from those of ``sets``."""
    truth = sets[sets["metric"] == YARDSTICK].set_index(["degradation", "grade"])["value"]
    lines: list[dict[str, object]] = []
    for name, value in values.items():
        of_value = sets[sets["metric"] == name].set_index(["degradation", "grade"])
        head = {"metric": name, "protocol": value.protocol, "best": value.best}
        lines += [head | line for line in _lines(of_value, value, truth)]
    return pd.DataFrame(lines)


def _lines(of_value: pd.DataFrame, value: Value, truth: pd.Series) -> Iterator[dict[str, object]]:
    worse = penalty(of_value["value"], value.best)
    extent = float(worse.max() - worse.min())
    reason = _absence(of_value)
    yield {"against": TRUE_ERROR, "sets": len(worse), **_rho(worse, truth, reason), "change": np.nan}
    for degradation in DEGRADATIONS:
        ladder = [UNDEGRADED, *((degradation.name, grade) for grade in range(1, GRADES + 1))]
        steps = worse.loc[ladder]
        moves = np.isfinite(extent) and extent > 0
        change = float(steps.iloc[-1] - steps.iloc[0]) / extent if moves else np.nan
        grades = pd.Series(range(GRADES + 1), index=steps.index, dtype=float)
        yield {"against": degradation.name, "sets": len(ladder), **_rho(steps, grades, reason), "change": change}


def _rho(worse: pd.Series, target: pd.Series, reason: str) -> dict[str, object]:
    if not reason:
        for why, series in (("the true error does not change", target), (CONSTANT, worse)):
            if is_constant(series.to_numpy(dtype=np.float64)):
                reason = why
    if reason:
        return {"rho": np.nan, "reason": reason}
    return {"rho": rank_correlation(worse.to_numpy(np.float64), target.to_numpy(np.float64)), "reason": ""}


def is_constant(series: NDArray[np.float64]) -> bool:
    """Whether (N,) numbers are equal but for rounding."""
    if not np.isfinite(series).all():
        return bool(np.all(series == series[0]))
    return bool(np.ptp(series) <= SAME * np.abs(series).max())


def rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Spearman's ρ of two (N,) series, in [−1, 1]; ties share their mean rank. NaN where one is constant."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return float("nan")
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def _absence(of_value: pd.DataFrame) -> str:
    """Why a value is not there in all sets; empty if it is."""
    gone = of_value[of_value["value"].isna()]
    if gone.empty:
        return ""
    where = "" if len(gone) == len(of_value) else f" (in {len(gone)} of {len(of_value)} sets)"
    return f"{gone['reason'].iloc[0]}{where}"


def _reader(images: Path, key: Set) -> Maker:
    def read(pair: Pair, he: Image, real: Image) -> Image:
        image: Image = read_rgb(_file(images, key, pair.id))
        return image

    return read


def _truth(pair: Pair) -> Image:
    if pair.truth is None:
        raise DataError(f"{pair.he}: its true IHC is not known; take a data set that has it")
    return read_rgb(pair.truth)


def _found(row: Measured | DataError) -> Measured:
    if isinstance(row, DataError):
        raise row
    return row


def _file(folder: Path, key: Set, name: str) -> Path:
    return folder / _name(key) / f"{name}.png"


def _name(key: Set) -> str:
    return f"{key[0]}-{key[1]}"
