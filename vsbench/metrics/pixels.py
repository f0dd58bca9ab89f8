"""Are the pixels alike, in the ways that papers outside of this field report? MAE, ΔE2000, NCC, mutual information.

Against the adjacent section's real IHC all blame the pairing as much as the method. MAE, like PSNR, rewards blur.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value
from vsbench.metrics._grey import BINS, mutual_information, summed_grey
from vsbench.metrics.content import grey_correlation

ROWS = 64  # of an image at once: colours in float64 take eight times the memory of pixels


class Pixels(Metric):
    """Mean absolute error, difference of colours, and what the grey levels of the two images tell of each other."""

    on_request = True  # ΔE2000 takes as long as an evaluation without networks
    values = (
        Value(
            "mae",
            "MAE",
            "1",
            "low",
            "mean over images, pixels and channels of |generated − real| / 255",
            "mae/rgb",
            column="mae",
        ),
        Value(
            "delta_e",
            "CIEDE2000",
            "ΔE",
            "low",
            "mean over images and pixels of the CIEDE2000 difference of generated and real, from sRGB, D65 and 2°",
            "delta_e/ciede2000-d65",
            column="delta_e",
        ),
        Value(
            "ncc",
            "NCC",
            "1",
            "high",
            "mean over images of the normalised cross-correlation (Pearson's r) of the grey pixels of generated and "
            "real, grey as in r_c",
            "ncc/gray",
            column="ncc",
        ),
        Value(
            "mutual_information",
            "MI",
            "bit",
            "high",
            "mean over images of Σ p(x, y) · log2(p(x, y) / (p(x) p(y))), x and y the grey pixels of generated and "
            f"real in {BINS} equal bins, grey as in r_c",
            f"mi/gray-{BINS}",
            column="mutual_information",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The four of one pair; NCC and information are NaN where the grey of an image is constant."""
        fake, real = sample.once("fake", summed_grey), sample.once("real", summed_grey)
        ncc = grey_correlation(fake, real)
        error = np.abs(sample.fake.astype(np.int16) - sample.real).sum(dtype=np.int64)
        return {
            "mae": int(error) / sample.real.size / 255,
            "delta_e": colour_difference(sample.fake, sample.real),
            "ncc": ncc,
            "mutual_information": float("nan") if np.isnan(ncc) else mutual_information(fake.levels, real.levels),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that have the number."""
        none = Absent("in every pair the generated or the real image is constant")
        return {v.name: none if table[v.name].isna().all() else float(table[v.name].mean()) for v in self.values}


def colour_difference(fake: Image, real: Image) -> float:
    """Mean CIEDE2000 difference of two (H, W, 3) uint8 sRGB images."""
    from skimage.color import deltaE_ciede2000, rgb2lab  # heavy, and listing metrics does not need it

    total = 0.0
    for top in range(0, len(real), ROWS):
        colours = (rgb2lab(image[top : top + ROWS]) for image in (real, fake))
        total += float(deltaE_ciede2000(*colours).sum())
    return total * 3 / real.size
