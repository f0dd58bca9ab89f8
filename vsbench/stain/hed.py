"""Haematoxylin, eosin and DAB apart, as scikit-image unmixes them, and what an image would be with its DAB alone.

Densities are in units of −ln ``FLOOR``: Ruifrok's vectors are not normalised here.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

# Optical densities of haematoxylin, eosin and DAB in red, green and blue: scikit-image's matrix, and USIGAN's.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
FLOOR = 1e-6  # darkest intensity
ROWS = 16  # of an image at once: what is made of them then stays in the processor's cache


def unmixed(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) uint8 RGB → (H, W, 3): densities of haematoxylin, eosin and DAB, ≥ 0."""
    return np.maximum(_densities()[rgb] @ np.linalg.inv(STAINS), 0)


def dab_amounts(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) uint8 RGB → (H, W): the density of DAB of ``unmixed``, but not cut at 0."""
    tables = np.outer(np.linalg.inv(STAINS)[:, 2], _densities())  # what each level of R, G and B adds
    amounts = np.empty(rgb.shape[:2], np.float64)
    for top in range(0, len(rgb), ROWS):
        rows = rgb[top : top + ROWS]
        density = np.take(tables[0], rows[..., 0], out=amounts[top : top + ROWS])
        for channel in (1, 2):
            density += np.take(tables[channel], rows[..., channel])
    return amounts


def dab_alone(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) DAB densities of ``unmixed`` → (H, W, 3): the RGB image with no other stain, in [0, 1]."""
    return np.exp(math.log(FLOOR) * density[..., None] * np.array(STAINS[2]))


def stained_mask(dab: NDArray[np.float64], threshold: float = 0.15) -> NDArray[np.bool_]:
    """(H, W, 3) image of ``dab_alone`` → (H, W): where its saturation (HSV) is above the threshold.

    Source: TDKStain as released.
    """
    highest = dab.max(2)
    saturation = (highest - dab.min(2)) / np.maximum(highest, np.finfo(float).tiny)
    return saturation > threshold


def softened(mask: NDArray[np.bool_], sigma: float = 3.0) -> NDArray[np.float64]:
    """(H, W) → the same in [0, 1], with soft borders: a Gaussian cut at 4/3 ``sigma`` (9 taps for 3), and reflected."""
    from scipy import ndimage  # heavy, and listing metrics does not need it

    return ndimage.gaussian_filter(mask.astype(float), sigma, mode="mirror", truncate=4 / 3)


@cache
def _densities() -> NDArray[np.float64]:
    """(256,): the density of each level."""
    return np.log(np.maximum(np.arange(256) / 255, FLOOR)) / math.log(FLOOR)
