"""Rows that need no training and keep everyone honest."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Maker

REFERENCES = {
    "real-ihc": "Real IHC (adjacent section)",
    "he": "H&E unchanged",
    "mean-colour": "Mean colour of the training IHC",
}


def reference_maker(row: str, colour: Sequence[int] = ()) -> Maker:
    """What stands in for the generated image in a reference row; ``colour``: three levels, for the mean colour."""
    makers: dict[str, Maker] = {
        "real-ihc": lambda pair, he, real: real,
        "he": lambda pair, he, real: he,
        "mean-colour": lambda pair, he, real: np.broadcast_to(np.asarray(colour, dtype=np.uint8), real.shape),
    }
    return makers[row]


def mean_colour(train: Iterable[Pair]) -> NDArray[np.uint8]:
    """(3,) mean of all pixels of the training IHC images, rounded."""
    total, pixels = np.zeros(3), 0
    for pair in train:
        image = read_rgb(pair.ihc)
        total += image.sum(axis=(0, 1), dtype=np.float64)
        pixels += image.shape[0] * image.shape[1]
    return np.rint(total / pixels).astype(np.uint8)
