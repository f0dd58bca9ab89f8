"""Concordance, limits of agreement, positive-area error and histogram distance: published data, SciPy, closed forms."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.agreement import (
    Agreement,
    bland_altman,
    concordance,
    concordance_of_densities,
    histogram_distance,
)
from vsbench.metrics.dab import DabDensity
from vsbench.stain.dab import dab8, density_table, optical_density_dab
from vsbench.stats import moments
from vsbench.stats.slides import Slides

# Bland and Altman, Lancet 1986, table 1: peak expiratory flow by a large and a mini meter, first readings, l/min
LARGE = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float)
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float)


def stained(seed: int, shape: tuple[int, int] = (20, 26)) -> Image:
    random = np.random.default_rng(seed)
    dab = 10 ** -(random.gamma(1.0, 0.2 + 0.05 * seed, shape)[..., None] * (0.268, 0.570, 0.776))
    return np.rint(255 * dab).astype(np.uint8)


def samples(n: int = 5) -> list[Sample]:
    return [Sample(f"{i}", stained(2 * i), stained(2 * i + 1), stained(i)) for i in range(n)]


def finish(fake: NDArray[np.float64], real: NDArray[np.float64]) -> dict[str, float | Absent]:
    """Set values of images with these mean densities."""
    table = pd.DataFrame({"mean_od": fake, "mean_od_real": real, "positive_area_error": 0.0, "dab_w1": 0.0})
    return Agreement().finish(table, {})


def reason(result: float | Absent) -> str:
    assert isinstance(result, Absent)
    return result.reason


def test_limits_of_agreement_are_the_published_ones() -> None:
    """Printed: mean difference −2.1, sd 38.8, limits −79.7 and 75.5 with 2 for 1.96."""
    bias, lower, upper = bland_altman(LARGE, MINI)
    sd = (upper - lower) / (2 * 1.96)
    assert (round(bias, 1), round(sd, 1)) == (-2.1, 38.8)
    assert (round(bias - 2 * sd, 1), round(bias + 2 * sd, 1)) == pytest.approx((-79.7, 75.5), abs=0.11)
    results = finish(LARGE, MINI)
    assert results["ba_bias"] == pytest.approx(2.1176, abs=1e-4)
    assert results["ba_spread"] == pytest.approx(1.96 * np.std(LARGE - MINI, ddof=1))
    assert results["ba_limit"] == pytest.approx(-lower)
    assert finish(MINI, LARGE) == pytest.approx(results)  # the farther limit, whichever side it lies on


def test_concordance_is_one_minus_disagreement_over_that_by_chance() -> None:
    """Lin's first definition: squared differences within pairs, over those between all x and all y."""
    by_chance = np.mean(np.subtract.outer(LARGE, MINI) ** 2)
    expected = 1 - np.mean((LARGE - MINI) ** 2) / by_chance
    assert concordance(LARGE, MINI) == pytest.approx(expected, abs=1e-12)
    assert finish(LARGE, MINI)["ccc"] == pytest.approx(expected, abs=1e-12)
    r = stats.pearsonr(LARGE, MINI).statistic
    assert concordance(LARGE, MINI) < r  # Lin: the bias correction is below 1 for series of unequal mean or spread


def test_concordance_sees_scale_and_offset() -> None:
    x = np.array([0.1, 0.3, 0.2, 0.6])
    variance = x.var()
    assert concordance(x, x) == 1
    assert concordance(x, 2 * x.mean() - x) == pytest.approx(-1)
    assert concordance(x + 0.1, x) == pytest.approx(2 * variance / (2 * variance + 0.01))
    scaled = 4 * variance / (variance + 4 * variance + x.mean() ** 2)
    assert concordance(2 * x, x) == pytest.approx(scaled)
    assert concordance(x, 2 * x) == pytest.approx(scaled)


