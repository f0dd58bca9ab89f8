"""A slide seen in the frame of another: windows of it, laid by a transform where the two do not share a frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.errors import DataError
from vsbench.slides.alignment import Alignment, Direction, read_alignment, same_frame
from vsbench.slides.pair_list import SlidePair
from vsbench.slides.reading import RGB, Slide, scaled

Array = NDArray[np.float64]

CELLS = 8  # parts of a window's side, each laid on the slide as a plane piece
MARGIN = 4  # pixels that bicubic interpolation reaches beyond
FRAMES = 0.01  # by which the sides of two slides in one frame may differ
STRETCH = 4.0  # of a section against the next, beside what the sizes of their pixels explain; more is another unit


@dataclass(frozen=True, eq=False)
class Overlay:
    """A slide in a frame. ``alignment``: from the frame's finest pixels to the slide's; ``factor``: the slide's finest
    pixels to one of the frame's, along a side, by their µm.
    """

    slide: Slide
    alignment: Alignment
    factor: float

    def window(self, scale: float, y: int, x: int, height: int, width: int) -> RGB:
        """(height, width, 3) at (y, x) of the frame at a scale (``reading.frame``); white beyond the slide.

        Raises DataError where the slide can't be read.
        """
        own = scale * self.factor
        if self.in_one_frame:
            return scaled(self.slide, own, y, x, height, width)
        rows, columns = (np.arange(CELLS + 1) * side / CELLS for side in (height, width))
        corners = self.alignment(scale * np.stack(np.meshgrid(x + columns, y + rows), axis=-1)) / own
        left, top = (int(v) - MARGIN for v in np.floor(corners.reshape(-1, 2).min(axis=0)))
        right, bottom = (int(v) + MARGIN for v in np.ceil(corners.reshape(-1, 2).max(axis=0)))
        window = scaled(self.slide, own, top, left, bottom - top, right - left)
        return _laid(window, corners - [left, top], height, width)

    @property
    def in_one_frame(self) -> bool:
        """Whether only the size of pixels differs."""
        straight = np.diag([self.factor, self.factor, 1.0])
        return self.alignment.bending is None and np.allclose(self.alignment.matrix, straight, rtol=0, atol=1e-12)


def told_alignment(
    pair: SlidePair, he: Slide, ihc: Slide, pixels: tuple[float, float], direction: Direction, mend: str
) -> Alignment:
    """From the H&E's finest pixels to the IHC's: the pair's transform, or that of one frame.

    ``pixels``: µm of both; ``direction``: what the numbers of a transform map. Raises DataError where the transform
    can't be read or is of other units, or, with the ``mend``, where there is none and the slides are not of one size.
    """
    if pair.transform is not None:
        alignment = read_alignment(pair.transform, direction)
        stretch = float(np.sqrt(abs(np.linalg.det(alignment.matrix[:2, :2])))) * pixels[1] / pixels[0]
        if not 1 / STRETCH <= stretch <= STRETCH:
            raise DataError(
                f"{pair.transform}: by it the IHC's section is {stretch:.3g} times as large as the H&E's; numbers map "
                "pixels to pixels, of the finest levels, in the direction of --transform-maps"
            )
        return alignment
    require_one_frame(he, ihc, pixels, mend)
    return same_frame(*pixels)


def require_one_frame(he: Slide, other: Slide, pixels: tuple[float, float], mend: str) -> None:
    """Raise DataError where slides with pixels of so many µm are not of one size."""
    sides = [
        (pixel * slide.levels[0].height, pixel * slide.levels[0].width)
        for slide, pixel in zip((he, other), pixels, strict=True)
    ]
    if any(abs(ours / theirs - 1) > FRAMES for ours, theirs in zip(*sides, strict=True)):
        (a, b), (c, d) = sides
        raise DataError(
            f"{other.file}: {c:.0f}×{d:.0f} µm, where {he.file} has {a:.0f}×{b:.0f}: not of one frame; {mend}"
        )


def _laid(window: RGB, corners: Array, height: int, width: int) -> RGB:
    """(height, width, 3): what lies in a window (H, W, 3) between ``corners`` (rows, columns, 2) of its cells."""
    mesh = []
    for row in range(CELLS):
        for column in range(CELLS):
            box = tuple(
                round(step * k / CELLS)
                for step, k in zip(2 * (width, height), (column, row, column + 1, row + 1), strict=True)
            )
            quad = [
                corners[row, column],
                corners[row + 1, column],
                corners[row + 1, column + 1],
                corners[row, column + 1],
            ]
            mesh.append((box, tuple(float(v) for corner in quad for v in corner)))
    image = Image.fromarray(window)
    return np.asarray(image.transform((width, height), Image.Transform.MESH, mesh, Image.Resampling.BICUBIC))
