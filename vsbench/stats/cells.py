"""How well true cells are told apart, as functions of how often each slide is drawn.

Features are numbers of positive cells by their mean DAB, then of negative ones: (N, 2 · B), of the generated images and
of the true IHC. A cell is stained where its bin lies above the threshold of the true IHC of the slides drawn.

For tests between methods each image gets a score, the derivative of the value by its weight in both methods' images
together, the threshold being that of all: see ``stats.features``.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsbench.roc import area_of_counts, below
from vsbench.stats.features import Features, Scores, Statistic
from vsbench.stats.moments import Array
from vsbench.stats.slides import Slides

Places = NDArray[np.intp]

CHUNK = 500  # resamples at once: 500 · B numbers of each kind
MIN_IMAGES = 3  # for a correlation

Drawn = Callable[..., Array]  # counts (R, S), cells (R, 2, B) of each side that it asks for → (R,)


def area(fake: Features, true: Features, slides: Slides) -> Statistic:
    """AUC of the cells of all images."""
    return _in_chunks(slides, lambda counts, made: area_of_counts(made[:, 0], made[:, 1]), fake)


def sensitivity(fake: Features, true: Features, slides: Slides) -> Statistic:
    """Share of the positive cells that are stained."""
    return _in_chunks(slides, lambda counts, made, wanted: _stained(made, wanted, 0), fake, true)


def specificity(fake: Features, true: Features, slides: Slides) -> Statistic:
    """Share of the negative cells that are not."""
    return _in_chunks(slides, lambda counts, made, wanted: 1 - _stained(made, wanted, 1), fake, true)


def share_error(fake: Features, true: Features, slides: Slides) -> Statistic:
    """Mean over images with cells of |share of the cells that are stained − that are positive|, in percent."""
    made, wanted, some = _shares(fake)
    errors, images = _by_slide(np.abs(made - wanted[:, None]), slides), slides.sum(some)

    def value(counts: Array, of_true: Array) -> Array:
        return _ratio(_at(counts @ errors, _thresholds(of_true)), counts @ images)

    return _in_chunks(slides, value, true)


def share_correlation(fake: Features, true: Features, slides: Slides) -> Statistic:
    """100 · Pearson's r, over images with cells, of these two shares."""
    made, wanted, some = _shares(fake)
    middle = wanted[some].mean() if some.any() else 0.0  # for the digits of squares
    x, y = np.where(some[:, None], made - middle, 0), np.where(some, wanted - middle, 0)
    sums = [_by_slide(part, slides) for part in (x, x**2, x * y[:, None])]
    known = np.stack([slides.sum(part) for part in (some, y, y**2)])

    def value(counts: Array, of_true: Array) -> Array:
        at = _thresholds(of_true)
        n, total_y, square_y = known @ counts.T
        total_x, square_x, both = (_at(counts @ part, at) for part in sums)
        spread_x, spread_y = (n * square - total**2 for square, total in ((square_x, total_x), (square_y, total_y)))
        varies = (n >= MIN_IMAGES) & (spread_x > 1e-9 * n * square_x) & (spread_y > 1e-9 * n * square_y)
        scale = np.sqrt(np.where(varies, spread_x * spread_y, 1))
        return np.where(varies, 100 * np.clip((n * both - total_x * total_y) / scale, -1, 1), np.nan)

    return _in_chunks(slides, value, true)


def area_scores(first: Features, second: Features, true: Features) -> Scores:
    """Of AUC: how often an image's positive cells lie above negative ones, and its negative ones below positive."""
    one, other = _both(first), _both(second)
    positive, negative = (one + other).sum(axis=0)
    scale = len(one) / one.sum(axis=(0, 2))  # each method has the same cells
    under = below(negative) / negative.sum()
    over = 1 - below(positive) / positive.sum()

    def scores(part: Array) -> Array:
        found: Array = scale[0] * (part[:, 0] @ under) + scale[1] * (part[:, 1] @ over)
        return found

    return scores(one), scores(other)


def sensitivity_scores(first: Features, second: Features, true: Features) -> Scores:
    """Of the sensitivity: the share of an image's cells among all, that are positive and stained."""
    return _kind_scores(first, second, true, 0, 1.0)


