"""Tiles as they are loaded, and random crops and flips of them, the same for both of a pair when they are aligned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from vsbench.data.decode import read_image
from vsbench.errors import DataError


@dataclass(frozen=True)
class Tile:
    """A tile at the size from which it is cut: a Pillow image, or an array (H, W, 3) where it was kept as one."""

    pixels: Image.Image | NDArray[np.uint8]
    stored: tuple[int, int]  # (height, width) in its file, before any resize
    maps: NDArray[np.uint8] | None = None  # (H, W, C) pictures that follow from it: further channels when it is cut

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of ``pixels``."""
        if isinstance(self.pixels, Image.Image):
            return self.pixels.height, self.pixels.width
        height, width, _ = self.pixels.shape
        return height, width

    def cut(self, top: int, left: int, side: int) -> NDArray[np.uint8]:
        """(side, side, 3 + C), perhaps read-only: Pillow cuts first, so that only the crop becomes an array."""
        if isinstance(self.pixels, Image.Image):
            crop = np.asarray(self.pixels.crop((left, top, left + side, top + side)))
        else:
            crop = self.pixels[top : top + side, left : left + side]
        if self.maps is None:
            return crop
        return np.concatenate([crop, self.maps[top : top + side, left : left + side]], axis=2)


TileReader = Callable[[Path, int], Tile]  # file, load size → tile, as ``read_tile``


def read_tile(path: Path, load_size: int) -> Tile:
    """Decode a tile; bicubic resize of the whole to ``load_size`` square (0: as it is). Raises DataError."""
    image = read_image(path)
    stored = image.height, image.width
    if stored != target_size(stored, load_size):
        image = image.resize((load_size, load_size), Image.Resampling.BICUBIC)
    return Tile(image, stored)


def target_size(stored: tuple[int, int], load_size: int) -> tuple[int, int]:
    """(height, width) of a tile when it is loaded."""
    return (load_size, load_size) if load_size else stored


@dataclass(frozen=True)
class Changes:
    """What a method has done to training tiles besides crop and left-right mirroring.

    ``flip_vertical``: top to bottom with probability ½, both of a pair alike when aligned. ``he_colours``: of the H&E
    alone, how far brightness, contrast and saturation may be from 1 (``jittered``).
    """

    flip_vertical: bool = False
    he_colours: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Augmentation:
    """Bicubic resize of the whole tile to ``load_size`` square (0: as it is), a random crop, a random mirroring."""

    load_size: int
    crop_size: int
    flip: bool
    changes: Changes = field(default_factory=Changes)

    def apply(self, tiles: dict[Path, Tile], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        """Tiles loaded at ``load_size``, of one size, by file → (crop, crop, 3 + maps) each, cut and mirrored alike.

        Raises DataError, naming the file, where a tile is smaller than the crop.
        """
        path, tile = next(iter(tiles.items()))
        height, width = tile.size
        require_crop(path, tile.size, self.crop_size)
        top = int(rng.integers(height - self.crop_size + 1))
        left = int(rng.integers(width - self.crop_size + 1))
        mirrored = self.flip and rng.random() < 0.5
        turned = self.changes.flip_vertical and rng.random() < 0.5
        crops = [tile.cut(top, left, self.crop_size) for tile in tiles.values()]
        crops = [mirror(crop) if mirrored else crop for crop in crops]
        return [crop[::-1] if turned else crop for crop in crops]

    def coloured(self, he: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A crop of H&E (side, side, 3) with other colours, where ``changes`` asks for them."""
        if not any(self.changes.he_colours):
            return he
        widths = np.array(self.changes.he_colours)
        return jittered(he, (1 + widths * rng.uniform(-1, 1, 3)).tolist(), rng.permutation(3).tolist())


def require_crop(path: Path, size: tuple[int, int], crop_size: int) -> None:
    """Raise DataError, naming the file, where a tile of (height, width) is smaller than the crop."""
    height, width = size
    if min(height, width) < crop_size:
        raise DataError(
            f"{path}: {height}×{width} pixels hold no crop of {crop_size}; "
            "lower crop_size, or set load_size to enlarge the tiles"
        )


def mirror(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) left to right; channel by channel, as NumPy copies three bytes at a time five times as slowly."""
    mirrored = np.empty_like(image, order="C")
    for channel in range(image.shape[2]):
        mirrored[..., channel] = image[:, ::-1, channel]
    return mirrored


ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def jittered(image: NDArray[np.uint8], factors: Sequence[float], order: Sequence[int]) -> NDArray[np.uint8]:
    """(H, W, 3) with brightness, contrast and saturation (0, 1, 2) times ``factors``, in this order.

    In whole levels after each change, as torchvision's ColorJitter has it of Pillow's images.
    """
    picture = Image.fromarray(image)
    for change in order:
        picture = ENHANCERS[change](picture).enhance(factors[change])
    return np.asarray(picture)
