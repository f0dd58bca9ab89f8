"""The metric contract: one file measures one family, from images that were decoded once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.data.seams import Seams
from vsbench.data.true_cells import TrueCells
from vsbench.errors import UsageError
from vsbench.stain.nuclei_outlined import Nuclei

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Which = Literal["fake", "real", "he", "truth"]
SIDES: Mapping[str, Which] = {"": "fake", "_real": "real"}  # end of a column's name → the image it is of
Best = Literal["low", "high", "zero"]  # which end of a value is best; "zero": a value with a sign, best nearest to 0
GIVEN_NUCLEI = "nuclei of the real images"  # in what numbers rest on: those outlined elsewhere
T = TypeVar("T")
Numbers = TypeVar("Numbers", float, NDArray[np.float64], pd.Series)


@dataclass(frozen=True, eq=False)
class Sample:
    """One test pair: the generated image, the adjacent section's real IHC, the H&E, and the true IHC where known.

    All are (H, W, 3) uint8 RGB of one size, and read-only: others see them too.
    ``labels``: what the data set says of the pair (a category, a score). ``cells``: where the true IHC's cells are, and
    which are positive, where that is known. ``seams``: where the generated image was stitched, where it is known to be.
    ``nuclei``: outlined elsewhere, by image, where they are given. ``pixel_size``: µm a pixel, where it is known.

    What several metrics work out from one image is worked out once: ``once`` and ``features``. Samples made by
    ``judging`` share what is known of their real images, so that these cost nothing for a second method.
    """

    id: str
    fake: Image
    real: Image
    he: Image
    truth: Image | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    cells: TrueCells | None = None
    seams: Seams | None = None
    nuclei: Mapping[Which, Nuclei] = field(default_factory=dict)
    pixel_size: float | None = None
    _of_fake: "_Known" = field(init=False, repr=False, default_factory=lambda: _Known())
    _of_real: "dict[str, _Known]" = field(init=False, repr=False, default_factory=dict)

    def judging(self, fake: Image, seams: Seams | None = None, nuclei: Nuclei | None = None) -> "Sample":
        """The same pair with another generated image, its seams, and its nuclei where they are given."""
        given: dict[Which, Nuclei] = {which: own for which, own in self.nuclei.items() if which != "fake"}
        if fake is self.real or fake is self.he:
            nuclei = given.get("real" if fake is self.real else "he")
        if nuclei is not None:
            given["fake"] = nuclei
        other = replace(self, fake=fake, seams=seams, nuclei=given)
        object.__setattr__(other, "_of_real", self._of_real)
        return other

    def once(self, which: Which, compute: Callable[[Any], T], of: Callable[[Image], Any] | None = None) -> T:
        """``compute(image)``, kept as long as the sample: give a function of a module, and never change its result.

        Where it takes what another function makes of the image, ``of``, that is kept, too, and shared with others.
        Raises ValueError where the truth is asked for and not known.
        """
        made = None if of is None else self.once(which, of)
        known = self._known(which)
        with known.lock:  # the next row may be at the same real image in another thread
            if compute not in known.results:
                image: Image | None = getattr(self, which)
                if image is None:
                    raise ValueError(f"{self.id}: no {which} image is known for it")
                known.results[compute] = compute(image if of is None else made)
            return known.results[compute]

    def features(self, which: Which) -> dict[str, NDArray[np.float32]]:
        """Feature vectors (D,) of an image by protocol, for metrics to look up and to add to.

        Those of ``real`` are stored by the engine beyond the evaluation, but for protocols that begin with "_": they
        must follow from image and protocol alone.
        """
        return self._known(which).features

    def _known(self, which: Which) -> "_Known":
        if which == "fake":
            if self.fake is not self.real and self.fake is not self.he:
                return self._of_fake
            which = "real" if self.fake is self.real else "he"  # a reference row: nothing new
        return self._of_real.setdefault(which, _Known())


@dataclass(eq=False)
class _Known:
    """What has been worked out from one image."""

    lock: Lock = field(default_factory=Lock)
    results: dict[Callable[[Any], Any], Any] = field(default_factory=dict)
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """A set value: its column name everywhere (CSV, JSON, LaTeX key), and how to read it."""

    name: str
    label: str  # as a table heading, in LaTeX: r"$R_p$"
    unit: str  # "%", "OD", "dB", "1" for a pure number
    best: Best
    formula: str
    protocol: str  # "r_p/iod-fiji": numbers compare only within one protocol
    column: str | None = None  # the per-image column it is the mean of, if it is
    is_share: bool = False  # of things that are counted: 0 is a share of them, where 0 for a correlation is none
    family: str | None = None  # the value that stands for its quantity where methods are tested; None: it does itself


def penalty(numbers: Numbers, best: Best) -> Numbers:
    """A value turned so that less is always better: itself, negated, or how far it is from zero."""
    if best == "zero":
        return abs(numbers)
    return numbers if best == "low" else -numbers


@dataclass(frozen=True)
class Absent:
    """A value that does not exist for these images, or that could not be computed, and why."""

    reason: str


@dataclass(frozen=True)
class Update:
    """What a batch of n samples gives: per-image columns (n numbers each), and features for set metrics (n, D).

    Features whose name begins with "_" are for ``Metric.across`` alone, and gone when that is done.
    """

    columns: dict[str, list[float]]
    features: dict[str, NDArray[np.float32]]


class Metric(ABC):
    """A family of values measured together.

    Set values that can be derived from the per-image table are derived from it, so that they can be bootstrapped
    without touching an image again.
    """

    values: tuple[Value, ...]  # of the class; ``use_random_weights`` gives an object its own
    needs: ClassVar[tuple[str, ...]] = ()  # keys of ``vsbench.weights.MANIFEST``
    needs_truth: ClassVar[bool] = False  # True: exists only where the true IHC is known
    needs_cells: ClassVar[bool] = False  # True: exists only where the cells of the true IHC are known
    needs_training: ClassVar[bool] = False  # True: ``learn`` is called before the images of a data set are measured
    takes_nuclei: ClassVar[bool] = False  # True: it can measure with nuclei outlined elsewhere
    on_request: ClassVar[bool] = False  # True: slow, and of interest to few; measured where it is asked for by name
    min_side: ClassVar[int] = 1  # pixels; an image with a shorter side has none of the values
    device: str = "cpu"  # where a metric with a network runs it
    random_seed: int | None = None  # not None: its networks have random weights of this seed

    def unavailable(self) -> str | None:
        """Why this metric can't be computed here (weights or a package missing, and the mend); None if it can."""
        return None

    def choose(self, choice: str | None) -> None:
        """Measure by what the user named with the family, ``--also FAMILY=CHOICE``; None where nothing was named.

        Raises UsageError for what can't be chosen.
        """
        if choice is not None:
            raise UsageError("there is nothing to choose in this family; give its name alone")

    def use_random_weights(self, seed: int) -> None:
        """Networks get weights drawn with this seed instead of the published ones: for tests, and to measure speed.

        From here on the protocol of every value says so. A metric without weights stays as it is.
        """
        if self.needs:
            self.random_seed = seed
            declared = type(self).values
            self.values = tuple(replace(v, protocol=f"{v.protocol}@random:{seed}") for v in declared)

    def learn(self, training: Iterable[Sequence[Sample]], none_because: str = "") -> None:
        """Learn from the training split, if ``needs_training``; what was learnt before is forgotten.

        ``training``: pairs of slides that are not in the test split, some at a time; the real IHC stands for all their
        images. ``none_because``: why there are none.
        """
        raise TypeError(f"{type(self).__name__} learns nothing")

    def use_nuclei(self, digest: str) -> None:
        """From here on nuclei are those that samples are given, of a metric that ``takes_nuclei``. Protocols say which,
        by this digest of those of the real images.
        """
        raise TypeError(f"{type(self).__name__} takes no nuclei")

    def provenance(self) -> dict[str, str]:
        """What the numbers rest on besides the images: SHA-256 of weights by name, versions of packages by name."""
        return {}

    @property
    def measures_alone(self) -> bool:
        """Whether ``per_image`` is all there is: then images are measured in threads, as they are decoded."""
        return type(self).update is Metric.update

    def update(self, samples: Sequence[Sample]) -> Update:
        """Measure a batch. The default calls ``per_image`` on each; metrics with networks override it."""
        rows = [self.per_image(sample) for sample in samples]
        return Update({name: [row[name] for row in rows] for name in rows[0]}, {})

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The columns of one pair. NaN where a number does not exist (a constant image has no correlation), never 0."""
        raise TypeError(f"{type(self).__name__} measures in batches, not {sample.id} alone: call update()")

    def across(
        self, table: pd.DataFrame, features: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float64]]:
        """Columns (N,) that an image alone does not give, as what is known of its slide: they join the table.

        ``table``: all images of a row, with ``slide`` and the columns of ``update``.
        """
        return {}

    @abstractmethod
    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values by name from the per-image table (one row per pair, all columns) and the stacked features."""


def declared_columns(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Column → the metric that declares it, with a value of that name or of that mean."""
    return {
        column: name
        for name, metric in metrics.items()
        for value in metric.values
        for column in (value.name, value.column)
        if column is not None
    }


def require_distinct(metrics: Mapping[str, Metric]) -> None:
    """Raise UsageError naming two metrics that declare the same value or column."""
    owners: dict[str, str] = {}
    for name, metric in metrics.items():
        for column in declared_columns({name: metric}):
            if owners.setdefault(column, name) != name:
                raise UsageError(
                    f"metrics {owners[column]} and {name} both give {column}; remove or rename one of them"
                )
