"""Kappa and alpha against a published example and another implementation."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from vsbench.reader_study.agreement import alpha, kappa
from vsbench.stats.moments import Pooled
from vsbench.stats.slides import Slides

X = np.nan
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): four observers, twelve units, gaps.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
        [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
    ]
).T


def own(n: int) -> Slides:
    return Slides(np.arange(n), n)


def value(statistic: Pooled) -> float:
    return float(statistic(np.ones((1, statistic.sums.shape[1])))[0])


def test_alpha_is_that_of_the_published_example() -> None:
    """Ordinal: 0.815; the unit with a single score is left out."""
    found = alpha(PUBLISHED, own(12))
    assert value(found) == pytest.approx(0.815, abs=5e-4)
    assert found.excluded == 1


def test_alpha_knows_what_lies_between_two_scores() -> None:
    """A disagreement over many others weighs more: ordinal, not nominal."""
    near, far = np.array([[1, 2], [3, 3], [3, 3], [5, 5]]), np.array([[1, 5], [3, 3], [3, 3], [5, 5]])
    assert value(alpha(near, own(4))) > value(alpha(far, own(4)))


def test_kappa_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(1, 6, 40)
    second = np.clip(first + rng.integers(-1, 3, 40), 1, 5)
    expected = cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert value(kappa(first, second, own(40))) == pytest.approx(expected, abs=1e-12)


def test_perfect_agreement_is_one_and_no_variation_does_not_exist() -> None:
    scores = np.array([1, 2, 5])
    assert value(kappa(scores, scores, own(3))) == value(alpha(np.stack([scores] * 2, 1), own(3))) == 1
    same = np.full(3, 4)
    assert np.isnan(value(kappa(same, same, own(3))))
    assert np.isnan(value(alpha(np.stack([same] * 2, 1), own(3))))


def test_drawing_a_slide_twice_is_having_its_images_twice() -> None:
    slides = Slides(np.arange(12) // 3, 4)
    twice = np.concatenate([PUBLISHED, PUBLISHED[3:6]])
    drawn = alpha(PUBLISHED, slides)(np.array([[1.0, 2, 1, 1]]))
    assert drawn[0] == pytest.approx(value(alpha(twice, own(15))), abs=1e-12)
