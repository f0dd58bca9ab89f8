"""TDKStain: what a pathologist looks for, taught beside the translation (Peng et al., MICCAI 2024).

A conditional adversarial translation G of pairs, with two tasks of its own:

- the membrane branch: of the H&E where the IHC holds DAB (mask m), G makes the IHC's DAB alone;
- the nuclei: an estimator E reads a map n of how dense the nuclei lie from the features of G's own encoder. It learns
  this from the real IHC; then G must make an IHC from which it reads the map of the real one.

    L_E = λ_e mean (E(enc(ihc)) − n)²
    L_D = ½ Σ_k [ mean (D_k(he, ihc) − 1)² + mean D_k(he, G(he))² ]     D_k: of the image, its half and its quarter
    L_G = Σ_k mean (D_k(he, G(he)) − 1)² + λ |G(he) − ihc|₁ + λ_m |G(m · he) − dab|₁
          + λ_n mean (E(enc(G(he))) − n)²

enc is G's encoder, which learns from the last term too; m, dab and n are made of the IHC tile (``tile_maps``).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.method import (
    Batch,
    Blur,
    Card,
    DecayEpochs,
    Epochs,
    Layers,
    LoadSize,
    OddWindow,
    Phase,
    Side,
    TileMaps,
    Weight,
    Whole,
    Width,
)
from vsbench.nn import MultiscaleDiscriminator, ResnetGenerator, TiledConvolution, initialise
from vsbench.nn.norm import InstanceNorm
from vsbench.nn.resnet import ResidualBlock
from vsbench.stain.hed import dab_alone, softened, stained_mask, unmixed
from vsbench.stain.nuclei_map import density_map, distance_peaks, haematoxylin_mask

from ._conditional import Conditional, ConditionalConfig
from ._optimizers import adams
from ._tiles import SMALL


class Config(ConditionalConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    epochs: Epochs = 50
    decay_epochs: DecayEpochs = 50
    load_size: LoadSize = 1024
    crop_size: Side = 1024
    blocks: Layers = 9
    downsamplings: int = Field(default=3, ge=1, le=5)
    discriminators: Layers = 3  # of the image, its half, its quarter
    estimator_width: Width = 128
    estimator_blocks: Whole = 4
    lambda_l1: Weight = 10.0
    lambda_membrane: Weight = 10.0
    lambda_estimator: Weight = 10.0  # 0 leaves E out, and the nuclei term with it: G needs no map of nuclei then
    lambda_nuclei: Weight = 10.0
    # what is made of an IHC tile; lengths in its pixels
    dab_threshold: float = Field(default=0.15, ge=0, le=1)  # saturation of the DAB picture
    mask_blur: Blur = 3.0
    nuclei_source: Literal["files", "distance_peaks", "none"] = "files"  # none: as lambda_estimator 0
    nuclei_folder: str = "nuclei"  # with files: 8-bit grey maps, each under its tile's id
    nuclei_sigma: Blur = 11.0
    nuclei_diameter: OddWindow = 17  # windows of distance_peaks, odd: in the mask of haematoxylin,
    cell_diameter: OddWindow = 31  # and in that of DAB

    @property
    def nuclei(self) -> Literal["files", "distance_peaks", "none"]:
        """Where maps of nuclei come from, as the weights need them; none: there is no E."""
        return self.nuclei_source if self.lambda_estimator > 0 else "none"


CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "downsamplings": 2, "discriminator_layers": 2, "discriminators": 2,
    "estimator_width": 16, "estimator_blocks": 1, "load_size": 0, "crop_size": 64, "batch_size": 2,
    "steps": 1500, "lr": 1e-3, "lambda_l1": 2.0, "nuclei_source": "distance_peaks",
}  # fmt: skip


class TDKStain(Conditional[Config]):
    """ResNet-9 with three halvings, PatchGANs at three scales, an estimator of nuclei on G's encoder."""

    card = Card(
        title="TDKStain",
        citation="Peng et al. Advancing H&E-to-IHC Virtual Staining with Task-Specific Domain Knowledge for HER2 "
        "Scoring. MICCAI 2024",
        origin="https://github.com/balball/TDKstain",
        licence="AGPL-3.0",
        pairing="paired",
        losses=("e_nuclei", "d_real", "d_fake", "g_adversarial", "g_l1", "g_membrane", "g_nuclei"),
        parameters={"generator": 45_593_347, "discriminator": 8_303_427, "estimator": 6_806_785},
        deviations=(
            "nuclei_source=files needs maps made elsewhere, as published by Cellpose 2.2.3 on the masks of "
            "vsbench.stain.nuclei_map; the variant label_free makes them by distance_peaks, which is not calibrated "
            "against Cellpose, and the variant no_nuclei does without",
            "the soft mask is a rounded Gaussian, OpenCV's in fixed point: at most one grey level apart",
            "masks and maps are made of the tile as it is loaded, before crop and mirror, not kept in folders of their "
            "own; a tile without nuclei has a map of 0 throughout, officially 0/0",
            "the learning rate falls from the end of the constant phase on; the official loop steps its scheduler "
            "one epoch early and trains the last epoch at rate 0",
        ),
        compute="not stated; the derived maps take half a second of one core per 1024² tile, once with --cache-tiles",
    )
    variants = {"label_free": {"nuclei_source": "distance_peaks"}, "no_nuclei": {"lambda_estimator": 0.0}}
    presets = {
        "mist": {},  # the published settings are for whole tiles of 1024²
        # At its published weight L1 holds the stain back for longer than a run of this length lasts.
        "cpu": CPU,
        "small": CPU | SMALL | {"average": 0.0},
    }  # fmt: skip

    generator: ResnetGenerator

    def __init__(self, config: Config) -> None:
        c = config
        generator = ResnetGenerator(c.width, c.blocks, antialias=False, init="normal", downs=c.downsamplings)
        discriminator = MultiscaleDiscriminator(c.discriminators, c.width, c.discriminator_layers, channels=6)
        super().__init__(config, generator, discriminator, over_scales)
        self.taps = tuple(6 + 3 * depth for depth in range(c.downsamplings))  # after the ReLU of each halving
        if c.nuclei != "none":
            widths = generator.channels(self.taps)
            self.estimator = DensityEstimator(sum(widths), c.estimator_width, c.estimator_blocks)

    def maps(self) -> TileMaps | None:
        """Mask, DAB picture and map of nuclei, in this order; None where no term wants them."""
        c = self.config
        if c.nuclei == "none" and c.lambda_membrane == 0:
            return None
        settings = [c.dab_threshold, c.mask_blur, c.nuclei, c.nuclei_sigma, c.nuclei_diameter, c.cell_diameter]
        return TileMaps(
            channels=4 if c.nuclei == "none" else 5,
            key=f"tdkstain 1 {settings}",
            make=partial(tile_maps, c),
            folder=c.nuclei_folder if c.nuclei == "files" else "",
            mend="make them elsewhere and set nuclei_folder, or take --variant label_free, which needs none",
        )

    @property
    def size_multiple(self) -> int:
        """Three halvings, and two positions at the innermost, whose borders are reflected."""
        return 2 * self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for each network."""
        own = adams(self.config, estimator=(self.estimator,)) if self.config.nuclei != "none" else {}
        return own | super().optimizers()

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """E on the real IHC; D; then G, judged by both."""
        if self.config.nuclei != "none":
            with torch.no_grad():
                features = self.generator.features(batch.ihc, self.taps)
            loss = self.config.lambda_estimator * self.nuclei_gap(features, batch)
            yield Phase(drives=("estimator",), losses={"e_nuclei": loss})
        yield from super().training_step(batch)

    def terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """L1, the membrane branch, and the nuclei that E reads from G's features of its own image."""
        c, losses = self.config, {}
        if c.lambda_l1 > 0:
            losses["g_l1"] = c.lambda_l1 * (fake - batch.ihc).abs().mean()
        if c.lambda_membrane > 0:
            mask, dab, _ = parts(batch)
            losses["g_membrane"] = c.lambda_membrane * (self.generator(mask * batch.he) - dab).abs().mean()
        if c.nuclei != "none" and c.lambda_nuclei > 0:
            losses["g_nuclei"] = c.lambda_nuclei * self.nuclei_gap(self.generator.features(fake, self.taps), batch)
        return losses

    def nuclei_gap(self, features: Sequence[Tensor], batch: Batch) -> Tensor:
        """Mean squared difference between E's map, enlarged, and that of the tile."""
        *_, nuclei = parts(batch)
        return (resized(self.estimator(features), nuclei) - nuclei).square().mean()

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 2^downsamplings. Nothing random."""
        return self.generator(he)


def parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Soft mask (B, 1, H, W) in [0, 1], DAB picture (B, 3, H, W) in [−1, 1] and map of nuclei in [0, 1] of a batch."""
    assert batch.maps is not None
    return batch.maps[:, :1], 2 * batch.maps[:, 1:4] - 1, batch.maps[:, 4:]


