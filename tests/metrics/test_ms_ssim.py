"""MS-SSIM on images made by a formula, against pytorch-msssim."""

import numpy as np
import pandas as pd
import pytest

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.ms_ssim import MIN_SIDE, MultiScaleSsim, halved, ms_ssim

# By pytorch-msssim 1.0.0 in float64, its window too: ms_ssim(x, y, data_range=255, win=…, weights=[…]). It pads odd
# sides, so these are even at all scales. (torchmetrics 1.9 takes the coarsest SSIM over a reflected border too: 0.96982
# for the first.)
EXPECTED = {
    (176, 192): {"near": 0.969813083533, "far": 0.208815146532, "one negative": 0.657663775397},
    (208, 176): {"near": 0.969546276729, "far": 0.206070651650, "one negative": 0.657570931706},
}


def waves(height: int, width: int, phase: float) -> Image:
    row, column, channel = np.ogrid[0:height, 0:width, 0:3]
    slow = 50 * np.sin(0.05 * row + 0.03 * column + 0.9 * channel + phase)
    turn = 0.4 * row - 0.3 * column * (1 + 0.2 * channel) + 0.002 * row * column + 2 * phase
    return np.clip(np.floor(150 + slow + 35 * np.cos(turn) + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", EXPECTED)
def test_values_are_pytorch_msssims(size: tuple[int, int]) -> None:
    real = waves(*size, 0.0)
    negative = waves(*size, 0.1)
    negative[..., 1] = 255 - negative[..., 1]  # this channel counts as 0
    pairs = {"near": waves(*size, 0.15), "far": waves(*size, 0.8), "one negative": negative}
    for name, expected in EXPECTED[size].items():
        assert ms_ssim(pairs[name], real) == pytest.approx(expected, abs=1e-11), name
        assert ms_ssim(real, pairs[name]) == ms_ssim(pairs[name], real)
    assert ms_ssim(real, real) == 1


def test_a_coarser_scale_has_means_of_four_without_the_odd_row_and_column() -> None:
    """Elsewhere odd sides are padded with black."""
    image = waves(45, 31, 0.0)
    expected = image[:44, :30].reshape(22, 2, 15, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(halved(image), expected)
    np.testing.assert_array_equal(halved(expected)[0, 0], image[:4, :4].mean(axis=(0, 1)))


def test_small_images_have_none_and_are_not_counted() -> None:
    large, small = waves(MIN_SIDE, MIN_SIDE, 0.0), waves(MIN_SIDE - 1, 200, 0.0)
    other = waves(MIN_SIDE, MIN_SIDE, 0.2)
    metric = MultiScaleSsim()
    samples = [Sample("a", other, large, large), Sample("b", small, small, small)]
    table = pd.DataFrame(metric.update(samples).columns)
    assert metric.finish(table, {}) == {"ms_ssim": ms_ssim(other, large)}
    absent = metric.finish(table.iloc[1:], {})["ms_ssim"]
    assert isinstance(absent, Absent)
    assert "176" in absent.reason
