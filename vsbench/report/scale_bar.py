"""The scale bar of an image: of a round length, in µm where the size of its pixels is known, else in pixels."""

import math
from dataclasses import dataclass

from vsbench.engine.run import Run
from vsbench.report.tables import EvaluatedRun

SHARE = 0.3  # of an image's width that a bar takes at most
ROUND = (5, 2, 1)


@dataclass(frozen=True)
class ScaleBar:
    """``share``: of the width of the image it belongs to; ``text``: how long it is."""

    share: float
    text: str


def scale_bar(width: int, pixel_size: float | None) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten that fits into an image (part) of so many pixels.

    ``pixel_size``: µm; None where it is unknown.
    """
    whole = width * (pixel_size or 1.0)
    power = 10.0 ** math.floor(math.log10(SHARE * whole))
    length = next(digit * power for digit in ROUND if digit * power <= SHARE * whole)
    return ScaleBar(length / whole, f"{length:g} {'µm' if pixel_size else 'px'}")


def pixel_size(run: EvaluatedRun) -> float | None:
    """µm a pixel of the images that a run was measured on; None where the data set does not say."""
    return Run(run.folder).pixel_size
