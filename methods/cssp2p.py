"""CSSP2P-GAN: fidelity by contrast, structure and a pyramid of pairs (Teixeira et al., DGM4MICCAI 2025).

A U-Net on a ResNet50 for G, which may begin with ImageNet's weights; a conditional PatchGAN D, H&E second; and

- CSS: in Gaussian windows the generated IHC must have contrast and structure of the *H&E*, whatever its brightness;
- P2P: L1 to the real IHC on four scales, of which the released code lets the first alone teach.

    L_D = ½ [ BCE(D(ihc, he), 1) + BCE(D(G(he), he), 0) ]
    L_G = λ BCE(D(G(he), he), 1) + λ_css · −ln ½ (s + 1) + λ_p2p mean_l |P_l(G(he)) − P_l(ihc)|₁

s = mean (2 cov + c) / (var + var + c) of G(he) in [0, 1] and the H&E as G sees it, normalised as ImageNet's images.
P_l+1 is P_l blurred four times, in means of 3 × 3 pixels at every second one.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from vsbench.losses.adversarial import cross_entropy
from vsbench.losses.pyramid import pooled_octaves
from vsbench.losses.structure import contrast_structure_gap
from vsbench.method import (
    Batch,
    Blur,
    Card,
    Changes,
    Count,
    DecayEpochs,
    Epochs,
    Layers,
    LoadSize,
    Method,
    MethodConfig,
    Phase,
    Place,
    Positive,
    Rate,
    Side,
    Suite,
    SuiteRow,
    Weight,
    Width,
)
from vsbench.nn import PatchDiscriminator, ResnetUNet, advance_spectral_norm
from vsbench.nn.vgg import as_imagenet, from_imagenet

from ._tiles import MIST, SMALL

RESNET50 = (64, (3, 4, 6, 3))  # width and bottlenecks of the files
IMAGENET = {"imagenet-v2": "resnet50-imagenet1k-v2", "imagenet-v1": "resnet50-imagenet1k-v1"}


class Config(MethodConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    batch_size: Count = 8
    epochs: Epochs = 200
    decay_epochs: DecayEpochs = 0
    lr: Rate = 5e-5
    lr_gamma: float = Field(0.995, ge=1e-6, le=1)  # by which the learning rate falls with each epoch
    weight_decay: float = Field(1e-5, ge=0, le=1)
    load_size: LoadSize = 0
    crop_size: Side = 512
    flip_vertical: bool = True
    width: Width = 64
    layers: tuple[Layers, Layers, Layers, Layers] = RESNET50[1]  # bottlenecks in the encoder's stages
    encoder_weights: Literal["imagenet-v2", "imagenet-v1", "none"] = "imagenet-v2"  # with which the encoder begins
    discriminator_width: Width = 64
    discriminator_layers: Layers = 4
    condition: bool = True  # False: D does not see the H&E
    blur_gain: Positive = 1 / 16  # sum of D's blurring kernels; 1 elsewhere
    power_iterations: Literal["step", "pass"] = "step"  # pass: in each of D's three passes, as released
    lambda_adversarial: Weight = 1.0
    lambda_css: Weight = 1.0
    css_reference: Literal["normalised", "rgb"] = "normalised"  # the H&E as G sees it, or in [0, 1] as the fake
    css_k: Positive = 0.03
    css_sigma: Blur = 1.5
    lambda_p2p: Weight = 1.0
    levels: int = Field(4, ge=1, le=8)
    pyramid_gradient: Literal["first", "all"] = "first"  # first: of the images alone, as released


# At its published weight L1, a quarter of whose gradient remains in [0, 1], moves nothing in a training of this length.
CPU: dict[str, Any] = {
    "width": 16, "layers": (1, 1, 1, 1), "encoder_weights": "none", "discriminator_width": 16,
    "discriminator_layers": 3, "batch_size": 1, "crop_size": 128, "steps": 1200, "lr": 2e-3, "average": 0.99,
    "lambda_p2p": 25.0,
}  # fmt: skip


class CSSP2P(Method[Config]):
    """U-Net on ResNet50 with instance norm, spectrally normalised conditional PatchGAN, CSS, L1 at four scales."""

    card = Card(
        title="CSSP2P-GAN",
        citation="Teixeira et al. Leveraging Adversarial Learning for Pathological Fidelity in Virtual Staining. "
        "DGM4MICCAI 2025",
        origin="https://github.com/Jose-Miguel-Teixeira/CSSP2P-GAN",
        licence="Apache-2.0",
        pairing="paired",
        losses=("d_real", "d_fake", "g_adversarial", "g_css", "g_p2p"),
        parameters={"generator": 64_975_619, "discriminator": 6_964_033},
        deviations=(
            "of the paper the abstract alone was at hand: all is from the released code",
            "variant from_scratch, and presets cpu and small: the encoder begins with random weights, not ImageNet's",
            "pyramid_gradient=first, as released: the coarser levels shift the reported value and teach nothing; "
            "whether the paper means that is not known (all: they teach)",
            "in training the power iteration advances once a step; variant released: in each of D's three passes",
            "CSS is computed in single precision: the official code's bf16 shifts it by a tenth",
            "translation is of the whole image, without loss; the official one writes JPEG of the first 100 tiles",
            "an epoch's incomplete last batch is left out; officially it is kept",
            "the last checkpoint stands for a run; the official code keeps three, and which one the paper used is open",
            "G's unused classifier is not built",
        ),
        compute="an A100 with 40 GB; no times given (official README)",
    )
    variants = {"released": {"power_iterations": "pass"}, "from_scratch": {"encoder_weights": "none"}}
    suites = {
        "terms": Suite(
            "Terms of the loss, as the official sister configurations have them",
            (
                SuiteRow("css-p2p", {}, "not in the paper's abstract; configuration CSSP2PGAN"),
                SuiteRow("p2p", {"lambda_css": 0.0}, "configuration P2P GAN"),
                SuiteRow("cbce", {"lambda_css": 0.0, "lambda_p2p": 0.0}, "configuration cBCE GAN"),
                SuiteRow("bce", {"lambda_css": 0.0, "lambda_p2p": 0.0, "condition": False}, "configuration BCE GAN"),
            ),
        ),
    }
    presets = {"mist": {**MIST, "batch_size": 2, "lr_gamma": 1.0}, "cpu": CPU, "small": CPU | SMALL}
    official_unused = (r"^(?!(\w+\.)*(encoder\.model|decoder\.layers)\.)", r"encoder\.model\.fc\.")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = config
        self.generator = ResnetUNet(c.width, c.layers)
        self.discriminator = PatchDiscriminator(
            c.discriminator_width, c.discriminator_layers, channels=6 if c.condition else 3, norm="batch",
            spectral=True, init=None, blur_gain=c.blur_gain,
        )  # fmt: skip

    @property
    def size_multiple(self) -> int:
        """Four halvings, and two positions at the innermost, whose instance norm needs more than one."""
        return 2 * self.generator.size_multiple

    def started(self) -> dict[str, nn.Module]:
        """The encoder, where it begins with ImageNet's weights."""
        c = self.config
        if c.encoder_weights == "none":
            return {}
        if (c.width, c.layers) != RESNET50:
            raise ValueError(
                f"encoder_weights={c.encoder_weights} are of width {RESNET50[0]} and layers {RESNET50[1]}; "
                "set encoder_weights=none for others"
            )
        return {IMAGENET[c.encoder_weights]: self.generator.encoder}

    def changes(self) -> Changes:
        """Mirrored top to bottom, too."""
        return Changes(flip_vertical=self.config.flip_vertical)

    def rate_factor(self, place: Place) -> float:
        """Exponential: ``lr_gamma`` for each epoch that is over; in a training of steps, as much in all."""
        c = self.config
        return c.lr_gamma ** ((c.epochs + c.decay_epochs) * place.before)

    def optimizers(self) -> dict[str, Optimizer]:
        """One AdamW for each network."""
        c, networks = self.config, {"discriminator": self.discriminator, "generator": self.generator}
        return {
            name: AdamW(network.parameters(), c.lr, c.betas, weight_decay=c.weight_decay, fused=True)
            for name, network in networks.items()
        }

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on fake and ihc, one after the other, since batch norm would mix their statistics; then G."""
        c, he, ihc, losses = self.config, as_imagenet(batch.he), (batch.ihc + 1) / 2, {}
        fake = self.generator(he)
        if c.lambda_adversarial > 0:
            if c.power_iterations == "step":
                advance_spectral_norm(self.discriminator)
            of_fake, of_real = self.judge(fake.detach(), he), self.judge(ihc, he)
            d_losses = {"d_real": 0.5 * cross_entropy(of_real, True), "d_fake": 0.5 * cross_entropy(of_fake, False)}
            yield Phase(drives=("discriminator",), losses=d_losses)
            losses["g_adversarial"] = c.lambda_adversarial * cross_entropy(self.judge(fake, he), True)
        yield Phase(drives=("generator",), losses=losses | self.terms(fake, ihc, he))

    def judge(self, image: Tensor, he: Tensor) -> Tensor:
        """D's logits of an image in [0, 1] and its H&E as G sees it."""
        if self.config.power_iterations == "pass":
            advance_spectral_norm(self.discriminator)
        return self.discriminator(torch.cat([image, he], dim=1) if self.config.condition else image)

    def terms(self, fake: Tensor, ihc: Tensor, he: Tensor) -> dict[str, Tensor]:
        """CSS of the fake and the H&E; P2P of the fake and the real IHC, both in [0, 1]."""
        c, losses = self.config, {}
        if c.lambda_css > 0:
            losses["g_css"] = c.lambda_css * contrast_structure_gap(fake, self.reference(he), c.css_k, c.css_sigma)
        if c.lambda_p2p > 0:
            losses["g_p2p"] = c.lambda_p2p * self.pyramid_gaps(fake, ihc).mean()
        return losses

    def reference(self, he: Tensor) -> Tensor:
        """What CSS compares with: the H&E as G sees it, or in [0, 1]."""
        return he if self.config.css_reference == "normalised" else from_imagenet(he)

    def pyramid_gaps(self, fake: Tensor, ihc: Tensor) -> Tensor:
        """(levels,) the L1 means of each scale."""
        difference = fake - ihc
        _, *coarser = pooled_octaves(difference, self.config.levels)
        if self.config.pyramid_gradient == "first":
            coarser = [level.detach() for level in coarser]
        return torch.stack([level.abs().mean() for level in (difference, *coarser)])

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of ``size_multiple``. Nothing random."""
        return 2 * self.generator(as_imagenet(he)) - 1
