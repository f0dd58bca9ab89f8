"""What a sheet shows of a tile besides the tile: an enlarged window, and a map of its DAB density."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.stain.dab import DabLevels, density_table

SHARE = 4  # how often a window fits into a side of its tile
STEPS = 1_000_000  # of one OD: sums of whole numbers are exact, so that equally stained windows tie
RULE = (
    f"the window of 1/{SHARE} of the height and width that holds most DAB in the real IHC; of equal ones the highest, "
    "then the leftmost"
)
MAP_PIXELS = 256  # of a map's side; larger ones are averaged down
QUANTILE = 0.995  # of the pixels of all maps: a few saturated ones leave the scale alone


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

    def opposite(self, height: int, width: int) -> tuple[bool, bool]:
        """(lower, right): the corner of an image of this size that is farthest from the window."""
        return 2 * self.top + self.height <= height, 2 * self.left + self.width <= width


def choose_window(levels: NDArray[np.uint8]) -> Window:
    """The window of ``RULE`` for the DAB levels (H, W) of a real IHC image."""
    height, width = levels.shape
    rows, columns = max(1, round(height / SHARE)), max(1, round(width / SHARE))
    density = np.rint(density_table().astype(np.float64) * STEPS).astype(np.int64)[levels]
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


def top_of_scale(maps: list[NDArray[np.float32]]) -> float:
    """The optical density at which one scale for all maps ends: a quantile of their pixels, up to a whole tenth."""
    top = float(np.quantile(np.concatenate([one.reshape(-1) for one in maps]), QUANTILE)) if maps else 0.0
    return max(0.1, float(np.ceil(round(10 * top, 6))) / 10)
