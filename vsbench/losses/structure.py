"""Structural similarity as a loss: over five scales, and its contrast-structure factor alone (Wang et al., 2003)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.losses.pyramid import gaussian_blur
from vsbench.precision import full_precision
from vsbench.ranks import rank, ranks, sum_over_ranks

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the finest to the coarsest, as published
TAPS, SIGMA = 11, 1.5  # pixels of each scale
LUMINANCE, CONTRAST = 0.01**2, 0.03**2  # constants for images in [0, 1]
LEAST = 1e-8  # beside a similarity, before its logarithm


def ms_ssim(x: Tensor, y: Tensor, weights: Sequence[float] = WEIGHTS) -> Tensor:
    """MS-SSIM of images in [0, 1], (B, 3, H, W) each: the mean over channels and images, a scalar ≤ 1.

    As many scales as ``weights``; shorter sides than ``least_side`` of them are refused. Each scale is the one before
    in means of 2 × 2 pixels, an odd side with a row or column of zeros before its first. Of each channel: the product
    of the mean contrast-structure terms, at the coarsest scale of the mean SSIM, negative ones as 0, to the power of
    their weights. As pytorch-msssim: the window is rounded to single precision. Never in half precision.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    with full_precision(x):
        x, y, terms = x.to(dtype), y.to(dtype), []
        for scale in range(len(weights)):
            if scale:
                odd = [side % 2 for side in x.shape[2:]]
                x, y = (F.avg_pool2d(image, 2, padding=odd) for image in (x, y))
            similarity, contrast = _mean_terms(x, y)
            terms.append((similarity if scale == len(weights) - 1 else contrast).relu() ** weights[scale])
        return torch.stack(terms).prod(dim=0).mean()


def least_side(scales: int) -> int:
    """Sides of images with so many scales are at least this long."""
    return (TAPS - 1) * 2 ** (scales - 1) + 1


def window(like: Tensor) -> Tensor:
    """(11,) the Gaussian, where ``like`` lies and in its type, rounded to single precision."""
    steps = torch.arange(TAPS, device=like.device, dtype=torch.float32) - TAPS // 2
    gaussian = torch.exp(-steps.square() / (2 * SIGMA**2))
    return (gaussian / gaussian.sum()).to(like.dtype)


def _mean_terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) means over the windows inside the images: of SSIM, and of its contrast-structure term."""
    taps = window(x)
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1).flatten(0, 1)[:, None]
    weighted = F.conv2d(F.conv2d(moments, taps[None, None, :, None]), taps[None, None, None])
    mean_x, mean_y, xx, yy, xy = weighted[:, 0].unflatten(0, (len(x), 5, -1)).unbind(1)
    structure = (2 * (xy - mean_x * mean_y) + CONTRAST) / (xx - mean_x**2 + yy - mean_y**2 + CONTRAST)
    luminance = (2 * mean_x * mean_y + LUMINANCE) / (mean_x**2 + mean_y**2 + LUMINANCE)
    return (luminance * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))


def contrast_structure_gap(x: Tensor, reference: Tensor, k: float, sigma: float) -> Tensor:
    """−ln of the similarity of x and a constant reference, (B, 3, H, W) each, brought to [0, 1]; mean over images.

    0 where both have the same contrast and structure in each window. The constant in the similarity is (k R)², R the
    larger range of both over the whole batch, on all ranks; the gradient goes through it. Never in half precision.
    """
    with full_precision(x):
        similarity = contrast_structure(*_in_full(x, reference), k, sigma)
        return -((similarity + 1) / 2 + LEAST).log().mean()


def contrast_structure(x: Tensor, reference: Tensor, k: float, sigma: float) -> Tensor:
    """(B,) mean over channels and pixels of (2 cov + c) / (var + var + c) in Gaussian windows, borders reflected."""
    constant = (k * _range(x, reference)) ** 2
    moments = torch.cat([x, reference, x * x, reference * reference, x * reference], dim=1)
    mean_x, mean_r, xx, rr, xr = gaussian_blur(moments, sigma, TAPS).chunk(5, dim=1)
    variances = (xx - mean_x**2).clamp_min(0) + (rr - mean_r**2).clamp_min(0)
    return ((2 * (xr - mean_x * mean_r) + constant) / (variances + constant)).mean(dim=(1, 2, 3))


def _range(x: Tensor, reference: Tensor) -> Tensor:
    """The larger of both ranges, over the batch of all ranks."""
    own = torch.stack([x.max(), -x.min(), reference.max(), -reference.min()])
    # the slots of the others are empty: their sum is the list of all, and brings each its gradient back
    slots = torch.stack([own if number == rank() else torch.zeros_like(own) for number in range(ranks())])
    top_x, bottom_x, top_r, bottom_r = sum_over_ranks(slots).amax(dim=0)
    return torch.maximum(top_x + bottom_x, top_r + bottom_r)


def _in_full(x: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    return x.to(dtype), reference.detach().to(dtype)
