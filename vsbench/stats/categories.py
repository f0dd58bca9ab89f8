"""Agreement of two sets of categories as a function of sums over slides."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vsbench.stats.moments import Array, Pooled
from vsbench.stats.slides import Slides

CATEGORIES = 3  # 0, 1, 2, in order
REFERENCES = {"clinical_kappa": "category_real", "label_kappa": "category_label"}  # value → column it is held against


def kappas(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    """The quadratic-weighted kappas of a per-image table, by name of the value; none where it has no categories."""
    if "category" not in table:
        return {}
    return {name: kappa(table["category"], table[real], slides, name) for name, real in REFERENCES.items()}


def kappa(fake: ArrayLike, real: ArrayLike, slides: Slides, name: str = "kappa") -> Pooled:
    """Cohen's kappa with quadratic weights of (N,) categories 0, 1, 2, over the images that have both (not NaN).

    Does not exist where all real images are of one category: it would be 0 whatever the generated ones are.
    """
    x, y = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    cell = np.where(both, CATEGORIES * y + x, -1)
    cells = np.stack([slides.sum(cell == number) for number in range(CATEGORIES**2)])
    return Pooled(name, cells, weighted_kappa, len(x), int((~both).sum()))


def weighted_kappa(cells: Array) -> Array:
    """Quadratic-weighted kappa (R,) of the nine cells (9, R) of confusion matrices, rows real and columns generated."""
    counts = cells.reshape(CATEGORIES, CATEGORIES, -1)
    place = np.arange(CATEGORIES)
    weight = np.subtract.outer(place, place) ** 2
    real, fake = counts.sum(axis=1), counts.sum(axis=0)
    total = real.sum(axis=0)
    observed = total * np.einsum("ij,ijr->r", weight, counts)
    by_chance = np.einsum("ij,ir,jr->r", weight, real, fake)
    exists = (real > 0).sum(axis=0) > 1
    return 1 - np.divide(observed, by_chance, out=np.full(np.shape(total), np.nan), where=exists)
