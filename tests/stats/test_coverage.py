"""From how many units on limits mean something is derived here: how often they hold the truth, by simulation."""

from pathlib import Path

import numpy as np
import pytest

from vsbench.stats.bootstrap import bootstrap, resample_counts
from vsbench.stats.moments import concordance, pearson
from vsbench.stats.paired import ALPHA, can_show, least_p
from vsbench.stats.slides import ENOUGH, Slides


def test_limits_are_said_to_mean_something_from_the_least_number_at_which_they_hold_nine_in_ten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of every statistic: means of even and of skewed errors, a relative dose, r and the concordance."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.bootstrap import few_units

    enough, one_less = (few_units(units, trials=20_000) for units in (ENOUGH, ENOUGH - 1))
    assert round(min(enough.values()), 2) >= 0.9
    assert round(min(one_less.values()), 2) < 0.9


@pytest.mark.parametrize("make", [pearson, concordance])
@pytest.mark.parametrize("units", [3, 4, 5, 10, 40])
def test_limits_of_a_correlation_stay_within_one_and_are_those_of_its_z(make: object, units: int) -> None:
    """Quantiles of a monotone transform are the transformed quantiles: Fisher's z would give the same limits."""
    rng = np.random.default_rng(units)
    x = rng.normal(size=units)
    r = make(x, x + 0.3 * rng.normal(size=units), Slides(np.arange(units), units))  # type: ignore[operator]
    counts = resample_counts(units, 2001)
    interval = bootstrap(r, counts)
    assert np.isnan(interval.low) or -1 <= interval.low <= interval.high <= 1
    if units > 5:  # the least have resamples of two different images, whose r is 1 and z infinite
        z = bootstrap(lambda counts: np.arctanh(r(counts)), counts)
        assert (np.tanh(z.low), np.tanh(z.high)) == pytest.approx((interval.low, interval.high), abs=2e-3)


@pytest.mark.parametrize(("tests", "slides"), [(1, 6), (3, 7), (16, 10)])
def test_so_few_slides_that_no_data_could_show_a_difference_are_known_beforehand(tests: int, slides: int) -> None:
    assert not can_show(slides - 1, tests)
    assert can_show(slides, tests)
    assert least_p(slides, 10_000) * tests < ALPHA <= least_p(slides - 1, 10_000) * tests
    assert not can_show(1000, 0)  # one method alone
