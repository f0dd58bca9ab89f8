"""Whether sections that lie on each other are of one tissue: a place must look like itself, not like the next one.

Outlines are laid on each other whatever lies within them, and the ways there and back agree then. So only what lies
inside both sections counts, and a window of the H&E must correlate better with its place in the IHC than with each of
the places around that. Of other tissue some windows do so, too, since what bends a section has looked for it; but by
little.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, map_coordinates, uniform_filter

from vsbench.slides.alignment import Alignment

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = 25  # pixels a side
AWAY = (8, 14, 20)  # pixels to the places around
DIRECTIONS = 12
RIM = 2  # pixels of a section's edge that do not count
LEAST = 0.25  # of a window that must lie inside both sections
EVEN = 1e-3  # variance in a window, of the map's own, below which it shows nothing
GAP = 6  # pixels, half a gap between tissue that is none of its outline


def lead(densities: Sequence[Array], masks: Sequence[Mask], alignment: Alignment, factor: int) -> Array:
    """(H, W): by how much the H&E correlates better with its place in the IHC than with any around it; −inf where too
    little of both is there. Of densities and masks (H, W) of both, looked at reduced by ``factor``.
    """
    first, second = (_reduced(values, factor) for values in densities)
    inside, other = (_within(_reduced(mask.astype(float), factor)) for mask in masks)
    y, x = np.indices(first.shape) + 0.5
    places = alignment(factor * np.stack([x, y], axis=-1)) / factor - 0.5
    second, there = (
        map_coordinates(values, [places[..., 1], places[..., 0]], order=1) for values in (second, other.astype(float))
    )
    first, second = (values / max(float(values.std()), EVEN) for values in (first, second))
    margin = max(AWAY)
    second, there = np.pad(second, margin), np.pad(there > 0.5, margin)

    def correlation(down: int, right: int) -> Array:
        top, left = margin + down, margin + right
        part = np.s_[top : top + first.shape[0], left : left + first.shape[1]]
        return _correlation(first, second[part], inside & there[part])

    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    steps = [(round(away * np.sin(angle)), round(away * np.cos(angle))) for away in AWAY for angle in angles]
    around = np.max([correlation(*step) for step in steps], axis=0)
    own = correlation(0, 0)
    found = np.full(own.shape, -np.inf)
    np.subtract(own, around, out=found, where=np.isfinite(own))
    full = found.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = masks[0].shape
    return np.pad(full, ((0, height - full.shape[0]), (0, width - full.shape[1])), mode="edge")


def _within(share: Array) -> Mask:
    """(h, w): what lies within a section's outline, of the share of tissue in each pixel; lumens and all."""
    wide = np.pad(share > 0.5, GAP + 1)
    filled = binary_fill_holes(binary_closing(wide, iterations=GAP))
    return np.asarray(binary_erosion(filled, iterations=RIM))[GAP + 1 : -GAP - 1, GAP + 1 : -GAP - 1]


def _correlation(first: Array, second: Array, counts: Mask) -> Array:
    """Of windows around each pixel (h, w), over the pixels that count; −inf where these are too few."""
    share = _mean(counts)

    def mean(values: Array) -> Array:
        return _mean(np.where(counts, values, 0.0)) / np.maximum(share, EVEN)

    mean_first, mean_second = mean(first), mean(second)
    varies = [np.maximum(mean(v * v) - m**2, 0) + EVEN for v, m in ((first, mean_first), (second, mean_second))]
    found = (mean(first * second) - mean_first * mean_second) / np.sqrt(varies[0] * varies[1])
    return np.where(share >= LEAST, found, -np.inf)


def _mean(values: NDArray[np.generic]) -> Array:
    return np.asarray(uniform_filter(values.astype(float), WINDOW, mode="constant"))


def _reduced(values: Array, factor: int) -> Array:
    height, width = (side // factor for side in values.shape)
    parts = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return np.asarray(parts.mean(axis=(1, 3)))
