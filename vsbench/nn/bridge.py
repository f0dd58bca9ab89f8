"""UNSB's networks: a generator modulated by a latent, and discriminators that know the step (Kim et al., ICLR 2024)."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from vsbench.nn.init import initialise
from vsbench.nn.norm import InstanceNorm
from vsbench.nn.padding import ReflectionPad
from vsbench.nn.recompute import recomputed
from vsbench.nn.resample import BlurDown, BlurUp
from vsbench.nn.resnet import ResnetGenerator

LONGEST = 10_000  # period of the slowest wave of the embedding, in steps, over 2π


def sinusoid(steps: Tensor, size: int) -> Tensor:
    """(n,) numbers of steps → (n, size): sines, then cosines, of ``size`` / 2 frequencies from 1 to 1 / ``LONGEST``."""
    half = size // 2
    ranks = torch.arange(half, device=steps.device, dtype=steps.dtype)
    angles = steps[:, None] * torch.exp(-ranks * (math.log(LONGEST) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class StepEmbedding(nn.Module):
    """(n,) numbers of steps → (n, size): the sinusoid through two linear layers, each with LeakyReLU 0.2."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.layers = nn.Sequential(nn.Linear(size, size), nn.LeakyReLU(0.2), nn.Linear(size, size), nn.LeakyReLU(0.2))

    def forward(self, steps: Tensor) -> Tensor:
        """Embed."""
        return self.layers(sinusoid(steps, self.size))

    def of(self, step: int) -> Tensor:
        """(1, size) of one step, where the weights are."""
        weight = next(self.parameters())
        return self(torch.full((1,), float(step), device=weight.device, dtype=weight.dtype))


class PixelNorm(nn.Module):
    """(B, D) rows divided by the root of their mean square + 1e-8."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class ModulatedBlock(nn.Module):
    """x + norm(conv(ReLU(γ norm(x) + β))), [γ, β] linear in a latent's embedding; with ``step`` > 0, an embedding of
    that size of the step is added, by another linear layer, to β.

    As the released blocks run: their first convolution, their time layer and a second style layer reach no output.
    """

    def __init__(self, channels: int, latent: int, step: int = 0) -> None:
        super().__init__()
        self.norm = InstanceNorm(channels)
        self.branch = nn.Sequential(
            nn.ReLU(), ReflectionPad(1), nn.Conv2d(channels, channels, 3), InstanceNorm(channels)
        )
        self.style = nn.Linear(latent, 2 * channels)
        self.step = nn.Linear(step, channels) if step else None

    def forward(self, x: Tensor, latent: Tensor, step: Tensor | None = None) -> Tensor:
        """(B, C, H, W), embeddings (B, D) of the latents and, if asked for, (1, E) of the step → (B, C, H, W)."""
        scale, shift = self.style(latent).chunk(2, dim=1)
        if self.step is not None:
            shift = shift + self.step(step)
        return x + self.branch(scale[:, :, None, None] * self.norm(x) + shift[:, :, None, None])


class _Layers(nn.Sequential):
    """One after the other; modulated blocks get the conditions besides."""

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, *conditions) if isinstance(layer, ModulatedBlock) else layer(x)
        return x


class BridgeGenerator(ResnetGenerator):
    """CUT's generator with modulated blocks: images, latents (B, ``latent``) and the number of a step → images.

    The latents pass a pixel norm and ``latent_layers`` linear layers with LeakyReLU 0.2. The released network does not
    depend on the step; ``timed``: it does.
    """

    heavy = (*ResnetGenerator.heavy, ModulatedBlock)

    def __init__(self, width: int = 64, blocks: int = 9, latent_layers: int = 4, timed: bool = False) -> None:
        super().__init__(width, blocks=0)
        size = self.latent = 4 * width
        modulated = (ModulatedBlock(size, size, size if timed else 0) for _ in range(blocks))
        middle = next(number for number, layer in enumerate(self.model) if isinstance(layer, BlurUp))
        self.model = _Layers(*self.model[:middle], *modulated, *self.model[middle:])
        layers = [(nn.Linear(size, size), nn.LeakyReLU(0.2)) for _ in range(latent_layers)]
        self.mapping = nn.Sequential(PixelNorm(), *(part for layer in layers for part in layer))
        self.steps = StepEmbedding(size) if timed else None
        initialise(self, "xavier")

    def _through(self, x: Tensor, *rest: Any) -> tuple[Tensor, list[Tensor]]:
        *where, latent, step = rest
        embedded = [] if self.steps is None else [self.steps.of(step)]
        return super()._through(x, *where, self.mapping(latent), *embedded)

    def _blank_conditions(self, x: Tensor) -> tuple[Any, ...]:
        return x.new_zeros(len(x), self.latent), 0


class TimedConvolution(nn.Module):
    """4 × 4 convolution, plus what is linear in the step's embedding, norm, LeakyReLU 0.2, blurred halving."""

    def __init__(self, inputs: int, outputs: int, step: int, normalises: bool, halves: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 4, padding=1)
        self.step = nn.Linear(step, outputs)
        self.rest = nn.Sequential(
            *([InstanceNorm(outputs)] if normalises else []),
            nn.LeakyReLU(0.2),
            *([BlurDown(outputs)] if halves else []),
        )

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """(B, C, H, W) and embeddings (1 or B, E) → the next map."""
        return self.rest(self.convolution(x) + self.step(step)[:, :, None, None])


class TimedDiscriminator(nn.Module):
    """(B, C, H, W) and the number of a step → (B, 1, h, w): CUT's patch discriminator, told the step at every layer.

    Only the first layer listens: normalisation takes away what the others are told.
    """

    recompute = False  # True: each layer runs again in the backward pass

    def __init__(self, width: int = 64, layers: int = 3, channels: int = 3) -> None:
        super().__init__()
        size = 4 * width
        widths = [channels, *(width * min(2**depth, 8) for depth in range(layers + 1))]
        self.layers = nn.ModuleList(
            TimedConvolution(inputs, outputs, size, normalises=depth > 0, halves=depth < layers)
            for depth, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.score = nn.Conv2d(widths[-1], 1, 4, padding=1)
        self.steps = StepEmbedding(size)
        initialise(self, "xavier")

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Score the patches of images, all at this step."""
        embedded = self.steps.of(step)
        for layer in self.layers:
            x = recomputed(layer, x, embedded) if self.recompute else layer(x, embedded)
        return self.score(x)
