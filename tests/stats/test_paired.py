"""Comparisons between methods, and the effect of the seed."""

import numpy as np
import pytest
import scipy.stats

from vsbench.stats.bootstrap import bootstrap, resample_counts
from vsbench.stats.moments import mean, pearson
from vsbench.stats.paired import averaged, compare, draw_swaps, holm, least_p, limit_of_tests, matched, swap_test
from vsbench.stats.seeds import seed_effect
from vsbench.stats.slides import Slides

RNG = np.random.default_rng(0)


def even(slides: int, images: int) -> Slides:
    return Slides(np.repeat(np.arange(slides), images), slides)


@pytest.mark.parametrize("slides", [5, 10])
def test_few_slides_give_scipys_exact_p(slides: int) -> None:
    """For a mean the exchange is the sign flip of each slide's difference."""
    a, b = RNG.normal(0.4, 1, slides * 3), RNG.normal(0, 1, slides * 3)
    means = (a - b).reshape(slides, 3).mean(axis=1)
    expected = scipy.stats.permutation_test(
        (means,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    swaps = draw_swaps(slides)
    assert swaps.exact
    ours = swap_test(mean(a, even(slides, 3)), mean(b, even(slides, 3)), swaps)
    assert ours == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_slides_give_nearly_the_exact_p() -> None:
    a, b = RNG.normal(0.5, 1, 13), RNG.normal(0, 1, 13)
    exact = scipy.stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    swaps = draw_swaps(13, 20_000)
    assert not swaps.exact
    ours = swap_test(mean(a, even(13, 1)), mean(b, even(13, 1)), swaps)
    assert ours == pytest.approx(exact.pvalue, abs=0.015)


def test_exchanging_methods_is_exchanging_their_images() -> None:
    """R_p by hand: every exchange of four slides, with the images themselves."""
    real, a, b = RNG.gamma(2, 1e7, (3, 12))
    slides = even(4, 3)

    def r(x: np.ndarray) -> float:
        return float(scipy.stats.pearsonr(x, real).statistic)

    gaps = []
    for exchange in range(16):
        other = (exchange >> slides.index & 1).astype(bool)
        gaps.append(r(np.where(other, b, a)) - r(np.where(other, a, b)))
    expected = np.mean(np.abs(gaps) >= abs(r(a) - r(b)) - 1e-12)
    assert 0.1 < expected < 1
    assert swap_test(pearson(a, real, slides), pearson(b, real, slides), draw_swaps(4)) == pytest.approx(expected)


def test_p_is_even_where_nothing_differs() -> None:
    """Two methods alike but for noise, tiles of a slide alike: 5 % of the tests say otherwise, not more."""
    swaps, slides = draw_swaps(20, 400), even(20, 4)
    ps = []
    for _ in range(400):
        tissue, a, b = np.repeat(RNG.normal(size=(3, 20)), 4, axis=1)
        ps.append(swap_test(mean(tissue + a, slides), mean(tissue + b, slides), swaps))
    assert np.mean(np.array(ps) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(ps) == pytest.approx(0.5, abs=0.06)


def test_p_has_its_bounds() -> None:
    same = mean(RNG.normal(size=12), even(4, 3))
    far = mean(np.full(12, 9.0), even(4, 3))
    assert swap_test(same, same, draw_swaps(4)) == 1
    assert swap_test(same, far, draw_swaps(4)) == 2 / 16
    many = mean(RNG.normal(size=30), even(30, 1)), mean(RNG.normal(99, 1, 30), even(30, 1))
    assert swap_test(*many, draw_swaps(30, 99)) == 1 / 100
    infinite = mean(np.full(12, np.inf), even(4, 3))
    assert np.isnan(swap_test(infinite, infinite, draw_swaps(4)))
    assert np.isnan(swap_test(same, mean(np.full(12, np.nan), even(4, 3)), draw_swaps(4)))


def test_values_on_other_real_images_are_not_exchanged() -> None:
    x, y = RNG.normal(size=(2, 12))
    with pytest.raises(ValueError, match="not one value"):
        swap_test(pearson(x, y, even(4, 3)), pearson(x, y + 1, even(4, 3)), draw_swaps(4))
    with pytest.raises(ValueError, match="not one value"):
        swap_test(pearson(x, y, even(4, 3)), mean(x, even(4, 3)), draw_swaps(4))


def test_paired_differences_are_narrower_than_unpaired() -> None:
    """What both methods share cancels: an offset of 1 is certain though each value is not."""
    tissue = np.repeat(RNG.normal(0, 5, 12), 3)
    a, b = (mean(tissue + offset + RNG.normal(0, 0.1, 36), even(12, 3)) for offset in (1, 0))
    counts = resample_counts(12, 500)
    (found,) = compare({"a": a, "b": b}, counts, draw_swaps(12))
    assert (found.first, found.second) == ("a", "b")
    assert 0.8 < found.difference.low < found.difference.estimate < found.difference.high < 1.2
    single = bootstrap(a, counts)
    assert single.high - single.low > 10 * (found.difference.high - found.difference.low)
    assert found.p == found.p_holm == 2 / 2**12


def test_every_pair_or_every_other_against_a_reference() -> None:
    methods = {name: mean(RNG.normal(size=12), even(4, 3)) for name in "abcd"}
    counts, swaps = resample_counts(4, 50), draw_swaps(4)
    found = compare(methods, counts, swaps)
    assert [(one.first, one.second) for one in found] == [tuple(pair) for pair in ("ab", "ac", "ad", "bc", "bd", "cd")]
    assert [one.p_holm for one in found] == holm([one.p for one in found])
    against = compare(methods, counts, swaps, reference="b")
    assert [(one.first, one.second) for one in against] == [("a", "b"), ("c", "b"), ("d", "b")]
    with pytest.raises(KeyError):
        compare(methods, counts, swaps, reference="e")


def test_holm_as_worked_out_by_hand() -> None:
    """R: p.adjust(c(.01, .04, .03, .005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


def test_holm_counts_no_test_that_was_not_made() -> None:
    found = holm([0.01, float("nan"), 0.04])
    assert np.isnan(found[1])
    assert [found[0], found[2]] == pytest.approx([0.02, 0.04])


def test_the_seeds_share_is_that_of_the_analysis_of_variance() -> None:
    """Mean squares of a two-way layout of 4 seeds × 15 slides of equal size."""
    seeds, slides, images = 4, 15, 3
    cells = RNG.normal(size=(seeds, 1)) + RNG.normal(size=(1, slides)) + 0.5 * RNG.normal(size=(seeds, slides))
    found = seed_effect(
        [mean(np.repeat(row, images), even(slides, images)) for row in cells], resample_counts(slides, 40_000)
    )
    grand, by_seed, by_slide = cells.mean(), cells.mean(1, keepdims=True), cells.mean(0, keepdims=True)
    ms_seed = slides * ((by_seed - grand) ** 2).sum() / (seeds - 1)
    ms_rest = ((cells - by_seed - by_slide + grand) ** 2).sum() / (seeds - 1) / (slides - 1)
    seed = (ms_seed - ms_rest) / slides
    assert found.mean == pytest.approx(grand)
    assert found.values == pytest.approx(tuple(cells.mean(axis=1)))
    assert found.seed == pytest.approx(np.sqrt(seed), rel=0.01)
    assert found.sampling == pytest.approx(np.sqrt(cells.var(axis=1, ddof=1).mean() / slides), rel=0.02)
    assert found.error == pytest.approx(np.sqrt(seed / seeds + by_slide.var(ddof=1) / slides), rel=0.02)


def test_seeds_that_differ_by_sampling_alone_have_no_effect() -> None:
    """Noise of each training on each image: values differ, trainings do not."""
    effects = []
    for _ in range(40):
        trainings = [mean(noise, even(20, 2)) for noise in RNG.normal(size=(5, 40))]
        effects.append(seed_effect(trainings, resample_counts(20, 200)))
    naive = np.mean([np.var(effect.values, ddof=1) for effect in effects])
    assert np.mean([effect.seed**2 for effect in effects]) < 0.5 * naive  # not 0: a variance is cut at 0
    assert np.mean([effect.sampling**2 for effect in effects]) == pytest.approx(1 / 40, rel=0.15)


def test_one_training_or_one_slide_have_no_seed_effect() -> None:
    one = seed_effect([mean(RNG.normal(size=12), even(4, 3))], resample_counts(4, 100))
    assert np.isnan(one.seed)
    assert np.isnan(one.error)
    assert one.sampling > 0
    single = seed_effect([mean(RNG.normal(size=3), even(1, 3)) for _ in range(2)], np.ones((100, 1)))
    assert np.isnan([single.seed, single.sampling, single.error]).all()
    with pytest.raises(ValueError, match="no training"):
        seed_effect([], np.ones((10, 4)))


def test_trainings_are_averaged_after_their_values_are_found() -> None:
    real, *fakes = RNG.gamma(2, 1, (4, 12))
    slides, counts = even(4, 3), resample_counts(4, 7)
    single = [pearson(fake, real, slides) for fake in fakes]
    together = averaged(single)
    assert together(counts) == pytest.approx(np.mean([one(counts) for one in single], axis=0), nan_ok=True)
    assert averaged(single[:1])(counts) == pytest.approx(single[0](counts), nan_ok=True)
    with pytest.raises(ValueError, match="no training"):
        averaged([])


def test_each_training_of_either_method_counts_alike_in_matched_pairs() -> None:
    assert matched("ab", "xy") == [("a", "x"), ("b", "y")]
    pairs = matched("ab", "xyz")
    assert sorted(pairs) == sorted((a, b) for a in "ab" for b in "xyz")


@pytest.mark.parametrize("slides", [3, 6, 12, 40])
def test_no_data_give_less_than_the_least_p(slides: int) -> None:
    """Every slide in favour of the one method."""
    swaps = draw_swaps(slides, 500)
    a = np.arange(1.0, slides + 1)
    assert swap_test(mean(a + 5, even(slides, 1)), mean(a, even(slides, 1)), swaps) == least_p(slides, 500)


def test_what_slides_and_tests_can_not_show_is_said() -> None:
    assert limit_of_tests(draw_swaps(5), 1, 0.05) == "5 slides can't give a p below 0.0625: nothing can be shown"
    assert limit_of_tests(draw_swaps(6), 1, 0.05) == ""
    assert "6 slides give no p below 0.031, or 0.062 by Holm's correction for 2 tests" in limit_of_tests(
        draw_swaps(6), 2, 0.05
    )
    assert limit_of_tests(draw_swaps(20, 99), 9, 0.05).startswith("99 exchanges give no p below 0.01, or 0.09")
