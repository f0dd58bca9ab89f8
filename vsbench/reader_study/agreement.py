"""Agreement of readers on a scale of ordered categories, as functions of sums over slides.

Both measures are of tables of counts, and counts add up over images: so they can be resampled by ``vsbench.stats``.
"""

import numpy as np
from numpy.typing import ArrayLike

from vsbench.stats.categories import weighted_kappa
from vsbench.stats.moments import Array, Pooled
from vsbench.stats.slides import Slides

SCORES = (1, 2, 3, 4, 5)


def kappa(first: ArrayLike, second: ArrayLike, slides: Slides, name: str = "kappa") -> Pooled:
    """Cohen's kappa with quadratic weights of two (N,) series of scores 1 … 5; 1 at best, 0 by chance.

    Does not exist where both give one and the same score to all: then it is not known whether they could differ.
    """
    x, y = np.asarray(first), np.asarray(second)
    cells = [slides.sum((x == one) & (y == other)) for one in SCORES for other in SCORES]
    return Pooled(name, np.stack(cells), weighted_kappa, len(x))


def alpha(scores: ArrayLike, slides: Slides, name: str = "alpha") -> Pooled:
    """Krippendorff's alpha, ordinal, of (N, readers) scores 1 … 5, NaN where a reader gave none.

    1 at best, 0 by chance. Images scored by fewer than two readers say nothing, and are left out. Does not exist where
    all scores are equal.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    """
    table = np.asarray(scores, np.float64)
    counts = np.stack([(table == score).sum(axis=1) for score in SCORES])  # (5, N)
    readers = counts.sum(axis=0)
    weight = np.where(readers > 1, 1 / np.maximum(readers - 1, 1), 0)
    pairs = np.einsum("in,jn->ijn", counts, counts) - np.eye(len(SCORES))[:, :, None] * counts[:, None]
    cells = [slides.sum(cell * weight) for cell in pairs.reshape(-1, len(readers))]
    return Pooled(name, np.stack(cells), ordinal_alpha, len(readers), int((readers < 2).sum()))


def ordinal_alpha(cells: Array) -> Array:
    """Ordinal alpha (R,) of the cells (25, R) of matrices of coincidences."""
    coincidences = cells.reshape(len(SCORES), len(SCORES), -1)
    totals = coincidences.sum(axis=1)  # (5, R)
    middle = totals.cumsum(axis=0) - totals / 2  # the distance of two scores is how many others lie between them
    distance = (middle[:, None] - middle[None]) ** 2
    observed = (totals.sum(axis=0) - 1) * (coincidences * distance).sum(axis=(0, 1))
    by_chance = (totals[:, None] * totals[None] * distance).sum(axis=(0, 1))
    exists = by_chance > 0
    return 1 - np.divide(observed, by_chance, out=np.full(np.shape(observed), np.nan), where=exists)