class DensityEstimator(nn.Module):
    """Features (B, C_l, H_l, W_l) of layers, the largest first → (B, 1, H_0, W_0) in [0, 1]: how dense nuclei lie."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels, width, 7, padding=3), InstanceNorm(width), nn.ReLU(),
            *(ResidualBlock(width) for _ in range(blocks)),
            TiledConvolution(width, 1, 7, padding=3), nn.Sigmoid(),
        )  # fmt: skip
        initialise(self, "normal")

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The map, at the size of the first layer."""
        return self.model(torch.cat([resized(layer, features[0]) for layer in features], dim=1))


def resized(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) → (B, C, H, W) of ``like``: linear between the middles of the outermost pixels."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def over_scales(scores: Sequence[Tensor], real: bool) -> Tensor:
    """Least squares: the mean of each scale's scores, summed over the scales."""
    return torch.stack([least_squares(part, real) for part in scores]).sum()


def tile_maps(config: Config, ihc: NDArray[np.uint8], nuclei: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """IHC tile (H, W, 3) → (H, W, 5): soft mask of DAB, DAB picture in RGB, map of nuclei (the given one, if any).

    Without a source of nuclei the last is left out.
    """
    c, densities = config, unmixed(ihc)
    dab = dab_alone(densities[..., 2])
    mask = softened(stained_mask(dab, c.dab_threshold), c.mask_blur)
    layers = [np.rint(255 * mask)[..., None], 255 * dab]
    if c.nuclei == "distance_peaks":
        points = [
            distance_peaks(haematoxylin_mask(densities[..., 0]), c.nuclei_diameter),
            distance_peaks(255 * mask > 127, c.cell_diameter),  # a stained cell may count twice
        ]
        nuclei = density_map(np.concatenate(points), ihc.shape[:2], c.nuclei_sigma)
    if nuclei is not None:
        layers.append(nuclei[..., None])
    return np.concatenate(layers, axis=2).astype(np.uint8)
