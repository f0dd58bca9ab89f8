"""Batch norm and dropout over the combined batch of all ranks: in a single process torch's own, bit for bit.

torch's SyncBatchNorm does the first on GPUs only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.ranks import ranks, share, sum_over_ranks


class BatchNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d; in training its statistics, running ones too, are those of the images of all ranks.

    Without running statistics (an image translated on its own) they are those of the images that come in.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape and type."""
        if ranks() == 1 or not (self.training and self.track_running_stats):
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
    """nn.Dropout; the mask is drawn for the images of all ranks, and each rank applies its share."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → the same."""
        if ranks() == 1 or not self.training:
            return super().forward(x)
        kept = F.dropout(torch.cat([torch.ones_like(x)] * ranks()), self.p)  # 0 or 1/(1 − p), in x's memory format
        return x * share(kept)


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
