"""Spectral normalisation whose power iteration advances when told to, not with every forward.

A training step runs a network several times. The released codes advance the iteration each time, so the same input
gives another output within one step; here all passes of a step see the same weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils import parametrize

from vsbench.precision import full_precision


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value σ (as a matrix: outputs × rest), estimated by power iteration."""

    def __init__(self, weight: Tensor, iterations: int = 15) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.left: Tensor
        self.right: Tensor
        self.register_buffer("left", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("right", F.normalize(torch.randn_like(matrix[0]), dim=0))
        self.advance(weight, iterations)
        self.holding = False
        self.held: Tensor | None = None

    @torch.no_grad()
    def advance(self, weight: Tensor, iterations: int = 1) -> None:
        """Improve the estimate of the leading singular vectors."""
        matrix = weight.detach().flatten(1)
        with full_precision(weight):
            for _ in range(iterations):
                self.right.copy_(F.normalize(self.left @ matrix, dim=0))
                self.left.copy_(F.normalize(matrix @ self.right, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """``weight`` / σ; the singular vectors are constants of the gradient."""
        if self.held is not None:
            return self.held
        with full_precision(weight):
            normalised: Tensor = _Normalised.apply(weight, self.left, self.right)
        if self.holding and normalised.requires_grad:
            self.held = normalised
        return normalised


class _Normalised(torch.autograd.Function):
    """W / σ with σ = lᵀ W r, and the gradient (g − ⟨g, W/σ⟩ l rᵀ) / σ in two passes over the weight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
        sigma = torch.dot(left, weight.flatten(1) @ right)
        normalised = weight / sigma
        # Not save_for_backward: several backward passes go through a held weight. And copies of the vectors: an advance
        # between two phases must not change what the first phase's graph has kept.
        ctx.kept = normalised.detach(), left.clone(), right.clone(), sigma
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normalised, left, right, sigma = ctx.kept
        along = torch.dot(gradient.flatten(), normalised.flatten())
        matrix = torch.addr(gradient.flatten(1), left, -along * right)
        return matrix.div_(sigma).view_as(gradient), None, None


@contextmanager
def one_spectral_norm(network: nn.Module) -> Iterator[None]:
    """Within, each weight is normalised once for all passes of the network: no optimizer may step in between."""
    norms = list(_norms(network))
    for norm, _ in norms:
        norm.holding = True
    try:
        yield
    finally:
        for norm, _ in norms:
            norm.holding, norm.held = False, None


@contextmanager
def iterated_further(network: nn.Module) -> Iterator[None]:
    """Within, the power iteration is one step further on; afterwards where it was."""
    norms = list(_norms(network))
    before = [(norm.left.clone(), norm.right.clone()) for norm, _ in norms]
    for norm, weight in norms:
        norm.advance(weight)
    try:
        yield
    finally:
        for (norm, _), (left, right) in zip(norms, before, strict=True):
            norm.left.copy_(left)
            norm.right.copy_(right)


def add_spectral_norm(network: nn.Module) -> None:
    """Normalise every convolution of a network, in place; call it after the weights are initialised."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight))


def advance_spectral_norm(*networks: nn.Module) -> None:
    """One power iteration in each normalised convolution of the networks: once a training step."""
    for network in networks:
        for norm, weight in _norms(network):
            norm.advance(weight)


def _norms(network: nn.Module) -> Iterator[tuple[SpectralNorm, Tensor]]:
    """Each normalisation in a network, and the weight that it divides."""
    for module in network.modules():
        if isinstance(module, parametrize.ParametrizationList):
            yield from ((norm, module.original) for norm in module if isinstance(norm, SpectralNorm))
