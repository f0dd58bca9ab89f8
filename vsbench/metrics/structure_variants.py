"""SSIM by protocols other than the scripts': on grey, and with the Gaussian window.

No script released with a method uses them; readers may take "SSIM" for one of them, the Gaussian one being the SSIM
paper's own.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics._grey import grey_cvtcolor
from vsbench.metrics.structure import WINDOW

GAUSSIAN = 11  # taps of the window at σ = 1.5
NAMES = ("ssim_gray_uniform7", "ssim_rgb_gauss11", "ssim_gray_gauss11")


class StructureVariants(Metric):
    """SSIM in three more forms, K1 = 0.01, K2 = 0.03, L = 255 in all. Grey is OpenCV's conversion, in whole levels."""

    on_request = True  # twice the time of SSIM itself, which is most of an evaluation without networks
    values = (
        Value(
            "ssim_gray_uniform7",
            r"SSIM$_\mathrm{grey}$",
            "1",
            "high",
            "mean over images; grey levels, uniform 7×7 window, sample covariance; constants as ssim",
            "ssim/skimage-gray-uniform7",
            column="ssim_gray_uniform7",
            family="ssim",
        ),
        Value(
            "ssim_rgb_gauss11",
            r"SSIM$_\mathrm{Gauss}$",
            "1",
            "high",
            "mean over images and channels; Gaussian 11-tap window, σ 1.5, population covariance; constants as ssim",
            "ssim/skimage-rgb-gauss11",
            column="ssim_rgb_gauss11",
            family="ssim",
        ),
        Value(
            "ssim_gray_gauss11",
            r"SSIM$_\mathrm{grey,Gauss}$",
            "1",
            "high",
            "mean over images; grey levels, Gaussian 11-tap window, σ 1.5, population covariance; constants as ssim",
            "ssim/skimage-gray-gauss11",
            column="ssim_gray_gauss11",
            family="ssim",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The three SSIM of one pair; NaN where a side is shorter than the window."""
        colour = (sample.fake, sample.real)
        grey = (grey_cvtcolor(sample.fake), grey_cvtcolor(sample.real))
        return {
            "ssim_gray_uniform7": _ssim(*grey, gaussian=False),
            "ssim_rgb_gauss11": _ssim(*colour, gaussian=True),
            "ssim_gray_gauss11": _ssim(*grey, gaussian=True),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that are large enough."""
        small = Absent("every image has a side shorter than the window")
        return {name: small if table[name].isna().all() else float(table[name].mean()) for name in NAMES}


def _ssim(fake: NDArray[np.generic], real: NDArray[np.generic], gaussian: bool) -> float:
    """Two (H, W) or (H, W, 3) images in [0, 255]; in [−1, 1]."""
    from skimage.metrics import structural_similarity  # heavy, and listing metrics does not need it

    if min(real.shape[:2]) < (GAUSSIAN if gaussian else WINDOW):
        return float("nan")
    window = (
        {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if gaussian else {"win_size": WINDOW}
    )
    channel = 2 if real.ndim == 3 else None
    return float(structural_similarity(fake, real, channel_axis=channel, data_range=255, **window))
