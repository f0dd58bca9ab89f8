"""KID's arithmetic against torch-fidelity's own, on the same features."""

from typing import Any

import numpy as np
import pytest
import torch
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_kid import kid_features_to_metric

from vsbench.metrics._kernel import SEED, SUBSET_SIZE, SUBSETS, kernel_distance


def features(n: int, dimensions: int, shift: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(n)
    return np.maximum(random.standard_normal((n, dimensions)) + shift, 0).astype(np.float32)


def torch_fidelitys(x: np.ndarray, y: np.ndarray, dtype: Any, **options: Any) -> tuple[float, float]:
    found = kid_features_to_metric(*(torch.from_numpy(f.astype(dtype)) for f in (x, y)), verbose=False, **options)
    return found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]


def test_defaults_are_torch_fidelitys() -> None:
    defaults = [DEFAULTS[name] for name in ("kid_subsets", "kid_subset_size", "rng_seed")]
    assert defaults == [SUBSETS, SUBSET_SIZE, SEED]


@pytest.mark.parametrize(("n", "m", "size"), [(40, 30, 10), (300, 280, 280), (12, 12, 12), (2, 3, 2)])
def test_distance_is_torch_fidelitys(n: int, m: int, size: int) -> None:
    """In float64 all digits that there are; in its own float32 those that the sums leave."""
    x, y = features(n, 24), features(m, 24, shift=0.3)
    found = kernel_distance(x, y, subsets=7, size=size)
    options = {"kid_subsets": 7, "kid_subset_size": size}
    assert found == pytest.approx(torch_fidelitys(x, y, np.float64, **options), rel=1e-9, abs=1e-14)
    assert found == pytest.approx(torch_fidelitys(x, y, np.float32, **options), rel=1e-5, abs=1e-6)


def test_sets_above_the_subset_size_are_drawn_from() -> None:
    x, y = features(1001, 3), features(1003, 3, shift=0.01)
    found = kernel_distance(x, y, subsets=2)
    assert found == pytest.approx(torch_fidelitys(x, y, np.float64, kid_subsets=2), rel=1e-9)
    assert found[1] > 0


def test_small_sets_are_taken_whole() -> None:
    """Then nothing is left to chance: neither order nor the number of subsets matters."""
    x, y = features(20, 8), features(20, 8, shift=0.2)
    mean, spread = kernel_distance(x, y)
    assert spread < 1e-15
    assert kernel_distance(x[::-1], y, subsets=1)[0] == pytest.approx(mean, rel=1e-12)


def test_it_is_unbiased() -> None:
    """Closed form for constant sets; and sets of one distribution are on average at distance 0, of any size."""
    x, y = np.full((5, 2), 1.0), np.full((4, 2), 2.0)  # x·x / 2 + 1 = 2, y·y / 2 + 1 = 5, x·y / 2 + 1 = 3
    assert kernel_distance(x, y)[0] == pytest.approx(2**3 + 5**3 - 2 * 3**3)
    random = np.random.default_rng(0)
    draws = [kernel_distance(*random.standard_normal((2, 6, 3)), subsets=1)[0] for _ in range(500)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))
