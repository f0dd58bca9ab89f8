"""The U-Net generator of pix2pix."""

import torch
from torch import Tensor, nn

from vsbench.nn.init import initialise
from vsbench.nn.norm import BatchNorm, Dropout
from vsbench.nn.recompute import recomputed


class UNetGenerator(nn.Module):
    """(B, 3, H, W) in [−1, 1] → the same; H and W multiples of ``size_multiple`` = 2^downs.

    ``downs`` halvings by 4 × 4 convolutions (width · 1, 2, 4, 8, 8, …), as many doublings by transposed ones, each fed
    with the encoder's map of its size. Batch norm throughout but for the outermost layers and the bottleneck; dropout
    after the norm of the up-convolutions from 8·width to 8·width channels, the innermost excepted.
    """

    def __init__(self, width: int = 64, downs: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.size_multiple = 2**downs
        channels = [width * min(2**depth, 8) for depth in range(downs)]
        block: nn.Module | None = None
        for depth in reversed(range(downs)):
            outer = channels[depth - 1] if depth else 3
            drop = dropout if depth < downs - 1 and channels[depth - 1] == channels[depth] and depth else 0.0
            block = _Level(outer, channels[depth], block, outermost=depth == 0, dropout=drop)
        assert block is not None
        self.model = block
        initialise(self, "normal")

    def forward(self, x: Tensor) -> Tensor:
        """Translate images."""
        return self.model(x)


class _Level(nn.Module):
    """One size of the U: down, what lies within, up; the input is handed past it (but at the outermost level)."""

    recompute = False  # True: down and up run again in the backward pass

    def __init__(self, outer: int, inner: int, within: nn.Module | None, outermost: bool, dropout: float) -> None:
        super().__init__()
        self.outermost = outermost
        innermost = within is None
        down: list[nn.Module] = [nn.Conv2d(outer, inner, 4, 2, 1, bias=False)]
        up: list[nn.Module] = [
            nn.ReLU(),
            nn.ConvTranspose2d(inner if innermost else 2 * inner, outer, 4, 2, 1, bias=outermost),
        ]
        if outermost:
            up.append(nn.Tanh())
        else:
            down.insert(0, nn.LeakyReLU(0.2))
            if not innermost:
                down.append(BatchNorm(inner))
            up.append(BatchNorm(outer))
            if dropout > 0:
                up.append(Dropout(dropout))
        self.down = nn.Sequential(*down)
        self.within = within if within is not None else nn.Identity()
        self.up = nn.Sequential(*up)

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute:
            through = recomputed(self.up, self.within(recomputed(self.down, x)))
        else:
            through = self.up(self.within(self.down(x)))
        return through if self.outermost else torch.cat([x, through], dim=1)
