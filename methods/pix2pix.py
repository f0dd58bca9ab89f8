"""Pix2Pix: conditional adversarial translation of aligned pairs (Isola et al., CVPR 2017).

A U-Net G and a patch discriminator D that sees the H&E beside the image it judges. The L1 term holds the output to the
real IHC pixel by pixel, which on adjacent sections pulls towards an average of what may lie there.

    L_D = ½ [ BCE(D(he, ihc), 1) + BCE(D(he, G(he)), 0) ]
    L_G = BCE(D(he, G(he)), 1) + λ |G(he) − ihc|₁
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.losses.adversarial import cross_entropy
from vsbench.method import Batch, Card, Layers, Method, MethodConfig, Phase, Share, Weight, Width
from vsbench.nn import PatchDiscriminator, UNetGenerator

from ._optimizers import adams


class Config(MethodConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    width: Width = 64
    downs: int = Field(default=8, ge=2, le=9)  # halvings of the U-Net: 8 bring 256 pixels to 1
    dropout: Share = 0.5
    discriminator_layers: Layers = 3
    lambda_adversarial: Weight = 1.0
    lambda_l1: Weight = 100.0
    test_mode: Literal["image_statistics", "running_statistics"] = "image_statistics"


class Pix2Pix(Method[Config]):
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
        "cpu": {
            "width": 16, "downs": 5, "batch_size": 2, "load_size": 0, "crop_size": 128, "steps": 2000, "lr": 1e-3,
        },
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = UNetGenerator(config.width, config.downs, config.dropout)
        self.discriminator = PatchDiscriminator(
            config.width, config.discriminator_layers, channels=6, norm="batch", antialias=False, init="normal"
        )

    @property
    def size_multiple(self) -> int:
        """2^downs: the bottleneck needs a whole number of pixels."""
        return self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for each network."""
        return adams(self.config, discriminator=(self.discriminator,), generator=(self.generator,))

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on (he, ihc) and (he, fake); then G."""
        c, he, ihc = self.config, batch.he, batch.ihc
        fake = self.generator(he)

        if c.lambda_adversarial > 0:
            # real and fake pass one after the other: batch norm would mix their statistics in a common batch
            yield Phase(
                drives=("discriminator",),
                losses={
                    "d_real": 0.5 * cross_entropy(self.judge(he, ihc), real=True),
                    "d_fake": 0.5 * cross_entropy(self.judge(he, fake.detach()), real=False),
                },
            )

        losses = {}
        if c.lambda_adversarial > 0:
            losses["g_adversarial"] = c.lambda_adversarial * cross_entropy(self.judge(he, fake), real=True)
        if c.lambda_l1 > 0:
            losses["g_l1"] = c.lambda_l1 * (fake - ihc).abs().mean()
        yield Phase(drives=("generator",), losses=losses)

    def judge(self, he: Tensor, image: Tensor) -> Tensor:
        """Scores of an image (generated or real) given its H&E, H&E first."""
        return self.discriminator(torch.cat([he, image], dim=1))

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same; each image with its own statistics, as at the published batch of 1."""
        if self.config.test_mode == "running_statistics":
            return self.generator(he)
        with _image_statistics(self.generator):
            return torch.cat([self.generator(image[None]) for image in he])


@contextmanager
def _image_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm on the statistics of what passes through, running statistics untouched; dropout stays off."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(m.training, m.track_running_stats, m.running_mean, m.running_var) for m in norms]
    for norm in norms:
        norm.training, norm.track_running_stats, norm.running_mean, norm.running_var = True, False, None, None
    try:
        yield
    finally:
        for norm, (training, track, mean, var) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats, norm.running_mean, norm.running_var = training, track, mean, var
