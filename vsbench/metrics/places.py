"""Is the stain in the right places, seen coarsely? Correlation of DAB density over blocks, strict and best over shifts.

The adjacent section holds other cells, a little shifted and bent: a low r over fine blocks blames the pairing as much
as the method, and only over coarse blocks, or after a shift, does it say that stain is in the wrong regions. The best
over shifts is the largest of up to 81 correlations and so biased upwards (28, 19 and 13 % at n = 4, 8, 16 on unrelated
smooth random images, whose strict r is 0): compare it within its protocol only, never with the strict r.
"""

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Image, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.stain.dab import dab8, density_table

Numbers = NDArray[np.int64]

GRIDS = (4, 8, 16)  # blocks per side
REACH = 16  # shifts go up to 1/16 of the side
STEPS = 4  # shifts per block
UNIT = 2.0**-24  # OD; sums of whole multiples are exact, so that the blocks of a blank image are exactly equal


class Places(Metric):
    """Pearson's r of the mean optical densities of DAB in n × n blocks, for n = 4, 8, 16.

    Strict: blocks of the whole image. Best: a margin of 1/16 of each side is cut from the generated image and the rest
    divided into n × n blocks; the same blocks are laid on the real image, shifted both ways by up to 1/16 of the side
    in steps of a quarter block, rounded to whole pixels; the largest r counts. There are 9, 25 and 81 shifts, fewer
    where they round to the same pixels; no shift is always among them. All shifts see the same blocks of the generated
    image, so none is favoured, and the strict r can be the higher one: it sees the margin too.
    """

    values = (
        *(
            Value(
                f"r_block_{n}",
                rf"$R_\mathrm{{block,{n}}}$",
                "%",
                "high",
                f"mean over i of 100 · Pearson's r of the mean DAB densities of {n}×{n} blocks of the two images",
                f"r_block/fiji-{n}",
                column=f"r_block_{n}",
            )
            for n in GRIDS
        ),
        *(
            Value(
                f"r_block_{n}_best",
                rf"$R_\mathrm{{block,{n}}}^\mathrm{{best}}$",
                "%",
                "high",
                f"as r_block_{n} inside a margin of 1/16 of the side, the largest over shifts of the real image by up "
                "to that margin in steps of a quarter block; biased upwards",
                f"r_block/fiji-{n}-shifts16",
                column=f"r_block_{n}_best",
            )
            for n in GRIDS
        ),
        Value(
            "r_block_undefined",
            r"$R_\mathrm{block}$ undefined",
            "images",
            "low",
            "number of images without one of these: all blocks hold equal DAB, or a side has fewer pixels than blocks",
            "r_block/fiji",
        ),
    )

    def per_image(self, sample: Sample) -> dict[str, float]:
        """The six correlations of one pair in percent; NaN where they do not exist."""
        fake, real = summed_density(sample.fake), summed_density(sample.real)
        strict = {f"r_block_{n}": 100 * block_correlation(fake, real, n) for n in GRIDS}
        return strict | {f"r_block_{n}_best": 100 * best_block_correlation(fake, real, n) for n in GRIDS}

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images that have the number, and how many lack one."""
        columns = [value.column for value in self.values if value.column is not None]
        missing = table[columns].isna()
        results: dict[str, float | Absent] = {
            name: Absent("no pair has blocks whose DAB differs, in both its images")
            if missing[name].all()
            else float(table[name].mean())
            for name in columns
        }
        return results | {"r_block_undefined": float(missing.any(axis=1).sum())}


def summed_density(image: Image) -> Numbers:
    """(H, W, 3) uint8 → (H + 1, W + 1): the DAB density above and left of each pixel corner, in ``UNIT``."""
    units = np.rint(density_table() / UNIT).astype(np.int64)
    levels = dab8(image)
    total = np.zeros((levels.shape[0] + 1, levels.shape[1] + 1), np.int64)
    inner = total[1:, 1:]
    np.cumsum(units[levels], axis=0, out=inner)
    np.cumsum(inner, axis=1, out=inner)
    return total


def block_correlation(fake: Numbers, real: Numbers, n: int) -> float:
    """Pearson's r over n × n blocks of two images of one size, given as their ``summed_density``; in [−1, 1].

    NaN where all blocks of an image are equal, or a side has fewer than n pixels. Symmetric.
    """
    height, width = np.array(fake.shape) - 1
    if min(height, width) < n:
        return float("nan")
    rows, columns = _edges(height, n), _edges(width, n)
    return pearson(_means(fake, rows, columns), _means(real, rows, columns))


def best_block_correlation(fake: Numbers, real: Numbers, n: int) -> float:
    """The largest r over shifts of the real image, by the rule of ``Places``; NaN where no shift has one."""
    height, width = np.array(fake.shape) - 1
    down, right = height // REACH, width // REACH
    if min(height - 2 * down, width - 2 * right) < n:
        return float("nan")
    rows, columns = down + _edges(height - 2 * down, n), right + _edges(width - 2 * right, n)
    blocks = _means(fake, rows, columns)
    shifts = product(_offsets(down, n), _offsets(right, n))
    found = [pearson(blocks, _means(real, rows + dy, columns + dx)) for dy, dx in shifts]
    return max((r for r in found if not np.isnan(r)), default=float("nan"))


def _edges(length: int, n: int) -> Numbers:
    """The n + 1 edges of n blocks, unequal by a pixel at most."""
    return np.arange(n + 1) * length // n


def _offsets(reach: int, n: int) -> Numbers:
    """Whole pixels from −reach to reach, a quarter block apart, without repetition."""
    steps = n * STEPS // REACH
    return np.unique(np.rint(np.linspace(-reach, reach, 2 * steps + 1)).astype(np.int64))


def _means(total: Numbers, rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
    """Mean density in OD of each block between neighbouring edges, row by row."""
    sums = np.diff(np.diff(total[np.ix_(rows, columns)], axis=0), axis=1)
    return (sums * UNIT / np.outer(np.diff(rows), np.diff(columns))).reshape(-1)
