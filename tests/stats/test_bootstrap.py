"""Intervals: against SciPy, closed forms, and what must not change them."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from vsbench.stats import bootstrap as stats_bootstrap
from vsbench.stats.bootstrap import Interval, Kind, bootstrap, bootstrap_all, resample_counts
from vsbench.stats.moments import (
    Array,
    Pooled,
    agreement_bias,
    agreement_spread,
    concordance,
    difference,
    joined,
    mean,
    pearson,
    relative_gap,
    total_gap,
    transformed,
)
from vsbench.stats.slides import Slides, group

NAMES = [f"slide {i // 4}" for i in range(48)]  # 12 slides of 4 images
RNG = np.random.default_rng(0)
X = RNG.gamma(2.0, 1e7, 48)
Y = X + RNG.normal(0, 1e7, 48)


def quiet(names: list[object]) -> Slides:
    return group(names, warn=lambda text: None)


def alone(n: int) -> Slides:
    return Slides(np.arange(n), n)


def limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


STATISTICS: dict[str, Callable[[Array, Array, Slides], Pooled]] = {
    "mean": lambda x, y, slides: mean(x, slides),
    "pearson": pearson,
    "concordance": concordance,
    "total_gap": total_gap,
    "relative_gap": relative_gap,
    "agreement_bias": agreement_bias,
    "agreement_spread": agreement_spread,
    "difference": lambda x, y, slides: difference(mean(x, slides), mean(y, slides)),
}


@pytest.mark.parametrize("kind", ["percentile", "bca"])
@pytest.mark.parametrize("name", ["mean", "pearson"])
def test_limits_are_scipys_where_each_image_is_a_slide(name: str, kind: Kind) -> None:
    x, y = X[:40], Y[:40]
    ours = bootstrap(STATISTICS[name](x, y, alone(40)), resample_counts(40, 20_000), kind=kind, widen=False)

    def scipys(a: Array, b: Array, axis: int) -> Array:
        if name == "mean":
            return a.mean(axis)
        a, b = a - a.mean(axis, keepdims=True), b - b.mean(axis, keepdims=True)
        return (a * b).sum(axis) / np.sqrt((a**2).sum(axis) * (b**2).sum(axis))

    their = scipy.stats.bootstrap(
        (x, y), scipys, paired=True, vectorized=True, n_resamples=20_000, batch=2000,
        method="BCa" if kind == "bca" else kind, rng=np.random.default_rng(1),
    )  # fmt: skip
    # Monte Carlo: a limit of 20,000 resamples is off by about 2 % of the standard error
    assert limits(ours) == pytest.approx(tuple(their.confidence_interval), abs=0.1 * their.standard_error)


def test_bca_differs_from_percentile_on_skewed_data() -> None:
    """So that the agreement above is not of two names for one thing."""
    counts = resample_counts(40, 5000)
    bca, percentile = (bootstrap(mean(X[:40], alone(40)), counts, kind=kind) for kind in ("bca", "percentile"))  # type: ignore[arg-type]
    assert bca.low > percentile.low
    assert bca.high > percentile.high


@pytest.mark.parametrize("name", STATISTICS)
def test_counts_are_copies_of_the_images(name: str) -> None:
    """The product of matrices against the value of the images themselves, repeated."""
    slides = group(NAMES)
    counts = resample_counts(slides.count, 20, seed=3)
    found = STATISTICS[name](X, Y, slides)(counts)
    for row, value in zip(counts, found, strict=True):
        images = np.repeat(np.arange(48), row[slides.index].astype(int))
        expected = STATISTICS[name](X[images], Y[images], alone(len(images)))(np.ones((1, len(images))))
        assert value == pytest.approx(expected[0], rel=1e-9)


def test_with_every_slide_once_values_are_the_textbooks() -> None:
    slides, once = group(NAMES), np.ones((1, 12))
    found = {name: make(X, Y, slides)(once)[0] for name, make in STATISTICS.items()}
    assert found["mean"] == pytest.approx(X.mean(), rel=1e-14)
    assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(X, Y).statistic, rel=1e-12)
    spread = X.var() + Y.var() + (X.mean() - Y.mean()) ** 2
    assert found["concordance"] == pytest.approx(2 * np.cov(X, Y, ddof=0)[0, 1] / spread, rel=1e-12)
    assert found["agreement_bias"] == pytest.approx(abs((X - Y).mean()), rel=1e-12)
    assert found["agreement_spread"] == pytest.approx((X - Y).std(ddof=1), rel=1e-12)
    assert found["total_gap"] == pytest.approx(abs(X.sum() - Y.sum()), rel=1e-12)
    assert found["relative_gap"] == pytest.approx((X.sum() - Y.sum()) / Y.sum(), rel=1e-12)


def test_pearson_keeps_its_digits_far_from_zero() -> None:
    """Second moments of raw values of 1e9 ± 1 would have lost them all."""
    x, y = X / 1e7 + 1e9, Y / 1e7 + 1e9
    found = pearson(x, y, group(NAMES))(np.ones((1, 12)))[0]
    assert found == pytest.approx(scipy.stats.pearsonr(x - 1e9, y - 1e9).statistic, rel=1e-7)


@pytest.mark.parametrize("name", STATISTICS)
def test_twice_as_many_of_each_slide_change_nothing(name: str) -> None:
    statistic, counts = STATISTICS[name](X, Y, group(NAMES)), resample_counts(12, 50)
    expected = statistic(counts)
    if name == "agreement_spread":  # but for N − 1
        expected = expected * np.sqrt((1 - 1 / 48) / (1 - 1 / 96))
    np.testing.assert_allclose(statistic(2 * counts), expected, rtol=1e-9)


def test_the_order_of_images_changes_nothing() -> None:
    order = np.random.default_rng(5).permutation(48)
    straight = bootstrap(mean(X, group(NAMES)), resample_counts(12, 500))
    shuffled = bootstrap(mean(X[order], group([NAMES[i] for i in order])), resample_counts(12, 500))
    assert limits(shuffled) == pytest.approx(limits(straight), rel=1e-12)


def test_the_seed_decides_the_draws() -> None:
    first, again, other = (resample_counts(7, 300, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_are_multinomial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row S slides; mean 1 and variance 1 − 1/S of the counts; no chunk of rows repeats another."""
    monkeypatch.setattr(stats_bootstrap, "CHUNK", 20_000)
    counts = resample_counts(20, 5000)
    assert set(counts.sum(axis=1)) == {20.0}
    assert counts.mean(axis=0) == pytest.approx(1, abs=0.06)
    assert counts.var() == pytest.approx(1 - 1 / 20, abs=0.02)
    assert np.linalg.matrix_rank(counts) == 20
    assert not np.array_equal(counts[:1000], counts[1000:2000])


