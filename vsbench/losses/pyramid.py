"""Images at coarser and coarser scales: what is coarse may be compared where detail may not."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.borders import reflected
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
        blurred = F.conv2d(reflected(x, 2), kernel, groups=x.shape[1])
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


def weighted_gap(real: Tensor, fake: Tensor, weights: Sequence[float]) -> Tensor:
    """Mean over the levels l of ω_l times ``pyramid_gaps``, as many levels as weights: ASP's L_GP, a scalar ≥ 0."""
    gaps = pyramid_gaps(real, fake, len(weights))
    return torch.stack([weight * gap for weight, gap in zip(weights, gaps, strict=True)]).mean()


def require_levels(side: int, levels: int, setting: str) -> None:
    """Raise ValueError where crops of ``side`` are too small for so many levels, as ``setting`` has them."""
    if side <= 2 ** (levels - 1):
        raise ValueError(f"crop_size {side} is too small for the {levels} levels of {setting}")


def octaves(image: Tensor, levels: int, blurs: int = 4, sigma: float = 1.0, taps: int = 3) -> list[Tensor]:
    """The image and its halves, quarters, …: ``levels`` of them, (B, C, ⌈H/2^l⌉, ⌈W/2^l⌉) from l = 0.

    Each is the one before, blurred ``blurs`` times, of which every second row and column is kept, from the first on.
    Linear: the octaves of a difference are the differences of octaves. Source: PyramidPix2Pix (arXiv:2204.11425) as
    released.
    """
    found = [image]
    for _ in range(levels - 1):
        found.append(gaussian_blur(found[-1], sigma, taps, blurs)[..., ::2, ::2])
    return found


def pooled_octaves(image: Tensor, levels: int, blurs: int = 4) -> list[Tensor]:
    """The image and its halves, quarters, …: ``levels`` of them, (B, C, ⌈H/2^l⌉, ⌈W/2^l⌉) from l = 0.

    Each is the one before, blurred ``blurs`` times by 3 × 3 of a Gaussian of one pixel, and then in means of 3 × 3
    pixels around every second one; what lies beyond the border is 0, and counts. Linear. Source:
    CSSP2P-GAN as released.
    """
    found = [image]
    for _ in range(levels - 1):
        blurred = gaussian_blur(found[-1], 1.0, 3, blurs, "constant")
        found.append(F.avg_pool2d(blurred, 3, stride=2, padding=1))
    return found


def gaussian_blur(
    image: Tensor, sigma: float, taps: int, times: int = 1, border: Literal["reflect", "constant"] = "reflect"
) -> Tensor:
    """(B, C, H, W) → the same: ``times`` a Gaussian of ``sigma`` pixels, cut to ``taps`` of them (odd) and normalised.

    Borders are reflected without repeating the edge (sides must be above taps // 2), or ``constant``: 0.
    """
    reach = taps // 2
    steps = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    gaussian = torch.exp(-steps.square() / (2 * sigma**2))
    gaussian = gaussian / gaussian.sum()
    kernel = torch.outer(gaussian, gaussian)[None, None]
    blurred = image.flatten(0, 1)[:, None]  # (B·C, 1, H, W): channel by channel
    with full_precision(image):  # differences of images are small
        for _ in range(times):
            padded = reflected(blurred, reach) if border == "reflect" else F.pad(blurred, (reach,) * 4)
            blurred = F.conv2d(padded, kernel)
    return blurred[:, 0].unflatten(0, image.shape[:2])


def _binomial(x: Tensor) -> Tensor:
    """The kernel for each channel of ``x``, made where ``x`` lies."""
    taps = x.new_ones(5)
    taps[1:4] = 4
    taps[2] = 6
    return (torch.outer(taps, taps) / 256).expand(x.shape[1], 1, 5, 5)
