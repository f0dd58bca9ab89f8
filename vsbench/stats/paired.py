"""Does one method beat another, on the same slides?

The interval of a difference comes from one set of draws for both. The p-value comes from exchanging the two methods'
images slide by slide: were the methods alike, nothing would change but by chance. It makes no assumption on
distributions, and holds for any value of sums, R_p too; for a mean it is the sign-flip test.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vsbench.stats.bootstrap import RESAMPLES, Interval, Kind, bootstrap_all
from vsbench.stats.moments import Array, Pooled, difference
from vsbench.stats.slides import Unit, counted

T = TypeVar("T")
ALPHA = 0.05  # family-wise error at which a difference counts as shown
EXACT = 12  # up to this number of slides all 2^S exchanges are made
TIE = 1e-12  # of the values: exchanges that give the same difference but for rounding


@dataclass(frozen=True, eq=False)
class Swaps:
    """For each exchange and slide 1 where the methods change places, (R, S); ``exact``: these are all there are."""

    exchanged: Array
    exact: bool


@dataclass(frozen=True)
class Comparison:
    """``first`` less ``second``; ``p`` of one test, ``p_holm`` with regard to all tests made with it."""

    first: str
    second: str
    difference: Interval
    p: float
    p_holm: float


def draw_swaps(slides: int, swaps: int = 10_000, seed: int = 0) -> Swaps:
    """All exchanges up to 12 slides, else ``swaps`` at random. Same seed, same exchanges."""
    if slides <= EXACT:
        return Swaps((np.arange(2**slides)[:, None] >> np.arange(slides) & 1).astype(np.float64), exact=True)
    return Swaps(np.random.default_rng(seed).integers(2, size=(swaps, slides)).astype(np.float64), exact=False)


def swap_test(first: Pooled, second: Pooled, swaps: Swaps) -> float:
    """Two-sided p: the share of exchanges whose difference is at least as large as that found.

    At random it counts the one found among them, so that p > 0. The least p is 2^(1 − S), or 1 / (R + 1): four slides
    can't give 0.05. NaN where the difference does not exist; an exchange without a value counts as large.
    ValueError: the two are not the same value of the same real images.
    """
    if (first.name, first.sums.shape, first.centre) != (second.name, second.sums.shape, second.centre):
        raise ValueError(f"{first.name} and {second.name} are not one value of two methods on the same real images")
    gap = difference(first, second)
    total = gap.sums.sum(axis=1, keepdims=True)
    found = float(gap.value(total)[0])
    if not np.isfinite(found):
        return float("nan")
    moved = (second.sums - first.sums) @ swaps.exchanged.T  # (k, R)
    gaps = gap.value(total + np.vstack([moved, -moved]))
    scale = abs(found) + abs(float(first.value(total[: len(moved)])[0]))
    large = ~(np.abs(gaps) < abs(found) - TIE * scale)  # True for NaN
    return float(large.mean() if swaps.exact else (1 + large.sum()) / (1 + len(large)))


def least_p(slides: int, exchanges: int) -> float:
    """The least p that so many slides can give, whatever the data; ``exchanges`` are made where these are not all."""
    return 2.0 ** (1 - slides) if slides <= EXACT else 1 / (1 + exchanges)


def can_show(slides: int, tests: int, exchanges: int = RESAMPLES) -> bool:
    """Whether one of so many tests of so many slides can fall below 5 % after Holm's correction, whatever the data.

    Exchanges of S slides give p ≥ 2^(1 − S): one test needs six slides, three need seven, sixteen need ten.
    """
    return tests > 0 and least_p(slides, exchanges) * tests < ALPHA


def limit_of_tests(swaps: Swaps, tests: int, alpha: float, unit: Unit = "slide") -> str:
    """What no data could show, with so few slides or so many tests; "" where there is no such limit."""
    exchanges, slides = swaps.exchanged.shape
    least = least_p(slides, exchanges)
    if least >= alpha:
        return f"{counted(slides, unit)} can't give a p below {least:.3g}: nothing can be shown"
    if least * tests < alpha:
        return ""
    given, corrected = counted(slides, unit) if swaps.exact else f"{exchanges} exchanges", min(1.0, least * tests)
    return f"{given} give no p below {least:.2g}, or {corrected:.2g} by Holm's correction for {tests} tests"


def averaged(trainings: Sequence[Pooled]) -> Pooled:
    """The mean over trainings of one value of the same images, to be resampled as one. ValueError: there is none."""
    if not trainings:
        raise ValueError("no training, so no mean")
    ends = np.cumsum([len(one.sums) for one in trainings])[:-1]

    def value(moments: Array) -> Array:
        parts = np.split(moments, ends)
        return np.mean([one.value(part) for one, part in zip(trainings, parts, strict=True)], axis=0)

    first, sums = trainings[0], np.vstack([one.sums for one in trainings])
    excluded, centre = max(one.excluded for one in trainings), sum(one.centre for one in trainings)
    return Pooled(first.name, sums, value, first.images, excluded, centre)


def matched(first: Sequence[T], second: Sequence[T]) -> list[tuple[T, T]]:
    """Pairs of two methods' trainings, the k-th with the k-th, as many of each: shorter and longer lists repeat."""
    number = math.lcm(len(first), len(second))
    return [(first[k % len(first)], second[k % len(second)]) for k in range(number)]


def compare(
    methods: Mapping[str, Pooled],
    counts: Array,
    swaps: Swaps,
    *,
    reference: str | None = None,
    kind: Kind = "percentile",
    level: float = 0.95,
) -> list[Comparison]:
    """One value of each pair of methods, or of each against a ``reference``; Holm's correction over what is returned.

    ``counts``: resamples of the slides, (R, S), as for single intervals. Intervals are of one comparison each: not
    corrected. KeyError: no method of the name of the reference.
    """
    pairs = list(itertools.combinations(methods, 2))
    if reference is not None:
        pairs = [(name, reference) for name in methods if name != reference]
    gaps = {f"{a} − {b}": difference(methods[a], methods[b]) for a, b in pairs}
    intervals = bootstrap_all(gaps, counts, kind=kind, level=level)
    ps = [swap_test(methods[a], methods[b], swaps) for a, b in pairs]
    return [
        Comparison(a, b, interval, p, corrected)
        for (a, b), interval, p, corrected in zip(pairs, intervals.values(), ps, holm(ps), strict=True)
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction: each p as the family-wise error at which it would be called significant.

    NaN stays NaN and is no test. Source: Holm, Scand. J. Statist. 6 (1979).
    """
    values = np.asarray(ps, np.float64)
    order = [index for index in np.argsort(values) if not np.isnan(values[index])]
    steps = values[order] * np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return values.tolist()