def test_all_at_once_is_one_by_one() -> None:
    statistics = {name: make(X, Y, group(NAMES)) for name, make in STATISTICS.items()}
    counts = resample_counts(12, 400)
    together = bootstrap_all(statistics, counts)
    for name, statistic in statistics.items():
        single = bootstrap(statistic, counts)
        assert limits(together[name]) == pytest.approx(limits(single), rel=1e-9)
    assert bootstrap_all({}, counts) == {}


def test_slides_widen_what_images_make_too_narrow() -> None:
    """Images equal within their slide: the interval of images is too narrow by √4."""
    values = np.repeat(RNG.normal(size=12), 4)
    by_slide = bootstrap(mean(values, group(NAMES)), resample_counts(12, 4000), kind="percentile", widen=False)
    by_image = bootstrap(mean(values, alone(48)), resample_counts(48, 4000), kind="percentile", widen=False)
    assert by_slide.high - by_slide.low == pytest.approx(2 * (by_image.high - by_image.low), rel=0.1)


def test_few_slides_get_the_tails_of_student() -> None:
    """For normal means the widened limits are those of the t-interval, but for the grain of the draws."""
    values = np.random.default_rng(8).normal(size=15)
    wide = bootstrap(mean(values, alone(15)), resample_counts(15, 40_000), kind="percentile")
    plain = bootstrap(mean(values, alone(15)), resample_counts(15, 40_000), kind="percentile", widen=False)
    half = scipy.stats.t.ppf(0.975, 14) * scipy.stats.sem(values)
    assert (wide.high - wide.low) / 2 == pytest.approx(half, rel=0.015)
    assert (plain.high - plain.low) / 2 < 0.92 * half


def test_limits_beyond_what_resamples_show_are_called_so() -> None:
    """Three slides have ten different resamples, and Student's tails with two degrees of freedom lie beyond them."""
    values = np.random.default_rng(8).normal(size=12)
    few = bootstrap(mean(values[:3], alone(3)), resample_counts(3, 10_000))
    assert limits(few) == pytest.approx((values[:3].min(), values[:3].max()))
    assert "extremes of 10000 resamples" in str(few.caution)
    assert bootstrap(mean(values, alone(12)), resample_counts(12, 200)).caution is None
    assert "extremes" in str(bootstrap(mean(values[:6], alone(6)), resample_counts(6, 200)).caution)


@pytest.mark.parametrize("kind", ["bca", "percentile", "centred"])
def test_equal_values_give_an_interval_of_no_width(kind: Kind) -> None:
    interval = bootstrap(mean(np.full(48, 0.1), group(NAMES)), resample_counts(12, 200), kind=kind)
    assert limits(interval) == pytest.approx((0.1, 0.1), rel=1e-12)


def test_an_offset_alone_spreads_by_exactly_nothing() -> None:
    """Equal differences, but for rounding; some of the resamples would have had a square root of it."""
    statistic = agreement_spread(X / 1e8 + 0.1, X / 1e8, group(NAMES))
    assert not statistic(np.vstack([np.ones((1, 12)), resample_counts(12, 500)])).any()


