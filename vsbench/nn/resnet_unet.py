"""CSSP2P-GAN's generator: a U-Net whose encoder is a ResNet of bottlenecks, as ResNet50 has them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.nn.norm import InstanceNorm
from vsbench.nn.recompute import recomputed

WIDER = 4  # output channels of a bottleneck to those inside it


class ResnetUNet(nn.Module):
    """(B, 3, H, W), normalised as ImageNet's images, → (B, 3, H, W) in [0, 1]; sides multiples of ``size_multiple``.

    ``layers``: bottlenecks in each of the encoder's stages; with four of (3, 4, 6, 3) and width 64 it is ResNet50
    whose first convolution keeps the size, and whose norms are instance norms. The decoder doubles as often as the
    encoder halves, by bilinear interpolation. No dropout.
    """

    def __init__(self, width: int = 64, layers: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.encoder = ResnetEncoder(width, layers)
        self.decoder = _Decoder(self.encoder.channels)
        self.size_multiple = 2 ** len(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Translate images."""
        return self.decoder(self.encoder(x))


class ResnetEncoder(nn.Module):
    """(B, 3, H, W) → maps of the full size and of each half: after the first convolution, and after each stage.

    Tensors are called as in torchvision's ResNets; drawn as there: normal by fan-out.
    """

    recompute = False  # True: the backward pass computes each stage anew, and less is kept for it

    def __init__(self, width: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, padding=3, bias=False)
        self.norm1 = InstanceNorm(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.channels = [width]
        for number, blocks in enumerate(layers):
            inner = width * 2**number
            stage = [
                Bottleneck(self.channels[-1] if block == 0 else WIDER * inner, inner, 2 if number and not block else 1)
                for block in range(blocks)
            ]
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
            self.channels.append(WIDER * inner)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps, the largest first."""
        maps = [F.relu(self.norm1(self.conv1(x)))]
        x = self.pool(maps[0])
        for number in range(1, len(self.channels)):
            stage = self.get_submodule(f"layer{number}")
            x = recomputed(stage, x) if self.recompute else stage(x)
            maps.append(x)
        return maps


class Bottleneck(nn.Module):
    """ReLU of x and a branch of 1 × 1, 3 × 3 (which has the stride) and 1 × 1; x by a 1 × 1 where shapes differ."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = WIDER * inner
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm1 = InstanceNorm(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.norm2 = InstanceNorm(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.norm3 = InstanceNorm(outputs)
        same = stride == 1 and inputs == outputs
        projection = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), InstanceNorm(outputs))
        self.downsample = nn.Sequential(*(() if same else projection))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 4 · inner, H / stride, W / stride)."""
        inside = F.relu(self.norm1(self.conv1(x)))
        inside = F.relu(self.norm2(self.conv2(inside)))
        return F.relu(self.norm3(self.conv3(inside)) + self.downsample(x))


class _Decoder(nn.Module):
    """The encoder's maps, from the smallest to the largest, into an image."""

    recompute = False  # True: each doubling runs again in the backward pass

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, *halves, innermost = channels
        skipped = [(c, c) for c in reversed(halves)] + [(first, 2 * first)]  # channels of each map, and brought to
        current, layers = innermost, list[nn.Module]()
        for number, (own, brought) in enumerate(skipped):
            outputs = first if number == len(skipped) - 1 else brought
            layers += [nn.Conv2d(own, brought, 1), _Doubling(current, brought, outputs)]
            current = outputs
        self.layers = nn.ModuleList([*layers, nn.Conv2d(first, 3, 1)])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        *skipped, x = maps
        for number, skip in enumerate(reversed(skipped)):
            bring, double = self.layers[2 * number], self.layers[2 * number + 1]
            x = recomputed(double, bring(skip), x) if self.recompute else double(bring(skip), x)
        return torch.sigmoid(self.layers[-1](x))


class _Doubling(nn.Module):
    """A map doubled, half its channels, beside a skipped one of as many; then twice conv, norm, ReLU."""

    def __init__(self, inputs: int, brought: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(inputs, brought, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(2 * brought, outputs, 3, padding=1), InstanceNorm(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), InstanceNorm(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        x = self.up(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
        return self.conv(torch.cat([skip, x], dim=1))
