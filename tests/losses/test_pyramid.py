"""The Gaussian pyramid; its levels are held against the oracles of ASP and PPT."""

import pytest
import torch

from vsbench.losses.pyramid import gaussian_pyramid, pyramid_gaps


def test_a_uniform_image_is_uniform_on_every_level() -> None:
    levels = gaussian_pyramid(torch.full((1, 2, 40, 33), 0.3, dtype=torch.float64), levels=4)
    assert [tuple(level.shape[2:]) for level in levels] == [(40, 33), (20, 17), (10, 9), (5, 5)]
    for level in levels:
        torch.testing.assert_close(level, torch.full_like(level, 0.3))


def test_one_level_is_the_image_itself() -> None:
    x = torch.rand(1, 3, 4, 4)
    assert torch.equal(gaussian_pyramid(x, levels=1)[0], x)


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_the_smallest_side_is_one_more_than_the_last_halving(levels: int) -> None:
    side = 2 ** (levels - 1) + 1
    assert len(gaussian_pyramid(torch.zeros(1, 1, side, side), levels)) == levels
    with pytest.raises(RuntimeError, match="Padding"):
        gaussian_pyramid(torch.zeros(1, 1, side - 1, side - 1), levels)


def test_gaps_are_those_of_the_two_pyramids_and_reach_the_fake_alone() -> None:
    real, fake = torch.rand(2, 2, 3, 40, 40, dtype=torch.float64).requires_grad_()
    gaps = pyramid_gaps(real, fake)
    expected = [(a - b).abs().mean() for a, b in zip(gaussian_pyramid(real), gaussian_pyramid(fake), strict=True)]
    torch.testing.assert_close(gaps, torch.stack(expected))
    assert torch.autograd.grad(gaps.sum(), real, allow_unused=True)[0] is None


def test_half_precision_is_never_used() -> None:
    real, fake = torch.rand(2, 2, 3, 40, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gaps = pyramid_gaps(real, fake)
    assert torch.equal(gaps, pyramid_gaps(real, fake))
