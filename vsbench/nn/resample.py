"""Antialiased halving and doubling of feature maps (Zhang, ICML 2019), as the CUT family uses them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.borders import reflected, repeated


class BlurDown(nn.Module):
    """(B, C, H, W) → (B, C, ⌈H/2⌉, ⌈W/2⌉): blur with [1, 2, 1]⊗[1, 2, 1]/16 on reflected borders, keep every second.

    ``gain``: what the kernel sums to.
    """

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.kernel: Tensor
        self.register_buffer("kernel", gain * _depthwise(taps, channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the resolution."""
        return F.conv2d(reflected(x, 1), self.kernel, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """(B, C, H, W) → (B, C, 2H, 2W): transposed [1, 3, 3, 1]⊗[1, 3, 3, 1]/16 on replicated borders."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.kernel: Tensor
        self.register_buffer("kernel", 4 * _depthwise(taps, channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Double the resolution."""
        padded = repeated(x, 1)
        doubled = F.conv_transpose2d(padded, self.kernel, stride=2, padding=2, groups=x.shape[1])
        return doubled[..., 1:-1, 1:-1]  # the even filter's phase: exactly 2H × 2W


def _depthwise(taps: Tensor, channels: int) -> Tensor:
    kernel = torch.outer(taps, taps)
    return (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone()
