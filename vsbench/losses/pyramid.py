"""Images at coarser and coarser scales."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.precision import full_precision


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


def gaussian_blur(image: Tensor, sigma: float, taps: int, times: int = 1) -> Tensor:
    """(B, C, H, W) → the same: ``times`` a Gaussian of ``sigma`` pixels, cut to ``taps`` of them (odd) and normalised.

    Borders are reflected without repeating the edge: sides must be above taps // 2.
    """
    reach = taps // 2
    steps = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    gaussian = torch.exp(-steps.square() / (2 * sigma**2))
    gaussian = gaussian / gaussian.sum()
    kernel = torch.outer(gaussian, gaussian)[None, None]
    blurred = image.flatten(0, 1)[:, None]  # (B·C, 1, H, W): channel by channel
    with full_precision(image):  # differences of images are small
        for _ in range(times):
            blurred = F.conv2d(F.pad(blurred, (reach,) * 4, mode="reflect"), kernel)
    return blurred[:, 0].unflatten(0, image.shape[:2])
