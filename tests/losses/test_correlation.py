"""Cosines between the images of a batch."""

import torch
from torch.nn import functional as F

from vsbench.losses.correlation import correlation_gap, cosine_matrix


def test_matrix_holds_the_pairwise_cosines() -> None:
    x = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    rows = x.flatten(1).double()
    expected = F.cosine_similarity(rows[:, None], rows[None], dim=2)
    torch.testing.assert_close(cosine_matrix(x), expected, rtol=1e-12, atol=1e-12)


def test_nearly_equal_long_vectors_keep_their_digits() -> None:
    """1 − cos θ = 5e-7 for a million entries of which one half is 1e-3 larger, one half smaller; lost in float32."""
    x = torch.ones(2, 1_000_000)
    x[1, ::2] += 1e-3
    x[1, 1::2] -= 1e-3
    gap = 1 - cosine_matrix(x)[0, 1].item()
    torch.testing.assert_close(gap, 5e-7, rtol=1e-3, atol=0)


def test_blank_image_correlates_with_nothing() -> None:
    x = torch.stack([torch.zeros(4), torch.ones(4)])
    torch.testing.assert_close(cosine_matrix(x), torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=torch.float64))


def test_single_image_has_no_gap() -> None:
    real, fake = (torch.randn(1, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert correlation_gap(real, fake) < 1e-15


def test_gap_is_the_mean_over_all_entries() -> None:
    real = torch.eye(2)
    fake = torch.ones(2, 2)  # cosines 1 where the real ones are 0; the diagonals agree
    torch.testing.assert_close(correlation_gap(real, fake), torch.tensor(0.5))
    assert correlation_gap(real, 7 * real) == 0  # brightness does not matter
