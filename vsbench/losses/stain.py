"""Losses on the optical density of DAB, as USIGAN defines it (eqs. 12–14)."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vsbench.stain.hed import FLOOR, STAINS

UNMIX_DAB: list[float] = np.linalg.inv(STAINS)[:, 2].tolist()
GREY = (0.2125, 0.7154, 0.0721)  # ITU-R BT.709 luma


def focal_calibration(alpha: float) -> float:
    """What the released code adds to the grey level before the logarithm: 10^(−e^(1/α)), 0.018 at α = 1.8."""
    return 10.0 ** -math.exp(1 / alpha)


def focal_optical_density(intensity: Tensor, alpha: float, calibration: float = 0.0) -> Tensor:
    """FOD of an image: the optical density of its DAB alone, raised to ``alpha``.

    Parameters
    ----------
    intensity : (B, 3, H, W) float, transmitted light per channel in [0, 1].
    alpha : focus on dense stain; ≥ 1 (paper 1.8).
    calibration : added to the grey level, see ``focal_calibration``; 0 in the paper's equation.

    Returns
    -------
    (B, H, W) float ≥ 0; 0 where there is no DAB.

    The image is unmixed with ``STAINS``, rendered again with its DAB only, turned grey, and O = (−log₁₀ grey)^α.
    Source: USIGAN eqs. 12–13.
    """
    density = intensity.clamp_min(FLOOR).log() / math.log(FLOOR)
    dab = _mixed(density, UNMIX_DAB).clamp_min(0)
    stained = torch.stack([colour * dab for colour in STAINS[2]], dim=1)
    dab_only = torch.exp(math.log(FLOOR) * stained).clamp(0, 1)
    grey = (_mixed(dab_only, GREY) + calibration).clamp_min(FLOOR)
    base = (-torch.log10(grey)).clamp_min(0)
    # the gradient of x^α at 0 is 0 for α > 1, but autograd needs a nonzero base to say so when α < 2
    return torch.where(base > 0, base.clamp_min(1e-12).pow(alpha), torch.zeros_like(base))


def _mixed(image: Tensor, weights: Sequence[float]) -> Tensor:
    """(B, 3, H, W) → (B, H, W), weighted with numbers: a tensor of them would be copied to a GPU in each step."""
    red, green, blue = (weight * channel for weight, channel in zip(weights, image.unbind(1), strict=True))
    return red + green + blue


def density_gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean over the batch of (mean O(real) − mean O(fake))²: the second term of USIGAN eq. 14 with N = H·W.

    (B, H, W) densities; ``real`` is constant.
    """
    return (real.detach().flatten(1).mean(1) - fake.flatten(1).mean(1)).square().mean()
