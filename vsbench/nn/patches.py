"""Patches of feature maps and the heads that embed them, for PatchNCE and its kin."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vsbench.nn.init import initialise
from vsbench.precision import full_precision


def unit_length(x: Tensor) -> Tensor:
    """Rows over the last dimension divided by their L2 norm + 1e-7, as CUT's code does."""
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def unit_length_shifted(x: Tensor) -> Tensor:
    """Rows over the last dimension divided by √Σ(x + 1e-7)², as USIGAN's code does."""
    return x / (x + 1e-7).square().sum(dim=-1, keepdim=True).sqrt()


def rows_at(features: Tensor, positions: Tensor) -> Tensor:
    """(B, C, H, W) at flat row-major positions, the same for all images → (B, N, C)."""
    return features.flatten(2).index_select(2, positions).mT


class PatchSampler(nn.Module):
    """Draws positions of feature maps and embeds the features there: per layer Linear, ReLU, Linear, unit length.

    The heads exist from the start (the official codes create them in the first forward pass).
    """

    def __init__(
        self,
        channels: Sequence[int],
        patches: int = 256,
        width: int = 256,
        normalise: Callable[[Tensor], Tensor] = unit_length,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.normalise = normalise
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )
        initialise(self, "xavier")

    def draw(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Per layer, flat positions without repetition: ``patches`` of them, or all where there are fewer."""
        return [torch.randperm(f.shape[2] * f.shape[3], device=f.device)[: self.patches] for f in features]

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Embed (B, C, H, W) features at flat row-major positions, the same for all images: (B, N, width) per layer."""
        return self.embed([rows_at(f, where) for f, where in zip(features, positions, strict=True)])

    def embed(self, rows: Sequence[Tensor]) -> list[Tensor]:
        """Embed rows of features, (B, N, C) → (B, N, width) per layer.

        In the type of the weights even under autocast: similarities near 1 and a temperature of 0.07 leave no room for
        half precision.
        """
        dtype = next(self.parameters()).dtype
        with full_precision(rows[0]):
            return [self.normalise(head(x.to(dtype))) for head, x in zip(self.heads, rows, strict=True)]
