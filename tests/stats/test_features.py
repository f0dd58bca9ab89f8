"""Resampled distances of features: against the distances of the repeated features themselves."""

from collections.abc import Callable

import numpy as np
import pytest

from vsbench.metrics.fid import frechet_distance
from vsbench.stats.bootstrap import bootstrap, centred_interval, resample_counts
from vsbench.stats.distances import DISTANCES
from vsbench.stats.features import frechet, frechet_influence, frechet_scores, kernel_distance, kernel_scores
from vsbench.stats.moments import Array, mean
from vsbench.stats.paired import draw_swaps, swap_test
from vsbench.stats.slides import Slides

SLIDES = Slides(np.array([0, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 7]).repeat(3), 8)
N = len(SLIDES.index)


def features(size: int, seed: int = 0, images: int = N) -> tuple[Array, Array]:
    """Of fake and real: skewed, far from zero as activations are, and alike."""
    fake, real = np.random.default_rng(seed).gamma(0.5, size=(2, images, size)).astype(np.float32)
    return fake + np.float32(3), 0.5 * fake + real + np.float32(2)


def unbiased_mmd(x: Array, y: Array) -> float:
    """From its definition, pair by pair."""

    def k(a: Array, b: Array) -> float:
        return (float(a.astype(float) @ b.astype(float)) / len(a) + 1) ** 3

    n = len(x)
    same = sum(k(s[i], s[j]) for s in (x, y) for i in range(n) for j in range(n) if i != j)
    return same / (n * (n - 1)) - 2 * sum(k(a, b) for a in x for b in y) / n**2


@pytest.mark.parametrize("size", [6, 100], ids=["more images than dimensions", "fewer"])
def test_frechet_of_all_images_is_the_metric(size: int) -> None:
    fake, real = features(size)
    found = frechet(fake, real, SLIDES)(np.ones((1, SLIDES.count)))[0]
    assert found == pytest.approx(frechet_distance(fake, real), rel=1e-9)


