"""The ResNet generator of CycleGAN and, antialiased, of CUT; its encoder gives the features of PatchNCE."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from vsbench.nn.init import initialise
from vsbench.nn.norm import BatchNorm, Dropout, InstanceNorm
from vsbench.nn.padding import ReflectionPad
from vsbench.nn.recompute import recomputed
from vsbench.nn.resample import BlurDown, BlurUp
from vsbench.nn.spectral import add_spectral_norm
from vsbench.nn.tiled import TiledConvolution

Norm = Literal["instance", "batch"]


class ResidualBlock(nn.Module):
    """x + norm(conv(drop(ReLU(norm(conv(x)))))), 3 × 3 on reflected borders; no bias before a batch norm."""

    def __init__(self, channels: int, norm: Norm = "instance", dropout: float = 0.0) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            ReflectionPad(1),
            *_normalised(nn.Conv2d(channels, channels, 3, bias=norm == "instance"), norm),
            *([Dropout(dropout)] if dropout > 0 else []),
            ReflectionPad(1),
            *_normalised(nn.Conv2d(channels, channels, 3, bias=norm == "instance"), norm)[:2],
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same."""
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """(B, 3, H, W) in [−1, 1] → the same; H and W multiples of ``size_multiple`` = 2^downs.

    conv7 (width), ``downs`` halvings (2·width, 4·width, …), ``blocks`` residual blocks, as many doublings, conv7, tanh.
    ``norm``: instance normalisation without affine, or batch normalisation after convolutions without bias;
    ``dropout`` inside the blocks. Antialiased: stride-1 convolutions and blur (CUT); else strided and transposed
    convolutions (CycleGAN). Layer numbers are those of the official codes: with antialiasing 0 is the padded image,
    4, 8, … the halving convolutions before their normalisation, then (12, 13, … for two) the residual blocks.
    """

    recompute = False  # True: the backward pass computes each part anew, for which less is kept in memory
    heavy: ClassVar[tuple[type[nn.Module], ...]] = (ResidualBlock, BlurUp, nn.ConvTranspose2d)  # parts start with these

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        antialias: bool = True,
        spectral: bool = False,
        init: Literal["normal", "xavier"] = "xavier",
        downs: int = 2,
        norm: Norm = "instance",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.size_multiple = 2**downs
        bias = norm == "instance"
        layers: list[nn.Module] = [ReflectionPad(3), *_normalised(nn.Conv2d(3, width, 7, bias=bias), norm)]
        widths = [width * 2**depth for depth in range(downs + 1)]
        for outer, inner in pairwise(widths):
            stride = 1 if antialias else 2
            layers += _normalised(nn.Conv2d(outer, inner, 3, stride, padding=1, bias=bias), norm)
            if antialias:
                layers.append(BlurDown(inner))
        layers += [ResidualBlock(widths[-1], norm, dropout) for _ in range(blocks)]
        for inner, outer in pairwise(reversed(widths)):
            if antialias:
                layers += [BlurUp(inner), *_normalised(nn.Conv2d(inner, outer, 3, padding=1, bias=bias), norm)]
            else:
                up = nn.ConvTranspose2d(inner, outer, 3, stride=2, padding=1, output_padding=1, bias=bias)
                layers += _normalised(up, norm)
        layers += [ReflectionPad(3), TiledConvolution(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        initialise(self, init)
        if spectral:
            add_spectral_norm(self)

    def forward(self, x: Tensor, *conditions: Any) -> Tensor:
        """Translate images. ``conditions``: what the blocks of a subclass take besides; none here."""
        return self._through(x, (), len(self.model), *conditions)[0]

    def forward_with_features(self, x: Tensor, taps: Sequence[int], *conditions: Any) -> tuple[Tensor, list[Tensor]]:
        """The images, and the outputs of the layers numbered ``taps`` on the way, in that order."""
        return self._through(x, taps, len(self.model), *conditions)

    def features(self, x: Tensor, taps: Sequence[int], *conditions: Any) -> list[Tensor]:
        """The outputs of the layers numbered ``taps`` only: nothing after the last of them is computed."""
        return self._through(x, taps, max(taps) + 1, *conditions)[1]

    def _through(self, x: Tensor, taps: Sequence[int], stop: int, *conditions: Any) -> tuple[Tensor, list[Tensor]]:
        features = []
        for first, end in pairwise(self._cuts(taps, stop)):
            part = self.model[first:end]
            x = recomputed(part, x, *conditions) if self.recompute else part(x, *conditions)
            if end - 1 in taps:
                features.append(x)
        return x, features

    def _cuts(self, taps: Sequence[int], stop: int) -> list[int]:
        """Where the layers are cut in parts: after each tap, and at each residual block and doubling."""
        starts = [number for number, layer in enumerate(self.model) if isinstance(layer, self.heavy)]
        cuts = {0, stop, *(tap + 1 for tap in taps), *(starts if self.recompute else ())}
        return sorted(cut for cut in cuts if cut <= stop)

    def channels(self, taps: Sequence[int]) -> list[int]:
        """Channels of the features at ``taps``. Raises ValueError for a layer number that is not there."""
        if not taps or list(taps) != sorted(set(taps)) or not 0 <= taps[0] <= taps[-1] < len(self.model):
            raise ValueError(f"taps {tuple(taps)} must be increasing layer numbers from 0 to {len(self.model) - 1}")
        with torch.no_grad():
            side = max(16, 2 * self.size_multiple)  # reflected borders want two positions
            probe = next(self.parameters()).new_zeros(1, 3, side, side)
            return [f.shape[1] for f in self.features(probe, taps, *self._blank_conditions(probe))]

    def _blank_conditions(self, x: Tensor) -> tuple[Any, ...]:
        """Conditions of the right shapes."""
        return ()


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d, norm: Norm) -> list[nn.Module]:
    normalise = InstanceNorm if norm == "instance" else BatchNorm
    return [convolution, normalise(convolution.out_channels), nn.ReLU()]
