"""Does one see where the tiles of a large image were joined? The jumps across seams against those beside them.

Of images that were stitched and say so: those that ``vsbench translate`` made in tiles keep the places in their PNG
files. The real image tells how much the tissue itself jumps there.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.data.seams import Seams
from vsbench.metric import Absent, Image, Metric, Sample, Value

BESIDE = tuple(range(4, 13))  # pixels to either side of a seam, where lines are compared with it


class SeamJump(Metric):
    """Jumps of grey at the seams of generated images: rows or columns of pixels that differ more than others do.

    Column ``seam_jump``; NaN for images that are not known to be stitched, or are flat beside their seams.
    """

    values = (
        Value(
            "seam_jump",
            "Seam jump",
            "%",
            "zero",
            "mean over images of 100 · (J − J_real), J the mean |difference| of neighbouring pixels across the seams, "
            f"over the same {BESIDE[0]} to {BESIDE[-1]} pixels beside them; J_real of the real image at these places",
            f"seams/jump-beside{BESIDE[0]}-{BESIDE[-1]}",
            column="seam_jump",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Of one pair."""
        if sample.seams is None:
            return {"seam_jump": float("nan")}
        return {
            "seam_jump": 100 * (relative_jump(sample.fake, sample.seams) - relative_jump(sample.real, sample.seams))
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Mean over the images that have it."""
        none = Absent("no image is known to be stitched, with tissue at its seams")
        return {"seam_jump": none if table["seam_jump"].isna().all() else float(table["seam_jump"].mean())}


def relative_jump(rgb: Image, seams: Seams, away: Sequence[int] = BESIDE) -> float:
    """Mean |difference| across the seams of a (H, W, 3) uint8 image over that so far away; NaN where that is 0."""
    across, beside = [], []
    for axis, places in enumerate((seams.rows, seams.columns)):
        image = np.moveaxis(rgb, axis, 0)
        across += [_jump(image, place) for place in places]
        beside += [_jump(image, place) for place in beside_seams(places, len(image), away)]
    base = float(np.mean(beside)) if beside else 0.0
    return float(np.mean(across)) / base if base > 0 else float("nan")


def beside_seams(places: tuple[int, ...], length: int, away: Sequence[int]) -> list[int]:
    """The lines so many pixels away from these seams, none of which is one, of an axis of a length."""
    near = {place + off for place in places for off in (*away, *(-off for off in away))}
    return [place for place in sorted(near - set(places)) if 0 < place < length]


def _jump(image: Image, place: int) -> float:
    """Mean |difference| of a row and the one before it."""
    return float(np.abs(image[place].astype(np.int16) - image[place - 1]).mean())