@pytest.mark.parametrize("make", [pearson, concordance])
@pytest.mark.parametrize(("x", "y"), [(np.full(48, 0.1), Y), (Y, np.full(48, 0.1)), (np.full(48, 3e8), Y)])
def test_a_relation_to_a_constant_does_not_exist_and_says_so(
    make: Callable[[Array, Array, Slides], Pooled], x: Array, y: Array
) -> None:
    related = transformed(make(x, y, group(NAMES)), np.negative)
    statistics = {"r": related, "mean of both": joined(mean(X, group(NAMES)), related, "mean of both", np.add)}
    for interval in bootstrap_all(statistics, resample_counts(12, 50)).values():
        assert np.isnan([interval.estimate, *limits(interval)]).all()
        assert "neither is constant" in str(interval.caution)


def test_what_does_not_exist_is_nan_with_the_reason() -> None:
    counts = resample_counts(12, 200)
    for statistic in (pearson(np.full(48, 0.1), Y, group(NAMES)), mean(np.full(48, np.nan), group(NAMES))):
        interval = bootstrap(statistic, counts)
        assert np.isnan([interval.estimate, *limits(interval)]).all()
        assert interval.caution
    infinite = bootstrap(mean([np.inf, *X[1:]], group(NAMES)), counts)
    assert infinite.estimate == np.inf
    assert np.isnan(limits(infinite)).all()
    one = bootstrap(mean(X, Slides(np.zeros(48, np.intp), 1)), np.ones((50, 1)))
    assert one.estimate == pytest.approx(X.mean())
    assert np.isnan(limits(one)).all()


def test_resamples_without_a_value_are_left_out_up_to_a_share() -> None:
    """Only the last slide varies: a third of the resamples lack it, and have no r."""
    x = np.where(np.arange(48) < 44, 1.0, np.arange(48))
    interval = bootstrap(pearson(x, x, group(NAMES)), resample_counts(12, 1000))
    assert interval.estimate == pytest.approx(1)
    assert np.isnan(limits(interval)).all()
    assert "resamples have no value" in str(interval.caution)
    few = bootstrap(
        lambda counts: np.where(counts[:, 0] > 3, np.nan, counts @ np.arange(12.0)), resample_counts(12, 1000)
    )
    assert few.low < few.estimate < few.high
    assert "left out" in str(few.caution)


def test_images_without_a_number_are_left_out_and_counted() -> None:
    holed = np.where(np.arange(48) % 5 == 0, np.nan, X)
    kept = ~np.isnan(holed)
    slides = group(NAMES)
    intervals = bootstrap_all({"m": mean(holed, slides), "r": pearson(holed, Y, slides)}, resample_counts(12, 100))
    assert intervals["m"].estimate == pytest.approx(X[kept].mean())
    assert intervals["r"].estimate == pytest.approx(scipy.stats.pearsonr(X[kept], Y[kept]).statistic)
    assert [one.excluded for one in intervals.values()] == [10, 10]


def test_a_gap_of_totals_does_not_grow_with_the_images_drawn() -> None:
    slides = quiet(["a"] * 9 + ["b"])
    gap = total_gap(np.full(10, 3.0), np.full(10, 1.0), slides)
    assert gap(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])) == pytest.approx([20, 20, 20])


def test_bca_says_when_it_does_not_exist() -> None:
    interval = bootstrap(lambda counts: (counts**2).sum(axis=1), resample_counts(12, 100), kind="bca")
    assert np.isnan(limits(interval)).all()
    assert "centred" in str(interval.caution)


@pytest.mark.parametrize(
    ("names", "count", "part"),
    [
        (["a"] * 6, 6, "one slide"),
        ([None] * 6, 6, "unknown"),
        ([float("nan"), "", None], 3, "unknown"),
        (["a", "a", None, "b", "b", "b"], 3, "1 of 6"),
        (["a", "b", "b"], 2, "2 slides: of fewer than 8"),
        (["a"], 1, "1 image: of fewer than 8"),
        (["a"] * 7, 7, "7 images: of fewer than 8"),
        ([None, *"bcdefg"], 7, "7 units: of fewer than 8"),
    ],
)
def test_what_makes_intervals_doubtful_is_said(names: list[object], count: int, part: str) -> None:
    with pytest.warns(UserWarning, match=part):
        slides = group(names)
    assert slides.count == count
    assert part in str(slides.caution)
    assert sorted(set(slides.index.tolist())) == list(range(count))


def test_known_slides_are_grouped_without_a_word() -> None:
    slides = group(["b", "a", "c", "a", *"defgh"])
    assert slides.index.tolist()[:4] == [1, 0, 2, 0]
    assert slides.counted == "8 slides"
    assert slides.caution is None
    with pytest.raises(ValueError, match="no image"):
        group([])
