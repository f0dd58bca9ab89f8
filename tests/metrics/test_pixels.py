"""MAE, ΔE2000, NCC and mutual information against scikit-image, SciPy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from skimage.color import deltaE_ciede2000, rgb2lab
from sklearn.metrics import mean_absolute_error, mutual_info_score

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics._grey import BINS, mutual_information
from vsbench.metrics.pixels import ROWS, Pixels


def pair(height: int = 50, seed: int = 0) -> Sample:
    """Two images that are half alike."""
    random = np.random.default_rng(seed)
    common, *own = random.integers(0, 256, (3, height, 40, 3))
    fake, real = (((common + one) // 2).astype(np.uint8) for one in own)
    return Sample(f"{seed}", fake, real, real)


def grey(image: Image) -> NDArray[np.int64]:
    return np.asarray(image.astype(int) @ (9797, 19234, 3737) >> 15).ravel()


@pytest.mark.parametrize("height", [1, ROWS, ROWS + 3])
def test_the_four_are_those_of_others(height: int) -> None:
    sample = pair(height)
    found = Pixels().per_image(sample)
    assert found["mae"] == pytest.approx(mean_absolute_error(*(i.ravel() / 255 for i in (sample.fake, sample.real))))
    assert found["delta_e"] == pytest.approx(deltaE_ciede2000(rgb2lab(sample.real), rgb2lab(sample.fake)).mean())
    assert found["ncc"] == pytest.approx(pearsonr(grey(sample.fake), grey(sample.real)).statistic)
    bins = (grey(image) // (256 // BINS) for image in (sample.fake, sample.real))
    assert found["mutual_information"] == pytest.approx(mutual_info_score(*bins) / np.log(2))


def test_information_of_an_image_about_itself_is_its_entropy() -> None:
    levels = np.repeat(np.arange(0, 256, 256 // BINS, dtype=np.uint8), 3)[:, None]
    assert mutual_information(levels, levels) == pytest.approx(np.log2(BINS))
    assert mutual_information(levels, 255 - levels) == pytest.approx(np.log2(BINS))  # whatever the contrast
    assert mutual_information(levels, np.zeros_like(levels)) == 0


def test_a_constant_image_has_no_correlation() -> None:
    sample, blank = pair(), np.full((50, 40, 3), 200, np.uint8)
    table = pd.DataFrame(Pixels().update([sample.judging(blank)]).columns)
    values = Pixels().finish(table, {})
    assert isinstance(values["ncc"], Absent)
    assert isinstance(values["mutual_information"], Absent)
    assert isinstance(values["mae"], float)
    more = pd.DataFrame(Pixels().update([sample.judging(blank), pair(seed=1)]).columns)
    assert Pixels().finish(more, {})["ncc"] == more["ncc"][1]
