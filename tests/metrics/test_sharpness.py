"""Sharpness against SciPy's Laplacian, and what blur, noise and blank images do to it."""

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, laplace

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.sharpness import ROWS, Sharpness, sharpness


def noise(height: int = 40, width: int = 50, seed: int = 0, most: int = 256) -> Image:
    return np.random.default_rng(seed).integers(0, most, (height, width, 3), dtype=np.uint8)


def value(*pairs: tuple[Image, Image]) -> float | Absent:
    metric = Sharpness()
    samples = [Sample(f"{n}", fake, real, real) for n, (fake, real) in enumerate(pairs)]
    return metric.finish(pd.DataFrame(metric.update(samples).columns), {})["sharpness_ratio"]


@pytest.mark.parametrize("height", [1, 2, 40, ROWS, ROWS + 1, 2 * ROWS + 1])
def test_it_is_the_variance_of_scipys_laplacian(height: int) -> None:
    image = noise(height)
    assert sharpness(image) == pytest.approx(laplace(image.mean(axis=2)).var(), rel=1e-12)
    checked = np.indices((height, 50)).sum(axis=0)[..., None] % 2 * np.full(3, 255, np.uint8)  # the sharpest there is
    assert sharpness(checked.astype(np.uint8)) == pytest.approx(laplace(checked.mean(axis=2)).var(), rel=1e-12)


def test_blur_is_below_zero_and_noise_above() -> None:
    real = noise(most=100) + np.uint8(50)
    blurred = gaussian_filter(real, (1, 1, 0))
    half = np.rint(real / 2).astype(np.uint8)
    assert value((real, real)) == 0
    assert value((half, real)) == pytest.approx(-75, abs=0.5)  # a quarter of the variance
    assert isinstance(found := value((blurred, real)), float)
    assert -100 < found < -75
    assert value((noise(), real)) > 100


def test_a_blank_image_is_as_blurred_as_can_be() -> None:
    real, blank = noise(), np.full((40, 50, 3), 200, np.uint8)
    assert value((blank, real)) == -100
    assert value((real, real), (real, blank)) == 100  # no real structure in the second: nothing is divided by it
    assert value((real, blank)) == Absent("the real images are all constant")
