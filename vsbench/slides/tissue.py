"""Where a slide shows tissue, by its density at low magnification.

Glass is the brightest of the slide. What absorbs more than a threshold (Otsu's, within limits that suit pale and dark
stains) is tissue; specks are dropped, holes as small as lumens filled, and a rim is added, so that no cell is cut off.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.slides.reading import RGB, Slide, frame, scaled

PIXEL = 8.0  # µm of the mask
UNKNOWN = 16.0  # finest pixels to one of the mask, where µm are not told
BLOCK = 512  # pixels of the mask a side that are read at once
GLASS_AT = 0.995  # quantile of brightness that is glass
ENOUGH = 1000  # pixels a side to know the glass by
DARKEST_GLASS = 180.0  # grey levels: what is darker is no glass, though it be the brightest
BLACK = 40  # grey levels of the brightest colour: most of a slide that is lit from below is brighter
LIMITS = (0.025, 0.07)  # of the threshold, optical density
SPECK = 100.0  # µm: pieces, and holes, of less than this squared are none
RIM = 3  # pixels of the mask around the tissue, over which it fades into glass
FADING = 1.0  # standard deviation of that, pixels of the mask


@dataclass(frozen=True, eq=False)
class Tissue:
    """``mask``: (h, w); ``weight``: (h, w) in [0, 1], 1 in the tissue, fading around it; ``scale``: the slide's finest
    pixels to one of these, along a side.
    """

    mask: NDArray[np.bool_]
    weight: NDArray[np.float32]
    scale: float

    @property
    def share(self) -> float:
        """Of the slide, in [0, 1]."""
        return float(self.mask.mean())

    def at(self, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(…,): whether there is tissue at (…, 2) places x, y, in the slide's finest pixels; those beyond it are taken
        to its border.
        """
        rows, columns = (
            np.clip((places[..., axis] / self.scale).astype(int), 0, side - 1)
            for axis, side in zip((1, 0), self.mask.shape, strict=True)
        )
        return self.mask[rows, columns]

    def inside(self, y: int, x: int, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width): which pixels of a window of the finest level are tissue."""
        rows, columns = (
            np.minimum(((np.arange(start, start + side) + 0.5) / self.scale).astype(int), most - 1)
            for start, side, most in ((y, height, self.mask.shape[0]), (x, width, self.mask.shape[1]))
        )
        return self.mask[np.ix_(rows, columns)]

    def coverage(self, scale: float, y: int, x: int, height: int, width: int) -> NDArray[np.float32]:
        """(height, width): the weight in a window of the slide's frame at a scale, linear between its pixels."""
        rows, columns = (
            (np.arange(start, start + length) + 0.5) * scale / self.scale - 0.5
            for start, length in ((y, height), (x, width))
        )
        near = self._near(scale, y, x, height, width)
        return _between(_between(near, rows - np.floor(rows[0])).T, columns - np.floor(columns[0])).T

    def touches(self, scale: float, y: int, x: int, height: int, width: int) -> bool:
        """Whether ``coverage`` is above 0 anywhere in a window."""
        return bool(self._near(scale, y, x, height, width).any())

    def _near(self, scale: float, y: int, x: int, height: int, width: int) -> NDArray[np.float32]:
        """The weights around a window, by repetition beyond the slide."""
        rows, columns = (
            np.arange(
                np.floor((start + 0.5) * scale / self.scale - 0.5),
                np.floor((start + length - 0.5) * scale / self.scale - 0.5) + 2,
            ).astype(np.intp)
            for start, length in ((y, height), (x, width))
        )
        height, width = self.weight.shape
        return self.weight[np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))]


def find_tissue(slide: Slide) -> Tissue:
    """The tissue of an open slide. Raises DataError where it can't be read, or most of it is black."""
    scale = UNKNOWN if slide.pixel_size is None else max(1.0, PIXEL / slide.pixel_size)
    height, width = frame(slide, scale)
    levels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            size = min(BLOCK, height - top), min(BLOCK, width - left)
            levels[top : top + size[0], left : left + size[1]] = scaled(slide, scale, top, left, *size)
    if np.median(levels.max(axis=-1)) < BLACK:
        raise DataError(f"{slide.file}: most of it is black, as of fluorescence; H&E and IHC lie on bright glass")
    pixel = PIXEL if slide.pixel_size is None else scale * slide.pixel_size
    mask = tissue_mask(levels, pixel)
    return Tissue(mask, _weight(mask), scale)


def require_tissue(slide: Slide) -> Tissue:
    """The same. Raises DataError where there is none, too."""
    tissue = find_tissue(slide)
    if not tissue.mask.any():
        raise DataError(f"{slide.file}: no tissue is found on it: a blank slide")
    return tissue


def tissue_mask(image: RGB, pixel: float) -> NDArray[np.bool_]:
    """(H, W) of an image (H, W, 3) with pixels of so many µm."""
    from scipy import ndimage  # heavy, and listings do not need it
    from skimage.filters import threshold_otsu

    every = max(1, max(image.shape) // ENOUGH)
    glass = np.clip(np.quantile(image[::every, ::every], GLASS_AT, axis=(0, 1)), DARKEST_GLASS, 255)
    by_level = (np.log10(glass / np.maximum(np.arange(256), 1)[:, None]) / 3).astype(np.float32)  # (256, 3)
    density = by_level[image[..., 0], 0] + by_level[image[..., 1], 1] + by_level[image[..., 2], 2]
    density = ndimage.gaussian_filter(density, 1.0)
    threshold = LIMITS[0] if density.min() == density.max() else np.clip(threshold_otsu(density), *LIMITS)
    mask = density > threshold
    least = (SPECK / pixel) ** 2
    mask = _without_small(mask, least)
    return ~_without_small(~mask, least) if mask.any() else mask


def _weight(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    from scipy import ndimage

    if not mask.any():
        return mask.astype(np.float32)
    rim = ndimage.binary_dilation(mask, iterations=RIM).astype(np.float32)
    faded = ndimage.gaussian_filter(rim, FADING, mode="nearest", truncate=RIM)
    faded[faded < 1 / 512] = 0  # less than half a grey level: no tile needs to be translated for that
    return np.where(mask, np.float32(1), faded)


def _without_small(mask: NDArray[np.bool_], least: float) -> NDArray[np.bool_]:
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= least)[labels]


def _between(values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows of ``values`` at fractional places, linear between them."""
    first = np.clip(np.floor(places).astype(np.intp), 0, len(values) - 2)
    share = (places - first).astype(np.float32)[:, None]
    return values[first] * (1 - share) + values[first + 1] * share
