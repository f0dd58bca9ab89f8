"""Mean ranks over blocks, against Demšar (2006) and SciPy."""

import numpy as np
import pytest
import scipy.stats

from vsbench.stats.friedman import Friedman, critical_difference, friedman

# AUC of C4.5 with and without tuning m and cf on 14 data sets: table 6 of Demšar (2006). The last two of the last but
# one are equal in three digits; the printed mean ranks follow if they are second and third.
AUC = np.array([
    (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.9751, 0.975), (0.957, 0.978, 0.946, 0.970),
])  # fmt: skip


def test_the_published_example_has_its_published_ranks_and_critical_difference() -> None:
    found = friedman(AUC, "high")
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.0005)
    assert found.critical == pytest.approx(1.25, abs=0.005)
    untied = 12 * 14 / (4 * 5) * ((found.ranks**2).sum() - 4 * 5**2 / 4)
    assert untied == pytest.approx(9.28, abs=0.005)  # as printed: without the correction for ties
    assert found.chi2 > untied
    # at 10 %, as in figure 1a there, C4.5 is told from both with m; cf alone belongs to either side
    looser = friedman(AUC, "high", level=0.10)
    assert looser.critical == pytest.approx(1.12, abs=0.005)
    assert looser.groups() == [(3, 1, 2), (2, 0)]


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (9, 3.102), (10, 3.164)]
)
def test_critical_values_are_those_of_the_published_table(methods: int, q: float) -> None:
    assert critical_difference(methods, 1) / np.sqrt(methods * (methods + 1) / 6) == pytest.approx(q, abs=0.0015)


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_the_test_is_scipys_with_and_without_ties(decimals: int) -> None:
    values = np.random.default_rng(5).normal([0, 0.4, 0.5, 1], 1, (9, 4)).round(decimals)
    expected = scipy.stats.friedmanchisquare(*values.T)
    found = friedman(values, "low")
    assert (found.chi2, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_the_best_end_has_rank_one() -> None:
    values = np.tile([1.0, 3.0, np.inf], (6, 1))
    assert friedman(values, "low").ranks.tolist() == [1, 2, 3]
    assert friedman(values, "high").ranks.tolist() == [3, 2, 1]


def test_groups_are_as_large_as_the_critical_difference_lets_them_be() -> None:
    ranks = np.array([4.0, 1.0, 2.0, 3.0, 6.0])
    told = Friedman(ranks, 20, 30.0, 0.001, critical=2.0, level=0.05)
    assert told.groups() == [(1, 2), (2, 3), (3, 0)]  # what lies exactly the difference apart is told
    assert Friedman(ranks, 20, 30.0, 0.001, 2.5, 0.05).groups() == [(1, 2, 3), (2, 3, 0), (0, 4)]
    assert Friedman(ranks, 20, 30.0, 0.001, 0.5, 0.05).groups() == []


def test_without_a_difference_at_all_every_method_is_in_one_group() -> None:
    assert Friedman(np.array([1.0, 2.0, 3.0]), 9, 1.0, 0.6, critical=0.5, level=0.05).groups() == [(0, 1, 2)]
    tied = friedman(np.ones((6, 3)), "low")
    assert np.isnan(tied.p)
    assert tied.groups() == [(0, 1, 2)]


@pytest.mark.parametrize("values", [np.ones((1, 3)), np.ones((3, 1)), np.array([[1.0, np.nan], [1.0, 2.0]])])
def test_what_has_no_ranks_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="ranks need"):
        friedman(values, "low")
