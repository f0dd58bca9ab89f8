"""Where the nuclei of an IHC tile are, without labels: points, and a map of how dense they lie.

TDKStain (Peng et al., MICCAI 2024) has its points from Cellpose, to which it gives the binary masks that are made here.
The rule that stands in for it, ``distance_peaks``, splits the blobs of such a mask at the narrow places between nuclei.
It is not calibrated against Cellpose: maps of such rules correlate with each other with 0.3 to 0.9 only.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EIGHT = np.ones((3, 3), bool)  # neighbours by side or corner
HOLE = 400  # pixels; smaller holes in a mask of nuclei are filled
SPECK = 15  # pixels; what is smaller is no nucleus
LEAST = 2.0  # pixels from a nucleus's middle to its border
SMOOTHING = 2.0  # pixels; of distances, so that one nucleus has one peak


def haematoxylin_mask(density: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(H, W) haematoxylin densities → (H, W): nuclei, by Otsu's threshold of what lies below the 99th percentile.

    Small holes are filled, also at the border, and the rest grows by one pixel. Nothing where the tile is blank.
    Source: TDKStain as released.
    """
    stretched = stretch(density)
    if stretched is None:
        return np.zeros(density.shape, bool)
    return ndimage.binary_dilation(_filled(stretched > otsu(stretched)))


def stretch(density: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Densities from their minimum to their 99th percentile, as 0 to 255; None where these are the same."""
    low, high = density.min(), np.percentile(density, 99)
    if not high > low:
        return None
    return (np.clip(density, low, high) - low) / (high - low) * 255


def otsu(values: NDArray[np.float64]) -> float:
    """The threshold that best parts values in two classes (Otsu 1979): the middle of one of 256 equal bins."""
    counts, edges = np.histogram(values, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    mean_below = np.cumsum(counts * middles) / below
    mean_above = np.cumsum((counts * middles)[::-1])[::-1] / above
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(middles[np.argmax(between)])


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, _ = ndimage.label(~mask, EIGHT)
    return mask | (np.bincount(parts.ravel()) < HOLE)[parts]


def distances(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W): pixels to the nearest background, smoothed; what lies outside of the tile is background. No specks."""
    inside = np.pad(_without_specks(mask), 1)
    return ndimage.gaussian_filter(ndimage.distance_transform_edt(inside)[1:-1, 1:-1], SMOOTHING, mode="constant")


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, _ = ndimage.label(mask, EIGHT)
    return mask & (np.bincount(parts.ravel()) >= SPECK)[parts]


def distance_peaks(mask: NDArray[np.bool_], window: int) -> NDArray[np.int64]:
    """(H, W) → (N, 2): rows and columns of the peaks of ``distances``, the highest in their window (odd; pixels).

    A plateau is one peak, at its centroid.
    """
    far = distances(mask)
    highest = ndimage.maximum_filter(far, window, mode="constant")
    return centroids(_without_specks(mask) & (far == highest) & (far >= LEAST))


def centroids(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(H, W) → (N, 2): rows and columns of the centroids of its parts (neighbours by side or corner), cut to whole."""
    parts, count = ndimage.label(mask, EIGHT)
    rows, columns = np.nonzero(parts)
    part = parts[rows, columns]
    sizes = np.bincount(part, minlength=count + 1)[1:]
    sums = [np.bincount(part, places, minlength=count + 1)[1:] for places in (rows, columns)]
    return np.stack([(total / sizes).astype(int) for total in sums], axis=1)


def density_map(points: NDArray[np.int64], size: tuple[int, int], sigma: float = 11.0) -> NDArray[np.uint8]:
    """(N, 2) rows and columns → (H, W): counts blurred with a Gaussian, from the tile's least (0) to its most (255).

    Relative, no count. 0 throughout where there is no point. A point on the outermost row weighs 14 times as much as
    one within, in a corner 204 times, since the border is repeated. Source: TDKStain as released.
    """
    counts = np.zeros(size)
    np.add.at(counts, tuple(points.T), 1)
    blurred = ndimage.gaussian_filter(counts, sigma, mode="nearest", truncate=4)
    blurred -= blurred.min()
    highest = blurred.max()
    return (255 * (blurred / highest if highest > 0 else blurred)).astype(np.uint8)
