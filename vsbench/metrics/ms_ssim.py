"""Is each pixel where the adjacent section has it, from cells to tissue? SSIM over five scales, MS-SSIM.

Coarse scales forgive the shift between two sections, and weigh more than fine ones; it still rewards blur.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value

Pixels = NDArray[np.float64]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from the finest scale to the coarsest, as published
TAPS, SIGMA = 11, 1.5  # pixels of each scale
MIN_SIDE = TAPS * 2 ** (len(WEIGHTS) - 1)  # pixels: at the coarsest scale one window
ROWS = 16  # of an image at once: what is made of them then stays in the processor's cache


class MultiScaleSsim(Metric):
    """MS-SSIM on 8-bit RGB (Wang, Simoncelli and Bovik, Asilomar 2003), channel by channel.

    Scales: each is the last in means of 2×2 pixels, without the odd row or column that is left over. Of each channel:
    the mean contrast-structure term over the windows inside the image, at the coarsest scale the mean SSIM; where such
    a mean is negative, 0 in its place, so that the channel has 0. The paper is about grey images and says neither.
    """

    min_side = MIN_SIDE
    values = (
        Value(
            "ms_ssim",
            "MS-SSIM",
            "1",
            "high",
            "mean over images and channels; five scales by 2×2 means, weights 0.0448 0.2856 0.3001 0.2363 0.1333; "
            "Gaussian 11-tap window, σ 1.5, population covariance; constants as ssim; negative terms count as 0",
            "ms_ssim/rgb-gauss11",
            column="ms_ssim",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """MS-SSIM of one pair; NaN where a side is shorter than ``MIN_SIDE``."""
        small = min(sample.real.shape[:2]) < MIN_SIDE
        return {"ms_ssim": float("nan") if small else ms_ssim(sample.fake, sample.real)}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Mean over the images that are large enough."""
        column = table["ms_ssim"]
        if column.isna().all():
            return {"ms_ssim": Absent(f"every image has a side shorter than {MIN_SIDE} pixels")}
        return {"ms_ssim": float(column.mean())}


def ms_ssim(fake: Image, real: Image) -> float:
    """MS-SSIM of two (H, W, 3) uint8 images, sides of ``MIN_SIDE`` or more, in [0, 1]; 1 for equal ones. Symmetric."""
    product = np.ones(3)
    x: Image | Pixels = fake
    y: Image | Pixels = real
    for scale, weight in enumerate(WEIGHTS):
        if scale > 0:
            x, y = halved(x), halved(y)
        similarity, contrast = _mean_terms(x, y)
        coarsest = scale == len(WEIGHTS) - 1
        product *= np.maximum(similarity if coarsest else contrast, 0) ** weight
    return float(product.mean())


def _mean_terms(x: Image | Pixels, y: Image | Pixels) -> tuple[Pixels, Pixels]:
    """(3,) means over windows of SSIM and of its contrast-structure term, by channel."""
    windows = len(x) - TAPS + 1
    sums = np.zeros((2, 3))
    for top in range(0, windows, ROWS):
        rows = slice(top, top + ROWS + TAPS - 1)
        similarity, contrast = _terms(x[rows], y[rows])
        sums += [term.sum(axis=0).sum(axis=0) for term in (similarity, contrast)]  # rows first: much the faster order
    similarity, contrast = sums / (windows * (x.shape[1] - TAPS + 1))
    return similarity, contrast


def _terms(x: Image | Pixels, y: Image | Pixels) -> tuple[Pixels, Pixels]:
    """(rows, columns, 3) SSIM and contrast-structure term of each window of a strip."""
    luminance, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = x.astype(np.float64), y.astype(np.float64)
    moments = (_weighted(_weighted(moment, axis=0), axis=1) for moment in (x, y, x * y, x * x + y * y))
    mean_x, mean_y, products, squares = moments
    crossed, squared = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    structure = (2 * (products - crossed) + contrast) / (squares - squared + contrast)
    return structure * (2 * crossed + luminance) / (squared + luminance), structure


def _weighted(values: Pixels, axis: int) -> Pixels:
    """Gaussian means of ``TAPS`` neighbours along an axis, which gets shorter by ten."""
    weights = np.exp(-0.5 * (np.arange(TAPS) - TAPS // 2) ** 2 / SIGMA**2)
    weights /= weights.sum()
    values = np.moveaxis(values, axis, 0)
    size, middle = len(values) - TAPS + 1, TAPS // 2
    means = values[middle : middle + size] * weights[middle]
    pairs = np.empty_like(means)
    for tap in range(middle):  # the window is symmetric: half of the products
        np.add(values[tap : tap + size], values[TAPS - 1 - tap : TAPS - 1 - tap + size], out=pairs)
        pairs *= weights[tap]
        means += pairs
    return np.moveaxis(means, 0, axis)


def halved(image: Image | Pixels) -> Pixels:
    """(H, W, 3) → (H // 2, W // 2, 3), the next scale: means of 2×2 pixels; an odd last row or column is left out."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    corners = (image[top:height:2, left:width:2] for top in (0, 1) for left in (0, 1))
    return sum(corners, start=np.zeros((height // 2, width // 2, 3))) / 4
