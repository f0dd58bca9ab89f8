"""PatchGAN discriminators."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.nn.init import initialise
from vsbench.nn.norm import BatchNorm, InstanceNorm
from vsbench.nn.recompute import recomputed
from vsbench.nn.resample import BlurDown
from vsbench.nn.spectral import add_spectral_norm


class PatchDiscriminator(nn.Module):
    """(B, C, H, W) → (B, 1, h, w): one unbounded score per patch.

    4 × 4 convolutions with LeakyReLU 0.2: ``layers`` that halve the map (width, 2·width, … at most 8·width channels),
    one that keeps it, and the score. Antialiased: stride 1, then blur (CUT); else stride 2 (pix2pix, CycleGAN).
    All but the first and last are normalised; with batch norm those convolutions have no bias. ``blur_gain``: what the
    blurring kernels sum to. ``init``: None leaves weights as torch draws them.
    """

    recompute = False  # True: each convolution and what follows it run again in the backward pass

    def __init__(
        self,
        width: int = 64,
        layers: int = 3,
        channels: int = 3,
        norm: Literal["instance", "batch"] = "instance",
        antialias: bool = True,
        spectral: bool = False,
        init: Literal["normal", "xavier"] | None = "xavier",
        blur_gain: float = 1.0,
    ) -> None:
        super().__init__()
        normalise = InstanceNorm if norm == "instance" else BatchNorm
        stride = 1 if antialias else 2
        modules: list[nn.Module] = []
        previous = channels
        for depth in range(layers + 1):
            current = width * min(2**depth, 8)
            halves = depth < layers
            first = depth == 0
            modules.append(
                nn.Conv2d(previous, current, 4, stride if halves else 1, 1, bias=first or norm == "instance")
            )
            if not first:
                modules.append(normalise(current))
            modules.append(nn.LeakyReLU(0.2))
            if halves and antialias:
                modules.append(BlurDown(current, blur_gain))
            previous = current
        modules.append(nn.Conv2d(previous, 1, 4, 1, 1))
        self.model = nn.Sequential(*modules)
        if init is not None:
            initialise(self, init)
        if spectral:
            add_spectral_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        """Score the patches of images."""
        if not self.recompute:
            return self.model(x)
        starts = [place for place, layer in enumerate(self.model) if isinstance(layer, nn.Conv2d)]
        for start, stop in pairwise([*starts, len(self.model)]):
            x = recomputed(self.model[start:stop], x)
        return x


class MultiscaleDiscriminator(nn.Module):
    """Equal ``PatchDiscriminator``s, strided with instance norm, for the image, its half, its quarter, …

    (B, C, H, W) → their scores, the image's first. As in the official codes the last network judges the image itself.
    Halving: the mean of 3 × 3 pixels, those beyond the border not counted. Source: pix2pixHD.
    """

    def __init__(self, scales: int, width: int = 64, layers: int = 3, channels: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(width, layers, channels, antialias=False, init="normal") for _ in range(scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Score the patches of images."""
        scores = []
        for number, network in enumerate(reversed(self.scales)):
            x = halved(x) if number else x
            scores.append(network(x))
        return scores


def halved(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, C, ⌈H/2⌉, ⌈W/2⌉): means of 3 × 3 pixels, of fewer at the border."""
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
