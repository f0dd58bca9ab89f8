"""CUT's family under spectral normalisation: the networks of ASP and of the codes that descend from it.

All convolutions of G and D are normalised. All passes of a step see the same weights: the power iteration goes one
step on at the step's beginning.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TypeVar

from torch import Tensor

from vsbench.losses.adversarial import least_squares
from vsbench.method import Batch, Layers, Phase, Side, Width
from vsbench.nn import (
    PatchDiscriminator,
    PatchSampler,
    ResnetGenerator,
    advance_spectral_norm,
    iterated_further,
    one_spectral_norm,
)
from vsbench.nn.patches import unit_length_shifted

from ._contrastive import Contrastive, ContrastiveConfig


class SpectralConfig(ContrastiveConfig):
    """The settings of the family's launchers."""

    crop_size: Side = 512
    blocks: Layers = 6
    discriminator_width: Width = 32
    discriminator_layers: Layers = 5
    spectral_generator: bool = True  # the official launchers' setting; the papers are silent
    spectral_discriminator: bool = True
    iterate_in_translation: bool = False  # True: translation takes the power iteration one step on


C = TypeVar("C", bound=SpectralConfig)


class SpectralContrastive(Contrastive[C]):
    """Antialiased ResNet, PatchGAN of five layers, heads; a method says its ``terms``."""

    def __init__(self, config: C, adversarial: Callable[[Tensor, bool], Tensor] = least_squares) -> None:
        c = config
        generator = ResnetGenerator(c.width, c.blocks, spectral=c.spectral_generator)
        discriminator = PatchDiscriminator(
            c.discriminator_width, c.discriminator_layers, spectral=c.spectral_discriminator
        )
        heads = PatchSampler(generator.channels(c.taps), c.patches, normalise=unit_length_shifted)
        super().__init__(config, generator, discriminator, heads, adversarial)

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """The family's step, under one spectral norm."""
        advance_spectral_norm(self.generator, self.discriminator)
        with one_spectral_norm(self.generator):
            yield from super().training_step(batch)

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Deterministic."""
        with iterated_further(self.generator) if self.config.iterate_in_translation else nullcontext():
            return super().translate(he)
