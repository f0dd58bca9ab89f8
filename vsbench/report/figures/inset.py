"""What is shown of a tile beside the tile: an enlarged window, and a map of its DAB density."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.stain.dab import POSITIVE_LEVEL, DabLevels, density_table

SHARE = 4  # how often a window fits into a side of its tile
STEPS = 1_000_000  # of one OD: sums of whole numbers are exact, so that equally stained windows tie
RULE = (
    f"the window of 1/{SHARE} of the height and width that holds most DAB of stained pixels in the real IHC, or in "
    "generated images where it has none; of equal ones that with most DAB in all, then the highest, then the leftmost"
)
MAP_PIXELS = 256  # of a map's side; larger ones are averaged down


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels from its top left corner."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of an image (H, W) or (H, W, C); a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def choose_window(real: NDArray[np.uint8], generated: Iterable[NDArray[np.uint8]] = ()) -> Window:
    """The window of ``RULE`` for the DAB levels (H, W) of a real IHC image, and of generated ones of its tissue.

    The generated ones are asked for only where the real one has no stained pixel. Where none has one, all DAB counts.
    """
    height, width = real.shape
    rows, columns = max(1, round(height / SHARE)), max(1, round(width / SHARE))
    table = np.rint(density_table().astype(np.float64) * STEPS).astype(np.int64)
    stained = np.where(np.arange(256) <= POSITIVE_LEVEL, table, 0)
    density = stained[real]
    if not density.any():
        density = sum((stained[levels] for levels in generated if levels.shape == real.shape), start=density)
    in_stain, in_all = (_sums(of, rows, columns) for of in (density, table[real]))
    first = int(np.where(in_stain == in_stain.max(), in_all, -1).argmax())  # of equals the first in reading order
    top, left = np.unravel_index(first, in_all.shape)
    return Window(int(top), int(left), rows, columns)


def density_map(dab: DabLevels) -> NDArray[np.float32]:
    """Optical density of DAB, of at most ``MAP_PIXELS`` a side; a pixel of a smaller map is the mean of its area."""
    density = density_table()[dab.levels]
    factor = -(-max(density.shape) // MAP_PIXELS)
    return np.asarray(Image.fromarray(density).reduce(factor)) if factor > 1 else density


def _sums(density: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.int64]:
    """Of each window of so many rows and columns, by its top and left, the sum of a (H, W) map."""
    above = np.zeros(
        (density.shape[0] + 1, density.shape[1] + 1), np.int64
    )  # of all above and left of a pixel's corner
    above[1:, 1:] = density.cumsum(axis=0).cumsum(axis=1)
    sums: NDArray[np.int64] = (
        above[rows:, columns:] - above[:-rows, columns:] - above[rows:, :-columns] + above[:-rows, :-columns]
    )
    return sums
