"""Set values as functions of sums over slides.

Drawing slides with replacement gives each a whole number of copies. A mean or a correlation needs of the images only
their number and some sums, so ten thousand resamples of it are one product of matrices: sums (k, S) times counts
(S, R). Leaving a slide out, and giving a slide to another method, are sums too.

Images without a number (NaN) are left out and counted. A value that does not exist is NaN: the mean of no images, R_p
of fewer than three images or of equal ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vsbench.numbers import ROUNDING
from vsbench.stats.slides import Slides

Array = NDArray[np.float64]
MIN_IMAGES = 3  # two points always lie on a line: r would be ±1 whatever the images show
NO_VALUE = "the value does not exist or is infinite"
NO_RELATION = f"a correlation needs {MIN_IMAGES} images or more, and two series of which neither is constant"


@dataclass(frozen=True, eq=False)
class Pooled:
    """A set value that is ``value`` of sums over images.

    ``sums``: (k, S), for each slide. ``value``: sums (k, R) of R resamples → (R,). ``images`` of these ``excluded``
    have no number. Sums of two methods can be mixed only where ``centre``, subtracted from each series, is the same.
    ``absence``: why there is no value, where there is none.
    """

    name: str
    sums: Array
    value: Callable[[Array], Array]
    images: int
    excluded: int = 0
    centre: float = 0.0
    absence: str = NO_VALUE

    def __call__(self, counts: Array) -> Array:
        """The values (R,) of resamples with ``counts`` (R, S) of each slide."""
        return self.value(self.sums @ counts.T)


def mean(values: ArrayLike, slides: Slides, name: str = "mean") -> Pooled:
    """Mean of (N,) values over the images that have one; infinite if one is (PSNR of equal images)."""
    series = np.asarray(values, np.float64)
    finite, infinite = np.isfinite(series), np.isposinf(series)
    rows = [slides.sum(finite | infinite), slides.sum(np.where(finite, series, 0)), slides.sum(infinite)]
    return Pooled(name, np.stack(rows), weighted_mean, len(series), int((~finite & ~infinite).sum()))


def pearson(x: ArrayLike, y: ArrayLike, slides: Slides, name: str = "pearson") -> Pooled:
    """Pearson's r, in [−1, 1], of the images that have both of (N,) x and y."""
    return _of_pairs(x, y, slides, name, weighted_pearson)


def concordance(x: ArrayLike, y: ArrayLike, slides: Slides, name: str = "concordance") -> Pooled:
    """Lin's concordance, in [−1, 1]: Pearson's r that an offset or another scale makes smaller. Variances by N."""
    return _of_pairs(x, y, slides, name, weighted_concordance)


def total_gap(fake: ArrayLike, real: ArrayLike, slides: Slides, name: str = "total_gap") -> Pooled:
    """|Σ fake − Σ real| over all images.

    A resample whose slides hold more or fewer images is scaled to the number of images of the whole: that number is no
    matter of chance. Not smooth where errors cancel: an interval of it never reaches below 0.
    """
    (x, y), both = _pairs(fake, real)
    rows = np.stack([slides.sum(both), slides.sum(x - y)])
    images = int(both.sum())
    return Pooled(name, rows, lambda moments: images * np.abs(weighted_mean(moments)), len(x), len(x) - images)


def relative_gap(fake: ArrayLike, real: ArrayLike, slides: Slides, name: str = "relative_gap") -> Pooled:
    """(Σ fake − Σ real) / Σ real; does not exist where Σ real is not positive."""
    (x, y), both = _pairs(fake, real)
    rows = np.stack([slides.sum(x - y), slides.sum(y)])
    return Pooled(name, rows, _relative, len(x), int((~both).sum()))


def agreement_bias(x: ArrayLike, y: ArrayLike, slides: Slides, name: str = "bias") -> Pooled:
    """|mean of d|, d = x − y (Bland–Altman). An interval of it never reaches below 0."""
    (a, b), both = _pairs(x, y)
    rows = np.stack([slides.sum(both), slides.sum(a - b)])
    return Pooled(name, rows, lambda moments: np.abs(weighted_mean(moments)), len(a), int((~both).sum()))


def agreement_spread(x: ArrayLike, y: ArrayLike, slides: Slides, name: str = "spread") -> Pooled:
    """Sample standard deviation of d = x − y, with N − 1 of the images drawn."""
    (a, b), both = _pairs(x, y)
    rows = np.stack([slides.sum(row) for row in (both, a - b, (a - b) ** 2)])
    return Pooled(name, rows, weighted_deviation, len(a), int((~both).sum()))


def pearson_of_pixels(
    means: tuple[ArrayLike, ArrayLike],
    moments: tuple[ArrayLike, ArrayLike, ArrayLike],
    pixels: ArrayLike,
    slides: Slides,
    name: str = "pearson_of_pixels",
) -> Pooled:
    """Pearson's r of the pixels of all images together, from each image's own, all (N,).

    ``means`` of x and y; ``moments``: variance of x, variance of y and covariance (1/pixels); number of ``pixels``.
    """
    return _of_pairs(*means, slides, name, weighted_pearson, moments, pixels)


