"""UNSB: unpaired translation by a neural Schrödinger bridge (Kim et al., ICLR 2024).

A bridge leads from H&E X_0 to IHC X_1 in T steps. A generator G, fed with a latent z, predicts the end from any X on
the way; the next X lies between the two, with noise (``losses.bridge``):

    X_s = (1 − r) X_{s−1} + r G(X_{s−1}, z) + √(τ d (1 − r)) ε

A step of training draws t < T, walks there without gradient, and learns from what G makes of X_t. The bridge is that of
least cost where the ends are near and what G makes is spread out: E, a network that tells pairs (X_t, G(X_t)) of one
tissue from pairs of two, stands for that entropy.

    L_D = ½ [ (D(ihc, t) − 1)² + D(fake, t)² ]
    L_E = −J + L + L²,   J = mean E(p, p),  L = log Σ exp E(p, p'),  p = (X_t, fake),  p' of another tissue
    L_G = (D(fake, t) − 1)² + λ_SB [ τ mean (X_t − fake)² − τ (T − t)/T (J − L) ]
          + ½ [ NCE(fake, he) + NCE(G(ihc_t), ihc) ]
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim import Optimizer

from vsbench.losses.adversarial import least_squares
from vsbench.losses.bridge import bridge_step, bridge_times, dependence, energy_loss
from vsbench.losses.contrastive import layered_patch_nce
from vsbench.method import (
    Batch,
    Card,
    Layers,
    Method,
    Phase,
    Positive,
    SeedSetting,
    Weight,
    Whole,
)
from vsbench.nn import BridgeGenerator, PatchSampler, TimedDiscriminator, kept_images
from vsbench.ranks import gather, ranks, share

from ._contrastive import CutConfig
from ._optimizers import adams
from ._tiles import MIST, PHANTOM


class Config(CutConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    latent_layers: Layers = 4
    time_in_generator: Literal["none", "after_norm"] = "none"  # after_norm: G is told the step, as in the paper
    num_timesteps: int = Field(default=5, ge=2, le=1000)  # T
    tau: Positive = 0.01
    lambda_sb: Weight = 1.0
    nfe: Whole = 0  # steps of a translation, whose result is the prediction of the last; 0: all T
    translation_seed: SeedSetting = 0  # of latents and noise of a translation, which are the same for every image

    @model_validator(mode="after")
    def _steps_are_there(self) -> "Config":
        if self.nfe > self.num_timesteps:
            raise ValueError(f"nfe {self.nfe} is more than the {self.num_timesteps} steps of num_timesteps")
        return self


class UNSB(Method[Config]):
    """Latent-modulated ResNet-9, discriminator and energy network that know the step, PatchNCE."""

    card = Card(
        title="UNSB",
        citation="Kim et al. Unpaired Image-to-Image Translation via Neural Schrödinger Bridge. ICLR 2024",
        origin="https://github.com/cyclomon/UNSB",
        licence="MIT",
        pairing="unpaired",
        losses=(
            "d_real", "d_fake", "e_energy", "g_adversarial", "g_distance", "g_entropy", "g_nce", "g_identity",
        ),
        parameters={"generator": 7_514_883, "discriminator": 3_143_041, "energy": 3_152_257, "heads": 560_384},
        deviations=(
            "parameters of the released G that reach no output are left out: 7,169,536 of 14,684,419, the first "
            "convolution, the time layer and a second style layer of each block, and G's embedding of time",
            "so G does not know the step, as released; the paper says it does: variant timed",
            "the entropy's weight is τ (T − t)/T by the step's number and the distance is a mean, as released; the "
            "paper has 2τ(1 − t) and a sum",
            "lambda_sb is 1 as in the paper and the launcher; the option's own default is 0.1",
            "the other tissue is the next H&E of the batch, or that of the step before where a batch has one (in the "
            "training state; in the first step of all the H&E itself); officially a second loader",
            "the walk ends at X_t; the released loop evaluates G there once more and drops it",
            "the heads are built with G, not in the first forward pass: same layers, another random stream",
            "a translation draws its latents and noise by translation_seed, the same for every image and tile; "
            "officially anew for each",
            "L runs over the images of all devices, so that several train like one with all images",
        ),
        compute="not stated; with T = 5, 6 passes of G without and 3 with gradient in a mean step",
    )  # fmt: skip
    variants = {"timed": {"time_in_generator": "after_norm"}}
    official_order = (r"model\.", "model_res")
    official_unused = (r"conv_block\.1\.", r"Dense_time", r"\.style\.", "time_embed")  # the card says why
    presets = {
        "mist": MIST,
        "cpu": PHANTOM | {"num_timesteps": 2},
        "small": PHANTOM | {"num_timesteps": 2},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        c = config
        self.generator = BridgeGenerator(c.width, c.blocks, c.latent_layers, c.time_in_generator == "after_norm")
        self.discriminator = TimedDiscriminator(c.width, c.discriminator_layers)
        self.energy = TimedDiscriminator(c.width, c.discriminator_layers, channels=12)
        self.heads = PatchSampler(self.generator.channels(c.taps), c.patches)
        self.times = bridge_times(c.num_timesteps)
        self.previous: Tensor | None = None  # the H&E of the step before, where a batch has one

    @property
    def size_multiple(self) -> int:
        """Two halvings."""
        return self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for D, one for E, one for G and the heads (their official Adams have equal settings)."""
        networks = {"discriminator": (self.discriminator,), "energy": (self.energy,)}
        return adams(self.config, **networks, generator=(self.generator, self.heads))

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """The walk to X_t; then D, E, and G with the heads."""
        c, he, ihc, n = self.config, batch.he, batch.ihc, len(batch.he)
        t = int(torch.randint(c.num_timesteps, (), device="cpu"))
        starts = [he]
        if c.lambda_sb > 0:
            starts.append(self.other_tissue(he))
        if c.lambda_identity > 0:
            starts.append(ihc)
        x = self.walk(torch.cat(starts), t, len(starts))
        made = self.generator(x, self.normals(len(starts), x, latents=True), t)
        fake = made[:n]

        if c.lambda_adversarial > 0:
            of_real, of_fake = self.discriminator(torch.cat([ihc, fake.detach()]), t).split(n)
            d_losses = {"d_real": least_squares(of_real, real=True), "d_fake": least_squares(of_fake, real=False)}
            yield Phase(drives=("discriminator",), losses={name: 0.5 * loss for name, loss in d_losses.items()})

        if c.lambda_sb > 0:
            own, other = torch.cat([x, made], dim=1)[: 2 * n].split(n)
            loss = energy_loss(*self.energies(own.detach(), other.detach(), t))
            yield Phase(drives=("energy",), losses={"e_energy": loss})

        losses = {}
        if c.lambda_adversarial > 0:
            losses["g_adversarial"] = c.lambda_adversarial * least_squares(self.discriminator(fake, t), real=True)
        if c.lambda_sb > 0:
            losses["g_distance"] = c.lambda_sb * c.tau * (x[:n] - fake).square().mean()
            ahead = (c.num_timesteps - t) / c.num_timesteps
            losses["g_entropy"] = -c.lambda_sb * c.tau * ahead * dependence(*self.energies(own, other, t))
        half = 0.5 if c.lambda_identity > 0 else 1.0  # as released: the mean of two terms, not their sum
        if c.lambda_nce > 0:
            losses["g_nce"] = half * c.lambda_nce * self.nce(fake, he)
        if c.lambda_identity > 0:
            losses["g_identity"] = half * c.lambda_identity * self.nce(made[-n:], ihc)
        yield Phase(drives=("generator",), losses=losses)

    def other_tissue(self, he: Tensor) -> Tensor:
        """For each H&E of the batch of all ranks the one before it; where that is one, the H&E of the last step."""
        together = gather(he)
        if len(together) > 1:
            return share(together.roll(1, dims=0))
        last, self.previous = self.previous, he
        return last if last is not None and last.shape == he.shape else he

    @torch.no_grad()
    def walk(self, x: Tensor, steps: int, parts: int) -> Tensor:
        """X_steps from X_0 = ``x``, (parts · B, 3, H, W): chains of their own latents and noise."""
        for step in range(steps):
            end = self.generator(x, self.normals(parts, x, latents=True), step)
            x = bridge_step(x, end, self.normals(parts, x), self.times, step + 1, self.config.tau)
        return x

    def normals(self, parts: int, x: Tensor, latents: bool = False) -> Tensor:
        """Standard normals for images x, (parts · B, 3, H, W): noise of their shape, or a latent for each.

        Drawn for the images of all ranks.
        """
        shape = (self.generator.latent,) if latents else x.shape[1:]
        drawn = torch.randn((ranks() * len(x) // parts, parts, *shape), dtype=x.dtype, device=x.device)
        return share(drawn).transpose(0, 1).flatten(0, 1)

    def energies(self, own: Tensor, other: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """E of pairs (X_t, G(X_t)), (B, 6, H, W), with themselves and with those of another tissue."""
        pairs = torch.cat([torch.cat([own, own], dim=1), torch.cat([own, other], dim=1)])
        joint, marginal = self.energy(pairs, t).split(len(own))
        return joint, marginal

    def nce(self, output: Tensor, source: Tensor) -> Tensor:
        """PatchNCE of images in G's encoder at step 0, under one fresh latent; mean over ``taps``, 0 at best."""
        c, given = self.config, (self.normals(1, output, latents=True), 0)
        with torch.no_grad():  # keys are constants
            of_source = self.generator.features(source, c.taps, *given)
            positions = self.heads.draw(of_source)
            keys = self.heads(of_source, positions)
        queries = self.heads(self.generator.features(output, c.taps, *given), positions)
        return layered_patch_nce(queries, keys, c.temperature)

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same: the prediction at step ``nfe``. H and W must be multiples of 4.

        Latents and noise are drawn anew from ``translation_seed`` each time, all latents first: so they are the same
        for all images, and the latents for images of all sizes.
        """
        return self.translate_drawn(he, *self.draws(he))

    def draws(self, he: Tensor) -> tuple[Tensor, ...]:
        """A latent for each step, (T, D), and the noise before each step but the first, (1, 3, H, W) each."""
        c, generator = self.config, torch.Generator().manual_seed(self.config.translation_seed)
        latents = torch.randn((c.num_timesteps, self.generator.latent), generator=generator).to(he)
        steps = range(1, c.nfe or c.num_timesteps)
        return latents, *(torch.randn((1, *he.shape[1:]), generator=generator).to(he) for _ in steps)

    def translate_drawn(self, he: Tensor, *drawn: Tensor) -> Tensor:
        """The chain with these latents and this noise."""
        latents, *noise = drawn
        x = end = he
        for step, latent in enumerate(latents[: len(noise) + 1]):
            if step > 0:
                x = bridge_step(x, end, noise[step - 1], self.times, step, self.config.tau)
            end = self.generator(x, latent.expand(he.shape[0], -1), step)
        return end

    def training_state(self) -> dict[str, Any]:
        """The H&E of the step before, where the next one needs it."""
        return {} if self.previous is None else {"previous": self.previous}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Take it back."""
        device = next(self.parameters()).device
        kept = kept_images([state["previous"]] if state else [], self.config.crop_size, device)
        self.previous = kept[0] if kept else None
