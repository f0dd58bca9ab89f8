"""PSPStain: the semantics of stain kept, by its amount and by prototypes of its pixels (Chen et al., MICCAI 2024).

ASP's generator G, discriminator D, PatchNCE against the H&E and Gaussian pyramid, and of the real IHC of the pair:

- MLPA: as much DAB, in the whole image, in each band of density, and in each of 4 × 4 blocks;
- CTPC: in the features of a frozen segmentation network the pixels of one image must be told, stained or not, by the
  prototypes of the other image;
- MS-SSIM.

    L_D = ½ [ (D(ihc) − 1)² + D(G(he))² ]
    L_G = (D(G(he)) − 1)² + λ_nce NCE(G(he), he) + λ_gp L_GP + λ_ssim 5 (1 − MS-SSIM(G(he), ihc))
          + λ_mlpa L_MLPA + λ_ctpc L_CTPC
    L_MLPA = Σ_images [a > 0.4] (mean O(G(he)) − mean O(ihc))² + mean Σ_bands ((s_fake − s_real) / N)²
             + mean over images and blocks of the squared difference of their mean O
    L_CTPC = Σ_pairs CE(softmax_c cos(x, prototype_c of the other image), stained)

O is the focal optical density of DAB, 0 below a threshold; a its relative difference; stained: where O is high.
"""

import math
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vsbench.losses.pyramid import require_levels, weighted_gap
from vsbench.losses.stain import focal_calibration, focal_optical_density
from vsbench.losses.structure import WEIGHTS, least_side, ms_ssim
from vsbench.method import Card, Changes, Count, DecayEpochs, DecayPhase, Epochs, LoadSize, Rate, Share, Weight
from vsbench.nn import SegmentationUNet
from vsbench.precision import full_precision
from vsbench.ranks import ranks

from ._contrastive import Seen
from ._spectral import SpectralConfig, SpectralContrastive
from ._tiles import PHANTOM, SMALL

BANDS, BLOCKS = 20, 4  # of density, from 0 to e; and blocks along either side
HALVINGS = 4  # of the segmentation network
SSIM_SCALE = 5.0  # in the released loss, before its weight
LEAST = 1e-5  # beside the mass of a prototype


