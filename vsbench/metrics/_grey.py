"""RGB to grey, in the ways that programs differ. R_c depends on the choice, in the 4th digit or (BT.709) the 2nd.

Each takes (H, W, 3) uint8 RGB and gives (H, W) in [0, 255]: uint8 where a program works in whole numbers, else float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsbench.metric import Image

Grey = NDArray[np.uint8] | NDArray[np.float64]
Levels = NDArray[np.uint8]

BINS = 64  # of grey levels, for mutual information
ROWS = 16  # of an image at once: what is made of them then stays in the processor's cache


@dataclass(frozen=True, eq=False)
class SummedGrey:
    """Grey levels of an image as R_c takes them, (H, W), and the exact sums over its pixels of level and level²."""

    levels: Levels
    total: int
    squares: int


def summed_grey(rgb: Image) -> SummedGrey:
    """Of a (H, W, 3) uint8 RGB image, by ``grey_png``: all that metrics of content need, so that they can share it."""
    levels = grey_png(rgb)
    return SummedGrey(levels, int(levels.sum(dtype=np.int64)), sum_of_products(levels, levels))


def sum_of_products(x: Levels, y: Levels) -> int:
    """Σ x · y over the pixels of two (H, W) images, exact."""
    rows = range(0, len(x), ROWS)
    products = (np.multiply(x[top : top + ROWS], y[top : top + ROWS], dtype=np.uint16) for top in rows)  # at most 255²
    return sum(int(part.sum(dtype=np.int64)) for part in products)


def mutual_information(x: Levels, y: Levels) -> float:
    """Mutual information in bits of two images of grey levels (H, W), in ``BINS`` bins. Symmetric.

    From 0, where one tells nothing of the other, to their entropy. Biased upwards, by about 0.003 bits for 1024²:
    (BINS − 1)² / (2 · H · W · ln 2).
    """
    width = 256 // BINS
    joint = np.bincount((x // width).reshape(-1).astype(np.intp) * BINS + (y // width).reshape(-1), minlength=BINS**2)
    p = joint.reshape(BINS, BINS) / x.size
    apart = np.outer(p.sum(axis=1), p.sum(axis=0))
    some = p > 0
    return float((p[some] * np.log2(p[some] / apart[some])).sum())


def grey_png(rgb: Image) -> Levels:
    """As OpenCV reads a PNG file as grey: the decoder converts, and truncates."""
    return _fixed_point(rgb, (9797, 19234, 3737), rounding=0, shift=15)


def grey_cvtcolor(rgb: Image) -> Levels:
    """As OpenCV converts an image that it read in colour."""
    return _fixed_point(rgb, (9798, 19235, 3735), rounding=16384, shift=15)


def grey_tiff(rgb: Image) -> Levels:
    """As OpenCV reads a TIFF file as grey."""
    return _fixed_point(rgb, (4899, 9617, 1868), rounding=8192, shift=14)


def grey_pil(rgb: Image) -> Levels:
    """As Pillow converts to mode L."""
    return _fixed_point(rgb, (19595, 38470, 7471), rounding=32768, shift=16)


def grey_bt601(rgb: Image) -> Grey:
    """ITU-R BT.601 luma, not rounded."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def grey_bt709(rgb: Image) -> Grey:
    """ITU-R BT.709 luma with scikit-image's four digits, not rounded."""
    return rgb @ np.array([0.2125, 0.7154, 0.0721])


# by the name in a protocol id: r_c/gray-mean@pil-l
GREYS: dict[str, Callable[[Image], Grey]] = {
    "png": grey_png,
    "cv2-cvtcolor": grey_cvtcolor,
    "cv2-imread-tiff": grey_tiff,
    "pil-l": grey_pil,
    "bt601-float": grey_bt601,
    "bt709-float": grey_bt709,
}


def _fixed_point(rgb: Image, weights: tuple[int, int, int], rounding: int, shift: int) -> Levels:
    grey = np.empty(rgb.shape[:2], np.uint8)
    for top in range(0, len(rgb), ROWS):
        rows = rgb[top : top + ROWS]
        total = np.full(rows.shape[:2], rounding, np.uint32)
        for channel, weight in enumerate(weights):
            total += np.multiply(rows[..., channel], weight, dtype=np.uint32)
        grey[top : top + ROWS] = total >> shift
    return grey
