"""Distances of two sets of features as functions of how often each slide is drawn: Fréchet (FID) and kernel (KID).

Fake and real images of a pair are drawn together. Repeats of an image make sets look further apart than they are, so
intervals are of the "centred" kind, and the Fréchet distance, which repeats spread as well, is taken in first order:
by what each pair contributes to it. On sets simulated anew 120 times (200 to 400 images of 10 to 40 slides, 64 and 512
features) the standard deviation of its resamples themselves was 2.8 to 6.8 times the true one for a distance and 1.3 to
1.6 times for a difference of two methods; that of the contributions 1.2 to 1.4 times, and 1.2 times.

For tests between methods each image gets a score: the derivative of the distance by its weight in the two methods'
images together. Exchanging images between the methods leaves the scores as they are, so that the exchange test of their
means is exact, and costs no further distance. The difference of the means is that of the distances: exactly for KID,
for the Fréchet distance but for terms of third order in the difference.

What neighbours tell (precision, recall, density, coverage) is a mean over images, of which neighbourhoods are held
fast: they are those of all images in each resample and under each exchange.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsbench import neighbours as near
from vsbench.stats.moments import Array, mean
from vsbench.stats.slides import Slides

Features = NDArray[np.floating]
Statistic = Callable[[Array], Array]
Scores = tuple[Array, Array]

MIN_IMAGES = 2  # one image has no covariance


def frechet(fake: Features, real: Features, slides: Slides) -> Statistic:
    """Fréchet distance of Gaussians fitted to features (N, D) of each, in first order: counts (R, S) → (R,).

    NaN for fewer than two images. Exact where all are drawn once.
    """
    if len(real) < MIN_IMAGES:
        return lambda counts: np.full(len(counts), np.nan)
    distance, influence = frechet_influence(fake, real)
    moved = mean(influence, slides)
    return lambda counts: distance + moved(counts)


def frechet_influence(fake: Features, real: Features) -> tuple[float, Array]:
    """The Fréchet distance, and its derivatives (N,) by the weight of each pair, of N that sum to 1; their mean is 0.

    Features are (N, D). With T the optimal transport from the Gaussian of the generated images, mean μ, to that of the
    real ones, mean ν, and T⁻¹ its way back, over the dimensions that both have:
    2 (x − μ)·(μ − ν) + |x − μ|² − (x − μ)ᵀ T (x − μ)  +  2 (y − ν)·(ν − μ) + |y − ν|² − (y − ν)ᵀ T⁻¹ (y − ν).
    """
    n = len(real)
    origin = real.mean(axis=0, dtype=np.float64)  # near the features, for the digits of their squares
    gap = (fake - origin).mean(axis=0)
    x, y = fake - origin - gap, real - origin
    # With x yᵀ = U S Vᵀ the transports are (xᵀ U S⁻¹ Uᵀ x) and its mirror image: no matrix of D × D is made.
    left, shared, right = np.linalg.svd(x @ y.T, full_matrices=False)
    spread = (x**2).sum(axis=1) + (y**2).sum(axis=1) - left**2 @ shared - shared @ right**2
    distance = gap @ gap + spread.sum() / (n - 1)
    influence = 2 * (x - y) @ gap + spread * n / (n - 1)
    return float(distance), influence - influence.mean()


def frechet_scores(first: Features, second: Features, real: Features) -> Scores:
    """Scores (N,) of the Fréchet distance to ``real``, of the images of two methods, all (N, D).

    With T the optimal transport from the Gaussian of both methods' images, mean μ, to that of the real ones, mean ν:
    2 (x − μ)·(μ − ν) + |x − μ|² − (x − μ)ᵀ T (x − μ).
    """
    n = len(real)
    origin = real.mean(axis=0, dtype=np.float64)
    x, y = np.vstack([first, second]) - origin, real - origin
    even, weights = np.full(2 * n, 0.5 / n), np.full(n, 1 / n)
    left, shared, _ = np.linalg.svd(_centred(x @ y.T, even, weights) / (n - 1), full_matrices=False)
    # With weights 1/2 each the matrix is √½ of this, and (x − μ)ᵀ T (x − μ) is 2 (n − 1) Σ left² √½ shared.
    transported = np.sqrt(2) * (n - 1) * (left**2 @ shared)
    centred = x - x.mean(axis=0)
    scores = 2 * centred @ (x.mean(axis=0) - y.mean(axis=0)) + ((centred**2).sum(axis=1) - transported) * n / (n - 1)
    return scores[:n], scores[n:]


def kernel_distance(fake: Features, real: Features, slides: Slides) -> Statistic:
    """KID over all images: unbiased MMD² of features (N, D) with the kernel (x·y / D + 1)³, counts (R, S) → (R,)."""
    member = np.zeros((slides.count, len(slides.index)))
    member[slides.index, np.arange(len(slides.index))] = 1
    alike = _kernel(fake, fake) + _kernel(real, real)
    itself, images = slides.sum(alike.diagonal()), slides.sum(np.ones(len(slides.index)))
    alike, between = (member @ kernel @ member.T for kernel in (alike, _kernel(fake, real)))

    def statistic(counts: Array) -> Array:
        n = counts @ images
        same = ((counts @ alike) * counts).sum(axis=1) - counts @ itself
        other = ((counts @ between) * counts).sum(axis=1)
        exists = n >= MIN_IMAGES
        pairs = np.where(exists, n * (n - 1), 1)
        return np.where(exists, same / pairs - 2 * other / np.maximum(n, 1) ** 2, np.nan)

    return statistic


def kernel_scores(first: Features, second: Features, real: Features) -> Scores:
    """Scores (N,) of KID to ``real``, of the images of two methods, all (N, D)."""
    n = len(real)
    x = np.vstack([first, second])
    kernel = _kernel(x, x)
    alike = (kernel.sum(axis=1) - kernel.diagonal()) / (n - 1)
    scores = alike - 2 * _kernel(x, real).mean(axis=1)
    return scores[:n], scores[n:]


def neighbours(name: str, fake: Features, real: Features, slides: Slides) -> Statistic:
    """One of the four of ``vsbench.neighbours``, by name, of features (N, D) of each: counts (R, S) → (R,)."""
    return mean(_share(name, fake, real), slides)


def neighbour_scores(name: str, first: Features, second: Features, real: Features) -> Scores:
    """Scores (N,) of the same to ``real``, of two methods: what each pair adds to either, all (N, D)."""
    return _share(name, first, real), _share(name, second, real)


def _share(name: str, fake: Features, real: Features) -> Array:
    found = near.shares(fake, real) if len(real) >= near.MIN_IMAGES else {}
    return found.get(name, np.full(len(real), np.nan))


def _kernel(x: Features, y: Features) -> Array:
    return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3


def _centred(products: Array, row_weights: Array, column_weights: Array) -> Array:
    """Products of x and y as those of x and y less their weighted means; each weights sum to 1."""
    by_row, by_column = products @ column_weights, row_weights @ products
    return products - by_row[:, None] - by_column + row_weights @ by_row
