"""Is each pixel where the adjacent section has it? SSIM and PSNR.

On weak pairs the adjacent section is no pixel-wise truth: both then reward blur. They are here as the field's habit.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Metric, Sample, Value

WINDOW = 7  # pixels; an image with a shorter side has no SSIM
ROWS = 32  # of an image at once: what is made of them then stays in the processor's cache


class Structure(Metric):
    """SSIM and PSNR on 8-bit RGB as the released scripts call scikit-image, and PSNR of one error over the set.

    One image equal to the real IHC makes the mean PSNR infinite, whatever the others show: the pooled one still tells
    methods apart then. Column ``mse``: squared error over pixels and channels, levels².
    """

    values = (
        Value(
            "ssim",
            "SSIM",
            "1",
            "high",
            "mean over images and channels; uniform 7×7 window, sample covariance, K1 = 0.01, K2 = 0.03, L = 255",
            "ssim/skimage-rgb-uniform7",
            column="ssim",
        ),
        Value(
            "psnr",
            "PSNR",
            "dB",
            "high",
            "mean over images of 10 log10(255² / MSE over pixels and channels); no cap: identical images give inf",
            "psnr/skimage-rgb-255",
            column="psnr",
        ),
        Value(
            "psnr_infinite",
            r"PSNR $= \infty$",
            "images",
            "high",
            "number of images equal to the real IHC in every pixel",
            "psnr/skimage-rgb-255",
        ),
        Value(
            "psnr_pooled",
            r"PSNR$_\mathrm{pooled}$",
            "dB",
            "high",
            "10 log10(255² / mean over images of the MSE); never above the mean of the images' PSNR",
            "psnr/pooled-mse",
            family="psnr",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """SSIM, PSNR and squared error of one pair. Raises DataError for an image smaller than the window."""
        height, width, _ = sample.real.shape
        if min(height, width) < WINDOW:
            raise DataError(f"{sample.id}: {height}×{width} pixels; SSIM needs at least {WINDOW}×{WINDOW}")
        mse = squared_difference(sample.fake, sample.real) / sample.real.size
        return {"ssim": ssim(sample.fake, sample.real), "psnr": decibels(mse), "mse": mse}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images; PSNR is inf as soon as one image is, the pooled one where all are."""
        return {
            "ssim": float(table["ssim"].mean()),
            "psnr": float(table["psnr"].mean()),
            "psnr_infinite": float(np.isinf(table["psnr"]).sum()),
            "psnr_pooled": decibels(float(table["mse"].mean())),
        }


def ssim(fake: Image, real: Image) -> float:
    """Structural similarity of two (H, W, 3) uint8 images, in [−1, 1]; 1 for identical ones. Symmetric.

    As scikit-image's ``structural_similarity(win_size=7, channel_axis=2, data_range=255)``, which leaves out windows
    that overhang the border. Sums over windows are exact in whole numbers, so only the quotients round.
    """
    height, width, channels = real.shape
    border = WINDOW - 1
    pieces = (slice(top, top + ROWS + border) for top in range(0, height - border, ROWS))
    total = sum(_similarity_sum(fake[rows], real[rows]) for rows in pieces)
    return total / ((height - border) * (width - border) * channels)


def psnr(fake: Image, real: Image) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) uint8 images in dB; inf for identical ones. Symmetric."""
    return decibels(squared_difference(fake, real) / real.size)


def decibels(mse: float) -> float:
    """PSNR in dB of a mean squared error of 8-bit images; inf for none."""
    return 10 * float(np.log10(255**2 / mse)) if mse > 0 else float("inf")


def squared_difference(fake: Image, real: Image) -> int:
    """Σ (fake − real)² over the pixels and channels of two (H, W, 3) uint8 images, exact."""
    total = 0
    for top in range(0, len(real), ROWS):
        difference = np.subtract(fake[top : top + ROWS], real[top : top + ROWS], dtype=np.int32)
        difference *= difference
        total += int(difference.sum(dtype=np.int64))
    return total


def _similarity_sum(fake: Image, real: Image) -> float:
    """Sum of the similarity over windows and channels of a strip of rows.

    With sums over the n pixels of a window, a and b of the levels, p of their products and q of all their squares, the
    means are a/n and b/n, the sample covariance is (n·p − a·b) / (n·(n − 1)), and the sum of the two variances
    (n·q − a² − b²) / (n·(n − 1)). The two quotients of SSIM are expanded by n² and by n·(n − 1).
    """
    n = WINDOW**2
    luminance, contrast = n * n * (0.01 * 255) ** 2, n * (n - 1) * (0.03 * 255) ** 2  # K1 and K2, and L = 255
    x, y = fake.astype(np.int32), real.astype(np.int32)  # nothing below exceeds 2 · (n · 255)² < 2³¹
    a, b, p, q = (_window_sums(_window_sums(moment, axis=0), axis=1) for moment in (x, y, x * y, x * x + y * y))
    crossed = 2 * (a * b)
    squares = a * a + b * b
    above = (crossed + luminance) * (2 * n * p - crossed + contrast)
    above /= (squares + luminance) * (n * q - squares + contrast)
    return float(above.sum())


def _window_sums(values: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    """Sums of ``WINDOW`` = 4 + 2 + 1 neighbours along an axis, which gets shorter by six."""
    values = np.moveaxis(values, axis, 0)
    pairs = values[:-1] + values[1:]
    sums = pairs[:-2] + pairs[2:]
    sums = sums[:-3] + pairs[4:-1]
    sums += values[6:]
    return np.moveaxis(sums, 0, axis)
