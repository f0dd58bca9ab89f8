"""Pearson's r, for pixels and for series of images."""

import numpy as np
from numpy.typing import NDArray


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson's r of two (N,) series, in [−1, 1]; NaN where one of them is constant, for there r does not exist."""
    if x.min() == x.max() or y.min() == y.max():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    r = (x @ y) / (np.sqrt(x @ x) * np.sqrt(y @ y))
    return float(np.clip(r, -1, 1))  # rounding can lead out of the range by an ulp
