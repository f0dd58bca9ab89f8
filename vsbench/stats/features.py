"""Distances of two sets of features as functions of how often each slide is drawn: Fréchet (FID) and kernel (KID).

Fake and real images of a pair are drawn together. What a resample needs of the features are their products, worked out
once in float64: nothing is repeated, and no covariance of thousands of dimensions is made. Repeats of an image make
sets look further apart than they are, so intervals are of the "centred" kind.

For tests between methods each image gets a score: the derivative of the distance by its weight in the two methods'
images together. Exchanging images between the methods leaves the scores as they are, so that the exchange test of their
means is exact, and costs no further distance. The difference of the means is that of the distances: exactly for KID,
for the Fréchet distance but for terms of third order in the difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsbench.stats.moments import Array
from vsbench.stats.slides import Slides

Features = NDArray[np.floating]
Statistic = Callable[[Array], Array]
Scores = tuple[Array, Array]

MIN_IMAGES = 2  # one image has no covariance
MAX_IMAGES = 2000  # a resample of twice as many takes eight times as long


def frechet(fake: Features, real: Features, slides: Slides) -> Statistic:
    """Fréchet distance of Gaussians fitted to features (N, D) of each: counts (R, S) → (R,), NaN below two images.

    Covariances with N − 1 of the images drawn. Repeats are weights on distinct images, and centring is of rank one: a
    resample costs the singular values of one matrix with a row for each distinct image.
    """
    origin = real.mean(axis=0, dtype=np.float64)  # near the features, for the digits of their squares
    x, y = fake - origin, real - origin
    products, squares = x @ y.T, (x**2).sum(axis=1) + (y**2).sum(axis=1)

    def distance(weights: Array) -> float:
        n = weights.sum()
        if n < MIN_IMAGES:
            return float("nan")
        mean_x, mean_y = weights @ x / n, weights @ y / n
        rows = np.flatnonzero(weights)
        drawn = _centred(products[np.ix_(rows, rows)], weights[rows] / n, weights[rows] / n)
        root = np.sqrt(weights[rows] / (n - 1))
        shared = np.linalg.svd(root[:, None] * drawn * root, compute_uv=False).sum()
        spread = weights @ squares - n * (mean_x @ mean_x + mean_y @ mean_y)
        return float(((mean_x - mean_y) ** 2).sum() + spread / (n - 1) - 2 * shared)

    return lambda counts: np.array([distance(row[slides.index]) for row in counts])


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


@dataclass(frozen=True)
class Distance:
    """A set value that is a distance of features: arrays ``<features>_fake`` and ``<features>_real``, (N, D).

    ``resamples``: how many are affordable. For N = 1000 images and D = 2048, 200 of the Fréchet distance take 11 s of
    one core, and 2000 of KID 2 s.
    """

    statistic: Callable[[Features, Features, Slides], Statistic]
    scores: Callable[[Features, Features, Features], Scores]
    features: str
    resamples: int

    def absence(self, features: Mapping[str, Features]) -> str | None:
        """Why it can't be resampled; None if it can."""
        real = features.get(f"{self.features}_real")
        if real is None or f"{self.features}_fake" not in features:
            return f"the features {self.features} were not kept"
        if len(real) > MAX_IMAGES:
            return f"{len(real)} images: above {MAX_IMAGES}, resampling a distance of features takes hours"
        return None

    def of(self, features: Mapping[str, Features], slides: Slides) -> Statistic:
        """The statistic of a method's features."""
        return self.statistic(features[f"{self.features}_fake"], features[f"{self.features}_real"], slides)

    def scores_of(self, first: Mapping[str, Features], second: Mapping[str, Features]) -> Scores:
        """The scores of two methods' images."""
        name = f"{self.features}_fake"
        return self.scores(first[name], second[name], first[f"{self.features}_real"])


# By the name of the value; the features' names are those that the metrics give.
DISTANCES = {
    "fid": Distance(frechet, frechet_scores, "fid", 200),
    "fid_pytorch": Distance(frechet, frechet_scores, "fid_pytorch", 200),
    "kid": Distance(kernel_distance, kernel_scores, "fid", 2000),
}


def _kernel(x: Features, y: Features) -> Array:
    return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3


def _centred(products: Array, row_weights: Array, column_weights: Array) -> Array:
    """Products of x and y as those of x and y less their weighted means; each weights sum to 1."""
    by_row, by_column = products @ column_weights, row_weights @ products
    return products - by_row[:, None] - by_column + row_weights @ by_row