def frechet_of_weights(fake: Array, real: Array, weights: Array) -> float:
    """From its definition, of images with weights that sum to 1; covariances with N − 1."""

    def moments(x: Array) -> tuple[Array, Array]:
        centred = x - weights @ x
        return weights @ x, (centred.T * weights) @ centred * N / (N - 1)

    (mean_x, cov_x), (mean_y, cov_y) = moments(fake.astype(float)), moments(real.astype(float))
    shared = np.linalg.eigvals(cov_x @ cov_y).real
    shared = np.sqrt(shared[shared > 1e-9 * shared.max()]).sum()  # with fewer images than dimensions the rest is noise
    return float(((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y) - 2 * shared)


@pytest.mark.parametrize("size", [6, 100], ids=["more images than dimensions", "fewer"])
def test_frechet_of_counts_is_its_tangent(size: int) -> None:
    """The slope from all slides once towards any other draw."""
    fake, real = features(size)
    even = np.full(N, 1 / N)
    counts, step = resample_counts(SLIDES.count, 4), 1e-4
    statistic = frechet(fake, real, SLIDES)
    once = statistic(np.ones((1, SLIDES.count)))[0]
    for row, found in zip(counts, statistic(counts), strict=True):
        drawn = row[SLIDES.index] / row[SLIDES.index].sum()
        ends = [frechet_of_weights(fake, real, even + way * step * (drawn - even)) for way in (1, -1)]
        assert found - once == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


def test_its_spread_is_that_of_sets_drawn_anew() -> None:
    rng, n, found, spread = np.random.default_rng(3), 150, [], []
    for _ in range(60):
        fake, real = rng.normal(0.4, 1.2, (n, 3)), rng.normal(0, 1, (n, 3))
        value, influence = frechet_influence(fake, real)
        found.append(value)
        spread.append(influence.std() / np.sqrt(n))
    assert np.mean(spread) == pytest.approx(np.std(found, ddof=1), rel=0.3)


def test_equal_sets_have_no_contributions() -> None:
    same = np.random.default_rng(3).normal(size=(12, 30))
    value, influence = frechet_influence(same, same)
    assert [value, *influence] == pytest.approx([0] * 13, abs=1e-9)


def test_kernel_distance_of_counts_is_that_of_repeated_images() -> None:
    fake, real = features(7)
    counts = resample_counts(SLIDES.count, 2)
    for row, found in zip(counts, kernel_distance(fake, real, SLIDES)(counts), strict=True):
        rows = np.repeat(np.arange(N), row[SLIDES.index].astype(int))
        assert found == pytest.approx(unbiased_mmd(fake[rows], real[rows]), rel=1e-9)


def test_one_image_has_no_distance() -> None:
    two = Slides(np.array([0, 1, 1]), 2)
    statistic = kernel_distance(*features(4, images=3), two)
    assert np.isnan(statistic(np.array([[1.0, 0.0], [0.0, 1.0]]))).tolist() == [True, False]
    assert np.isnan(frechet(*features(4, images=1), Slides(np.array([0]), 1))(np.ones((1, 1)))).all()


def test_repeats_make_kid_larger_and_the_centred_kind_mends_it() -> None:
    rng = np.random.default_rng(0)
    fake, real = rng.normal(size=(2, N, 20))  # alike: then all of a distance is noise
    statistic, counts = kernel_distance(fake, real, SLIDES), resample_counts(SLIDES.count, 300)
    plain, centred = (bootstrap(statistic, counts, kind=kind, level=0.5) for kind in ("percentile", "centred"))
    assert plain.low > plain.estimate
    assert centred.low < centred.estimate < centred.high
    assert centred == centred_interval(centred.estimate, statistic(counts), SLIDES.count, 0.5)


@pytest.mark.parametrize("size", [6, 300], ids=["more images than dimensions", "fewer"])
def test_scores_tell_the_difference_of_distances(size: int) -> None:
    """KID's exactly, Fréchet's to third order: a tenth of the step, a thousandth of the error."""
    fake, real = features(size)
    way = np.random.default_rng(1).gamma(0.5, size=fake.shape)
    once = np.ones((1, SLIDES.count))

    def gap_and_error(name: str, step: float) -> tuple[float, float]:
        first, second = fake + step * way, fake - step * way
        distance = DISTANCES[name]
        gap, other = (distance.statistic(method, real, SLIDES)(once)[0] for method in (first, second))
        a, b = distance.scores(first, second, real)
        return gap - other, abs(a.mean() - b.mean() - (gap - other))

    gap, error = gap_and_error("kid", 0.2)
    assert error < 1e-9 * gap
    (gap, large), (_, small) = gap_and_error("fid", 0.1), gap_and_error("fid", 0.01)
    assert small < 0.003 * large < 1e-5 * gap


@pytest.mark.parametrize("scores", [frechet_scores, kernel_scores])
def test_exchanged_images_keep_their_scores(scores: Callable) -> None:
    """What makes the exchange of scores the exchange of images."""
    (first, real), (second, _) = features(30), features(30, seed=1)
    moved = SLIDES.index % 2 == 0
    a, b = scores(first, second, real)
    c, d = scores(np.where(moved[:, None], second, first), np.where(moved[:, None], first, second), real)
    np.testing.assert_allclose(c, np.where(moved, b, a), rtol=1e-7)
    np.testing.assert_allclose(d, np.where(moved, a, b), rtol=1e-7)


def test_the_nearer_method_is_shown_to_be_nearer() -> None:
    """Eight slides that all say the same have the least p there is."""
    real = features(5)[1]
    noise = np.random.default_rng(2).normal(size=(2, *real.shape))
    a, b = frechet_scores(real + 0.1 * noise[0], real + 2 * noise[1], real)
    assert swap_test(mean(a, SLIDES), mean(b, SLIDES), draw_swaps(SLIDES.count)) == 2 / 256


def test_exchanging_kid_scores_is_exchanging_kid() -> None:
    """Every exchange of eight slides with the distances themselves."""
    rng = np.random.default_rng(3)
    first, second, real = rng.normal([[[0.0]], [[0.15]], [[0.0]]], 1, (3, N, 5))
    once, gaps = np.ones((1, SLIDES.count)), []
    for exchange in range(2**SLIDES.count):
        moved = (exchange >> SLIDES.index & 1).astype(bool)[:, None]
        a, b = np.where(moved, second, first), np.where(moved, first, second)
        gaps.append(kernel_distance(a, real, SLIDES)(once)[0] - kernel_distance(b, real, SLIDES)(once)[0])
    a, b = kernel_scores(first, second, real)
    p = swap_test(mean(a, SLIDES), mean(b, SLIDES), draw_swaps(SLIDES.count))
    assert 0.01 < p < 0.9
    assert p == np.mean(np.abs(gaps) >= abs(gaps[0]) - 1e-12)