def test_what_does_not_exist_says_why() -> None:
    varied, blank = np.array([0.1, 0.2, 0.4]), np.full(3, 0.1)
    assert "generated" in reason(finish(blank + np.array([0, 1e-16, -1e-16]), varied)["ccc"])
    assert "real" in reason(finish(varied, blank)["ccc"])
    assert "at least 3 images, here are 2" in reason(finish(varied[:2], varied[1:])["ccc"])
    single = finish(varied[:1], varied[1:2])
    assert single["ba_bias"] == pytest.approx(0.1)
    assert "at least 2 images" in reason(single["ba_spread"])
    assert "at least 2 images" in reason(single["ba_limit"])


def test_the_value_and_its_resamples_agree_on_what_is_constant() -> None:
    """Blank images with a pixel or two: where the one has a number the other has the same."""
    real, slides = np.array([0.1, 0.2, 0.4, 0.3]), Slides(np.arange(4), 4)
    for amount in 10.0 ** -np.arange(3, 14):
        fake = amount * np.array([1.0, 0.0, 2.0, 1.0])
        value, (pooled,) = (
            concordance_of_densities(fake, real),
            moments.concordance(fake, real, slides)(np.ones((1, 4))),
        )
        assert np.isnan(pooled) if isinstance(value, Absent) else value == pytest.approx(pooled, abs=1e-12)
        spread = bland_altman(fake + 0.3, fake)
        assert spread[1] == spread[0] == spread[2]


def test_densities_and_areas_are_those_of_the_family_dab() -> None:
    metric, pairs = Agreement(), samples()
    table, dab = (pd.DataFrame(family.update(pairs).columns) for family in (metric, DabDensity()))
    pixels = pairs[0].real.shape[0] * pairs[0].real.shape[1]
    np.testing.assert_allclose(table["mean_od"], dab["intden"] / pixels, rtol=1e-12)
    np.testing.assert_allclose(table["mean_od_real"], dab["intden_real"] / pixels, rtol=1e-12)
    error = (dab["positive_area"] - dab["positive_area_real"]).abs()
    assert error.min() > 0
    np.testing.assert_allclose(table["positive_area_error"], error, rtol=0, atol=1e-12)
    assert metric.finish(table, {})["positive_area_error"] == pytest.approx(error.mean())


def test_histogram_distance_is_scipys_over_pixels() -> None:
    pairs, metric = samples(), Agreement()
    table = pd.DataFrame(metric.update(pairs).columns)
    expected = [
        stats.wasserstein_distance(
            *(optical_density_dab(image).reshape(-1).astype(float) for image in (p.fake, p.real))
        )
        for p in pairs
    ]
    np.testing.assert_allclose(table["dab_w1"], expected, rtol=1e-9)
    assert metric.finish(table, {})["dab_w1"] == pytest.approx(np.mean(expected))
    assert (table["dab_w1"] >= (table["mean_od"] - table["mean_od_real"]).abs() - 1e-12).all()


def test_histogram_distance_of_two_levels_is_the_step_between_them() -> None:
    densities = density_table().astype(float)
    for level, other in ((0, 255), (17, 18), (200, 90)):
        shares = np.zeros((2, 256))
        shares[0, level] = shares[1, other] = 1
        assert histogram_distance(*shares) == pytest.approx(abs(densities[level] - densities[other]), rel=1e-12)
    assert histogram_distance(shares[0], shares[0]) == 0


def test_equal_amounts_in_another_distribution_are_apart() -> None:
    """The mean agrees, the positive area and the histogram do not: what IoD can't see."""
    faint = np.full((8, 8, 3), 200, np.uint8)
    level = dab8(faint)[0, 0]
    shares = np.zeros((2, 256))
    shares[0, level] = 1
    densities = density_table().astype(float)
    shares[1, 20] = densities[level] / densities[20]
    shares[1, 255] = 1 - shares[1, 20]
    assert shares[0] @ densities == pytest.approx(shares[1] @ densities)
    expected = 2 * shares[1, 255] * densities[level]  # what the faint pixels lose, the dark ones gain
    assert histogram_distance(shares[0], shares[1]) == pytest.approx(expected)
