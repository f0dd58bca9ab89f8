"""Which method is first, and how sure is that: ranks over resamples, from values that come from the same draws.

A method that is ahead on average may be ahead in half of the resamples only: the shares say so where the means do not.
"""

from dataclasses import dataclass

import numpy as np

from vsbench.metric import Best, penalty
from vsbench.stats.moments import Array

TIE = 1e-12  # of the values: what differs by less is equal but for rounding


@dataclass(frozen=True)
class RankSummary:
    """Mean rank with the limits of its central share ``level``, and how often the rank is 1."""

    mean: float
    low: float
    high: float
    first: float


def rank_shares(values: Array, best: Best) -> Array:
    """Share of resamples in which each method is 1st, 2nd, …: (M, R) values → (M, M), rows and columns sum to 1.

    Methods that tie share the ranks that they take up equally. ``best``: what is first. Infinite values have
    their place. ValueError: a value is NaN, or there is no resample.
    """
    if not values.size or np.isnan(values).any():
        raise ValueError("a rank needs a value of each method in each resample")
    penalties = penalty(values, best)
    order = np.argsort(penalties, axis=0, kind="stable")
    start, end = _ties(np.take_along_axis(penalties, order, axis=0))
    shares = np.zeros((len(values), len(values)))
    for methods, first, last in zip(order, start, end, strict=True):
        for rank in range(len(values)):
            weight = ((first <= rank) & (rank <= last)) / (last - first + 1)
            shares[:, rank] += np.bincount(methods, weights=weight, minlength=len(values))
    return shares / values.shape[1]


def rank_summary(shares: Array, level: float = 0.95) -> RankSummary:
    """Mean and central limits of one method's rank from its shares (M,).

    The limits are whole ranks, the narrowest pair with at most (1 − level) / 2 of the resamples beyond either.
    """
    ranks = np.arange(1, len(shares) + 1)
    beyond = (1 - level) / 2 + TIE
    below, above = np.cumsum(shares), np.cumsum(shares[::-1])
    low, high = int(np.argmax(below > beyond)), len(shares) - 1 - int(np.argmax(above > beyond))
    return RankSummary(float(ranks @ shares), float(ranks[low]), float(ranks[high]), float(shares[0]))


def _ties(ascending: Array) -> tuple[Array, Array]:
    """First and last place of the tie that each place of (M, R) sorted values belongs to, itself where it is alone."""
    count = len(ascending)
    place = np.broadcast_to(np.arange(count)[:, None], ascending.shape)
    below, above = ascending[:-1], ascending[1:]
    with np.errstate(invalid="ignore"):  # the gap of two infinities
        gap = above - below
        apart = (above != below) & (gap > TIE * np.maximum(np.abs(below), np.abs(above)))
    apart |= np.isinf(above) != np.isinf(below)
    opens = np.vstack([np.ones((1, ascending.shape[1]), bool), apart])
    closes = np.vstack([apart, np.ones((1, ascending.shape[1]), bool)])
    start = np.maximum.accumulate(np.where(opens, place, 0), axis=0)
    end = np.minimum.accumulate(np.where(closes, place, count - 1)[::-1], axis=0)[::-1]
    return start, end
