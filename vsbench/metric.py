"""The metric contract: one file measures one family, from images that were decoded once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True)
class Sample:
    """One test pair: the generated image, the adjacent section's real IHC, the H&E, and the true IHC where known.

    All are (H, W, 3) uint8 RGB of one size.
    """

    id: str
    fake: Image
    real: Image
    he: Image
    truth: Image | None = None


@dataclass(frozen=True)
class Value:
    """A set value: its column name everywhere (CSV, JSON, LaTeX key), and how to read it."""

    name: str
    label: str  # as a table heading, in LaTeX: r"$R_p$"
    unit: str  # "%", "OD", "dB", "1" for a pure number
    best: Literal["low", "high"]
    formula: str
    protocol: str  # "r_p/iod-fiji": numbers compare only within one protocol
    column: str | None = None  # the per-image column it is the mean of, if it is


@dataclass(frozen=True)
class Absent:
    """A value that does not exist for these images, or that could not be computed, and why."""

    reason: str


@dataclass(frozen=True)
class Update:
    """What a batch of n samples gives: per-image columns (n numbers each), and features for set metrics (n, D)."""

    columns: dict[str, list[float]]
    features: dict[str, NDArray[np.float32]]


class Metric(ABC):
    """A family of values measured together.

    Set values that can be derived from the per-image table are derived from it, so that they can be bootstrapped
    without touching an image again.
    """

    values: ClassVar[tuple[Value, ...]]
    needs: ClassVar[tuple[str, ...]] = ()  # keys of ``vsbench.weights.MANIFEST``
    needs_truth: ClassVar[bool] = False  # True: exists only where the true IHC is known
    on_request: ClassVar[bool] = False  # True: slow, and of interest to few; measured where it is asked for by name
    device: str = "cpu"  # where a metric with a network runs it

    def unavailable(self) -> str | None:
        """Why this metric can't be computed here (weights or a package missing, and the mend); None if it can."""
        return None

    def update(self, samples: Sequence[Sample]) -> Update:
        """Measure a batch. The default calls ``per_image`` on each; metrics with networks override it."""
        rows = [self.per_image(sample) for sample in samples]
        return Update({name: [row[name] for row in rows] for name in rows[0]}, {})

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The columns of one pair. NaN where a number does not exist (a constant image has no correlation), never 0."""
        raise TypeError(f"{type(self).__name__} measures in batches, not {sample.id} alone: call update()")

    @abstractmethod
    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values by name from the per-image table (one row per pair, all columns) and the stacked features."""
