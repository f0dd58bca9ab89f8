"""IoD, R_p, R_c, SSIM, PSNR and the true error on images: against SciPy, scikit-image, Pillow and closed forms."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from scipy import stats
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Sample
from vsbench.metrics._correlation import pearson
from vsbench.metrics._grey import GREYS, summed_grey
from vsbench.metrics.content import Content, content_correlation, grey_correlation
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.structure import Structure, psnr, ssim
from vsbench.metrics.truth import TrueError
from vsbench.stain.dab import integrated_density, optical_density_dab

RANDOM = np.random.default_rng(3)


def image(low: int = 0, high: int = 256) -> Image:
    return RANDOM.integers(low, high, (12, 15, 3), dtype=np.uint8)


def samples(n: int = 6) -> list[Sample]:
    return [Sample(f"{i}", image(high=100 + 20 * i), image(high=90 + 25 * i), image(), image()) for i in range(n)]


def reason(result: float | Absent) -> str:
    assert isinstance(result, Absent)
    return result.reason


def test_dab_values_from_the_images_directly() -> None:
    pairs, metric = samples(), DabDensity()
    results = metric.finish(pd.DataFrame(metric.update(pairs).columns), {})
    fake, real = (np.array([integrated_density(getattr(p, kind)) for p in pairs]) for kind in ("fake", "real"))
    assert results["iod"] == pytest.approx(abs(fake.sum() - real.sum()) / 1e7)
    assert results["iod_rel"] == pytest.approx(abs(fake.sum() - real.sum()) / real.sum())
    assert results["iod_bias"] == pytest.approx(100 * (fake.sum() - real.sum()) / real.sum())
    assert results["iod_mae"] == pytest.approx(np.abs(fake - real).mean() / (12 * 15))
    assert results["r_p"] == pytest.approx(100 * stats.pearsonr(fake, real).statistic)


def test_positive_area_is_the_fraction_of_dense_pixels() -> None:
    pair = samples(1)[0]
    columns = DabDensity().per_image(pair)
    for name, picture in (("positive_area", pair.fake), ("positive_area_real", pair.real)):
        assert columns[name] == np.mean(optical_density_dab(picture) > 0.404)  # level 101 has 0.4022, level 100 0.4065


def test_dab_values_that_do_not_exist() -> None:
    metric = DabDensity()
    table = pd.DataFrame({"intden": [1.0, 2.0, 3.0], "intden_real": [0.0, 0.0, 0.0], "iod_mae": [0.1, 0.2, 0.3]})
    results = metric.finish(table, {})
    assert "no DAB" in reason(results["iod_rel"])
    assert "no DAB" in reason(results["iod_bias"])
    assert "real" in reason(results["r_p"])
    swapped = table.rename(columns={"intden": "intden_real", "intden_real": "intden"})
    assert "generated" in reason(metric.finish(swapped, {})["r_p"])
    assert "at least 3 images, here are 2" in reason(metric.finish(table.iloc[:2], {})["r_p"])


def test_pearson_is_scipys() -> None:
    for scale in (1.0, 1e-9, 1e12):  # offsets far above the spread must not cost digits
        x, y = RANDOM.standard_normal((2, 500))
        x, y = 1e3 * scale + scale * x, scale * (x + y)
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert pearson(x, x) == pytest.approx(1, abs=1e-15)
    assert pearson(x, -x) == pytest.approx(-1, abs=1e-15)
    assert np.isnan(pearson(x, np.full(500, 7.0)))


def test_r_avg_needs_both_its_parts() -> None:
    metric, pairs = Content(), samples()
    table = pd.DataFrame(metric.update(pairs).columns)
    assert "dab" in reason(metric.finish(table, {})["r_avg"])
    both = table.assign(**DabDensity().update(pairs).columns)
    assert isinstance(metric.finish(both, {})["r_avg"], float)
    assert "R_p" in reason(metric.finish(both.iloc[:2], {})["r_avg"])
    undefined = metric.finish(both.assign(r_c=np.nan), {})
    assert "constant" in reason(undefined["r_c"])
    assert "R_c" in reason(undefined["r_avg"])
    assert undefined["r_c_undefined"] == len(pairs)


@pytest.mark.parametrize("height", [5, 16, 37])  # less than the rows taken at once, as many, and no multiple
def test_r_c_is_scipys_on_the_grey_pixels(height: int) -> None:
    fake, he = RANDOM.integers(0, 256, (2, height, 20, 3), dtype=np.uint8)
    he = (he // 2 + fake // 3)[:, ::-1]  # related, and no array of its own
    expected = stats.pearsonr(*(GREYS["png"](picture).ravel().astype(float) for picture in (fake, he))).statistic
    assert abs(expected) > 0.01
    assert grey_correlation(summed_grey(fake), summed_grey(he)) == pytest.approx(expected, abs=1e-12)
    assert content_correlation(fake, he) == pytest.approx(expected, abs=1e-12)
    assert grey_correlation(summed_grey(fake), summed_grey(255 - fake)) == pytest.approx(-1, abs=1e-4)  # truncation
    assert grey_correlation(summed_grey(fake), summed_grey(fake)) == 1


def test_r_c_of_all_but_one_pixel_equal_exists() -> None:
    """One level in one pixel of a large image: sums in floats would lose it."""
    fake = np.full((1024, 1024, 3), 254, np.uint8)
    fake[500, 500] = 255
    assert grey_correlation(summed_grey(fake), summed_grey(fake)) == 1
    assert np.isnan(grey_correlation(summed_grey(fake), summed_grey(fake[:1, :1].repeat(1024, 0).repeat(1024, 1))))


@pytest.mark.parametrize("name", GREYS)
def test_greys_leave_neutral_colours_alone(name: str) -> None:
    levels = np.arange(256, dtype=np.uint8)
    neutral = np.broadcast_to(levels[:, None, None], (256, 2, 3))
    np.testing.assert_allclose(GREYS[name](neutral), np.stack([levels, levels], axis=1), rtol=1e-12)


def test_greys_against_the_programs_they_are_named_after() -> None:
    picture = RANDOM.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    np.testing.assert_array_equal(GREYS["pil-l"](picture), np.asarray(Pillow.fromarray(picture).convert("L")))
    np.testing.assert_allclose(GREYS["bt709-float"](picture), 255 * rgb2gray(picture), rtol=1e-12)


def test_psnr_is_scikit_images() -> None:
    fake, real = image(), image()
    assert psnr(fake, real) == pytest.approx(peak_signal_noise_ratio(real, fake, data_range=255), rel=1e-12)
    assert psnr(fake, fake) == float("inf")


@pytest.mark.parametrize("shape", [(7, 7), (22, 9), (23, 30), (61, 40)])  # one window; rows at once, exactly and not
def test_ssim_is_scikit_images(shape: tuple[int, int]) -> None:
    noise, other = RANDOM.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    steps = np.where(noise < 128, np.uint8(0), np.uint8(255))  # the largest sums that there are
    pairs = [(noise, other), (noise, noise // 2 + other // 2), (steps, other), (steps, 255 - steps)]
    white = np.full_like(noise, 255)
    pairs += [(white, white - 1), (white, np.zeros_like(white)), (white[:, ::-1], noise[:, ::-1])]
    for fake, real in pairs:
        expected = structural_similarity(fake, real, win_size=7, channel_axis=2, data_range=255)
        assert ssim(fake, real) == pytest.approx(expected, abs=1e-12)
        assert ssim(real, fake) == ssim(fake, real)
    assert ssim(steps, steps) == ssim(white, white) == 1


def test_pooled_psnr_is_scikit_images_of_all_images_as_one() -> None:
    """One image equal to the real IHC makes the mean infinite, and the pooled value what NumPy and scikit-image say."""
    rng = np.random.default_rng(3)
    reals = [rng.integers(0, 256, (16, 24, 3), dtype=np.uint8) for _ in range(4)]
    fakes = [reals[0], *(np.clip(real + rng.normal(0, 9, real.shape), 0, 255).astype(np.uint8) for real in reals[1:])]
    metric = Structure()
    samples = [Sample(str(n), *pair, pair[1]) for n, pair in enumerate(zip(fakes, reals, strict=True))]
    table = pd.DataFrame(metric.update(samples).columns)
    found = metric.finish(table, {})
    expected = peak_signal_noise_ratio(np.stack(reals), np.stack(fakes), data_range=255)
    assert found["psnr_pooled"] == pytest.approx(expected, rel=1e-12)
    assert (found["psnr"], found["psnr_infinite"]) == (np.inf, 1)
    assert metric.finish(table[:1], {})["psnr_pooled"] == np.inf


def test_psnr_of_black_and_white_is_zero() -> None:
    """The largest difference there is must not overflow."""
    assert psnr(np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)) == 0


def test_ssim_names_an_image_smaller_than_its_window() -> None:
    small = np.zeros((6, 20, 3), np.uint8)
    with pytest.raises(DataError, match=r"tile7: 6×20"):
        Structure().per_image(Sample("tile7", small, small, small))


def test_true_error_of_known_differences() -> None:
    """Two levels off in one channel of half of the pixels; then no DAB against the densest."""
    truth = np.full((4, 4, 3), 200, np.uint8)
    fake = truth.copy()
    fake[:2, :, 1] -= 2
    metric = TrueError()
    assert metric.per_image(Sample("a", fake, truth, truth, truth))["truth_mae"] == pytest.approx(2 / 255 / 6)
    white, yellow = np.full((4, 4, 3), 255, np.uint8), np.broadcast_to(np.array([255, 255, 0], np.uint8), (4, 4, 3))
    densest = metric.per_image(Sample("b", white, white, white, yellow))
    assert densest["truth_dab_mae"] == pytest.approx(np.log10(255 / 0.5), rel=1e-6)
    assert densest["truth_mae"] == pytest.approx(1 / 3)


def test_true_error_is_the_mean_over_pixels() -> None:
    fake, truth = image(), image()
    found = TrueError().per_image(Sample("a", fake, truth, truth, truth))
    density = np.abs(optical_density_dab(fake).astype(float) - optical_density_dab(truth))
    assert found["truth_mae"] == pytest.approx(np.abs(fake.astype(float) - truth).mean() / 255, rel=1e-12)
    assert found["truth_dab_mae"] == pytest.approx(density.mean(), rel=1e-12)


def test_true_error_without_the_truth_names_the_image() -> None:
    picture = image()
    with pytest.raises(DataError, match=r"tile7: no true IHC"):
        TrueError().per_image(Sample("tile7", picture, picture, picture))
