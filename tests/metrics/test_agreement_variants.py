"""R_p in its other meanings, mIOD and FOD: against NumPy, SciPy and the loss that FOD comes from."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.agreement_variants import AgreementVariants, densest, focal_optical_density, mean_optical_density
from vsbench.stain.dab import optical_density_dab, read_levels

SERIES = {"r_p_dab90": "dab90", "r_p_li": "labelling_index", "r_p_miod": "miod"}


def tissue(seed: int, dab: float = 0.5) -> Image:
    """Haematoxylin and DAB, pixel by pixel."""
    random = np.random.default_rng(seed)
    nuclei, stain = random.gamma(1.0, 0.3, (2, 40, 48, 1))
    density = nuclei * (0.650, 0.704, 0.286) + dab * stain * (0.268, 0.570, 0.776)
    return np.rint(255 * 10**-density).astype(np.uint8)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Of unequal amounts of DAB."""
    amounts = np.random.default_rng(9).uniform(0, 2, (2, 6))
    pairs = [(tissue(2 * n, fake), tissue(2 * n + 1, real)) for n, (fake, real) in enumerate(amounts.T)]
    return [Sample(f"{n}", fake, real, real, labels={"stain": "ki67"}) for n, (fake, real) in enumerate(pairs)]


def measured(samples: list[Sample]) -> tuple[pd.DataFrame, dict[str, float | Absent]]:
    table = pd.DataFrame(AgreementVariants().update(samples).columns)
    return table, AgreementVariants().finish(table, {})


def test_correlations_over_images_are_scipys(samples: list[Sample]) -> None:
    table, values = measured(samples)
    for value, column in SERIES.items():
        assert values[value] == pytest.approx(100 * pearsonr(table[column], table[f"{column}_real"]).statistic), value


def test_correlations_of_pixels_are_scipys(samples: list[Sample]) -> None:
    _, values = measured(samples)
    channels = [
        pearsonr(s.fake[..., n].ravel().astype(float), s.real[..., n].ravel().astype(float)).statistic
        for s in samples
        for n in range(3)
    ]
    assert values["r_p_channels"] == pytest.approx(100 * np.mean(channels))
    greys = [[image.astype(int) @ (9797, 19234, 3737) >> 15 for image in (s.fake, s.real)] for s in samples]
    grey = [pearsonr(fake.ravel(), real.ravel()).statistic for fake, real in greys]
    assert values["r_p_grey"] == pytest.approx(100 * np.mean(grey))


def test_the_densest_tenth_is_that_of_the_sorted_pixels(samples: list[Sample]) -> None:
    for sample in samples:
        density = np.sort(optical_density_dab(sample.real), axis=None)
        expected = density[-density.size // 10 :].mean(dtype=float)
        assert densest(read_levels(sample.real).counts) == pytest.approx(expected)
    blank = np.full((7, 9, 3), 255, np.uint8)  # a tenth of 63 pixels is not whole
    assert densest(read_levels(blank).counts) == 0


def test_mean_optical_density_has_all_channels_and_no_infinity() -> None:
    image = np.array([[[255, 255, 255], [0, 1, 128]]], np.uint8)
    assert mean_optical_density(image) == pytest.approx((2 * np.log10(255) + np.log10(255 / 128)) / 6)


def test_focal_density_is_that_of_the_loss(samples: list[Sample]) -> None:
    import torch

    from vsbench.losses import stain

    for sample in samples:
        light = torch.from_numpy(sample.real / 255.0).permute(2, 0, 1)[None]
        expected = stain.focal_optical_density(light, 1.8, 10 ** -(np.e ** (1 / 1.8))).mean().item()
        assert focal_optical_density(sample.real) == pytest.approx(expected, rel=1e-9)


def test_biases_say_how_much_more_there_is(samples: list[Sample]) -> None:
    table, values = measured(samples)
    for name in ("miod", "fod"):
        expected = 100 * (table[name].sum() - table[f"{name}_real"].sum()) / table[f"{name}_real"].sum()
        assert values[f"{name}_bias"] == pytest.approx(expected)
    _, same = measured([sample.judging(sample.real) for sample in samples])
    assert same["miod_bias"] == same["fod_bias"] == 0


def test_a_membrane_marker_has_no_labelling_index(samples: list[Sample]) -> None:
    membranes = [Sample(s.id, s.fake, s.real, s.he, labels={"stain": "her2"}) for s in samples]
    table, values = measured(membranes)
    assert table["labelling_index"].isna().all()
    assert values["r_p_li"] == Absent("a correlation over images needs at least 3 that have the number, here are 0")
    assert isinstance(values["r_p_dab90"], float)


def test_constant_images_have_reasons(samples: list[Sample]) -> None:
    blank = np.full_like(samples[0].real, 255)
    _, values = measured([sample.judging(blank) for sample in samples])
    assert values["r_p_miod"] == Absent("the generated images all have the same number")
    assert isinstance(values["r_p_grey"], Absent)
    assert isinstance(values["r_p_channels"], Absent)
    assert values["fod_bias"] == -100
    _, none = measured([Sample("a", blank, blank, blank)])
    assert isinstance(none["fod_bias"], Absent)
