"""Mean ranks of methods over independent blocks, with Friedman's test and the critical difference of Nemenyi.

The way of Demšar (J. Mach. Learn. Res. 7, 2006). Blocks are slides: images of one slide are not independent. A mean
rank says how often, not by how much, a method is better, and depends on the methods it is ranked among.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, rankdata, studentized_range

from vsbench.metric import Best, penalty
from vsbench.stats.moments import Array


@dataclass(frozen=True, eq=False)
class Friedman:
    """``ranks``: the mean rank (M,) of each method, 1 the best. ``p``: of all methods being alike; NaN: all tie.

    ``critical``: the difference of two mean ranks from which on it is shown, at ``level``, all pairs tested at once.
    """

    ranks: Array
    blocks: int
    chi2: float
    p: float
    critical: float
    level: float

    def groups(self) -> list[tuple[int, ...]]:
        """The largest sets of methods that can't be told apart, by number, best first; no set is within another.

        All methods are one set where Friedman's test finds no difference among them.
        """
        order = [int(method) for method in np.argsort(self.ranks, kind="stable")]
        if not self.p < self.level:
            return [tuple(order)]
        found: list[tuple[int, ...]] = []
        reached = 0
        for start, first in enumerate(order):
            end = max(i for i, other in enumerate(order) if self.ranks[other] - self.ranks[first] < self.critical)
            if end > start and end + 1 > reached:
                found.append(tuple(order[start : end + 1]))
                reached = end + 1
        return found


def friedman(values: Array, best: Best, level: float = 0.05) -> Friedman:
    """Rank methods within each block: values (blocks, M), ``best`` is what is first. Ties share their mean rank.

    ValueError: fewer than two methods or blocks, or a value is NaN.
    """
    blocks, methods = values.shape
    if blocks < 2 or methods < 2 or np.isnan(values).any():
        raise ValueError("ranks need two blocks and methods, and a value of each method in each block")
    ranks = rankdata(penalty(values, best), axis=1)
    # against the spread that the ranks have, which ties make smaller than (M² − 1) / 12
    spread = ((ranks - (methods + 1) / 2) ** 2).sum() / (blocks * (methods - 1))
    gap = ((ranks.mean(axis=0) - (methods + 1) / 2) ** 2).sum()
    statistic = float(blocks * gap / spread) if spread > 0 else float("nan")
    critical = critical_difference(methods, blocks, level)
    return Friedman(ranks.mean(axis=0), blocks, statistic, float(chi2.sf(statistic, methods - 1)), critical, level)


def critical_difference(methods: int, blocks: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks: q √(M (M + 1) / 6 B), q the studentized range's quantile / √2."""
    q = studentized_range.ppf(1 - level, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * blocks)))