def difference(first: Pooled, second: Pooled) -> Pooled:
    """The value of one method less that of another, on the same slides."""
    return joined(first, second, first.name, _less)


def joined(first: Pooled, second: Pooled, name: str, join: Callable[[Array, Array], Array]) -> Pooled:
    """A function of two values on the same images, both (R,)."""
    at = len(first.sums)
    return Pooled(
        name,
        np.vstack([first.sums, second.sums]),
        lambda moments: join(first.value(moments[:at]), second.value(moments[at:])),
        first.images,
        max(first.excluded, second.excluded),
        first.centre + second.centre,
        first.absence if first.absence != NO_VALUE else second.absence,
    )


def transformed(statistic: Pooled, function: Callable[[Array], Array]) -> Pooled:
    """A function of a value, (R,) → (R,): the same in another unit."""
    return replace(statistic, value=lambda moments: function(statistic.value(moments)))


def weighted_mean(moments: Array) -> Array:
    """Σx / n of sums (n, Σx, and the number of infinite values where there may be some)."""
    average = _ratio(moments[1], moments[0], moments[0] > 0)
    return np.where(moments[2] > 0, np.inf, average) if len(moments) > 2 else average


def weighted_deviation(moments: Array) -> Array:
    """Standard deviation of sums (n, Σd, Σd²), with n − 1; exactly 0 of equal d."""
    n, total, squares = moments
    spread = squares - _ratio(total * total, n, n > 0)
    return np.sqrt(_ratio(np.where(spread > ROUNDING * squares, spread, 0), n - 1, n > 1))


def weighted_pearson(moments: Array) -> Array:
    """Pearson's r of sums (n, Σx, Σy, Σx², Σy², Σxy) of centred series."""
    x_spread, y_spread, shared, exists = _spreads(moments)
    scale = np.sqrt(np.where(exists, x_spread, 1)) * np.sqrt(np.where(exists, y_spread, 1))
    return np.clip(_ratio(shared, scale, exists), -1, 1)


def weighted_concordance(moments: Array) -> Array:
    """Lin's concordance of sums (n, Σx, Σy, Σx², Σy², Σxy) of series from which one number was subtracted."""
    n, x, y, *_ = moments
    x_spread, y_spread, shared, exists = _spreads(moments)
    return _ratio(2 * shared, x_spread + y_spread + _ratio((x - y) ** 2, n, n > 0), exists)


def _of_pairs(
    x: ArrayLike,
    y: ArrayLike,
    slides: Slides,
    name: str,
    value: Callable[[Array], Array],
    within: tuple[ArrayLike, ArrayLike, ArrayLike] = (0.0, 0.0, 0.0),
    weights: ArrayLike = 1.0,
) -> Pooled:
    """Second moments; both series less the mean of y, for squares of large numbers would swallow their variance.

    Not each less its own mean: y is the real IHC, so that all methods share what is subtracted. ``within``: variances
    and covariance inside each image, ``weights``: its pixels, where pixels are what is counted.
    """
    real = np.asarray(y, np.float64)
    centre = float(real[np.isfinite(real)].mean()) if np.isfinite(real).any() else 0.0
    (a, b), both = _pairs(np.asarray(x, np.float64) - centre, real - centre)
    squares = [np.where(both, np.add(one, more), 0) for one, more in zip((a * a, b * b, a * b), within, strict=True)]
    rows = np.stack([slides.sum(np.multiply(weights, row)) for row in (both, a, b, *squares)])
    return Pooled(name, rows, value, len(real), int((~both).sum()), centre, NO_RELATION)


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[tuple[Array, Array], NDArray[np.bool_]]:
    """Both series with 0 where either has no number, and where both have one."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    return (np.where(both, a, 0), np.where(both, b, 0)), both


def _spreads(moments: Array) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """Sums of squares and of products about the means, and where a correlation exists, from second moments."""
    n, x, y, xx, yy, xy = moments
    some = n > 0
    x_spread, y_spread, shared = (s - _ratio(a * b, n, some) for s, a, b in ((xx, x, x), (yy, y, y), (xy, x, y)))
    exists = (n >= MIN_IMAGES) & (x_spread > ROUNDING * xx) & (y_spread > ROUNDING * yy)
    return x_spread, y_spread, shared, exists


def _relative(moments: Array) -> Array:
    return _ratio(moments[0], moments[1], moments[1] > 0)


def _less(first: Array, second: Array) -> Array:
    with np.errstate(invalid="ignore"):  # NaN where both are infinite
        return first - second


def _ratio(above: Array, below: Array, exists: NDArray[np.bool_]) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=exists)
