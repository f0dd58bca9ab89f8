"""Normalisation by the statistics of a whole image, where the network only ever sees tiles of it.

Instance normalisation divides each feature map by its own standard deviation, so a tile of pale stroma comes out in
other colours than the same pixels within the whole image. Here the statistics of every normalisation are recorded in
one pass, and imposed in another.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = nn.InstanceNorm2d | nn.BatchNorm2d


class Statistics:
    """Mean and variance (C,) of the input of each normalisation, in the order in which ``translate`` calls them.

    Those of several images of one size are pooled by the law of total variance, in float64.
    """

    def __init__(self) -> None:
        self.images = 0
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []

    def add(self, means: list[Tensor], variances: list[Tensor]) -> None:
        """Pool the statistics of one more image into these."""
        if self.images == 0:
            self.means, self.variances = means, variances
        self.images += 1
        share = 1 / self.images
        for number, (mean, variance) in enumerate(zip(means, variances, strict=True)):
            gap = mean - self.means[number]
            self.means[number] = self.means[number] + share * gap
            within = torch.lerp(self.variances[number], variance, share)
            self.variances[number] = within + share * (1 - share) * gap**2


@contextmanager
def recording(method: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Pool into ``statistics`` those of one ``translate`` of one image."""
    means: list[Tensor] = []
    variances: list[Tensor] = []

    def hook(norm: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if normalises_by_input(norm):
            variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
            means.append(mean.double())
            variances.append(variance.double())

    with _hooked(method, hook):
        yield
    statistics.add(means, variances)


@contextmanager
def imposing(method: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Normalise one ``translate`` of one image with these statistics instead of the image's own."""
    calls = 0

    def hook(norm: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        nonlocal calls
        (x,) = inputs
        if not normalises_by_input(norm):
            return None
        mean, variance = (s[calls].to(x.dtype) for s in (statistics.means, statistics.variances))
        calls += 1
        return F.batch_norm(x, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps)

    with _hooked(method, hook):
        yield


def normalises_by_input(norm: Norm) -> bool:
    """Whether it normalises by what passes through: asked when it happens, since a method may switch it."""
    return norm.training or norm.running_mean is None


@contextmanager
def _hooked(method: nn.Module, hook: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in method.modules() if isinstance(module, Norm)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
