"""Correlation between the images of a batch."""

import torch
from torch import Tensor

from vsbench.precision import full_precision


def cosine_matrix(x: Tensor) -> Tensor:
    """(n, …) → (n, n): cosines of the flattened entries, in float64, since they lie near 1 for long vectors.

    A zero vector has cosine 0 with all, itself included. The diagonal is computed, not set: it is 1 elsewhere.
    Source: USIGAN eqs. 14–15.
    """
    rows = x.flatten(1).to(torch.float32 if x.device.type == "mps" else torch.float64)  # MPS has no float64
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return rows @ rows.mT


def correlation_gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean |M(real) − M(fake)| over all n × n entries, a scalar of ``fake``'s type; 0 (to rounding) for one image.

    ``real`` is constant: no gradient reaches it. Source: USIGAN eq. 15 (L_cc), the norm as released.
    """
    with full_precision(fake):
        return (cosine_matrix(real.detach()) - cosine_matrix(fake)).abs().mean().to(fake.dtype)
