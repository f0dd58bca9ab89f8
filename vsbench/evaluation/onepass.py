"""One pass over the images: each is decoded once and feeds all metrics; what follows from the real ones is shared.

Pairs come in chunks, and within a chunk one row (method) after the other. Threads decode and measure what is
measured image by image; networks see the chunk as a batch meanwhile. Memory is flat in the number of images but for
table and features.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench import ranks
from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.nuclei import read_nuclei
from vsbench.data.pairs import Pair
from vsbench.data.seams import Seams
from vsbench.data.true_cells import read_true_cells
from vsbench.errors import DataError
from vsbench.evaluation.given import CHANGES, Columns, Form, across, alone, form_of, reason_of
from vsbench.evaluation.sizes import CommonSize
from vsbench.metric import Absent, Image, Metric, Sample, Which, declared_columns, require_distinct
from vsbench.stain.nuclei_outlined import Nuclei, nuclei_of

CHUNK = 8  # pairs in memory at once, and the batch that networks see
THREADS = 2  # decoding and most arithmetic release the interpreter lock
OF_THE_ENGINE = ("id", "slide", "height", "width")  # columns that no metric may give

Maker = Callable[[Pair, Image, Image], Image]  # (pair, H&E, real IHC) → the image to be judged
FindSeams = Callable[[Pair], Seams | None]  # where the image to be judged was stitched
OnBad = Literal["stop", "skip"]
Features = dict[str, NDArray[np.float32]]
T = TypeVar("T")


@dataclass(frozen=True)
class Beside:
    """What is known of a row's images besides their pixels. ``nuclei``: pair id → file of those outlined elsewhere."""

    seams: FindSeams | None = None
    nuclei: Mapping[str, Path] = field(default_factory=dict)


NOTHING = Beside()


class Known(Protocol):
    """What is known of the real images from earlier evaluations."""

    def give(self, pair: Pair, sample: Sample) -> None:
        """Put what is known into ``sample.features("real")``."""

    def take(self, pair: Pair, sample: Sample) -> None:
        """Keep what has been worked out."""


@dataclass(frozen=True)
class Measured:
    """The per-image table of a row (index id; slide, height, width, then the metrics' columns) and its features.

    Both in the order of the pairs. ``skipped``: pair id → what was wrong, of the pairs that are not in it. ``failed``:
    metric → what was wrong with it; nothing it gave is in table or features.
    """

    table: pd.DataFrame
    features: Features
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Absent):
    """A value whose metric failed, which says nothing of the images: another time it may be there."""


def measure(
    pairs: Sequence[Pair],
    makers: Mapping[str, Maker],
    metrics: Mapping[str, Metric],
    on_bad: OnBad = "stop",
    known: Known | None = None,
    done: Callable[[int], None] | None = None,
    size: CommonSize | None = None,
    beside: Mapping[str, Beside] | None = None,
) -> dict[str, Measured | DataError]:
    """Measure several rows on the same pairs; ``done`` is told the number of images measured so far. With ``size`` all
    images are measured at that size, real and generated; makers are given the real ones as they are stored. ``beside``:
    what is known of a row's images, by row.

    A bad generated image (unreadable, of another size) ends its own row, whose result is then the error, or is skipped
    in it. A bad real image ends all: raises DataError; or it is skipped in all rows. A metric that raises anything
    else, or breaks its contract, ends its own values in that row only. Images are read-only for makers and metrics.
    Of several ranks each measures every R-th chunk, and all get the results.

    Raises UsageError, before an image is read, where two metrics declare the same value or column.
    """
    require_distinct(metrics)
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    mine = chunks[ranks.rank() :: ranks.ranks()]
    part = _measure(mine, makers, metrics, on_bad, known, done, size, beside or {})
    parts = ranks.collect(part)
    for other in parts:
        if other.error is not None:
            raise other.error
    order = {pair.id: place for place, pair in enumerate(pairs)}
    return {name: _joined([other.rows[name] for other in parts], order, metrics) for name in makers}


