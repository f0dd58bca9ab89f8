"""Precision, recall, density and coverage of two sets of features: is each image of one among those of the other?

An image's neighbourhood is the ball around its features that reaches to the third nearest other image of its set.
Precision and recall are torch-fidelity's, density and coverage those of the package prdc (which takes any number of
neighbours); the edge of a ball is inside for the first two, and outside for the others. Of density what it is above 1:
more is no better, since images that crowd among the commonest real ones have most of it.

Sources: Kynkäänniemi et al., NeurIPS 2019 (precision, recall); Naeem et al., ICML 2020 (density, coverage).
"""

import numpy as np
from numpy.typing import NDArray

NAMES = ("precision", "recall", "density_excess", "coverage")
NEIGHBOURS = 3  # torch-fidelity's default
MIN_IMAGES = NEIGHBOURS + 1
TIE = 1e-9  # squared distances that differ by less, as a share, are equal: products of matrices round
ROUNDING = 1e-13  # of the squared lengths: a squared distance below is 0


def shares(fake: NDArray[np.floating], real: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """What each image adds to the four values, which are the means: precision and density by generated image, recall
    and coverage by real one. Empty where no real image has a neighbourhood.

    Features are (N, D) and (M, D), with N and M above ``NEIGHBOURS``; takes three matrices of N × M.
    """
    origin = real.mean(axis=0, dtype=np.float64)  # near the features, for the digits of their squares
    x, y = fake - origin, real - origin
    of_real, of_fake = _reach(y), _reach(x)
    if not of_real.any():
        return {}
    between = _squares(x, y)  # (N, M)
    inside = between < of_real * (1 - TIE)
    return {
        "precision": (between <= of_real * (1 + TIE)).any(axis=1).astype(np.float64),
        "recall": (between <= of_fake[:, None] * (1 + TIE)).any(axis=0).astype(np.float64),
        "density_excess": inside.sum(axis=1) / NEIGHBOURS - 1,
        "coverage": inside.any(axis=0).astype(np.float64),
    }


def _reach(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) squared distance of each image to its third nearest other one."""
    squares = _squares(x, x)
    np.fill_diagonal(squares, -1)  # itself, first whatever others are at the same place
    return np.partition(squares, NEIGHBOURS, axis=1)[:, NEIGHBOURS]


def _squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) squared distances."""
    lengths = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)
    squares = lengths - 2 * (x @ y.T)
    return np.where(squares > ROUNDING * lengths, squares, 0)
