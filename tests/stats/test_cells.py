"""What is known of true cells, resampled by slide: against the same images measured anew."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from vsbench.metric import Absent
from vsbench.metrics.true_cells import BINS, TrueCellStain
from vsbench.stats.distances import DISTANCES
from vsbench.stats.slides import Slides

N = 12
SLIDES = Slides(np.repeat(np.arange(4), 3), 4)
NAMES = [value.name for value in TrueCellStain.values]
Maker = Callable[[int], np.ndarray]


def cells(seed: int, apart: float, cells_in: np.ndarray) -> np.ndarray:
    """(N, 2 · BINS): positive cells lie ``apart`` bins above negative ones; ``cells_in``: (N, 2) how many there are."""
    rng = np.random.default_rng(seed)
    found = np.zeros((N, 2, BINS), np.float32)
    for image in range(N):
        for kind in (0, 1):
            place = rng.normal(150 + apart * (1 - kind) + 5 * image % 7, 25, cells_in[image, kind])
            found[image, kind] = np.bincount(np.clip(place.astype(int), 0, BINS - 1), minlength=BINS)
    return found.reshape(N, -1)


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(7).integers(3, 40, (N, 2))


def measured(fake: np.ndarray, true: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    found = TrueCellStain().finish(pd.DataFrame(), {"cells_fake": fake[rows], "cells_real": true[rows]})
    return {name: np.nan if isinstance(value, Absent) else value for name, value in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_is_worth_what_its_images_are(name: str, numbers: np.ndarray) -> None:
    numbers[2] = 0  # an image without cells
    fake, true = cells(0, 20, numbers), cells(1, 90, numbers)
    counts = np.random.default_rng(3).multinomial(4, [0.25] * 4, 30).astype(float)
    found = DISTANCES[name].statistic(fake, true, SLIDES)(np.vstack([np.ones(4), counts]))
    for row, value in zip(np.vstack([np.ones(4), counts]), found, strict=True):
        rows = np.repeat(np.arange(N), row[SLIDES.index].astype(int))
        assert value == pytest.approx(measured(fake, true, rows)[name], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_scores_tell_the_difference_of_two_methods(name: str, numbers: np.ndarray) -> None:
    """Exactly; that of a correlation where the methods are alike."""
    true = cells(1, 90, numbers)
    first, second = cells(2, 60, numbers), cells(3, 30, numbers)
    if name == "cell_share_r":
        second = np.where(np.arange(N)[:, None] % 3 == 0, np.roll(first, 4, axis=1), first)
    gap = measured(first, true, np.arange(N))[name] - measured(second, true, np.arange(N))[name]
    one, other = DISTANCES[name].scores(first, second, true)
    assert abs(gap) > 1e-3
    tolerance = 0.05 if name == "cell_share_r" else 1e-9
    assert one.mean() - other.mean() == pytest.approx(gap, rel=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_exchanged_images_keep_their_scores(name: str, numbers: np.ndarray) -> None:
    true, first, second = cells(1, 90, numbers), cells(2, 60, numbers), cells(3, 30, numbers)
    moved = (SLIDES.index % 2 == 0)[:, None]
    a, b = DISTANCES[name].scores(first, second, true)
    c, d = DISTANCES[name].scores(np.where(moved, second, first), np.where(moved, first, second), true)
    np.testing.assert_allclose(c, np.where(moved[:, 0], b, a), rtol=1e-9)
    np.testing.assert_allclose(d, np.where(moved[:, 0], a, b), rtol=1e-9)


def test_slides_without_a_kind_of_cells_have_no_value(numbers: np.ndarray) -> None:
    numbers[:3, 0] = 0  # the first slide has no positive cell
    fake, true = cells(0, 20, numbers), cells(1, 90, numbers)
    only_first = np.array([[4.0, 0, 0, 0]])
    for name in ("cell_auc", "cell_sensitivity"):
        assert np.isnan(DISTANCES[name].statistic(fake, true, SLIDES)(only_first)).all()