def specificity_scores(first: Features, second: Features, true: Features) -> Scores:
    """Of the specificity: less those that are negative and stained."""
    return _kind_scores(first, second, true, 1, -1.0)


def share_error_scores(first: Features, second: Features, true: Features) -> Scores:
    """Of the error: an image's own; NaN where it has no cells."""
    at = _threshold_of_all(true)

    def scores(part: Features) -> Array:
        made, wanted, some = _shares(part)
        return np.where(some, np.abs(made[:, at] - wanted), np.nan)

    return scores(first), scores(second)


def share_correlation_scores(first: Features, second: Features, true: Features) -> Scores:
    """Of r: z_x z_y − r (z_x² + z_y²) / 2, the shares standardised over both methods' images; NaN without cells."""
    at = _threshold_of_all(true)
    (one, wanted, some), (other, *_) = _shares(first), _shares(second)
    x, y = np.stack([one[:, at], other[:, at]]), np.stack([wanted, wanted])
    x, y = (np.where(some, part, np.nan) for part in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = ((part - np.nanmean(part)) / np.nanstd(part) for part in (x, y))
    r = np.nanmean(x * y)
    scores = 100 * (x * y - r * (x**2 + y**2) / 2)
    return scores[0], scores[1]


def _in_chunks(slides: Slides, value: Drawn, *sides: Features) -> Statistic:
    """``value`` of resamples, for which the cells of these sides, generated or true, are summed."""
    sums = [_by_slide(features.astype(np.float64), slides) for features in sides]

    def statistic(counts: Array) -> Array:
        parts = []
        for start in range(0, len(counts), CHUNK):
            some = counts[start : start + CHUNK]
            parts.append(value(some, *((some @ part).reshape(len(some), 2, -1) for part in sums)))
        return np.concatenate(parts)

    return statistic


def _both(features: Features) -> Array:
    """(N, 2, B)."""
    return features.astype(np.float64).reshape(len(features), 2, -1)


def _by_slide(values: Array, slides: Slides) -> Array:
    """(S, K) sums over the images of each slide."""
    total = np.zeros((slides.count, values.shape[1]))
    np.add.at(total, slides.index, values)
    return total


def _thresholds(true: Array) -> Places:
    """(R,): of (R, 2, B) cells of the true IHC, the lowest bin with the largest sensitivity + specificity."""
    at_most = np.cumsum(true, axis=2) / np.maximum(true.sum(axis=2, keepdims=True), 1)
    return np.argmax(at_most[:, 1] - at_most[:, 0], axis=1)


def _threshold_of_all(true: Features) -> int:
    return int(_thresholds(_both(true).sum(axis=0)[None])[0])


def _stained(made: Array, true: Array, kind: int) -> Array:
    """(R,): share of the cells of a kind that lie above the threshold."""
    of_kind = made[:, kind]
    return 1 - _ratio(_at(np.cumsum(of_kind, axis=1), _thresholds(true)), of_kind.sum(axis=1))


def _shares(fake: Features) -> tuple[Array, Array, Array]:
    """(N, B) percent of an image's cells above each bin, (N,) percent that is positive, (N,) whether it has cells."""
    cells = _both(fake)
    total = cells.sum(axis=(1, 2))
    above = total[:, None] - np.cumsum(cells.sum(axis=1), axis=1)
    some = total > 0
    scale = 100 / np.maximum(total, 1)
    return above * scale[:, None], cells[:, 0].sum(axis=1) * scale, some


def _kind_scores(first: Features, second: Features, true: Features, kind: int, sign: float) -> Scores:
    at = _threshold_of_all(true)
    one, other = (_both(part)[:, kind] for part in (first, second))
    scale = sign * len(one) / one.sum()
    return scale * one[:, at + 1 :].sum(axis=1), scale * other[:, at + 1 :].sum(axis=1)


def _at(values: Array, places: Places) -> Array:
    """(R,): of (R, B), the one at each row's place."""
    found: Array = np.take_along_axis(values, places[:, None], axis=1)[:, 0]
    return found


def _ratio(above: Array, below: Array) -> Array:
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
