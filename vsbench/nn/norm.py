"""Norms and dropout that give the same in every memory format, batch norm and dropout over the batch of all ranks.

For contiguous images in a single process they are torch's own, bit for bit. (SyncBatchNorm is for GPUs only.)

torch's backward passes (2.6 to 2.14, CPU) take an image in channels-last for a contiguous one, or the reverse, where
the strides of a batch of one leave it open: the gradient is wrong without a warning. Instance norm makes its images
one batch of one, so it meets that always; batch norm where the first dimension was made by ``unsqueeze`` or ``[None]``.
Nothing is open where image and gradient are both contiguous.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.ranks import ranks, share, sum_over_ranks


class InstanceNorm(nn.InstanceNorm2d):
    """nn.InstanceNorm2d with the right gradient in every memory format; it gives contiguous images, as torch's does."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same."""
        return _contiguous_gradient(super().forward(x))


class BatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d; in training its statistics, running ones too, are those of the images of all ranks.

    Without running statistics they are those of the images that come in; with ``each`` each image's own.
    """

    each = False  # set by ``image_statistics``

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape and type."""
        if self.each:
            return _contiguous_gradient(F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps))
        if ranks() == 1 or not (self.training and self.track_running_stats):
            if len(x) == 1:
                return _contiguous_gradient(super().forward(x.contiguous()))
            return super().forward(x)
        wide, ways = x.float(), ranks()
        mean = sum_over_ranks(wide.mean((0, 2, 3))) / ways  # all ranks hold equally many images
        centred = wide - mean[:, None, None]
        variance = sum_over_ranks(centred.square().mean((0, 2, 3))) / ways
        self._remember(mean.detach(), variance.detach(), ways * x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)  # the unbiased variance is remembered


class Dropout(nn.Dropout):
    """nn.Dropout; the mask is drawn for the images of all ranks, and each rank applies its share.

    torch draws it in the order of the memory, so channels-last would drop other values.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → the same."""
        if not self.training or (ranks() == 1 and x.is_contiguous()):
            return super().forward(x)
        kept = F.dropout(x.new_ones((ranks() * len(x), *x.shape[1:])), self.p)  # 0 or 1/(1 − p)
        return x * share(kept)


class _ContiguousGradient(torch.autograd.Function):
    """What comes in; the gradient goes on contiguous. (A tensor's hook would interrupt torch.compile.)"""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def _contiguous_gradient(x: Tensor) -> Tensor:
    """The same values, whose gradient reaches what made them in contiguous memory."""
    passed: Tensor = _ContiguousGradient.apply(x)
    return passed


@contextmanager
def same_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm as before, but what passes through leaves no trace in the running statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            kept = getattr(norm, name)
            setattr(norm, name, None if kept is None else kept.clone())
    try:
        yield
    finally:
        for norm, kept in zip(norms, before, strict=True):
            norm.running_mean, norm.running_var, norm.num_batches_tracked = kept


@contextmanager
def image_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm on each image's own statistics, running statistics untouched; dropout stays as it is."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    before = [(m.training, m.track_running_stats, m.running_mean, m.running_var) for m in norms]
    for norm in norms:
        norm.training, norm.track_running_stats, norm.running_mean, norm.running_var = True, False, None, None
        norm.each = True
    try:
        yield
    finally:
        for norm, (training, track, mean, var) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats, norm.running_mean, norm.running_var = training, track, mean, var
            norm.each = False
