"""Spectral normalisation whose power iteration advances when told to, not with every forward.

A training step runs a network several times. The released codes advance the iteration each time, so the same input
gives another output within one step; here all passes of a step see the same weights.
"""

import torch
from torch import Tensor, nn
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
        # clones: an advance between two phases must not change what the first phase's graph has saved
        with full_precision(weight):
            sigma = torch.dot(self.left.clone(), weight.flatten(1) @ self.right.clone())
        return weight / sigma


def add_spectral_norm(network: nn.Module) -> None:
    """Normalise every convolution of a network, in place; call it after the weights are initialised."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight))


def advance_spectral_norm(*networks: nn.Module) -> None:
    """One power iteration in each normalised convolution of the networks: once a training step."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, parametrize.ParametrizationList):
                for normalisation in module:
                    if isinstance(normalisation, SpectralNorm):
                        normalisation.advance(module.original)
