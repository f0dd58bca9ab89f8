"""Areas under ROC curves: how often a positive one's score is above a negative one's, equal scores by half."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def above(x: NDArray[np.floating], y: NDArray[np.floating]) -> Array:
    """(N,) and (M,) scores → (N, M): 1 where x is above y, ½ where they are equal, else 0."""
    return (x[:, None] > y) + (x[:, None] == y) / 2


def below(counts: Array) -> Array:
    """Of (…, B) counts by score, from low to high: how many lie below each bin, and half of those in it."""
    return np.cumsum(counts, axis=-1) - counts / 2


def area_of_counts(positive: Array, negative: Array) -> Array:
    """(…, B) counts of each kind by score, from low to high → (…); NaN where one of them is not there."""
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    won = (positive * below(negative)).sum(axis=-1)
    return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)


def area(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Of (N,) scores of which some are of ``positive`` ones; NaN without both kinds."""
    levels, place = np.unique(scores, return_inverse=True)
    counts = (np.bincount(place[kind], minlength=len(levels)).astype(np.float64) for kind in (positive, ~positive))
    return float(area_of_counts(*counts))
