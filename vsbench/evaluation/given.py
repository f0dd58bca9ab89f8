"""What a metric gives, held against its contract: a plug-in may give anything."""

from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Metric, Update
from vsbench.names import said

CHANGES = "gives other columns or features for one image than for another"

Columns = dict[str, float]
Form = dict[str, tuple[int, ...]]  # what a metric gives: column → (), features → the shape of a row


def alone(found: Sequence[Columns | Exception]) -> Update:
    """The images of a batch that were measured one by one. Raises what one of them raised."""
    rows = []
    for columns in found:
        if isinstance(columns, Exception):
            raise columns
        rows.append(columns)
    if any(row.keys() != rows[0].keys() for row in rows):
        raise TypeError(CHANGES)
    return Update({name: [row[name] for row in rows] for name in rows[0]}, {})


def form_of(update: Update, count: int) -> Form:
    """What an update of ``count`` images holds. Raises TypeError where it is not as the contract of metrics says."""
    form: Form = {}
    for name, numbers in update.columns.items():
        _require_numbers(name, numbers, count)
        form[name] = ()
    for name, array in update.features.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            raise TypeError(f"{name}: features that are no float32 array")
        if array.ndim < 2 or len(array) != count:
            raise TypeError(f"{name}: features of shape {array.shape} for {count} images")
        if not np.isfinite(array).all():
            raise TypeError(f"{name}: features that are not finite")
        form[f"features {name}"] = array.shape[1:]
    return form


def across(
    metric: Metric, table: pd.DataFrame, features: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float64]]:
    """The columns of a metric that take all images of a row. Raises TypeError where they are not as they should be."""
    columns = metric.across(table.copy(), features)
    for name, numbers in columns.items():
        _require_numbers(name, numbers, len(table))
        if name in table:
            raise TypeError(f"gives {name}, which is there already")
    return columns


def reason_of(error: Exception) -> str:
    """In one line."""
    return f"{type(error).__name__}: {said(error)}"


def _require_numbers(name: str, numbers: Sequence[float] | NDArray[np.float64], count: int) -> None:
    if len(numbers) != count:
        raise TypeError(f"{name}: {len(numbers)} numbers for {count} images")
    if not all(isinstance(number, Real) for number in numbers):
        raise TypeError(f"{name}: not plain numbers")
