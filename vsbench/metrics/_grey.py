"""RGB to grey, in the ways that programs differ. R_c depends on the choice, in the 4th digit or (BT.709) the 2nd.

Each takes (H, W, 3) uint8 RGB and gives (H, W) float64 in [0, 255]; the integer forms give whole levels.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsbench.metric import Image

Grey = NDArray[np.float64]


def grey_png(rgb: Image) -> Grey:
    """As OpenCV reads a PNG file as grey: the decoder converts, and truncates."""
    return _fixed_point(rgb, (9797, 19234, 3737), rounding=0, shift=15)


def grey_cvtcolor(rgb: Image) -> Grey:
    """As OpenCV converts an image that it read in colour."""
    return _fixed_point(rgb, (9798, 19235, 3735), rounding=16384, shift=15)


def grey_tiff(rgb: Image) -> Grey:
    """As OpenCV reads a TIFF file as grey."""
    return _fixed_point(rgb, (4899, 9617, 1868), rounding=8192, shift=14)


def grey_pil(rgb: Image) -> Grey:
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


def _fixed_point(rgb: Image, weights: tuple[int, int, int], rounding: int, shift: int) -> Grey:
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)  # uint8 would overflow
    total = weights[0] * red + weights[1] * green + weights[2] * blue
    return ((total + rounding) >> shift).astype(np.float64)
