"""DAB density under a light that is not white: Fiji's arithmetic, with the light's own transmission taken out.

Fiji takes 255 for glass. Its DAB level, before it is cut off at 255 and rounded, is a product over the channels, and
so that of an image divided by the light is the image's own divided by the light's. That leaves one number for a light,
and of an image its histogram of finer levels, which may be read under any light later. Under 255 it is Fiji's value.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vsbench.stain.dab import DAB_EXPONENTS, ROWS
from vsbench.stain.light import Light

STEPS = 4  # bins for each DAB level of Fiji's
BINS = 2 * 256 * STEPS  # to twice the level of white: a bluish light transmits more than that


def read_transmission(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(BINS,) pixels of a (H, W, 3) uint8 RGB image by their DAB level in steps of 1 / STEPS, not cut off at 255."""
    red, green, blue = _tables()
    counts = np.zeros(BINS, np.int64)
    for top in range(0, len(rgb), ROWS):
        rows = rgb[top : top + ROWS]
        levels = np.take(red, rows[..., 0]) * np.take(green, rows[..., 1]) * np.take(blue, rows[..., 2])
        bins = np.minimum(levels, BINS - 1).astype(np.int32)
        counts += np.bincount(bins.reshape(-1), minlength=BINS)
    return counts


def level_counts(transmission: NDArray[np.int64], light: Light) -> NDArray[np.int64]:
    """(256,) pixels at each DAB level under this light, from ``read_transmission``."""
    middle = (np.arange(BINS) + 0.5) / STEPS
    levels = np.floor(np.minimum(255, middle / transmitted(light)) + 0.5).astype(np.intp)
    counts = np.zeros(256, np.int64)
    np.add.at(counts, levels, transmission)
    return counts


def transmitted(light: Light) -> float:
    """The light's own DAB transmission, against that of white; Fiji adds 1 to each intensity."""
    channels = zip(light.colour, DAB_EXPONENTS, strict=True)
    return float(np.prod([((level + 1) / 256) ** exponent for level, exponent in channels]))


@cache
def _tables() -> tuple[NDArray[np.float64], ...]:
    """What each intensity of R, G and B multiplies the level by; the first in steps."""
    red, green, blue = (((np.arange(256) + 1) / 255) ** exponent for exponent in DAB_EXPONENTS)
    return STEPS * 255 * red, green, blue
