"""Is the stain in the right places, seen coarsely? Correlation of DAB density over blocks, strict and best over shifts.

The adjacent section holds other cells, a little shifted and bent: a low r over fine blocks blames the pairing as much
as the method, and only over coarse blocks, or after a shift, does it say that stain is in the wrong regions. The best
over shifts is the largest of up to 81 correlations and so biased upwards (28, 19 and 13 % at n = 4, 8, 16 on unrelated
smooth random images, whose strict r is 0): compare it within its protocol only, never with the strict r.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Metric, Sample, Value
from vsbench.metrics._correlation import pearson
from vsbench.stain.dab import density_table, read_levels

Numbers = NDArray[np.int64]

GRIDS = (4, 8, 16)  # blocks per side
STANDS = "r_block_8"  # for all six where methods are tested: neither the coarsest nor the finest, and unbiased
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
                family=STANDS,
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
                family=STANDS,
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
        fake, real = (summed_density(sample.once(which, read_levels).levels) for which in ("fake", "real"))
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


@dataclass(frozen=True, eq=False)
class SummedDensity:
    """Sums of DAB density above and left of pixel corners, (R, C) in ``UNIT``: at ``rows`` (R,) and ``columns`` (C,).

    These are the corners of all blocks of all grids at all shifts, some 150 a side of an image of 1024, and its own.
    """

    rows: Numbers
    columns: Numbers
    total: Numbers


def summed_density(levels: NDArray[np.uint8]) -> SummedDensity:
    """Of an image with these DAB levels, (H, W)."""
    units = np.rint(density_table() / UNIT).astype(np.int64)
    rows, columns = (_all_edges(length) for length in levels.shape)
    bands = np.stack([units[levels[top:bottom]].sum(axis=0) for top, bottom in pairwise(rows)])  # (R − 1, W)
    total = np.zeros((len(rows), len(columns)), np.int64)
    total[1:, 1:] = np.add.reduceat(bands, columns[:-1], axis=1).cumsum(axis=0).cumsum(axis=1)
    return SummedDensity(rows, columns, total)


def block_correlation(fake: SummedDensity, real: SummedDensity, n: int) -> float:
    """Pearson's r over n × n blocks of two images of one size; in [−1, 1]. Symmetric.

    NaN where all blocks of an image are equal, or a side has fewer than n pixels.
    """
    height, width = fake.rows[-1], fake.columns[-1]
    if min(height, width) < n:
        return float("nan")
    rows, columns = _edges(height, n)[None], _edges(width, n)[None]
    return pearson(_means(fake, rows, columns)[0, 0], _means(real, rows, columns)[0, 0])


def best_block_correlation(fake: SummedDensity, real: SummedDensity, n: int) -> float:
    """The largest r over shifts of the real image, by the rule of ``Places``; NaN where no shift has one."""
    height, width = fake.rows[-1], fake.columns[-1]
    if min(height - 2 * (height // REACH), width - 2 * (width // REACH)) < n:
        return float("nan")
    rows, columns = _inner_edges(height, n), _inner_edges(width, n)
    blocks = _means(fake, rows[:1], columns[:1])[0, 0]
    shifted = _means(real, _offsets(height, n)[:, None] + rows, _offsets(width, n)[:, None] + columns)
    found = [pearson(blocks, other) for other in shifted.reshape(-1, n * n)]
    return max((r for r in found if not np.isnan(r)), default=float("nan"))


def _edges(length: int, n: int) -> Numbers:
    """The n + 1 edges of n blocks, unequal by a pixel at most."""
    return np.arange(n + 1) * length // n


def _inner_edges(length: int, n: int) -> Numbers:
    """Those of n blocks inside the margin, as one row."""
    margin = length // REACH
    return margin + _edges(length - 2 * margin, n)[None]


def _offsets(length: int, n: int) -> Numbers:
    """Shifts along a side, in whole pixels within the margin, a quarter block apart, without repetition."""
    margin, steps = length // REACH, n * STEPS // REACH
    return np.unique(np.rint(np.linspace(-margin, margin, 2 * steps + 1)).astype(np.int64))


def _all_edges(length: int) -> Numbers:
    """Every edge that a block of any grid has at any shift, in order."""
    shifted = [(_offsets(length, n)[:, None] + _inner_edges(length, n)).reshape(-1) for n in GRIDS]
    return np.unique(np.concatenate([*shifted, *(_edges(length, n) for n in GRIDS)]))


def _means(image: SummedDensity, rows: Numbers, columns: Numbers) -> NDArray[np.float64]:
    """Mean OD of the blocks between neighbouring edges, row by row: edges (S, n + 1) and (T, n + 1) → (S, T, n²)."""
    row, column = np.searchsorted(image.rows, rows), np.searchsorted(image.columns, columns)
    corners = image.total[row[:, None, :, None], column[None, :, None, :]]  # (S, T, n + 1, n + 1)
    pixels = np.diff(rows)[:, None, :, None] * np.diff(columns)[None, :, None, :]
    means = np.diff(np.diff(corners, axis=2), axis=3) * UNIT / pixels
    return means.reshape(*means.shape[:2], -1)
