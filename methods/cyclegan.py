"""CycleGAN: unpaired translation by cycle consistency (Zhu et al., ICCV 2017).

Two generators, to IHC and back to H&E, and a discriminator for each stain. What goes there and back must return.

    L_G = (D_ihc(fake_ihc) − 1)² + (D_he(fake_he) − 1)² + λ |back_to_he(fake_ihc) − he|₁ + λ |to_ihc(fake_he) − ihc|₁
          + λ λ_idt ( |to_ihc(ihc) − ihc|₁ + |back_to_he(he) − he|₁ )
    L_D = ½ [ (D(real) − 1)² + D(fake from the pool)² ]  for each stain
"""

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Adam, Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.method import Batch, Card, Layers, Loader, Method, MethodConfig, Phase, Weight, Width
from vsbench.nn import ImagePool, PatchDiscriminator, ResnetGenerator, kept_images

from ._tiles import MIST

# At full weight the identity term says that dark stays dark: results/examples/phantom/presets.md.
CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "load_size": 0, "crop_size": 128, "lambda_identity": 0.0, "steps": 1200, "lr": 1e-3,
}  # fmt: skip

PoolSize = Annotated[int, Field(ge=0, le=10_000)]


class Config(MethodConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    loader: Loader = "unaligned"
    width: Width = 64
    blocks: Layers = 9
    discriminator_layers: Layers = 3
    pool_size: PoolSize = 50  # earlier fakes that a discriminator may see again; 0: only the current ones
    lambda_adversarial: Weight = 1.0
    lambda_cycle: Weight = 10.0
    lambda_identity: Weight = 0.5  # times lambda_cycle; the paper has it for paintings only, the code always


class CycleGAN(Method[Config]):
    """Two ResNets, two 70 × 70 PatchGANs, image pools."""

    card = Card(
        title="CycleGAN",
        citation="Zhu et al. Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks. "
        "ICCV 2017",
        origin="https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix",
        licence="BSD-2-Clause",
        pairing="unpaired",
        losses=(
            "g_adversarial_ihc",
            "g_adversarial_he",
            "g_cycle_he",
            "g_cycle_ihc",
            "g_identity_ihc",
            "g_identity_he",
            "d_ihc_real",
            "d_ihc_fake",
            "d_he_real",
            "d_he_fake",
        ),
        parameters={
            "to_ihc": 11_378_179,
            "to_he": 11_378_179,
            "discriminator_ihc": 2_764_737,
            "discriminator_he": 2_764_737,
        },
        deviations=(
            "the learning rate falls from the end of the constant phase on; the official loop steps its scheduler "
            "one epoch early and trains the last epoch at rate 0",
            "the image pools are part of the training state, so that a resumed run is the same run",
        ),
        compute="not stated",
    )
    translator = "to_ihc"
    presets = {
        "mist": MIST,
        "cpu": CPU,
        "small": CPU,
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = config
        self.to_ihc = ResnetGenerator(c.width, c.blocks, antialias=False, init="normal")
        self.to_he = ResnetGenerator(c.width, c.blocks, antialias=False, init="normal")
        self.discriminator_ihc = PatchDiscriminator(c.width, c.discriminator_layers, antialias=False, init="normal")
        self.discriminator_he = PatchDiscriminator(c.width, c.discriminator_layers, antialias=False, init="normal")
        self.pools = {"ihc": ImagePool(c.pool_size), "he": ImagePool(c.pool_size)}

    @property
    def size_multiple(self) -> int:
        """Two halvings."""
        return self.to_ihc.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for both generators, one for both discriminators."""
        c = self.config
        generators = [*self.to_ihc.parameters(), *self.to_he.parameters()]
        discriminators = [*self.discriminator_ihc.parameters(), *self.discriminator_he.parameters()]
        return {
            "generators": Adam(generators, c.lr, c.betas),
            "discriminators": Adam(discriminators, c.lr, c.betas),
        }

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """Both generators; then both discriminators, on the fakes made before the generators moved."""
        c, he, ihc, n = self.config, batch.he, batch.ihc, len(batch.he)
        identity = c.lambda_cycle > 0 and c.lambda_identity > 0
        # instance norm keeps images apart, so the identity inputs ride along with the first pass
        there = self.to_ihc(torch.cat([he, ihc]) if identity else he)
        back = self.to_he(torch.cat([ihc, he]) if identity else ihc)
        fake_ihc, fake_he = there[:n], back[:n]

        losses = {}
        if c.lambda_adversarial > 0:
            scores = self.discriminator_ihc(fake_ihc), self.discriminator_he(fake_he)
            losses["g_adversarial_ihc"] = c.lambda_adversarial * least_squares(scores[0], real=True)
            losses["g_adversarial_he"] = c.lambda_adversarial * least_squares(scores[1], real=True)
        if c.lambda_cycle > 0:
            losses["g_cycle_he"] = c.lambda_cycle * (self.to_he(fake_ihc) - he).abs().mean()
            losses["g_cycle_ihc"] = c.lambda_cycle * (self.to_ihc(fake_he) - ihc).abs().mean()
        if identity:
            weight = c.lambda_cycle * c.lambda_identity
            losses["g_identity_ihc"] = weight * (there[n:] - ihc).abs().mean()
            losses["g_identity_he"] = weight * (back[n:] - he).abs().mean()
        yield Phase(drives=("generators",), losses=losses)

        if c.lambda_adversarial > 0:
            # instance norm keeps images apart: each discriminator judges real and fake in one pass
            pooled_ihc, pooled_he = self.pools["ihc"].exchange(fake_ihc), self.pools["he"].exchange(fake_he)
            ihc_scores = self.discriminator_ihc(torch.cat([ihc, pooled_ihc])).split(n)
            he_scores = self.discriminator_he(torch.cat([he, pooled_he])).split(n)
            yield Phase(
                drives=("discriminators",),
                losses={
                    "d_ihc_real": 0.5 * least_squares(ihc_scores[0], real=True),
                    "d_ihc_fake": 0.5 * least_squares(ihc_scores[1], real=False),
                    "d_he_real": 0.5 * least_squares(he_scores[0], real=True),
                    "d_he_fake": 0.5 * least_squares(he_scores[1], real=False),
                },
            )

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Deterministic."""
        return self.to_ihc(he)

    def training_state(self) -> dict[str, Any]:
        """The image pools."""
        return {name: list(pool.images) for name, pool in self.pools.items()}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take the image pools back."""
        device = next(self.parameters()).device
        for name, pool in self.pools.items():
            pool.images = kept_images(state[name], self.config.crop_size, device)
