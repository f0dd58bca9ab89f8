"""How often a method is first, second, …"""

import numpy as np
import pytest
from scipy.stats import norm

from vsbench.stats.ranks import rank_shares, rank_summary

RNG = np.random.default_rng(11)


def test_two_normals_are_first_as_often_as_their_distance_says() -> None:
    """P(a < b) of a ~ N(0, 1), b ~ N(δ, 2²) is Φ(δ / √5)."""
    a, b = RNG.normal(0, 1, 100_000), RNG.normal(1.5, 2, 100_000)
    expected = norm.cdf(1.5 / np.sqrt(5))
    shares = rank_shares(np.stack([a, b]), "low")
    assert shares == pytest.approx(np.array([[expected, 1 - expected], [1 - expected, expected]]), abs=0.006)
    assert rank_shares(np.stack([a, b]), "high") == pytest.approx(shares[::-1])


def test_methods_that_are_alike_share_all_ranks() -> None:
    assert rank_shares(RNG.normal(size=(5, 50_000)), "high") == pytest.approx(0.2 * np.ones((5, 5)), abs=0.01)


def test_a_value_with_a_sign_is_first_where_it_is_nearest_to_zero() -> None:
    values = np.array([[-3.0, 1.0], [2.0, -2.0], [-40.0, 40.0]])
    assert rank_shares(values, "zero") == pytest.approx(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]))


def test_every_method_has_a_rank_and_every_rank_a_method() -> None:
    values = RNG.integers(4, size=(7, 500)).astype(float)  # many ties
    shares = rank_shares(values, "low")
    assert shares.sum(axis=0) == pytest.approx(np.ones(7))
    assert shares.sum(axis=1) == pytest.approx(np.ones(7))


def test_ties_share_the_ranks_they_take_up() -> None:
    values = np.array([[1.0], [0.1 + 0.2], [0.3], [np.inf], [np.inf]])  # the second and third differ by rounding
    expected = [[0, 0, 1, 0, 0], [0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0, 0, 0, 0.5, 0.5], [0, 0, 0, 0.5, 0.5]]
    assert rank_shares(values, "low") == pytest.approx(np.array(expected))
    assert rank_shares(values, "high")[:, ::-1] == pytest.approx(np.array(expected))


def test_zeros_of_both_signs_and_numbers_near_them_have_their_order() -> None:
    shares = rank_shares(np.array([[-1e-300], [0.0], [-0.0], [1e-300]]), "low")
    assert shares == pytest.approx(np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]))


def test_a_value_that_is_missing_has_no_rank() -> None:
    with pytest.raises(ValueError, match="a value of each method"):
        rank_shares(np.array([[1.0, np.nan], [2.0, 3.0]]), "low")
    with pytest.raises(ValueError, match="a value of each method"):
        rank_shares(np.empty((2, 0)), "low")


def test_the_summary_is_that_of_the_ranks_themselves() -> None:
    values = RNG.normal([[0.0], [0.5], [0.6], [2.0]], 1, (4, 20_000))
    ranks = 1 + (values < values[1]).sum(axis=0)
    found = rank_summary(rank_shares(values, "low")[1])
    assert found.mean == pytest.approx(ranks.mean())
    assert (found.low, found.high) == tuple(np.quantile(ranks, [0.025, 0.975]))
    assert found.first == pytest.approx((ranks == 1).mean())


@pytest.mark.parametrize(
    ("shares", "low", "high"), [((1, 0, 0), 1, 1), ((0.02, 0.96, 0.02), 2, 2), ((0, 0.9, 0.1), 2, 3)]
)
def test_limits_are_ranks_that_leave_no_more_than_their_share_outside(
    shares: tuple[float, ...], low: int, high: int
) -> None:
    found = rank_summary(np.array(shares))
    assert (found.low, found.high) == (low, high)
