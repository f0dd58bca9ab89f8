"""Is each pixel where the adjacent section has it? SSIM and PSNR.

On weak pairs the adjacent section is no pixel-wise truth: both then reward blur. They are here as the field's habit.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Metric, Sample, Value

WINDOW = 7  # pixels; an image with a shorter side has no SSIM


class Structure(Metric):
    """SSIM and PSNR on 8-bit RGB as the released scripts call scikit-image."""

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
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """SSIM and PSNR of one pair. Raises DataError for an image smaller than the window."""
        height, width, _ = sample.real.shape
        if min(height, width) < WINDOW:
            raise DataError(f"{sample.id}: {height}×{width} pixels; SSIM needs at least {WINDOW}×{WINDOW}")
        return {"ssim": ssim(sample.fake, sample.real), "psnr": psnr(sample.fake, sample.real)}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images; PSNR is inf as soon as one image is."""
        infinite = float(np.isinf(table["psnr"]).sum())
        return {"ssim": float(table["ssim"].mean()), "psnr": float(table["psnr"].mean()), "psnr_infinite": infinite}


def ssim(fake: Image, real: Image) -> float:
    """Structural similarity of two (H, W, 3) uint8 images, in [−1, 1]; 1 for identical ones. Symmetric."""
    from skimage.metrics import structural_similarity  # heavy, and listing metrics does not need it

    return float(structural_similarity(fake, real, win_size=WINDOW, channel_axis=2, data_range=255))


def psnr(fake: Image, real: Image) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) uint8 images in dB; inf for identical ones. Symmetric."""
    difference = fake.astype(np.int64) - real
    squared_error = float(np.mean(difference * difference))
    return 10 * float(np.log10(255**2 / squared_error)) if squared_error > 0 else float("inf")
