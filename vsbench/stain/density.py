"""Optical density: the Beer–Lambert law in base 10, both ways, and the colours of common stains.

The density of a pixel is the sum over its stains of amount times the stain's unit vector (red, green, blue), so it
adds up where intensities don't. All arithmetic is float64.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BACKGROUND = 255.0  # intensity of unstained glass in an 8-bit image
DARKEST = 1.0  # lower intensities are read as this one: the density of black is 2.41 at most, and finite

# Unit absorbance vectors (red, green, blue).
# Ruifrok & Johnston 2001. "H DAB" of Fiji uses the first and the last of them.
HAEMATOXYLIN = np.array([0.650, 0.704, 0.286])
EOSIN = np.array([0.072, 0.990, 0.105])
DAB = np.array([0.268, 0.570, 0.776])
# Macenko et al. 2009: haematoxylin and eosin of whole-slide scanners, which see eosin less pure than Ruifrok's camera.
SCANNER_HAEMATOXYLIN = np.array([0.5626, 0.7201, 0.4062])
SCANNER_EOSIN = np.array([0.2159, 0.8012, 0.5581])


def optical_density(intensity: ArrayLike, background: ArrayLike = BACKGROUND) -> NDArray[np.float64]:
    """−log₁₀(intensity / background), of any shape, ≥ 0. ``background``: one number, or one for each channel.

    Intensities are clamped to [``DARKEST``, ``background``] first: brighter than the background counts as unstained.
    """
    white = np.asarray(background, dtype=np.float64)
    clamped = np.clip(np.asarray(intensity, dtype=np.float64), DARKEST, white)
    return np.log10(white / clamped)


def transmitted_intensity(density: ArrayLike, background: float = BACKGROUND) -> NDArray[np.float64]:
    """background · 10^(−density), of any shape, neither rounded nor clamped: the inverse of ``optical_density``."""
    return background * np.power(10.0, -np.asarray(density, dtype=np.float64))


def stain_matrix(*vectors: ArrayLike) -> NDArray[np.float64]:
    """(S, 3): the given absorbance vectors as rows, each scaled to unit length. ``amounts @ matrix`` is the density."""
    matrix = np.stack([np.asarray(vector, dtype=np.float64) for vector in vectors])
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
