"""Which images belong together: those of one slide are not independent, so slides are what is drawn."""

import itertools
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ENOUGH = 8  # units from which on nominal 95 % limits hold the truth in 90 % of cases: benchmarks.bootstrap --few
Unit = Literal["slide", "image", "unit"]


@dataclass(frozen=True, eq=False)
class Slides:
    """The slide of each image.

    ``index``: (N,) numbers 0 … count − 1; ``caution``: what must be said beside every interval over these, or None.
    ``unit``: what is counted: images where slides are unknown or one, units where some are unknown.
    """

    index: NDArray[np.intp]
    count: int
    caution: str | None = None
    unit: Unit = "slide"

    @property
    def counted(self) -> str:
        """``12 slides``, or what stands in their place."""
        return counted(self.count, self.unit)

    def sum(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sum of (N,) values over the images of each slide, (count,)."""
        weights = np.asarray(values, np.float64)
        return np.bincount(self.index, weights=weights, minlength=self.count).astype(np.float64)


def counted(number: int, unit: Unit) -> str:
    """``12 slides``, ``1 image``."""
    return f"{number} {unit}{'s' * (number != 1)}"


def group(names: Iterable[object], warn: Callable[[str], object] = warnings.warn) -> Slides:
    """Slides from the name of each image's slide, in the order of the images; None, NaN and "" are unknown.

    Slides are numbered by name, so that intervals do not depend on the order of the images. An image of unknown slide
    counts as a slide of its own, and so do all images where they are of one single slide. Either makes intervals too
    narrow: ``warn`` is told, as it is of fewer than ``ENOUGH``, and the text is kept as ``caution``.
    ValueError: there is no image.
    """
    found = [None if pd.isna(name) or name == "" else str(name) for name in names]  # type: ignore[call-overload]
    if not found:
        raise ValueError("no image, so nothing to draw from")
    known = sorted({name for name in found if name is not None})
    if len(known) == 1 and None not in found:
        slides = Slides(np.arange(len(found)), len(found), unit="image")
        cautions = [f"all {len(found)} images are of one slide: intervals are over images, and too narrow"]
    else:
        numbers, fresh = {name: number for number, name in enumerate(known)}, itertools.count(len(known))
        index = [next(fresh) if name is None else numbers[name] for name in found]
        unit: Unit = "image" if not known else "unit" if None in found else "slide"
        slides = Slides(np.array(index), max(index) + 1, unit=unit)
        cautions = _about_unknown(found.count(None), len(found))
    if slides.count < ENOUGH:
        cautions.append(
            f"{slides.counted}: of fewer than {ENOUGH}, 95 % limits hold the truth in less than 90 % of cases"
        )
    if not cautions:
        return slides
    caution = "; ".join(cautions)
    warn(caution)
    return replace(slides, caution=caution)


def _about_unknown(unknown: int, images: int) -> list[str]:
    if unknown == 0:
        return []
    if unknown == images:
        return ["slides unknown: intervals are over images, and too narrow where images share a slide"]
    return [f"{unknown} of {images} images have no slide and count as one each: intervals may be too narrow"]
