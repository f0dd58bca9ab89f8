"""Images cut into overlapping tiles and put together again: where the tiles lie, and what each weighs where.

A network that halves the resolution follows shifts of its input by multiples of its ``size_multiple`` only, so tiles
start at such multiples. At its border a tile sees padding instead of tissue; so its outermost pixels weigh nothing (but
at the border of the image itself), and from there on the weight rises smoothly. All weights of a pixel add up to 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.bounds import TILE
from vsbench.errors import UsageError
from vsbench.names import brief

SMALLEST = 8  # pixels a side: the ResNets reflect borders at a quarter of the size, which takes two positions there
PIECES = 4  # along each side of a mosaic: fewer sample the image worse, more have more seams of their own


@dataclass(frozen=True)
class Tiling:
    """Square tiles of ``size`` pixels a side; neighbours share at least ``overlap`` pixels.

    Raises UsageError where the tiles do not suit a network that needs sides that are multiples of ``multiple``.
    """

    size: int
    overlap: int
    multiple: int = 1

    def __post_init__(self) -> None:
        size, overlap, multiple = self.size, self.overlap, self.multiple
        if size > TILE:
            raise UsageError(f"tile of {brief(size)} pixels: {TILE} are the most")
        if size < SMALLEST or size % multiple:
            fitting = -(-max(size, SMALLEST) // multiple) * multiple
            raise UsageError(f"tile of {size} pixels: the method needs a multiple of {multiple}, use {fitting}")
        if not 0 <= overlap < size:
            raise UsageError(f"overlap of {overlap} pixels: must be at least 0 and less than the tile, {size}")
        if size - overlap < multiple:
            fitting = -(-(overlap + multiple) // multiple) * multiple
            raise UsageError(
                f"tile of {size} pixels with an overlap of {overlap}: the method's tiles lie {multiple} pixels apart "
                f"or more, use a tile of {fitting} or an overlap of at most {size - multiple}"
            )


@dataclass(frozen=True)
class Span:
    """One tile along one axis of the image: the pixels it reads, and the weight (float32) of each of its outputs."""

    start: int
    pixels: NDArray[np.intp]
    weights: NDArray[np.float32]

    @property
    def stop(self) -> int:
        """The first pixel after it."""
        return self.start + len(self.pixels)


def padded_pixels(length: int, multiple: int) -> NDArray[np.intp]:
    """The pixels of an axis, lengthened to a multiple of what the network needs and to ``SMALLEST`` at least.

    By reflection at the end, by repetition of the last pixel where the image is smaller than the padding.
    """
    padded = -(-max(length, SMALLEST) // multiple) * multiple
    pixels = np.minimum(np.arange(padded), length - 1)
    if padded - length < length:
        pixels[length:] = 2 * (length - 1) - np.arange(length, padded)
    return pixels


def joints(starts: Sequence[int], size: int) -> list[int]:
    """Where tiles that start there hand over: in the middle between where the next one starts and this one ends."""
    return [(this + size + following) // 2 for this, following in pairwise(starts)]


def spans(length: int, tiling: Tiling) -> list[Span]:
    """The tiles along one axis of an image of ``length`` pixels, evenly spread; a single one where it is enough."""
    pixels, multiple = padded_pixels(length, tiling.multiple), tiling.multiple
    padded = len(pixels)
    size = min(tiling.size, padded)
    units, longest = (padded - size) // multiple, (tiling.size - tiling.overlap) // multiple
    steps = -(-units // longest)
    starts = [multiple * (i * units // steps) for i in range(steps)] + [padded - size]
    shared = size - max((following - this for this, following in pairwise(starts)), default=0)
    handed = joints(starts, size)
    found = []
    for number, start in enumerate(starts):
        places = np.arange(start, start + size, dtype=np.float64) + 0.5
        risen = ramp(places - handed[number - 1], shared // 2) if number > 0 else np.ones(size)
        fallen = ramp(places - handed[number], shared // 2) if number < len(handed) else np.zeros(size)
        found.append(Span(start, pixels[start : start + size], (risen - fallen).astype(np.float32)))
    return found


def ramp(distance: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """From 0 to 1 over ``width`` pixels about distance 0, a raised cosine; a step where the width is 0."""
    if width == 0:
        return np.heaviside(distance, 0.5)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(distance / width + 0.5, 0, 1))


def thumbnail(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 → the whole of it, averaged down until no side is longer than ``size``."""
    height, width, _ = image.shape
    share = size / max(height, width)
    smaller = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(Image.fromarray(image).resize(smaller, Image.Resampling.BOX))


def mosaics(image: NDArray[np.uint8], tiling: Tiling) -> Iterator[NDArray[np.uint8]]:
    """Images as large as a tile, made of pieces at full resolution from all over the image (H, W, 3), side by side.

    Along an axis longer than a tile a mosaic has ``PIECES`` pieces, and there are two mosaics, their pieces taking
    turns; along a shorter one each mosaic has the whole axis.
    """
    height, width, _ = image.shape
    for rows in _pieces(height, tiling):
        for columns in _pieces(width, tiling):
            yield image[np.ix_(rows, columns)]


def _pieces(length: int, tiling: Tiling) -> list[NDArray[np.intp]]:
    if length <= tiling.size:
        return [np.arange(length)]
    piece = -(-tiling.size // PIECES)
    starts = np.linspace(0, length - piece, 2 * PIECES).astype(np.intp)
    return [np.add.outer(starts[turn::2], np.arange(piece)).reshape(-1)[: tiling.size] for turn in (0, 1)]