def set_values(metrics: Mapping[str, Metric], measured: Measured) -> dict[str, float | Absent]:
    """All set values by name; those of a metric that failed are Failed and say why; NaN without a reason is Absent."""
    values: dict[str, float | Absent] = {}
    for name, metric in metrics.items():
        failure = measured.failed.get(name)
        if failure is None:
            try:
                values |= _finished(metric, measured)
            except DataError:
                raise
            except Exception as error:  # a plug-in may raise anything
                failure = reason_of(error)
        if failure is not None:
            values |= {value.name: Failed(f"{name} failed: {failure}") for value in metric.values}
    return values


def _finished(metric: Metric, measured: Measured) -> dict[str, float | Absent]:
    """The values of one metric. Raises TypeError where they are not those that it declares, or no numbers."""
    finished = metric.finish(measured.table.copy(), dict(measured.features))  # what it changes is its own
    declared = [value.name for value in metric.values]
    if sorted(finished) != sorted(declared):
        raise TypeError(f"declares {declared} and returned {list(finished)}")
    values: dict[str, float | Absent] = {}
    for key in declared:
        value = finished[key]
        if not isinstance(value, Absent | Real):
            raise TypeError(f"{key} is a {type(value).__name__}, neither a number nor Absent")
        undefined = not isinstance(value, Absent) and np.isnan(value)
        values[key] = Absent("undefined on these images") if undefined else value
    return values


class _Source:
    """The real images of a pair, read when the first row needs them."""

    def __init__(self, pair: Pair, known: Known | None, size: CommonSize | None) -> None:
        self.pair, self.known, self.size = pair, known, size
        self.lock = Lock()
        self.stored: Sample | None = None
        self.base: Sample | None = None  # the same at the size at which it is measured
        self.error: DataError | None = None

    def sample(self, make: Maker, beside: Beside) -> Sample:
        """The pair with a row's image. Raises DataError; ``error`` is set where it is the real images' fault."""
        with self.lock:
            if self.base is None and self.error is None:
                try:
                    self.stored = read_pair(self.pair)
                    self.base = self.stored if self.size is None else _at(self.size, self.pair, self.stored)
                except DataError as error:
                    self.error = error
                else:
                    if self.known is not None:
                        self.known.give(self.pair, self.base)
        if self.stored is None or self.base is None:
            raise self.error or AssertionError("neither read nor failed")
        fake = make(self.pair, self.stored.he, self.stored.real)
        if fake is self.stored.he or fake is self.stored.real:  # a reference row: nothing new
            fake = self.base.he if fake is self.stored.he else self.base.real
        elif self.size is not None:
            fake = self.size.bring(self.pair.ihc, fake)  # of the real size, or brought there already
        seams = None if beside.seams is None else beside.seams(self.pair)
        file = beside.nuclei.get(self.pair.id)
        nuclei = None if file is None else _outlined(file, self.pair.ihc, self.base.real)
        return self.base.judging(_read_only(fake), seams, nuclei)


def _at(size: CommonSize, pair: Pair, stored: Sample) -> Sample:
    """A pair at the common size, read-only. Raises DataError where that would change its aspect ratio."""
    he, real = (_read_only(size.bring(*one)) for one in ((pair.he, stored.he), (pair.ihc, stored.real)))
    truth = None
    if pair.truth is not None and stored.truth is not None:
        truth = _read_only(size.bring(pair.truth, stored.truth))
    pixel_size = pair.pixel_size and pair.pixel_size * stored.real.shape[0] / real.shape[0]
    return Sample(pair.id, he, real, he, truth, pair.labels, pixel_size=pixel_size)


def _read_only(image: Image) -> Image:
    """The same image, or a view of it: nobody may write into what others see. One that is read-only stays itself."""
    if image.flags.writeable:
        image = image.view()
        image.flags.writeable = False
    return image


