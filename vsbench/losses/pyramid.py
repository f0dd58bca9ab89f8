"""Differences of images on the levels of a Gaussian pyramid: what is coarse may be compared where detail may not."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.precision import full_precision


def gaussian_pyramid(x: Tensor, levels: int = 6) -> list[Tensor]:
    """(B, C, H, W) → ``levels`` images, finest first: (B, C, ⌈H/2^l⌉, ⌈W/2^l⌉) at level l = 0, 1, …

    All but the last are blurred with [1, 4, 6, 4, 1]⊗[1, 4, 6, 4, 1]/256 on reflected borders; every second row and
    column of a blurred level is what the next is made of, and the last level as it is. Both sides must be larger than
    2^(levels − 1). Source: ASP's official code.
    """
    kernel = _binomial(x)
    found = []
    for _ in range(levels - 1):
        blurred = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=x.shape[1])
        found.append(blurred)
        x = blurred[..., ::2, ::2]
    return [*found, x]


def pyramid_gaps(real: Tensor, fake: Tensor, levels: int = 6) -> Tensor:
    """Mean |P_l(real) − P_l(fake)| for each level l of the pyramids, finest first: (levels,) ≥ 0.

    ``real`` is constant. Blurring is linear, so the pyramid of the difference is enough; never in half precision.
    """
    dtype = torch.promote_types(fake.dtype, torch.float32)
    with full_precision(fake):
        difference = fake.to(dtype) - real.detach().to(dtype)
        return torch.stack([level.abs().mean() for level in gaussian_pyramid(difference, levels)])


def _binomial(x: Tensor) -> Tensor:
    """The kernel for each channel of ``x``, made where ``x`` lies."""
    taps = x.new_ones(5)
    taps[1:4] = 4
    taps[2] = 6
    return (torch.outer(taps, taps) / 256).expand(x.shape[1], 1, 5, 5)