class Config(SpectralConfig):
    """The launcher's values. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    batch_size: Count = 4
    epochs: Epochs = 80
    decay_epochs: DecayEpochs = 0
    decay_phase: DecayPhase = "shrink"
    load_size: LoadSize = 1024
    lr: Rate = 1e-4
    lr_discriminator: Rate = 5e-6
    jitter: tuple[Share, Share, Share] = (0.3, 0.3, 0.2)  # of the H&E's brightness, contrast, saturation, in training
    lambda_identity: Weight = 0.0  # the official code has no such term
    lambda_gp: Weight = 10.0
    gp_weights: tuple[Weight, ...] = Field((1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0), min_length=1)  # ω, as ASP's
    lambda_ssim: Weight = 0.05
    ssim_weights: tuple[Share, ...] = Field(WEIGHTS, min_length=1)  # of as many scales, from the finest
    lambda_mlpa: Weight = 1.0
    mlpa_tolerance: float = Field(0.4, ge=0, le=1000)  # relative difference of an image's O that costs nothing
    density_sum_threshold: Weight = 0.15  # below it O is 0, but in the bands
    lambda_ctpc: Weight = 2.5
    mask_threshold: Weight = 0.68  # O from which on a pixel is stained
    segmenter: str = Field("pspstain-segmenter", pattern=r"^\w[\w.+-]*$", max_length=100)  # weights of the user's own
    segmenter_mode: Literal["train", "eval"] = "train"  # train: the pair's own statistics, and dropout, as released
    density_input: Literal["signed", "intensity"] = (
        "signed"  # signed: the network's [−1, 1] for intensities, as released
    )
    alpha: float = Field(default=1.8, ge=1, le=100)

    @model_validator(mode="after")
    def _crop_is_large_enough(self) -> "Config":
        if self.lambda_gp > 0:
            require_levels(self.crop_size, len(self.gp_weights), "gp_weights")
        if self.lambda_ssim > 0 and self.crop_size < least_side(len(self.ssim_weights)):
            raise ValueError(
                f"crop_size {self.crop_size} is too small for the {len(self.ssim_weights)} scales of ssim_weights"
            )
        if self.lambda_ctpc > 0 and self.crop_size % 2**HALVINGS:
            raise ValueError(f"crop_size {self.crop_size} is no multiple of {2**HALVINGS}, as lambda_ctpc needs it")
        return self


# The published D learns at a twentieth of G's rate, for a hundred thousand steps; and no segmenter of the phantom is
# published.
CPU: dict[str, Any] = PHANTOM | {
    "batch_size": 1, "discriminator_width": 16, "discriminator_layers": 3, "spectral_generator": False,
    "spectral_discriminator": False, "lr_discriminator": 1e-3, "gp_weights": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
    "ssim_weights": (0.5, 0.5), "lambda_ctpc": 0.0,
}  # fmt: skip


class PSPStain(SpectralContrastive[Config]):
    """ASP's networks without its weighted term; amounts of DAB, prototypes of a frozen U-Net, MS-SSIM."""

    card = Card(
        title="PSPStain",
        citation="Chen et al. Pathological Semantics-Preserving Learning for H&E-to-IHC Virtual Staining. MICCAI 2024",
        origin="https://github.com/ccitachi/PSPStain",
        licence="BSD-2-Clause",
        pairing="weak",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity", "g_gp", "g_ssim", "g_mlpa", "g_ctpc"),
        parameters={"generator": 7_837_699, "discriminator": 2_791_905, "heads": 560_384},
        deviations=(
            "of the paper the abstract alone was at hand: all is from the released code",
            "the segmenter is the file of yours that is called so (vsbench weights add --own pspstain-segmenter=FILE): "
            "BCI_unet_seg.pth or MIST_unet_seg.pth of the official repository, or one that you trained; without one, "
            "variant no_segmenter and the presets cpu and small, which lack L_CTPC",
            "the official test leaves the colour jitter on, unseeded, so that one tile gives another image each time; "
            "here no colours change in translation",
            "released, iterate_in_translation: the power iteration of the spectral norm goes on in the official test, "
            "so an image depends on how many came before; here each is translated as the first of them",
            "in training the power iteration advances once a step; officially in each pass",
            "L_CTPC and the first part of L_MLPA are sums over the batch, as released: at other batch sizes, or with "
            "--accumulate, they weigh otherwise against the means",
            "pairs are found by name; officially by their place in two sorted lists, where one missing file shifts all",
            "the PatchNCE heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of the H&E are those of the pass that translated it: same weights, one pass fewer",
        ),
        compute="not stated in what was at hand",
    )
    variants = {"released": {"iterate_in_translation": True}, "no_segmenter": {"lambda_ctpc": 0.0}}
    presets = {
        "mist": {},
        "cpu": CPU,
        "small": CPU | SMALL,
    }  # the defaults are for MIST: crops of 512 from tiles of 1024

    def pretrained(self) -> dict[str, nn.Module]:
        """The segmentation network, where there is one."""
        return {self.config.segmenter: SegmentationUNet()} if self.config.lambda_ctpc > 0 else {}

    def equip(self, load: Any) -> None:
        """The segmentation network, which stays in training mode as released: it learns nothing all the same."""
        super().equip(load)
        for network in self.frozen.values():
            network.train(self.config.segmenter_mode == "train")

    def changes(self) -> Changes:
        """Other colours for the H&E alone."""
        return Changes(he_colours=self.config.jitter)

    def optimizers(self) -> dict[str, Optimizer]:
        """The family's two, of which D's has a learning rate of its own."""
        found, c = super().optimizers(), self.config
        for group in found["discriminator"].param_groups:
            group |= {"lr": c.lr_discriminator, "rate_share": c.lr_discriminator / c.lr}
        return found

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """PatchNCE against the H&E; pyramid, MS-SSIM, MLPA and CTPC against the real IHC."""
        c, losses = self.config, self.contrast(seen, halved=False)
        if c.lambda_gp > 0:
            losses["g_gp"] = c.lambda_gp * weighted_gap(seen.ihc, seen.fake, c.gp_weights)
        if c.lambda_ssim > 0:
            similarity = ms_ssim((seen.fake + 1) / 2, (seen.ihc + 1) / 2, c.ssim_weights)
            losses["g_ssim"] = c.lambda_ssim * SSIM_SCALE * (1 - similarity)
        if c.lambda_mlpa > 0 or c.lambda_ctpc > 0:
            dtype = torch.promote_types(seen.fake.dtype, torch.float32)  # never in half precision
            with full_precision(seen.fake):
                real, fake = (image.to(dtype) for image in (seen.ihc, seen.fake))
                densities = self.density(real), self.density(fake)
                if c.lambda_mlpa > 0:
                    losses["g_mlpa"] = c.lambda_mlpa * self.awareness(*densities)
                if c.lambda_ctpc > 0:
                    masks = [density.detach() >= c.mask_threshold for density in densities]
                    losses["g_ctpc"] = c.lambda_ctpc * ranks() * self.consistency((real, fake), masks).sum()
        return losses

    def density(self, image: Tensor) -> Tensor:
        """O before its threshold, (B, H, W) from 0 to e, of images in [−1, 1]."""
        c = self.config
        intensity = (image + 1) / 2 if c.density_input == "intensity" else image
        return focal_optical_density(intensity, c.alpha, focal_calibration(c.alpha))

    def awareness(self, real: Tensor, fake: Tensor) -> Tensor:
        """L_MLPA of densities (B, H, W) of real and generated images."""
        outside, gaps = self.average_gaps(real, fake)
        bands = (by_band(fake) - by_band(real)) / real[0].numel()
        blocks = self.by_block(fake) - self.by_block(real)
        # the first is a sum over the batch: the mean of all ranks' gradients would divide it by their number
        return ranks() * (gaps * outside).sum() + bands.square().sum(dim=1).mean() + blocks.square().mean()

    def average_gaps(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) whether an image's O is too far from the real one's, and the squared difference of their means."""
        own, wanted = (self.thresholded(density).flatten(1).sum(dim=1) for density in (fake, real))
        outside = (own - wanted).abs() > self.config.mlpa_tolerance * wanted
        return outside, ((own - wanted) / real[0].numel()).square()

    def by_block(self, density: Tensor) -> Tensor:
        """(B, 4, 4): the sum of O in each block, over a sixteenth of all pixels; a remainder of the sides left out."""
        height, width = (side // BLOCKS for side in density.shape[1:])
        means = F.avg_pool2d(self.thresholded(density)[:, None], (height, width))[:, 0, :BLOCKS, :BLOCKS]
        return means * (height * width * BLOCKS**2 / density[0].numel())

    def thresholded(self, density: Tensor) -> Tensor:
        """O: 0 where it is weak."""
        return density * (density >= self.config.density_sum_threshold)

    def consistency(self, images: tuple[Tensor, Tensor], masks: list[Tensor]) -> Tensor:
        """L_CTPC of each pair, (B,): real and generated images in [−1, 1], and where each is stained (B, H, W)."""
        (network,) = self.frozen.values()
        real, fake = images
        features, logits = network(torch.stack([fake, real], dim=1).flatten(0, 1))  # a pair's two follow each other
        crossed = by_the_other(features, logits)
        targets = torch.stack([masks[1], masks[0]], dim=1).flatten(0, 1).long()
        # the probabilities in the place of logits, as released
        return F.cross_entropy(crossed, targets, reduction="none").unflatten(0, (-1, 2)).mean(dim=(1, 2, 3))


def by_band(density: Tensor) -> Tensor:
    """(B, H, W) from 0 to e → (B, 20): the sum of the density in each of as many bands; its gradient is of these."""
    bands = (density.detach() / (math.e / BANDS)).clamp(0, BANDS - 1).trunc()
    return torch.stack([(density * (bands == band)).flatten(1).sum(dim=1) for band in range(BANDS)], dim=1)


def prototypes(features: Tensor, logits: Tensor) -> Tensor:
    """(B, C, H, W) and logits of K classes (B, K, H, W) → (B, K, C): mean features weighted by each probability."""
    shares = logits.softmax(dim=1).flatten(2)
    return shares @ features.flatten(2).mT / (shares.sum(dim=2, keepdim=True) + LEAST)


def by_the_other(features: Tensor, logits: Tensor) -> Tensor:
    """Probabilities (2B, K, H, W) of each pixel by its cosines with the prototypes of the pair's other image."""
    others = prototypes(features, logits).unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return F.cosine_similarity(features[:, None], others[..., None, None], dim=2).softmax(dim=1)
