"""Sums of a slide's pixels in the cells of a grid, added up window by window."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grid:
    """The edges of the rows (R + 1,) and columns (C + 1,) of cells, in pixels, from 0 to the side."""

    rows: Numbers
    columns: Numbers

    @classmethod
    def of_blocks(cls, height: int, width: int, count: int) -> "Grid":
        """``count`` × ``count`` blocks, unequal by a pixel at most."""
        rows, columns = (np.arange(count + 1) * side // count for side in (height, width))
        return cls(rows, columns)

    @classmethod
    def of_squares(cls, height: int, width: int, side: float) -> "Grid":
        """Squares of so many pixels a side; what is left at the lower and right border is narrower."""
        rows, columns = (
            np.append(np.rint(np.arange(int(np.ceil(length / side))) * side).astype(np.int64), length)
            for length in (height, width)
        )
        return cls(rows, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return len(self.rows) - 1, len(self.columns) - 1

    def sums(self, values: NDArray[np.integer] | NDArray[np.bool_], y: int, x: int) -> "Part":
        """Those of whole numbers in a window (H, W) at (y, x)."""
        first, starts = zip(
            *(_starts(edges, begin, length) for edges, begin, length in zip(
                (self.rows, self.columns), (y, x), values.shape, strict=True
            )), strict=True
        )  # fmt: skip
        down = np.add.reduceat(values, starts[0], axis=0, dtype=np.int64)
        return Part(first, np.add.reduceat(down, starts[1], axis=1))


@dataclass(frozen=True, eq=False)
class Part:
    """Sums over a window: ``first``: row and column of the first of its cells."""

    first: tuple[int, ...]
    sums: Numbers

    def add_to(self, total: Numbers) -> None:
        """Into those of all cells."""
        (top, left), (height, width) = self.first, self.sums.shape
        total[top : top + height, left : left + width] += self.sums


def merged(sums: Numbers, factor: int) -> Numbers:
    """Of cells ``factor`` times as large, at the lower and right border as far as they go."""
    starts = [np.arange(0, side, factor) for side in sums.shape]
    return np.add.reduceat(np.add.reduceat(sums, starts[0], axis=0), starts[1], axis=1)


def _starts(edges: Numbers, begin: int, length: int) -> tuple[int, list[int]]:
    """The cell in which a window begins, and where in it each of its cells does."""
    first = int(np.searchsorted(edges, begin, "right")) - 1
    inner = edges[(edges > begin) & (edges < begin + length)] - begin
    starts = [0, *map(int, inner)]
    assert all(this < following for this, following in pairwise(starts)), "cells without a pixel"
    return first, starts
