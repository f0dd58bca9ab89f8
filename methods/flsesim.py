"""F-LSeSim: the spatially-correlative loss (Zheng et al., CVPR 2021).

CUT's generator G and discriminator D, CycleGAN's least squares and image pool, and a loss that lets colours change and
holds structure: where two places of the H&E resemble each other in the features of VGG16, so must the same two places
of G(he). S(x) are such self-similarities: rows of some positions against all positions, or those of a window.

    L_D = ½ [ (D(ihc) − 1)² + D(fake from the pool)² ]
    L_G = (D(G(he)) − 1)² + λ · mean over layers of smooth L1( 1, cos(S(he), S(G(he))) )

The default is the fixed loss (FSeSim). The variant ``learned`` (LSeSim) looks at projections F of the features, which
learn, image by image, that S(he) is S(G(he)) rather than S(ihc), and S of he with other colours too:

    L_F = − mean log softmax( [S(src)·S(tgt), S(src)·S(other), S(tgt)·S(other)] / T ) at the same position
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.losses.similarity import Similarity, contrast_of_rows, self_similarity, spatial_gap
from vsbench.method import (
    Batch,
    Card,
    Count,
    DecayEpochs,
    Epochs,
    Layers,
    Loader,
    Method,
    MethodConfig,
    Phase,
    Positive,
    Rate,
    SeedSetting,
    Weight,
    Whole,
    Width,
)
from vsbench.nn import ImagePool, PatchDiscriminator, ResnetGenerator, VGGFeatures, initialise, kept_images
from vsbench.nn.vgg import as_imagenet, random_features

from ._colour_jitter import colour_jitter
from ._optimizers import adams
from ._tiles import SMALL

IMAGENET, RANDOM = "vgg16-imagenet1k-v1", "vgg16-random"  # the names of the frozen network
JITTER = (0.5, 0.5, 0.5, 0.3)  # brightness, contrast, saturation, hue


class Config(MethodConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    epochs: Epochs = 200
    decay_epochs: DecayEpochs = 200
    lr: Rate = 1e-4
    loader: Loader = "unaligned"
    width: Width = 64
    blocks: Layers = 9
    discriminator_layers: Layers = 3
    pool_size: Whole = 50  # earlier fakes that the discriminator may see again; 0: only the current ones
    features: Literal["imagenet", "random"] = "imagenet"  # kernels of VGG16: published, or drawn by features_seed
    features_seed: SeedSetting = 0
    taps: tuple[Whole, ...] = (11, 18, 22)  # ReLUs of VGG16 by their number: relu3_1, relu4_1, relu4_3
    similarity: Similarity = "dot"
    loss_mode: Literal["cos", "l1"] = "cos"
    patch_size: int = Field(default=64, ge=2, le=16_384)  # cells a side of a window; of smaller maps all
    patches: Count = 256  # rows per layer
    lambda_adversarial: Weight = 1.0
    lambda_spatial: Weight = 10.0
    lambda_contrastive: Weight = 0.0  # of L_F; 0: the fixed loss, without projections
    temperature: Positive = 0.07
    augment: bool = False  # L_F sees each image with other colours too


CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "discriminator_layers": 2, "batch_size": 2, "load_size": 0, "crop_size": 64,
    "steps": 1000, "lr": 1e-3, "features": "random", "taps": (6, 11),
}  # fmt: skip


class FLSeSim(Method[Config]):
    """Antialiased ResNet-9, 70 × 70 PatchGAN with a pool, self-similarities of VGG16's features."""

    card = Card(
        title="F-LSeSim",
        citation="Zheng, Cham and Cai. The Spatially-Correlative Loss for Various Image Translation Tasks. CVPR 2021",
        origin="https://github.com/lyndonzheng/F-LSeSim",
        licence="MIT",
        pairing="unpaired",
        losses=("f_contrastive", "d_real", "d_fake", "g_adversarial", "g_spatial"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737},
        deviations=(
            "the default is the fixed loss, as in the repository's defaults and script; the learned one is a variant",
            "preset cpu and variant random_features: VGG16 has random kernels by features_seed in place of ImageNet's, "
            "so that it trains where the file is missing; other features, so another method: say so beside its numbers",
            "the projections are built with G, not in the first forward pass: same layers, another random stream",
            "VGG16 sees H&E and fake once a step, for both losses: same features, fewer passes",
            "other colours (learned) are computed on floats; officially on bytes, which differ by 1.4 grey levels",
            "windows of maps that are not square lie where they should; the released code mixes rows and columns",
            "the image pool is part of the training state, so that a resumed run is the same run",
        ),
        compute="not stated; the author calls the learned variant very slow",
    )
    variants = {
        "learned": {"lambda_contrastive": 1.0, "augment": True, "patch_size": 32},
        "random_features": {"features": "random"},
    }
    presets = {
        "mist": {"load_size": 0, "crop_size": 512, "epochs": 40, "decay_epochs": 40},
        # random features: most machines of this size lack the file of VGG16
        "cpu": CPU,
        "small": CPU | SMALL,
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = config
        self.generator = ResnetGenerator(c.width, c.blocks)
        self.discriminator = PatchDiscriminator(c.width, c.discriminator_layers)
        self.projections = Projections(self.network().channels) if c.lambda_contrastive > 0 else None
        self.pool = ImagePool(c.pool_size)

    @property
    def size_multiple(self) -> int:
        """Two halvings."""
        return self.generator.size_multiple

    def network(self) -> VGGFeatures:
        """VGG16 up to the last of ``taps``, as shapes alone."""
        with torch.device("meta"):
            return VGGFeatures("vgg16", self.config.taps)

    def pretrained(self) -> dict[str, nn.Module]:
        """VGG16, where its published kernels are asked for."""
        return {IMAGENET: self.network()} if self.config.features == "imagenet" else {}

    def equip(self, load: Callable[[str], dict[str, Tensor]] | None) -> None:
        """VGG16 from its file, or with random kernels, which need none."""
        super().equip(load)
        if self.config.features == "random":
            drawn = random_features("vgg16", self.config.taps, self.config.features_seed)
            device = next(self.parameters()).device  # meta, where a dry run asks for shapes alone
            self.frozen[RANDOM] = drawn.to(device).eval().requires_grad_(False)

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for each network."""
        learned = {} if self.projections is None else {"projections": (self.projections,)}
        return adams(self.config, **learned, discriminator=(self.discriminator,), generator=(self.generator,))

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """F, where it learns; then D on ihc and a fake from the pool; then G."""
        c, he, ihc, losses = self.config, batch.he, batch.ihc, {}
        fake = self.generator(he)
        if c.lambda_spatial > 0 or self.projections is not None:
            with torch.no_grad():
                of_he = self.features(he)
            of_fake = self.features(fake)

        if self.projections is not None:
            loss = c.lambda_contrastive * self.contrast(of_he, [f.detach() for f in of_fake], batch)
            yield Phase(drives=("projections",), losses={"f_contrastive": loss})

        if c.lambda_adversarial > 0:
            scores = self.discriminator(torch.cat([ihc, self.pool.exchange(fake)])).chunk(2)
            d_losses = {"d_real": least_squares(scores[0], real=True), "d_fake": least_squares(scores[1], real=False)}
            yield Phase(drives=("discriminator",), losses={name: 0.5 * loss for name, loss in d_losses.items()})
            losses["g_adversarial"] = c.lambda_adversarial * least_squares(self.discriminator(fake), real=True)

        if c.lambda_spatial > 0:
            losses["g_spatial"] = c.lambda_spatial * self.spatial_gap(of_he, of_fake)
        yield Phase(drives=("generator",), losses=losses)

    def features(self, images: Tensor) -> list[Tensor]:
        """VGG16's of (B, 3, H, W) in [−1, 1], one map for each of ``taps``."""
        (network,) = self.frozen.values()
        return network(as_imagenet(images))

    def spatial_gap(self, of_he: Sequence[Tensor], of_fake: Sequence[Tensor]) -> Tensor:
        """Mean over layers of the gap between the self-similarities of H&E, which are constants, and fake."""
        positions = self.draw(of_he)
        with torch.no_grad():
            source = self.rows(of_he, positions)
        gaps = [
            spatial_gap(s, t, self.config.loss_mode, self.config.similarity)
            for s, t in zip(source, self.rows(of_fake, positions), strict=True)
        ]
        return torch.stack(gaps).mean()

    def contrast(self, of_he: Sequence[Tensor], of_fake: Sequence[Tensor], batch: Batch) -> Tensor:
        """L_F: he resembles its fake, and itself in other colours, and no real IHC (turned by half a circle)."""
        with torch.no_grad():
            compared = [(of_fake, self.features(batch.ihc.flip(2, 3)))]
            if self.config.augment:
                recoloured = [colour_jitter(images, *JITTER) for images in (batch.he, batch.ihc)]
                compared.append((self.features(recoloured[0]), self.features(recoloured[1].flip(2, 3))))
        positions = self.draw(of_he)
        source, terms = self.rows(of_he, positions), []
        for target, other in compared:
            rows = zip(source, self.rows(target, positions), self.rows(other, positions), strict=True)
            terms += [contrast_of_rows(*layer, self.config.temperature) for layer in rows]
        return torch.stack(terms).mean()

    def draw(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Per layer, flat positions without repetition: ``patches`` of them, or all where there are fewer."""
        return [torch.randperm(f[0, 0].numel(), device=f.device)[: self.config.patches] for f in maps]

    def rows(self, maps: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Per layer, the self-similarities (B, P, K) of maps or, where it learns, of their projections."""
        if self.projections is not None:
            maps = self.projections(maps)
        c = self.config
        return [self_similarity(f, p, c.patch_size, c.similarity) for f, p in zip(maps, positions, strict=True)]

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 4. Deterministic."""
        return self.generator(he)

    def training_state(self) -> dict[str, Any]:
        """The image pool."""
        return {"pool": list(self.pool.images)}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take the image pool back."""
        device = next(self.parameters()).device
        self.pool.images = kept_images(state["pool"], self.config.crop_size, device)


class Projections(nn.Module):
    """F: for each map a 1 × 1 convolution to a quarter of its channels (32 or more), ReLU, and another."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        widths = [(c, max(32, c // 4)) for c in channels]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, few, 1), nn.ReLU(), nn.Conv2d(few, few, 1)) for c, few in widths
        )
        initialise(self, "normal")

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """(B, C, H, W) for each layer → (B, C', H, W)."""
        return [layer(f) for layer, f in zip(self.layers, maps, strict=True)]