def read_pair(pair: Pair) -> Sample:
    """Decode the real images of a pair, read-only; the H&E stands for the generated one.

    Raises DataError naming a bad file, or two whose sizes differ.
    """
    images = {path: _read_only(read_rgb(path)) for path in (pair.he, pair.ihc, pair.truth) if path is not None}
    require_equal_sizes(images)
    he, real = images[pair.he], images[pair.ihc]
    truth = images[pair.truth] if pair.truth is not None else None
    cells = read_true_cells(pair.cells, he[..., 0].size) if pair.cells is not None else None
    nuclei: dict[Which, Nuclei] = {}
    if "real" in pair.nuclei:
        nuclei["real"] = _outlined(pair.nuclei["real"], pair.ihc, real)
    if "he" in pair.nuclei:
        nuclei["he"] = _outlined(pair.nuclei["he"], pair.he, he)
    return Sample(pair.id, he, real, he, truth, pair.labels, cells, nuclei=nuclei, pixel_size=pair.pixel_size)


def _outlined(file: Path, image: Path, pixels: Image) -> Nuclei:
    """The nuclei in a file, of an image of these pixels. Raises DataError."""
    return nuclei_of(read_nuclei(file, image, (pixels.shape[0], pixels.shape[1])))


Alone = dict[str, Columns | Exception]  # by metric
Good = tuple[_Source, Sample, Alone]
Job = tuple[_Source, "Future[tuple[Sample, Alone]]"]


@dataclass
class _Row:
    """What is measured of a row so far."""

    table: list[dict[str, object]] = field(default_factory=list)
    features: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    forms: dict[str, Form] = field(default_factory=dict)
    error: DataError | None = None


@dataclass
class _Part:
    """What one rank has measured."""

    rows: dict[str, _Row]
    error: DataError | None = None


def _measure(
    chunks: Sequence[Sequence[Pair]],
    makers: Mapping[str, Maker],
    metrics: Mapping[str, Metric],
    on_bad: OnBad,
    known: Known | None,
    done: Callable[[int], None] | None,
    size: CommonSize | None,
    beside: Mapping[str, Beside],
) -> _Part:
    part = _Part({name: _Row() for name in makers})
    alone = {name: metric for name, metric in metrics.items() if metric.measures_alone}
    count = 0
    with ThreadPoolExecutor(THREADS) as pool:

        def submitted() -> Iterator[tuple[_Row, list[Job]]]:
            for chunk in chunks:
                sources = [_Source(pair, known, size) for pair in chunk]
                for name, make in makers.items():
                    if part.rows[name].error is None:
                        job = (make, beside.get(name, NOTHING), alone)
                        yield part.rows[name], [(s, pool.submit(_measure_alone, s, *job)) for s in sources]

        for row, jobs in _one_ahead(submitted()):
            try:
                batch = _results(jobs, row, on_bad)
            except DataError as error:
                part.error = error
                pool.shutdown(wait=True, cancel_futures=True)
                break
            if row.error is None and batch:
                _measure_together(batch, metrics, row, on_bad)
            if known is not None:
                for source, sample, _ in batch:
                    known.take(source.pair, sample)
            count += len(jobs)
            if done is not None:
                done(count)
    return part


def _one_ahead(tasks: Iterator[T]) -> Iterator[T]:
    """The same; but when one is given out, the next is already under way."""
    current = next(tasks, None)
    while current is not None:
        following = next(tasks, None)
        yield current
        current = following


def _measure_alone(source: _Source, make: Maker, beside: Beside, metrics: Mapping[str, Metric]) -> tuple[Sample, Alone]:
    """Decode, and measure what needs no batch; runs in a thread. Raises DataError."""
    sample = source.sample(make, beside)
    found: Alone = {}
    for name, metric in metrics.items():
        try:
            found[name] = metric.per_image(sample)
        except DataError:
            raise
        except Exception as error:  # a plug-in may raise anything
            found[name] = error
    return sample, found


