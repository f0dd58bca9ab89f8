"""The nuclei of an image one by one, whoever outlined them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Nuclei:
    """``labels``: (H, W) int32, 0 between nuclei, else the number of one, 1 to N. ``centres``: (N, 2), y and x."""

    labels: NDArray[np.int32]
    centres: NDArray[np.float64]

    @property
    def count(self) -> int:
        """N."""
        return len(self.centres)

    def means(self, amounts: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N,) means of (H, W) amounts over each nucleus."""
        inside = self.labels > 0
        number = self.labels[inside] - 1
        total = np.bincount(number, weights=amounts[inside], minlength=self.count)
        return total / np.bincount(number, minlength=self.count)


def nuclei_of(labels: NDArray[np.integer]) -> Nuclei:
    """From (H, W) numbers of nuclei, 0 between them, which need not follow one another."""
    rows, columns = np.nonzero(labels)
    _, number, sizes = np.unique(labels[rows, columns], return_inverse=True, return_counts=True)
    ordered = np.zeros(labels.shape, np.int32)
    ordered[rows, columns] = number + 1
    centres = np.stack([np.bincount(number, place, len(sizes)) / sizes for place in (rows, columns)], axis=1)
    return Nuclei(ordered, centres)
