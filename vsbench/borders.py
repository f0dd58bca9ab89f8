"""What convolutions see beyond an image's border: its pixels mirrored, or the outermost repeated.

The backward passes that PyTorch has for both on CUDA add up in no fixed order, so that equal steps differ in their last
bits; where deterministic algorithms are asked for, they raise. There the same is made of slices and concatenation:
equal values, and gradients whose terms (up to nine, of a pixel that is seen nine times) are added in one order.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def reflected(x: Tensor, reach: int) -> Tensor:
    """(B, C, H, W) → (B, C, H + 2 reach, W + 2 reach), mirrored at the outermost pixels, which come once.

    Raises RuntimeError where a side is no longer than ``reach``.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return F.pad(x, (reach,) * 4, mode="reflect")
    for dim in (3, 2):
        end = x.shape[dim] - 1 - reach
        x = torch.cat([x.narrow(dim, 1, reach).flip(dim), x, x.narrow(dim, end, reach).flip(dim)], dim)
    return x


def repeated(x: Tensor, reach: int) -> Tensor:
    """(B, C, H, W) → (B, C, H + 2 reach, W + 2 reach), the outermost pixels repeated."""
    if not torch.are_deterministic_algorithms_enabled():
        return F.pad(x, (reach,) * 4, mode="replicate")
    for dim in (3, 2):
        ends = [x.narrow(dim, place, 1) for place in (0, x.shape[dim] - 1)]
        x = torch.cat([*[ends[0]] * reach, x, *[ends[1]] * reach], dim)
    return x
