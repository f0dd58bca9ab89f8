"""Kappa over drawn slides is scikit-learn's kappa over the same images, repeated."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from vsbench.stats.categories import kappa, kappas
from vsbench.stats.slides import Slides
from vsbench.stats.slides import group as grouped

RANDOM = np.random.default_rng(8)
REAL = RANDOM.integers(0, 3, 40).astype(float)
FAKE = np.where(RANDOM.random(40) < 0.5, REAL, RANDOM.integers(1, 3, 40))
NAMES = [f"s{number}" for number in RANDOM.integers(0, 5, 40)]


def group(names: list[str]) -> Slides:
    """Of few slides, without the caution."""
    return grouped(names, warn=lambda caution: None)


def test_a_resample_is_the_images_repeated() -> None:
    slides = group(NAMES)
    counts = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 0, 2], [0, 5, 0, 0, 0]])
    found = kappa(FAKE, REAL, slides)(counts.astype(float))
    for value, drawn in zip(found, counts, strict=True):
        rows = np.repeat(np.arange(40), drawn[slides.index])
        expected = cohen_kappa_score(REAL[rows], FAKE[rows], weights="quadratic")
        assert value == pytest.approx(expected, abs=1e-12)


def test_images_without_a_category_are_left_out_and_counted() -> None:
    fake = FAKE.copy()
    fake[::7] = np.nan
    kept = np.isfinite(fake)
    found = kappa(fake, REAL, group(NAMES))
    assert (found.images, found.excluded) == (40, 6)
    expected = cohen_kappa_score(REAL[kept], fake[kept], weights="quadratic")
    assert found(np.ones((1, 5)))[0] == pytest.approx(expected, abs=1e-12)


def test_kappa_exists_only_where_the_real_images_differ() -> None:
    slides = group(["a", "b", "c"])
    assert np.isnan(kappa([0, 1, 2], [1, 1, 1], slides)(np.ones((1, 3)))).all()
    assert kappa([1, 1, 1], [0, 1, 2], slides)(np.ones((1, 3))) == 0
    np.testing.assert_array_equal(kappa([0, 1, 2], [0, 1, 2], slides)(np.array([[1.0, 1, 0], [0, 3, 0]])), [1, np.nan])


def test_each_kappa_of_a_table_has_its_own_reference() -> None:
    table = pd.DataFrame({"category": FAKE, "category_real": REAL, "category_label": FAKE})
    found = kappas(table, group(NAMES))
    whole = np.ones((1, 5))
    assert found["label_kappa"](whole) == 1
    assert found["clinical_kappa"](whole)[0] == pytest.approx(cohen_kappa_score(REAL, FAKE, weights="quadratic"))
    assert kappas(table[["category_real"]], group(NAMES)) == {}
