"""Is the generated image as sharp as the real one? On adjacent sections SSIM and PSNR reward blur; this shows it.

Neither more nor less is better: noise and artefacts are sharp, too.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value

ROWS = 64  # of an image at once: what is made of them then stays in the processor's cache


class Sharpness(Metric):
    """Sharpness of the generated images against that of the real ones.

    Columns ``sharpness`` and ``sharpness_real``: variance over the pixels of the Laplacian (4 neighbours; beyond the
    edge the image is mirrored) of the mean of the channels, in levels².
    """

    values = (
        Value(
            "sharpness_ratio",
            "Sharpness",
            "%",
            "zero",
            "100 · (Σ S / Σ S_real − 1), S the variance of the Laplacian of the mean of the channels of image i; below "
            "0 the generated images are blurred, above 0 sharper than the real ones",
            "sharpness/laplace4-mean",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Of both images."""
        return {"sharpness": sample.once("fake", sharpness), "sharpness_real": sample.once("real", sharpness)}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Of all images together, so that a blank one weighs little; Absent where all real ones are constant."""
        fake, real = float(table["sharpness"].sum()), float(table["sharpness_real"].sum())
        return {"sharpness_ratio": 100 * (fake / real - 1) if real > 0 else Absent("the real images are all constant")}


def sharpness(rgb: Image) -> float:
    """Variance of the Laplacian of the mean of the channels of a (H, W, 3) uint8 RGB image, in levels²; exact.

    Mirrored at the edges, the Laplacian has the mean 0.
    """
    height, width, channels = rgb.shape
    padded = np.empty((height + 2, width + 2), np.int16)
    total = padded[1:-1, 1:-1]
    np.add(rgb[..., 0], rgb[..., 1], out=total, dtype=np.int16)
    total += rgb[..., 2]
    padded[[0, -1]] = padded[[1, -2]]
    padded[:, [0, -1]] = padded[:, [1, -2]]
    squares = 0
    for top in range(0, height, ROWS):
        rows = padded[top : top + ROWS + 2]
        laplacian = rows[:-2, 1:-1] + rows[2:, 1:-1]
        laplacian += rows[1:-1, :-2]
        laplacian += rows[1:-1, 2:]
        laplacian -= 4 * rows[1:-1, 1:-1]
        squares += int(np.multiply(laplacian, laplacian, dtype=np.int32).sum(dtype=np.int64))
    return squares / (height * width * channels**2)
