"""CUT and FastCUT: contrastive unpaired translation (Park et al., ECCV 2020).

A generator G and a patch discriminator D. PatchNCE holds the tissue in place: in G's own encoder, a patch of G(he)
must be nearer to the same patch of he than to he's other patches.

    L_D = ½ [ (D(ihc) − 1)² + D(G(he))² ]
    L_G = (D(G(he)) − 1)² + λ/2 [ NCE(G(he), he) + NCE(G(ihc), ihc) ]

FastCUT leaves the identity term out, weights the other with 10, and mirrors the input of G half of the time.
"""

from collections.abc import Iterator, Sequence

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.optim import Adam, Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.losses.contrastive import layered_patch_nce
from vsbench.method import Batch, Card, DecayPhase, Loader, Method, MethodConfig, Phase
from vsbench.nn import PatchDiscriminator, PatchSampler, ResnetGenerator


class Config(MethodConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    epochs: PositiveInt = 200
    decay_epochs: NonNegativeInt = 200
    decay_phase: DecayPhase = "shrink"
    loader: Loader = "unaligned"
    width: PositiveInt = 64
    blocks: PositiveInt = 9
    taps: tuple[int, ...] = (0, 4, 8, 12, 16)  # layers of G that PatchNCE compares; 0 is the padded image itself
    discriminator_layers: PositiveInt = 3
    patches: PositiveInt = 256  # per layer and image
    temperature: PositiveFloat = 0.07
    lambda_adversarial: NonNegativeFloat = 1.0
    lambda_nce: NonNegativeFloat = 1.0
    lambda_identity: NonNegativeFloat = 1.0  # NCE(G(ihc), ihc): what is IHC already stays as it is
    mirror: bool = False  # FastCUT's flip equivariance


class CUT(Method[Config]):
    """Antialiased ResNet, 70 × 70 PatchGAN, PatchNCE in G's encoder."""

    card = Card(
        title="CUT",
        citation="Park et al. Contrastive Learning for Unpaired Image-to-Image Translation. ECCV 2020",
        origin="https://github.com/taesungp/contrastive-unpaired-translation",
        licence="BSD-2-Clause",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384},
        deviations=(
            "the PatchNCE heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
        ),
        compute="not stated",
    )
    variants = {
        "fast": {"lambda_nce": 10.0, "lambda_identity": 0.0, "mirror": True, "epochs": 150, "decay_epochs": 50},
    }
    presets = {
        "cpu": {
            "width": 16, "blocks": 3, "taps": (0, 4, 8, 12, 14), "patches": 128, "discriminator_layers": 2,
            "batch_size": 2, "load_size": 0, "crop_size": 64, "decay_phase": "crop", "steps": 700, "lr": 1e-3,
            "average": 0.999,
        },
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = ResnetGenerator(config.width, config.blocks)
        self.discriminator = PatchDiscriminator(config.width, config.discriminator_layers)
        self.heads = PatchSampler(self.generator.channels(config.taps), config.patches)

    @property
    def size_multiple(self) -> int:
        """Two halvings."""
        return self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for D, one for G and the heads (their official Adams have equal settings)."""
        c = self.config
        return {
            "discriminator": Adam(self.discriminator.parameters(), c.lr, c.betas),
            "generator": Adam([*self.generator.parameters(), *self.heads.parameters()], c.lr, c.betas),
        }

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on ihc and fake; then G and the heads."""
        c, he, ihc, n = self.config, batch.he, batch.ihc, len(batch.he)
        mirrored = c.mirror and bool(torch.rand(()) < 0.5)
        source = he.flip(3) if mirrored else he
        inputs = torch.cat([source, ihc]) if c.lambda_identity > 0 else source
        outputs, features = self.generator.forward_with_features(inputs, c.taps)
        fake = outputs[:n]

        if c.lambda_adversarial > 0:
            real_scores, fake_scores = self.discriminator(torch.cat([ihc, fake.detach()])).split(n)
            yield Phase(
                drives=("discriminator",),
                losses={
                    "d_real": 0.5 * least_squares(real_scores, real=True),
                    "d_fake": 0.5 * least_squares(fake_scores, real=False),
                },
            )

        losses = {}
        if c.lambda_adversarial > 0:
            losses["g_adversarial"] = c.lambda_adversarial * least_squares(self.discriminator(fake), real=True)
        if c.lambda_nce > 0 or c.lambda_identity > 0:
            share = 0.5 if c.lambda_identity > 0 else 1.0  # as released: the mean of the two terms, not their sum
            encoded = [f.split(n) for f in self.generator.features(outputs, c.taps)]
            if c.lambda_nce > 0:
                queries = [of_fake.flip(3) if mirrored else of_fake for of_fake, *_ in encoded]
                with torch.no_grad():  # a mirrored pass does not serve: convolutions do not commute with mirroring
                    keys = self.generator.features(he, c.taps) if mirrored else [f[:n] for f in features]
                losses["g_nce"] = share * c.lambda_nce * self.nce(queries, keys)
            if c.lambda_identity > 0:
                keys = [f[n:] for f in features]
                losses["g_identity"] = share * c.lambda_identity * self.nce([made for _, made in encoded], keys)
        yield Phase(drives=("generator",), losses=losses)

    def nce(self, outputs: Sequence[Tensor], sources: Sequence[Tensor]) -> Tensor:
        """PatchNCE between features of output and source, mean over ``taps``; a scalar, 0 at best."""
        positions = self.heads.draw(sources)
        with torch.no_grad():  # keys are constants of the loss
            keys = self.heads([f.detach() for f in sources], positions)
        return layered_patch_nce(self.heads(outputs, positions), keys, self.config.temperature)

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Deterministic."""
        return self.generator(he)
