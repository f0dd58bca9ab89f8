"""A hand-made description of an IHC image: how much DAB, how strong, and how it is spread."""

import numpy as np
from numpy.typing import NDArray

from vsbench.stain.dab import density_table, read_levels

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
DENSITIES = (0.15, 0.3, 0.5, 0.8)  # optical density of DAB
BLOCKS = (4, 8, 16, 32)  # pixels
PROTOCOL = (
    f"dab-q{'-'.join(map(str, QUANTILES))}-above{'-'.join(map(str, DENSITIES))}-blocks{'-'.join(map(str, BLOCKS))}"
)


def dab_descriptor(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8 RGB → (15,): mean and quantiles of the optical density of DAB, shares of pixels above some, and
    standard deviations of the means of blocks (0 where the image is smaller than two).
    """
    levels = read_levels(rgb)
    table = density_table().astype(np.float64)
    density = np.sort(table)
    below = np.cumsum(levels.counts[np.argsort(table)]) / levels.counts.sum()
    quantiles = density[np.searchsorted(below, np.array(QUANTILES) - 1e-12)]
    above = [levels.counts[table >= least].sum() / levels.counts.sum() for least in DENSITIES]
    mean = float(levels.counts @ table) / levels.counts.sum()
    image = density_table()[levels.levels]
    return np.array([mean, *quantiles, *above, *(_spread(image, block) for block in BLOCKS)], np.float32)


def _spread(image: NDArray[np.float32], block: int) -> float:
    rows, columns = (side // block for side in image.shape)
    if rows * columns < 2:
        return 0.0
    cut = image[: rows * block, : columns * block].reshape(rows, block, columns, block)
    return float(cut.mean(axis=(1, 3), dtype=np.float64).std())
