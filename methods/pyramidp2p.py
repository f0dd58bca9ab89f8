"""PyramidPix2Pix: pairs that fit only roughly, compared at four scales (Liu et al., CVPR Workshops 2022).

Pix2Pix's contest with CycleGAN's ResNet for a generator. Where the real IHC is shifted by some pixels, it still agrees
with G(he) at coarser scales:

    L_D = ½ [ BCE(D(he, ihc), 1) + BCE(D(he, G(he)), 0) ]
    L_G = BCE(D(he, G(he)), 1) + λ Σ_l w_l S_l,    S_l = |P_l(G(he)) − P_l(ihc)|₁

P₁ is the image, P_l+1 every second pixel of P_l after four blurs.
"""

from typing import Any

from pydantic import Field
from torch import Tensor

from vsbench.losses.pyramid import octaves
from vsbench.method import Batch, Blur, Card, Count, Layers, LoadSize, OddWindow, Share, Side, Weight, Whole
from vsbench.nn import PatchDiscriminator, ResnetGenerator
from vsbench.nn.resnet import Norm

from ._conditional import Conditional, ConditionalConfig, TestMode, translated
from ._tiles import SMALL

LEVELS = ("g_l1", "g_l1_half", "g_l1_quarter", "g_l1_eighth")  # the terms, by the size of what is compared


class Config(ConditionalConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    batch_size: Count = 2
    load_size: LoadSize = 1024
    crop_size: Side = 1024
    blocks: Layers = 9
    norm: Norm = "batch"
    dropout: Share = 0.5
    lambda_l1: Weight = 25.0
    levels: int = Field(default=4, ge=1, le=4)  # of the pyramid; 1 is the image alone
    level_weights: tuple[Weight, Weight, Weight, Weight] = (1.0, 1.0, 1.0, 1.0)
    blurs_per_octave: Whole = 4
    blur_sigma: Blur = 1.0  # pixels of the level that is blurred
    blur_size: OddWindow = 3
    test_mode: TestMode = "image_statistics"


CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "discriminator_layers": 2, "load_size": 0, "crop_size": 64, "steps": 1500,
    "lr": 1e-3, "lambda_l1": 5.0,
}  # fmt: skip


class PyramidPix2Pix(Conditional[Config]):
    """ResNet-9 with batch norm and dropout, conditional 70 × 70 PatchGAN, L1 at four scales."""

    card = Card(
        title="PyramidPix2Pix",
        citation="Liu et al. BCI: Breast Cancer Immunohistochemical Image Generation Through Pyramid Pix2pix. "
        "CVPR Workshops 2022",
        origin="https://github.com/bupt-ai-cz/BCI",
        licence="BSD-3-Clause",
        pairing="paired",
        losses=("d_real", "d_fake", "g_adversarial", *LEVELS),
        parameters={"generator": 11_383_427, "discriminator": 2_768_705},
        deviations=(
            "the pyramid is that of the difference of the images: blur and subsampling are linear, so one pyramid in "
            "place of two gives the same terms",
            "translation is of the whole image, with its own batch statistics and no dropout: the official test "
            "leaves dropout on, so that the same input gives another output each time, and its printed command "
            "shrinks tiles to 320 pixels and keeps the middle 256",
            "the learning rate falls from the end of the constant phase on; the official loop steps its scheduler "
            "one epoch early and trains the last epoch at rate 0",
            "an epoch's incomplete last batch is left out",
        ),
        compute="a Tesla V100 with 32 GB at 1024², batch 2 (README)",
    )
    presets = {
        "mist": {},  # the published settings are for whole tiles of 1024²
        "crop512": {"crop_size": 512},  # the README's way to need less memory
        # At its published weight the pyramid holds the stain back for longer than a run of this length lasts.
        "cpu": CPU,
        "small": CPU | SMALL | {"batch_size": 2, "average": 0.0},
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        c = config
        generator = ResnetGenerator(c.width, c.blocks, antialias=False, init="normal", norm=c.norm, dropout=c.dropout)
        discriminator = PatchDiscriminator(
            c.width, c.discriminator_layers, channels=6, norm="batch", antialias=False, init="normal"
        )
        super().__init__(config, generator, discriminator)

    def terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """λ w_l S_l for each level l."""
        c = self.config
        weights = [c.lambda_l1 * weight for weight in c.level_weights[: c.levels]]
        if not any(weights):
            return {}
        gaps = octaves(fake - batch.ihc, c.levels, c.blurs_per_octave, c.blur_sigma, c.blur_size)
        terms = zip(LEVELS, weights, gaps, strict=False)
        return {name: weight * gap.abs().mean() for name, weight, gap in terms if weight > 0}

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Nothing random."""
        return translated(self.generator, he, self.config.test_mode)
