"""DAB density as Fiji measures it: Colour Deconvolution "H DAB", then Measure on the calibrated DAB channel.

Fiji works in 8 bits: each RGB colour has one DAB level, each DAB level one optical density. So the whole chain is two
tables, and the integrated density of an image is its histogram of DAB levels times 256 densities.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

# The DAB column of the inverse of Fiji's "H DAB" matrix (Ruifrok & Johnston 2001): rows H = (0.650, 0.704, 0.286) and
# DAB = (0.268, 0.570, 0.776) at unit length, and as third row the unit vector along √max(0, 1 − H² − DAB²).
DAB_EXPONENTS = (-1.4160021820814035, 0.8345120293855013, 1.164003320508809)

ROWS = 16  # of an image at once: what is made of them then stays in the processor's cache

POSITIVE_LEVEL = 100  # the highest DAB level that counts as stained: an optical density of 0.4065 or more


@dataclass(frozen=True)
class Density:
    """What Measure tells of one DAB channel, in pixels and uncalibrated optical density (OD, decadic).

    ``intden`` is the sum of OD over all pixels (OD·px). The ``positive`` fields hold for the pixels with a DAB level
    of at most ``POSITIVE_LEVEL``: their number, and their part of ``intden`` (0.0 where there are none).
    """

    pixels: int
    intden: float
    minimum: float
    maximum: float
    positive_pixels: int
    positive_intden: float

    @property
    def mean(self) -> float:
        """Mean OD."""
        return self.intden / self.pixels

    @property
    def positive_area(self) -> float:
        """Fraction of positive pixels, in [0, 1]."""
        return self.positive_pixels / self.pixels


@dataclass(frozen=True, eq=False)
class DabLevels:
    """The DAB level of each pixel, (H, W) uint8, and the number of pixels at each level, (256,)."""

    levels: NDArray[np.uint8]
    counts: NDArray[np.int64]


@cache
def dab_table() -> NDArray[np.uint8]:
    """(2^24,) uint8: the DAB level of each colour, R slowest and B fastest; read-only, built once in half a second.

    255 is no DAB, 0 saturated. In float64: float32 rounds some colours to the wrong level.
    """
    red, green, blue = (((np.arange(256) + 1) / 255) ** exponent for exponent in DAB_EXPONENTS)
    table = np.empty((256, 256, 256), np.uint8)
    for level in range(256):  # one plane at a time: 2^24 float64 at once would take 128 MiB
        transmitted = 255 * red[level] * green[:, None] * blue
        table[level] = np.floor(np.minimum(255, transmitted) + 0.5)
    table.setflags(write=False)
    return table.reshape(-1)


@cache
def density_table() -> NDArray[np.float32]:
    """(256,) float32: the uncalibrated optical density of each DAB level; level 0 is read as 0.5. Read-only."""
    level = np.arange(256, dtype=np.float64)
    level[0] = 0.5
    table = (0.434294481 * np.log(255 / level)).astype(np.float32)  # Fiji's own log10(e), and its float32
    table.setflags(write=False)
    return table


def dab8(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB → (H, W) uint8 DAB level: 255 is no DAB, 0 saturated.

    Raises ValueError for any other shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected (H, W, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}; decode with read_rgb")
    levels, table = np.empty(rgb.shape[:2], np.uint8), dab_table()
    for top in range(0, len(rgb), ROWS):
        rows = rgb[top : top + ROWS]
        index = np.zeros((*rows.shape[:2], 8), np.uint8)  # the bytes of one 64-bit index per pixel, B the lowest
        for channel in range(3):
            index[..., 2 - channel] = rows[..., channel]
        # no index can be out of range; the mode spares the copy of the result that guards against it
        np.take(table, index.view("<i8")[..., 0], out=levels[top : top + ROWS], mode="clip")
    return levels


def read_levels(rgb: NDArray[np.uint8]) -> DabLevels:
    """Levels and histogram of a (H, W, 3) uint8 RGB image: all that metrics of DAB need, so that they can share it."""
    levels = dab8(rgb)
    return DabLevels(levels, np.bincount(levels.reshape(-1), minlength=256))


def optical_density_dab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (H, W) float32 optical density of DAB, in [0, 2.71]."""
    return density_table()[dab8(rgb)]


def measure_density(rgb: NDArray[np.uint8]) -> Density:
    """All that Measure tells of the DAB channel of a (H, W, 3) uint8 RGB image of at least one pixel."""
    return density_of(read_levels(rgb).counts)


def density_of(counts: NDArray[np.int64]) -> Density:
    """All that Measure tells of a channel with so many pixels at each DAB level, (256,); at least one in all."""
    densities = density_table().astype(np.float64)
    parts = counts * densities
    present = densities[counts > 0]
    return Density(
        pixels=int(counts.sum()),
        intden=float(parts.sum()),
        minimum=float(present.min()),
        maximum=float(present.max()),
        positive_pixels=int(counts[: POSITIVE_LEVEL + 1].sum()),
        positive_intden=float(parts[: POSITIVE_LEVEL + 1].sum()),
    )


def integrated_density(rgb: NDArray[np.uint8]) -> float:
    """Integrated DAB density (IntDen) of a (H, W, 3) uint8 RGB image in OD·px, as Fiji reads it."""
    return measure_density(rgb).intden
