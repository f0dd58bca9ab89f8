"""The step that CUT's family shares: G, D and the heads that embed patches of G's own features.

A step makes fake = G(he) and, where asked, identity = G(ihc); the discriminator learns from ihc and fake; then G and
the heads minimise

    L_G = λ (D(fake) − 1)² + the terms of the method

which are a function of what the step has ``Seen``: images and their features by name. Each pass runs once, and only
when a term asks for it. Nothing is detached here but for the discriminator: which side of a term is a constant is the
method's to say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, TypeVar

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.losses.contrastive import layered_patch_nce
from vsbench.method import (
    Batch,
    DecayEpochs,
    DecayPhase,
    Epochs,
    Layers,
    Loader,
    Method,
    MethodConfig,
    Phase,
    Weight,
    Width,
)
from vsbench.nn import PatchDiscriminator, PatchSampler, ResnetGenerator

from ._optimizers import adams

Taps = Annotated[tuple[Annotated[int, Field(ge=0, le=1000)], ...], Field(min_length=1, max_length=100)]
Features = Sequence[Tensor]  # (B, C, H, W) for each tap


class ContrastiveConfig(MethodConfig):
    """The settings of the family, with CUT's values. A weight of 0 switches its term off."""

    width: Width = 64
    blocks: Layers = 9
    taps: Taps = (0, 4, 8, 12, 16)  # layers of G whose features are compared; 0 is the padded image itself
    patches: Annotated[int, Field(ge=1, le=1 << 20)] = 256  # per layer and image
    temperature: float = Field(0.07, ge=1e-4, le=1e4)
    lambda_adversarial: Weight = 1.0
    lambda_nce: Weight = 1.0
    lambda_identity: Weight = 1.0  # NCE(G(ihc), ihc): what is IHC already stays as it is


class CutConfig(ContrastiveConfig):
    """CUT's networks and training, for those who change its contrastive loss alone."""

    epochs: Epochs = 200
    decay_epochs: DecayEpochs = 200
    decay_phase: DecayPhase = "shrink"
    loader: Loader = "unaligned"
    discriminator_layers: Layers = 3


def cut_networks(config: CutConfig) -> tuple[ResnetGenerator, PatchDiscriminator, PatchSampler]:
    """CUT's antialiased ResNet, 70 × 70 PatchGAN, and heads for the taps."""
    generator = ResnetGenerator(config.width, config.blocks)
    discriminator = PatchDiscriminator(config.width, config.discriminator_layers)
    return generator, discriminator, PatchSampler(generator.channels(config.taps), config.patches)


@dataclass(frozen=True)
class Passes:
    """What a step sends through G besides the H&E."""

    identity: bool = False  # ihc, whose translation is compared with it
    mirrored: bool = False  # the H&E's mirror image in its place


class Seen:
    """What a step has seen: the images he, ihc, fake and identity, and the features of each in G's encoder.

    ``identity`` and its features are there where ``Passes.identity`` asked for them. Features keep their graph, but
    those of an image that G was not given to translate: they can be constants only.
    """

    def __init__(self, generator: ResnetGenerator, taps: Sequence[int], batch: Batch, passes: Passes) -> None:
        self.he, self.ihc, self.place = batch.he, batch.ihc, batch.place
        self._generator, self._taps, self._passes, self._images = generator, taps, passes, len(batch.he)
        inputs = self.he.flip(3) if passes.mirrored else self.he
        if passes.identity:
            inputs = torch.cat([inputs, self.ihc])
        outputs, self._features = generator.forward_with_features(inputs, taps)
        self.fake = outputs[: self._images]  # of the mirrored H&E where that was passed
        self._made = outputs if passes.identity else self.fake

    @property
    def identity(self) -> Tensor:
        """G(ihc)."""
        return self._made[self._images :]

    @cached_property
    def of_he(self) -> Features:
        """Features of the H&E, as it is even where G was given its mirror image."""
        if self._passes.mirrored:
            with torch.no_grad():  # that pass does not serve: convolutions do not commute with mirroring
                return self._generator.features(self.he, self._taps)
        return [f[: self._images] for f in self._features]

    @cached_property
    def of_ihc(self) -> Features:
        """Features of the real IHC."""
        if self._passes.identity:
            return [f[self._images :] for f in self._features]
        with torch.no_grad():
            return self._generator.features(self.ihc, self._taps)

    @cached_property
    def of_fake(self) -> Features:
        """Features of G(he), mirrored back where G was given the mirror image."""
        parts = [made[0] for made in self._of_made]
        return [f.flip(3) for f in parts] if self._passes.mirrored else parts

    @cached_property
    def of_identity(self) -> Features:
        """Features of G(ihc)."""
        return [made[1] for made in self._of_made]

    @cached_property
    def _of_made(self) -> list[tuple[Tensor, ...]]:
        """Features of all that G made, fake and identity in one pass."""
        return [f.split(self._images) for f in self._generator.features(self._made, self._taps)]


