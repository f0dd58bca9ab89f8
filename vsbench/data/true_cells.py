"""Where the cells of a tile lie and which of them are positive: known only where tissue is made up."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsbench.data.arrays import read_arrays
from vsbench.errors import DataError, unreadable
from vsbench.files import atomic
from vsbench.names import said


@dataclass(frozen=True, eq=False)
class TrueCells:
    """``pixel``: (P,) indices into the flattened (H, W) image; ``cell``: (P,) whose each is, 0 to C − 1.

    A pixel is there once for each cell it belongs to: nuclei lie over each other, membranes have two sides. A cell may
    have no pixel. ``positive``: (C,).
    """

    pixel: NDArray[np.intp]
    cell: NDArray[np.intp]
    positive: NDArray[np.bool_]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(C,): which cells have a pixel."""
        return np.bincount(self.cell, minlength=len(self.positive)) > 0

    def means(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means by cell, of those ``seen`` and in their order, of the (P,) ``amounts`` at its pixels."""
        count = np.bincount(self.cell, minlength=len(self.positive))
        total = np.bincount(self.cell, weights=amounts, minlength=len(self.positive))
        return total[count > 0] / count[count > 0]

    def write(self, file: Path) -> None:
        """As arrays by name, atomically; equal cells give equal bytes."""
        with atomic(file) as temporary, temporary.open("wb") as out:
            np.savez(
                out,
                allow_pickle=False,
                pixel=self.pixel.astype(np.uint32),
                cell=self.cell.astype(np.uint32),
                positive=self.positive,
            )


def read_true_cells(file: Path, pixels: int) -> TrueCells:
    """The cells of an image of so many pixels. Raises DataError naming a file that can't be read or is damaged."""
    try:
        stored = read_arrays(file)
        pixel, cell, positive = (stored[name] for name in ("pixel", "cell", "positive"))
        whole = pixel.ndim == cell.ndim == positive.ndim == 1 and pixel.shape == cell.shape
        if not whole or (pixel.dtype, cell.dtype, positive.dtype) != (np.uint32, np.uint32, np.bool_):
            raise ValueError("not the arrays of cells")
        if len(pixel) and (pixel.max() >= pixels or cell.max() >= len(positive)):
            raise ValueError("cells outside of the image, or of the table")
    except OSError as error:
        raise unreadable(file, error) from None
    except (ValueError, KeyError) as error:
        raise DataError(f"{file}: damaged ({said(error)}); remove it: it is made again") from None
    return TrueCells(pixel.astype(np.intp), cell.astype(np.intp), positive)
