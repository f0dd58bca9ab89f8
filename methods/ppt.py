"""PPT: high-resolution translation by patch alignment and bidirectional contrast (Zhang et al., MICCAI 2024).

A generator G that halves four times, a patch discriminator D, and heads that embed patches of G's encoder. PatchNCE
becomes focal, so that patches that are hard to tell apart count most, and joins G(ihc) to ihc in both directions; the
pair is compared in windows, in VGG's features, and on the levels of a Gaussian pyramid.

    L_D = ½ [ (D(ihc) − 1)² + D(G(he))² ]
    L_G = (D(G(he)) − 1)² + λ [ F(G(he), he) + F(G(ihc), ihc) + F(ihc, G(ihc)) ]
          + λ_patch Σ over a window of |ihc − G(he)|, mean over windows
          + λ_content Σ_l ω_l |VGG_l(G(he)) − VGG_l(ihc)|₁
          + λ_frequency mean_l |P_l(G(he)) − P_l(ihc)|₁
    F(x, y) = mean_i −α (1 − p_i)^γ ln p_i,   p_i the probability of PatchNCE that patch i of x picks its own of y

The patch alignment is that of the released code: windows lie where they lie, none is searched for or shifted.
"""

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.losses.contrastive import each_patch_nce, over_layers
from vsbench.losses.pyramid import pyramid_gaps, require_levels
from vsbench.method import Card, DecayEpochs, Epochs, Layers, LoadSize, Positive, Side, Weight, Width
from vsbench.nn import PatchDiscriminator, PatchSampler, ResnetGenerator, VGGFeatures, initialise
from vsbench.nn.patches import unit_length_shifted

from ._contrastive import Contrastive, ContrastiveConfig, Features, Passes, Seen
from ._optimizers import adams
from ._tiles import MIST, SMALL

CONTENT = {  # weights, and relu1_1, relu2_1, …, relu5_1 in them
    "vgg19": ("vgg19-imagenet1k-v1", (1, 6, 11, 20, 29)),
    "vgg16": ("vgg16-imagenet1k-v1", (1, 6, 11, 18, 25)),
}
CONTENT_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # ω, as pix2pixHD has them


class Config(ContrastiveConfig):
    """The released values for tiles of 1024². Every field is a ``--set`` key; a weight of 0 switches its term off."""

    epochs: Epochs = 100
    decay_epochs: DecayEpochs = 200
    load_size: LoadSize = 1024
    crop_size: Side = 1024
    flip: bool = False
    downs: int = Field(4, ge=1, le=6)  # halvings of G
    discriminator_width: Width = 64
    discriminator_layers: Layers = 3
    focal_alpha: Positive = 0.25
    focal_gamma: float = Field(2.0, ge=0, le=100)  # 0: α times PatchNCE
    lambda_reverse: Weight = 1.0  # F(ihc, G(ihc)): the real patch picks the generated one
    lambda_patch: Weight = 0.0025
    patch_size: int = Field(4, ge=1, le=1024)  # side of a window, and its distance to the next
    lambda_content: Weight = 1.0
    content_net: Literal["vgg19", "vgg16"] = "vgg19"
    lambda_frequency: Weight = 1.0
    levels: int = Field(6, ge=1, le=12)  # of the pyramid, the last of them not blurred
    gan_images: Literal["all", "last"] = "all"  # last: D's losses see the last image of a batch alone, as released
    heads_cleared: bool = True  # False: the heads' gradients add up over the whole training, as released
    heads_scheduled: bool = True  # False: the heads' learning rate never falls, as released

    @model_validator(mode="after")
    def _pyramid_fits(self) -> "Config":
        if self.lambda_frequency > 0:
            require_levels(self.crop_size, self.levels, "levels")
        return self


def of_the_last(scores: Tensor, real: bool) -> Tensor:
    """Least squares of the last image's scores, (B, 1, H, W), as released: an index meant for a list of scales."""
    return least_squares(scores[-1:], real)


CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "downs": 3, "taps": (0, 4, 8, 12), "patches": 128, "discriminator_width": 16,
    "discriminator_layers": 2, "batch_size": 2, "load_size": 0, "crop_size": 64, "flip": True, "steps": 800,
    "lr": 1e-3, "lambda_content": 0.0, "levels": 5,
}  # fmt: skip


