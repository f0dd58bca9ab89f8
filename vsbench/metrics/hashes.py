"""Does the image look alike at a glance? Bits by which perceptual hashes differ from those of the real IHC.

Both hashes see a thumbnail in grey: neither cells nor the colour of the stain. The adjacent section's own cells do not
matter to them, and neither does most of what virtual staining is for.
"""

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Pillow

from vsbench.metric import Absent, Image, Metric, Sample, Value

if TYPE_CHECKING:
    from imagehash import ImageHash


class Hashes(Metric):
    """Hamming distances of imagehash's 64-bit pHash (low frequencies of 32×32) and dHash (rising steps of 9×8)."""

    values = (
        Value(
            "phash",
            "pHash",
            "bits",
            "low",
            "mean over images of the Hamming distance of imagehash.phash of the generated image and of the real one, "
            "of 64; unrelated images: 32",
            "phash/imagehash-8",
            column="phash",
        ),
        Value(
            "dhash",
            "dHash",
            "bits",
            "low",
            "mean over images of the Hamming distance of imagehash.dhash of the generated image and of the real one, "
            "of 64; unrelated images: 32",
            "dhash/imagehash-8",
            column="dhash",
        ),
    )

    def unavailable(self) -> str | None:
        """Whether the package is missing."""
        if importlib.util.find_spec("imagehash") is None:
            return "package imagehash missing (pip install imagehash)"
        return None

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The two distances of one pair, whole numbers from 0 to 64."""
        fake, real = sample.once("fake", hashes), sample.once("real", hashes)
        return {name: float(fake[name] - real[name]) for name in fake}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images."""
        return {value.name: float(table[value.name].mean()) for value in self.values}


def hashes(image: Image) -> "dict[str, ImageHash]":
    """``phash`` and ``dhash`` of a (H, W, 3) uint8 RGB image; the difference of two is their distance in bits."""
    import imagehash  # not everyone has it

    grey = Pillow.fromarray(image).convert("L")  # as each hash would do, once for both
    return {"phash": imagehash.phash(grey), "dhash": imagehash.dhash(grey)}
