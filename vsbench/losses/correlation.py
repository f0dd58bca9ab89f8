"""Correlation between the images of a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vsbench.precision import full_precision
from vsbench.ranks import gather

# Columns turned to float64 at a time, so that whole maps are never copied: as many as stay in a CPU's cache
CPU_CHUNK = 1 << 16
LARGE_CHUNK = 1 << 22  # on other devices, where small pieces cost more than they save


def cosine_matrix(x: Tensor) -> Tensor:
    """(n, …) → (n, n): cosines of the flattened entries, in float64, since they lie near 1 for long vectors.

    A zero vector has cosine 0 with all, itself included. The diagonal is computed, not set: it is 1 elsewhere.
    Source: USIGAN eqs. 14–15.
    """
    products = _Products.apply(x.flatten(1))
    lengths = products.diagonal().clamp_min(1e-24).sqrt()
    return products / (lengths[:, None] * lengths)


class _Products(torch.autograd.Function):
    """Inner products of the rows, (n, d) → (n, n) in float64; keeps no copy of the rows, nor makes one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        exact = torch.float32 if rows.device.type == "mps" else torch.float64  # MPS has no float64
        total = rows.new_zeros((len(rows), len(rows)), dtype=exact)
        for chunk in rows.split(CPU_CHUNK if rows.is_cpu else LARGE_CHUNK, dim=1):
            columns = chunk.to(exact)
            total.addmm_(columns, columns.mT)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        exact = torch.promote_types(rows.dtype, torch.float32)  # equal rows nearly cancel
        return ((gradient + gradient.mT).to(exact) @ rows.to(exact)).to(rows.dtype)


def correlation_gap(real: Tensor, fake: Tensor) -> Tensor:
    """Mean |M(real) − M(fake)| over all n × n entries, a scalar of ``fake``'s type; 0 (to rounding) for one image.

    ``real`` is constant: no gradient reaches it. Several processes correlate the images of all of them, so n is the
    combined batch and the loss is the single process's. Source: USIGAN eq. 15 (L_cc), the norm as released.
    """
    real, fake = gather(real.detach()), gather(fake)
    with full_precision(fake):
        return (cosine_matrix(real) - cosine_matrix(fake)).abs().mean().to(fake.dtype)


def layered_correlation_gap(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean of ``correlation_gap`` over layers."""
    return torch.stack([correlation_gap(*layer) for layer in zip(real, fake, strict=True)]).mean()
