"""PSPStain's U-Net, which tells stained pixels from the rest: used as it was trained elsewhere, never trained here."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.nn.norm import Dropout


class PairNorm(nn.BatchNorm2d):
    """nn.BatchNorm2d whose statistics in training are those of a pair: of each two images that follow each other.

    Never of all images of a batch or of other processes, so that pairs may pass together.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(2B, C, H, W) → the same."""
        if not self.training or len(x) == 2:
            return super().forward(x)
        return torch.cat([super(PairNorm, self).forward(pair) for pair in x.split(2)])


class SegmentationUNet(nn.Module):
    """(2B, 3, H, W) in [−1, 1] → (2B, 32, H, W) features and (2B, 2, H, W) logits of rest and stain; sides /16.

    In training mode batch norm sees a pair at a time (``PairNorm``), and dropout is on. Its tensors are called as in
    the official files.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder((32, 32, 64, 128, 256), (0.05, 0.1, 0.2, 0.3, 0.5))
        self.decoder1 = _Decoder((256, 128, 64, 32, 32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map before the last convolution, and what that makes of it."""
        features: Tensor = self.decoder1(self.encoder(x))
        return features, self.decoder1.out_conv(features)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.conv_conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), PairNorm(outputs), nn.LeakyReLU(0.01),
            Dropout(dropout) if dropout else nn.Identity(),
            nn.Conv2d(outputs, outputs, 3, padding=1), PairNorm(outputs), nn.LeakyReLU(0.01),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_conv(x)


class _Down(nn.Module):
    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _Block(inputs, outputs, dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.maxpool_conv(x)


class _Encoder(nn.Module):
    def __init__(self, widths: tuple[int, ...], dropouts: tuple[float, ...]) -> None:
        super().__init__()
        self.in_conv = _Block(3, widths[0], dropouts[0])
        for depth in range(1, len(widths)):
            self.add_module(f"down{depth}", _Down(widths[depth - 1], widths[depth], dropouts[depth]))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.children():
            x = layer(x)
            maps.append(x)
        return maps


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(inputs, outputs, 1)
        self.conv = _Block(2 * outputs, outputs, 0.0)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        doubled = F.interpolate(self.conv1x1(x), scale_factor=2, mode="bilinear", align_corners=True)
        return self.conv(torch.cat([skipped, doubled], dim=1))


class _Decoder(nn.Module):
    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.depth = len(widths) - 1
        for number in range(self.depth):
            self.add_module(f"up{number + 1}", _Up(widths[number], widths[number + 1]))
        self.out_conv = nn.Conv2d(widths[-1], 2, 3, padding=1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        *skipped, x = maps
        for number in range(self.depth):
            x = self.get_submodule(f"up{number + 1}")(x, skipped[-1 - number])
        return x