def _results(jobs: Sequence[Job], row: _Row, on_bad: OnBad) -> list[Good]:
    """Those images of a row that were measured; its error or skipped images are noted. Raises a real image's error."""
    good: list[Good] = []
    for source, future in jobs:
        try:
            good.append((source, *future.result()))
        except DataError as error:
            if on_bad == "skip":
                row.skipped[source.pair.id] = str(error)
            elif source.error is not None:
                raise source.error from None
            elif row.error is None:
                row.error = error
    return good


def _measure_together(batch: list[Good], metrics: Mapping[str, Metric], row: _Row, on_bad: OnBad) -> None:
    """Measure what sees a batch, and add the batch to the row: of each metric what is in order."""
    samples = [sample for _, sample, _ in batch]
    rows: list[dict[str, object]] = [
        {"id": s.id, "slide": source.pair.slide, "height": s.real.shape[0], "width": s.real.shape[1]}
        for source, s, _ in batch
    ]
    features: dict[str, NDArray[np.float32]] = {}
    owners = dict.fromkeys(OF_THE_ENGINE, "the engine") | declared_columns(metrics)
    try:
        for name, metric in metrics.items():
            if name in row.failed:
                continue
            try:
                update = (
                    alone([found[name] for *_, found in batch]) if metric.measures_alone else metric.update(samples)
                )
                form = form_of(update, len(batch))
                for column in form:
                    if owners.setdefault(column, name) != name:
                        raise TypeError(f"gives {column}, which belongs to {owners[column]}")
                if row.forms.setdefault(name, form) != form:
                    raise TypeError(CHANGES)
            except DataError:
                raise
            except Exception as error:  # a plug-in may raise anything
                row.failed[name] = reason_of(error)
                continue
            for column, numbers in update.columns.items():
                for entry, number in zip(rows, numbers, strict=True):
                    entry[column] = number
            features |= update.features
    except DataError as error:
        if on_bad == "stop":
            row.error = error
        elif len(batch) == 1:
            row.skipped[samples[0].id] = str(error)
        else:
            for one in batch:
                _measure_together([one], metrics, row, on_bad)
        return
    row.table += rows
    for name, array in features.items():
        row.features.setdefault(name, []).append(array)


def _joined(parts: Sequence[_Row], order: Mapping[str, int], metrics: Mapping[str, Metric]) -> Measured | DataError:
    """One row of all ranks, in the order of the pairs, with what takes all its images."""
    for part in parts:
        if part.error is not None:
            return part.error
    skipped = {name: why for part in parts for name, why in part.skipped.items()}
    rows = [entry for part in parts for entry in part.table]
    if not rows:
        return DataError(f"no image is left: {next(iter(skipped.values()))}")
    failed: dict[str, str] = {}
    forms: dict[str, Form] = {}
    for part in parts:
        for name, form in part.forms.items():
            if forms.setdefault(name, form) != form:
                failed[name] = CHANGES
        failed |= part.failed
    table = pd.DataFrame(rows).set_index("id")
    gone = {column for name in failed for column in forms.get(name, {})}
    features = {  # of a metric that failed later on there are some
        name: np.concatenate([array for part in parts for array in part.features.get(name, [])])
        for name in next(part.features for part in parts if part.table)
        if f"features {name}" not in gone
    }
    places = np.argsort([order[name] for name in table.index])
    table, features = table.iloc[places], {name: array[places] for name, array in features.items()}
    for array in features.values():
        array.flags.writeable = False
    for name, metric in metrics.items():
        if name not in failed:
            try:
                table = table.assign(**across(metric, table, features))
            except DataError:
                raise
            except Exception as error:  # a plug-in may raise anything
                failed[name] = reason_of(error)
    gone = {column for name in failed for column in forms.get(name, {})}
    features = {n: a for n, a in features.items() if not n.startswith("_") and f"features {n}" not in gone}
    in_order = dict(sorted(skipped.items(), key=lambda item: order[item[0]]))
    return Measured(table.drop(columns=list(gone), errors="ignore"), features, in_order, failed)
