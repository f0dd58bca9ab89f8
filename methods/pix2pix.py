"""Pix2Pix: conditional adversarial translation of aligned pairs (Isola et al., CVPR 2017).

A U-Net G and a patch discriminator D that sees the H&E beside the image it judges. The L1 term holds the output to the
real IHC pixel by pixel, which on adjacent sections pulls towards an average of what may lie there.

    L_D = ½ [ BCE(D(he, ihc), 1) + BCE(D(he, G(he)), 0) ]
    L_G = BCE(D(he, G(he)), 1) + λ |G(he) − ihc|₁
"""

from pydantic import Field
from torch import Tensor

from vsbench.method import Batch, Card, Share, Weight
from vsbench.nn import PatchDiscriminator, UNetGenerator

from ._conditional import Conditional, ConditionalConfig, TestMode, translated
from ._tiles import MIST, PHANTOM_UNET


class Config(ConditionalConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    downs: int = Field(default=8, ge=2, le=9)  # halvings of the U-Net: 8 bring 256 pixels to 1
    dropout: Share = 0.5
    lambda_l1: Weight = 100.0
    test_mode: TestMode = "image_statistics"


class Pix2Pix(Conditional[Config]):
    """U-Net with batch norm and dropout, conditional 70 × 70 PatchGAN, L1."""

    card = Card(
        title="Pix2Pix",
        citation="Isola et al. Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017",
        origin="https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix",
        licence="BSD-2-Clause",
        pairing="paired",
        losses=("d_real", "d_fake", "g_adversarial", "g_l1"),
        parameters={"generator": 54_413_955, "discriminator": 2_768_705},
        deviations=(
            "translation uses each image's own batch statistics and no dropout: the official test leaves dropout on, "
            "so that the same input gives another output each time",
            "the learning rate falls from the end of the constant phase on; the official loop steps its scheduler "
            "one epoch early and trains the last epoch at rate 0",
        ),
        compute="not stated",
    )
    presets = {
        "mist": MIST,
        "cpu": PHANTOM_UNET,
        "small": PHANTOM_UNET,
    }

    def __init__(self, config: Config) -> None:
        c = config
        generator = UNetGenerator(c.width, c.downs, c.dropout)
        discriminator = PatchDiscriminator(
            c.width, c.discriminator_layers, channels=6, norm="batch", antialias=False, init="normal"
        )
        super().__init__(config, generator, discriminator)

    def terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """λ |G(he) − ihc|₁."""
        weight = self.config.lambda_l1
        return {"g_l1": weight * (fake - batch.ihc).abs().mean()} if weight > 0 else {}

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 2^downs. Nothing random."""
        return translated(self.generator, he, self.config.test_mode)
