"""The light that falls on a slide, from its glass: brighter than all tissue, and without structure.

Glass is where small blocks of pixels, and all their neighbours, are flat and equally bright; of these the brightest
count. Sensor noise and JPEG leave the pixels of a block on glass within 0.2 to 0.8 % of its brightness (standard
deviation; BCI, CIMA, the phantom), the palest tissue rarely within ``FLAT``. A tile without glass has no light of its
own: then it is that of its slide's other tiles, or unknown. The palest tissue never stands for it.

JPEG stores the colour of what is flat in whole steps, so that most glass is off the light by up to 0.9 grey levels in
red and blue, and DAB by up to 0.003; where there is texture near, glass is off it by other amounts, on both sides. So
each chroma that glass shows counts by the root of how many blocks show it: on the phantom's JPEGs of quality 90 that
halves the error (``benchmarks.light``), on real tiles that are compressed once more it does no harm.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
T = TypeVar("T", np.float64, np.bool_)

BLOCK = 4  # pixels a side; with its neighbours 12: about a nucleus at 0.5 µm
FLAT = 0.02  # standard deviation within a block, of its brightness, in each channel
EVEN = 0.03  # what blocks of glass may differ by, of the brightness: neighbours, tiles of a slide, and all of a tile
LEAST = 0.001  # of the tile that must be glass: blocks whose neighbours are glass, too
BRIGHTER = 0.05  # of the tile that may be brighter than its glass by more than ``EVEN``: edges that bend light
CHROMA = 4  # parts of a step of Cb and Cr, as JPEG has them, within which blocks show the same
ROWS = 8  # of blocks at once: what is made of them then stays in the processor's cache
RULE = f"glass{BLOCK}-flat{FLAT}-even{EVEN}-least{LEAST}-brighter{BRIGHTER}-chroma{CHROMA}root"  # for protocols
TO_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # red, green, blue to Cb, Cr (JFIF)
FROM_CHROMA = np.array([[0.0, 1.402], [-0.344136, -0.714136], [1.772, 0.0]])  # and back, at one luma


@dataclass(frozen=True)
class Light:
    """What glass looks like: mean red, green and blue in grey levels, of ``pixels`` of it.

    ``spread``: standard deviation of the glass's brightness as a share of it, over blocks: how sure the light is where
    no glass is seen.
    """

    red: float
    green: float
    blue: float
    spread: float
    pixels: float

    @property
    def colour(self) -> tuple[float, float, float]:
        """Red, green, blue."""
        return self.red, self.green, self.blue

    @property
    def brightness(self) -> float:
        """Mean of the channels."""
        return (self.red + self.green + self.blue) / 3


WHITE = Light(255, 255, 255, spread=0, pixels=0)  # what Fiji takes for glass


def find_light(image: NDArray[np.uint8]) -> Light | None:
    """The light of a (H, W, 3) uint8 RGB image; None where it shows no glass, or too little to be sure of it."""
    means, deviation = _blocks(image)
    if not means.size:
        return None
    brightness = means.mean(axis=-1)
    flat = _of_neighbours(deviation <= FLAT * brightness, np.minimum)
    darkest, brightest = (_of_neighbours(brightness, pick) for pick in (np.minimum, np.maximum))
    glass = flat & (brightest - darkest <= EVEN * brightness)
    if not glass.any():
        return None
    glass &= brightness >= (1 - EVEN) * np.quantile(brightness[glass], 0.95)
    level = float(brightness[glass].mean())
    if glass.mean() < LEAST or (brightness > (1 + EVEN) * level).mean() > BRIGHTER:
        return None
    red, green, blue = (float(channel) for channel in _colour(means[glass]))
    return Light(red, green, blue, float(brightness[glass].std()) / level, float(glass.sum() * BLOCK**2))


def light_of_slide(tiles: Iterable[Light | None]) -> Light | None:
    """The light of a slide from that of its tiles, each as much as it shows glass; None where none shows any.

    Tiles darker than the brightest by more than ``EVEN`` are left out: what was found there is no glass.
    """
    found = [light for light in tiles if light is not None]
    if not found:
        return None
    brightest = max(light.brightness for light in found)
    kept = [light for light in found if light.brightness >= (1 - EVEN) * brightest]
    weights = np.array([light.pixels for light in kept])
    red, green, blue = np.average([light.colour for light in kept], axis=0, weights=weights)
    level = float(red + green + blue) / 3
    squares = [(light.spread * light.brightness) ** 2 + (light.brightness - level) ** 2 for light in kept]
    spread = float(np.sqrt(np.average(squares, weights=weights))) / level
    return Light(float(red), float(green), float(blue), spread, float(weights.sum()))


def _colour(blocks: Array) -> Array:
    """(3,) mean red, green and blue of (N, 3) blocks, of which each chroma counts by the root of how many have it."""
    mean, chroma = blocks.mean(axis=0), blocks @ TO_CHROMA.T
    chroma -= np.median(chroma, axis=0)  # all 0 where all blocks are alike
    moved = [_by_root(part) - part.mean() for part in chroma.T]
    return np.asarray(mean + FROM_CHROMA @ moved)


def _by_root(values: Array) -> float:
    """The mean of (N,) chroma, as ``_colour`` weighs it."""
    _, place, count = np.unique(np.round(CHROMA * values), return_inverse=True, return_counts=True)
    return float(np.average(values, weights=count[place] ** -0.5))


def _blocks(image: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Of the whole blocks of an image: means (h, w, 3), and the largest standard deviation of a channel (h, w)."""
    height, width = (side // BLOCK for side in image.shape[:2])
    total, squares = np.zeros((2, height, width, 3), np.float32)  # sums of whole numbers: exact
    for top in range(0, height, ROWS):
        rows = image[top * BLOCK : (top + ROWS) * BLOCK, : width * BLOCK][: (height - top) * BLOCK].astype(np.float32)
        total[top : top + ROWS] = _summed(rows, width)
        squares[top : top + ROWS] = _summed(rows * rows, width)
    means = total.astype(np.float64) / BLOCK**2
    return means, np.sqrt(np.maximum(squares / BLOCK**2 - means**2, 0).max(axis=-1))


def _of_neighbours(values: NDArray[T], pick: np.ufunc) -> NDArray[T]:
    """The least or greatest of each of (h, w) values and its eight neighbours, by numpy alone: metrics list quickly."""
    padded = np.pad(values, 1, mode="edge")
    rows = pick(pick(padded[:-2], padded[1:-1]), padded[2:])
    return np.asarray(pick(pick(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:]))


def _summed(rows: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """(n · BLOCK, width · BLOCK, 3) → (n, width, 3): sums of blocks."""
    lines = rows.reshape(-1, BLOCK, width, BLOCK, 3)
    down = lines[:, 0].copy()
    for place in range(1, BLOCK):
        down += lines[:, place]
    total = down[:, :, 0].copy()
    for place in range(1, BLOCK):
        total += down[:, :, place]
    return total
