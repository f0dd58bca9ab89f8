"""Agreement of two sets of categories as a function of sums over slides."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vsbench.stats.moments import Array, Pooled
from vsbench.stats.slides import Slides

CATEGORIES = 3  # 0, 1, 2, in order
GRADES = 4  # 0, 1+, 2+, 3+
CUTS = {"positivity_kappa_low": 1, "positivity_kappa_high": 2}  # value → the lowest grade that is positive
COLUMNS = {  # value → the generated images' categories, and those they are held against
    "clinical_kappa": ("category", "category_real"),
    "label_kappa": ("category", "category_label"),
    "nuclei_kappa": ("nuclei_category", "nuclei_category_real"),
}


def kappas(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    """The quadratic-weighted kappas of a per-image table, by name of the value; none where it has no categories."""
    return {
        name: kappa(table[fake], table[real], slides, name) for name, (fake, real) in COLUMNS.items() if fake in table
    }


def positivity_kappas(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    """Cohen's kappas of positive and negative images, by name of the value; none where the table has no grades."""
    if "positivity_grade" not in table:
        return {}
    found = {}
    for name, least in CUTS.items():
        fake, real = (
            table[column].ge(least).where(table[column].notna())
            for column in ("positivity_grade", "positivity_grade_real")
        )
        found[name] = kappa(fake.astype(float), real.astype(float), slides, name, categories=2)
    return found


def grade_kappas(table: pd.DataFrame, slides: Slides) -> dict[str, Pooled]:
    """The quadratic-weighted kappa of the data set's grades, by name of the value; none where the table has none."""
    if "grade_label" not in table:
        return {}
    return {"grade_kappa": kappa(table["grade"], table["grade_label"], slides, "grade_kappa", GRADES)}


def kappa(
    fake: ArrayLike, real: ArrayLike, slides: Slides, name: str = "kappa", categories: int = CATEGORIES
) -> Pooled:
    """Cohen's kappa with quadratic weights of (N,) categories 0, 1, 2, …, over the images that have both (not NaN).

    Does not exist where all real images are of one category: it would be 0 whatever the generated ones are.
    """
    x, y = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    cell = np.where(both, categories * y + x, -1)
    cells = np.stack([slides.sum(cell == number) for number in range(categories**2)])
    return Pooled(name, cells, _kappa_of_real, len(x), int((~both).sum()))


def weighted_kappa(cells: Array) -> Array:
    """Quadratic-weighted kappa (R,) of the cells (K², R) of square tables; NaN where chance can only agree."""
    counts = _tables(cells)
    place = np.arange(len(counts))
    weight = np.subtract.outer(place, place) ** 2
    first, second = counts.sum(axis=1), counts.sum(axis=0)
    observed = first.sum(axis=0) * np.einsum("ij,ijr->r", weight, counts)
    by_chance = np.einsum("ij,ir,jr->r", weight, first, second)
    exists = by_chance > 0
    return 1 - np.divide(observed, by_chance, out=np.full(np.shape(observed), np.nan), where=exists)


def _kappa_of_real(cells: Array) -> Array:
    """Rows are the real categories: NaN where all images are in one row."""
    several = (_tables(cells).sum(axis=1) > 0).sum(axis=0) > 1
    return np.where(several, weighted_kappa(cells), np.nan)


def _tables(cells: Array) -> Array:
    """(K², R) → (K, K, R)."""
    side = int(np.sqrt(len(cells)))
    return cells.reshape(side, side, -1)