C = TypeVar("C", bound=ContrastiveConfig)


class Contrastive(Method[C]):
    """Three networks and their step; a method says which networks, and its ``terms``.

    ``mirror``: G is given half of the H&E as mirror images (FastCUT's flip equivariance).
    """

    def __init__(
        self,
        config: C,
        generator: ResnetGenerator,
        discriminator: PatchDiscriminator,
        heads: PatchSampler,
        adversarial: Callable[[Tensor, bool], Tensor] = least_squares,
        mirror: bool = False,
    ) -> None:
        super().__init__(config)
        self.generator = generator
        self.discriminator = discriminator
        self.heads = heads
        self.adversarial = adversarial
        self.mirror = mirror

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """The losses of G and the heads besides the adversarial one, by name, weights applied: at first CUT's."""
        return self.contrast(seen)

    def passes(self) -> Passes:
        """What this step sends through G; drawn anew for each."""
        mirrored = self.mirror and bool(torch.rand(()) < 0.5)
        return Passes(identity=self.config.lambda_identity > 0, mirrored=mirrored)

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on ihc and fake; then G and the heads."""
        weight = self.config.lambda_adversarial
        seen = Seen(self.generator, self.config.taps, batch, self.passes())
        if weight > 0:
            scores = self.discriminator(torch.cat([seen.ihc, seen.fake.detach()]))
            of_real, of_fake = scores.split(len(seen.he))
            losses = {"d_real": 0.5 * self.adversarial(of_real, True), "d_fake": 0.5 * self.adversarial(of_fake, False)}
            yield Phase(drives=("discriminator",), losses=losses)
        losses = {}
        if weight > 0:
            losses["g_adversarial"] = weight * self.adversarial(self.discriminator(seen.fake), True)
        yield Phase(drives=("generator",), losses=losses | self.terms(seen))

    def contrast(self, seen: Seen, halved: bool = True) -> dict[str, Tensor]:
        """½ [ λ NCE(fake, he) + λ NCE(identity, ihc) ] as CUT released it: the mean of two terms, not their sum."""
        c, losses = self.config, {}
        share = 0.5 if halved and c.lambda_identity > 0 else 1.0
        if c.lambda_nce > 0:
            losses["g_nce"] = share * c.lambda_nce * self.nce(seen.of_fake, seen.of_he)
        if c.lambda_identity > 0:
            losses["g_identity"] = share * c.lambda_identity * self.nce(seen.of_identity, seen.of_ihc)
        return losses

    def nce(self, outputs: Features, sources: Features) -> Tensor:
        """PatchNCE between features of output and source, mean over ``taps``; a scalar, 0 at best."""
        queries, keys = self.embed(outputs, sources)
        return layered_patch_nce(queries, keys, self.config.temperature)

    def embed(self, outputs: Features, *sources: Features) -> tuple[list[Tensor], ...]:
        """Queries of ``outputs``, and keys of each of ``sources``, at the same drawn positions; keys are constants."""
        return self.embed_at(self.heads.draw(outputs), outputs, *sources)

    def embed_at(self, positions: Sequence[Tensor], outputs: Features, *sources: Features) -> tuple[list[Tensor], ...]:
        """The same at these positions of each layer."""
        with torch.no_grad():
            keys = [self.heads(source, positions) for source in sources]
        return self.heads(outputs, positions), *keys

    @property
    def size_multiple(self) -> int:
        """Two halvings."""
        return self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for D, one for G and the heads (their official Adams have equal settings)."""
        return adams(self.config, discriminator=(self.discriminator,), generator=(self.generator, self.heads))

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Deterministic."""
        return self.generator(he)