class PPT(Contrastive[Config]):
    """Antialiased ResNet-9 of four halvings, 70 × 70 PatchGAN, focal NCE three times, VGG19, Gaussian pyramid."""

    card = Card(
        title="PPT",
        citation="Zhang et al. High-Resolution Medical Image Translation via Patch Alignment-Based Bidirectional "
        "Contrastive Learning. MICCAI 2024",
        origin="https://github.com/coffeeNtv/PPT",
        licence="BSD (its own part, ASP, CUT, pix2pixHD)",
        pairing="paired",
        losses=(
            "d_real", "d_fake", "g_adversarial", "g_nce", "g_identity", "g_reverse", "g_patch", "g_content",
            "g_frequency",
        ),
        parameters={"generator": 182_443_267, "discriminator": 2_764_737, "heads": 822_528},
        deviations=(
            "released, heads_cleared=False: the heads' gradients are never cleared, from a pass before the first step "
            "on, whose gradient is that of the first batch at other positions",
            "released, heads_scheduled=False: the heads' learning rate stays where it is",
            "released, gan_images=last: of a batch D's losses see the last image alone, no change at batches of 1",
            "tiles of another size than load_size are resized bicubically; officially bilinearly without antialiasing",
            "pairs are found by name; officially by their place in two sorted lists, where one missing file shifts all",
            "variant no_content, and preset cpu: without the content loss, and so without VGG19's file",
            "variant vgg16: VGG16's features in the content loss, which is another loss",
            "the heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
        ),
        compute="not stated",
    )  # fmt: skip
    variants = {
        "released": {"heads_cleared": False, "heads_scheduled": False, "gan_images": "last"},
        "no_content": {"lambda_content": 0.0},
        "vgg16": {"content_net": "vgg16"},
    }
    presets = {
        "mist": MIST,
        # No content loss: most machines of this size lack the file of VGG19.
        "cpu": CPU,
        "small": CPU | SMALL | {"lambda_identity": 0.0},
    }  # fmt: skip

    def __init__(self, config: Config) -> None:
        c = config
        generator = ResnetGenerator(c.width, c.blocks, init="normal", downs=c.downs)
        discriminator = PatchDiscriminator(c.discriminator_width, c.discriminator_layers, init="normal")
        heads = PatchSampler(generator.channels(c.taps), c.patches, normalise=unit_length_shifted)
        initialise(heads, "normal")
        super().__init__(c, generator, discriminator, heads, least_squares if c.gan_images == "all" else of_the_last)

    def pretrained(self) -> dict[str, nn.Module]:
        """The network of the content loss, where there is one."""
        name, taps = CONTENT[self.config.content_net]
        return {name: VGGFeatures(self.config.content_net, taps)} if self.config.lambda_content > 0 else {}

    @property
    def size_multiple(self) -> int:
        """Four halvings, and two positions at the innermost, whose borders are reflected."""
        return 2 * self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for D, one for G and the heads, which have rules of their own."""
        found = adams(self.config, discriminator=(self.discriminator,), generator=(self.generator,))
        rules = {"scheduled": self.config.heads_scheduled, "cleared": self.config.heads_cleared}
        found["generator"].add_param_group({"params": list(self.heads.parameters()), **rules})
        return found

    def passes(self) -> Passes:
        """The real IHC goes through G where a term asks for its translation."""
        return Passes(identity=self.config.lambda_identity > 0 or self.config.lambda_reverse > 0)

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """Contrast in both directions; windows, content and frequencies of the pair."""
        c = self.config
        if not c.heads_cleared and next(self.heads.parameters()).grad is None:
            self.begin_gradients(seen)
        losses = self.bidirectional(seen)
        if c.lambda_patch > 0:
            losses["g_patch"] = c.lambda_patch * self.window_gap(seen.ihc, seen.fake)
        if c.lambda_content > 0:
            losses["g_content"] = c.lambda_content * self.content_gap(seen.ihc, seen.fake)
        if c.lambda_frequency > 0:
            losses["g_frequency"] = c.lambda_frequency * pyramid_gaps(seen.ihc, seen.fake, c.levels).mean()
        return losses

    def bidirectional(self, seen: Seen) -> dict[str, Tensor]:
        """λ [ F(G(he), he) + F(G(ihc), ihc) + F(ihc, G(ihc)) ]: the sum, not halved. G learns by the first of each."""
        losses = self.contrast(seen, halved=False)
        if self.config.lambda_reverse > 0:
            losses["g_reverse"] = self.config.lambda_reverse * self.nce(seen.of_ihc, seen.of_identity)
        return losses

    def nce(self, outputs: Features, sources: Features) -> Tensor:
        """The focal NCE between features of output and source, mean over ``taps``."""
        return over_layers(self.focal_nce, *self.embed(outputs, sources))

    def focal_nce(self, queries: Tensor, keys: Tensor) -> Tensor:
        """F of unit features (…, N, D), mean over all of them."""
        missed = each_patch_nce(queries, keys, self.config.temperature)  # −ln p
        other = -torch.expm1(-missed)  # 1 − p
        return (self.config.focal_alpha * other.clamp_min(1e-12).pow(self.config.focal_gamma) * missed).mean()

    def window_gap(self, real: Tensor, fake: Tensor) -> Tensor:
        """Σ |real − fake| over the channels and pixels of a window, mean over windows; borders padded with zeros."""
        size = self.config.patch_size
        gap = (real - fake).abs().sum(dim=1)
        return size**2 * F.avg_pool2d(gap, size, padding=size // 2).mean()

    def content_gap(self, real: Tensor, fake: Tensor) -> Tensor:
        """Σ_l ω_l |VGG_l(fake) − VGG_l(real)|₁ of images in [−1, 1], which the network sees as they are."""
        (network,) = self.frozen.values()
        with torch.no_grad():
            wanted = network(real)
        layers = zip(CONTENT_WEIGHTS, network(fake), wanted, strict=True)
        return torch.stack([weight * (found - target).abs().mean() for weight, found, target in layers]).sum()

    def begin_gradients(self, seen: Seen) -> None:
        """The heads' gradients before the first step: as released, those of a pass at positions of its own."""
        losses, parameters = self.bidirectional(seen), list(self.heads.parameters())
        if losses:
            gradients = torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters, retain_graph=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient

    def training_state(self) -> dict[str, Any]:
        """The heads' gradients, where they add up."""
        if self.config.heads_cleared:
            return {}
        gradients = {name: p.grad for name, p in self.heads.named_parameters()}
        return {"gradients": {name: gradient for name, gradient in gradients.items() if gradient is not None}}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take the heads' gradients back."""
        for name, parameter in self.heads.named_parameters():
            if name in state.get("gradients", {}):
                parameter.grad = state["gradients"][name].to(parameter)
