"""What is shown of a tile beside the tile: an enlarged window, and a map of its DAB density."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.stain.dab import POSITIVE_LEVEL, DabLevels, density_table

SHARE = 4  # how often a window fits into a side of its tile
STEPS = 1_000_000  # of one OD: sums of whole numbers are exact, so that equally stained windows tie
RULE = (
    f"the window of 1/{SHARE} of the height and width that holds most DAB of stained pixels in the real IHC, or in "
    "generated images where it has none; of equal ones the highest, then the leftmost"
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
    density = next((d for d in _densities(real, generated) if d.any()), np.zeros(real.shape, np.int64))
    above = np.zeros((height + 1, width + 1), np.int64)  # sum of all that is above and left of a pixel's corner
    above[1:, 1:] = density.cumsum(axis=0).cumsum(axis=1)
    sums = above[rows:, columns:] - above[:-rows, columns:] - above[rows:, :-columns] + above[:-rows, :-columns]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)  # argmax gives the first of equals in reading order
    return Window(int(top), int(left), rows, columns)


def density_map(dab: DabLevels) -> NDArray[np.float32]:
    """Optical density of DAB, of at most ``MAP_PIXELS`` a side; a pixel of a smaller map is the mean of its area."""
    density = density_table()[dab.levels]
    factor = -(-max(density.shape) // MAP_PIXELS)
    return np.asarray(Image.fromarray(density).reduce(factor)) if factor > 1 else density


def _densities(real: NDArray[np.uint8], generated: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.int64]]:
    """(H, W) in parts of an OD: of stained pixels in the real image, in the generated ones, of all in the real one."""
    table = np.rint(density_table().astype(np.float64) * STEPS).astype(np.int64)
    stained = np.where(np.arange(256) <= POSITIVE_LEVEL, table, 0)
    yield stained[real]
    total = np.zeros(real.shape, np.int64)
    for levels in generated:
        if levels.shape == real.shape:  # else it is no image of this tissue, which others say
            total += stained[levels]
    yield total
    yield table[real]
