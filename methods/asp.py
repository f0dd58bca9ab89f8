"""ASP: adaptive supervised PatchNCE for inconsistent pairs (Li et al., MICCAI 2023).

CUT's generator G, discriminator D and PatchNCE against the H&E, and two losses against the real IHC of the pair:

- ASP: PatchNCE between G(he) and ihc at equal positions. Where the sections differ the pair is wrong, and there the
  two are unlike; so late in training each position is weighted by its own cosine s, of which no gradient is taken.
- GP: L1 on the levels of a Gaussian pyramid, mostly on the coarsest.

    L_D   = ½ [ (D(ihc) − 1)² + D(G(he))² ]
    L_G   = (D(G(he)) − 1)² + λ_nce NCE(G(he), he) + λ_asp L_ASP + λ_gp L_GP
    L_ASP = mean_i w_i NCE_i(G(he), ihc),   w_i ∝ p(t) + (1 − p(t)) h(s_i),  mean w = 1 over the batch
    L_GP  = mean_l ω_l |P_l(G(he)) − P_l(ihc)|₁

p falls from 1 towards 0 by a schedule of t, the share of the training that is over; h is a lookup of the cosine.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from vsbench.losses.contrastive import each_patch_nce, over_layers
from vsbench.losses.pyramid import require_levels, weighted_gap
from vsbench.method import Card, DecayEpochs, Epochs, LoadSize, Place, Suite, SuiteRow, Weight
from vsbench.precision import full_precision
from vsbench.ranks import ranks, sum_over_ranks

from ._contrastive import Seen
from ._spectral import SpectralConfig, SpectralContrastive
from ._tiles import SMALL

# p(t): the share of the weight that is the same for all positions
SCHEDULES: dict[str, Callable[[Place], float]] = {
    "lambda": lambda place: min(1.0, (1 - place.before) / (1 - place.decays_from)) if place.decay else 1.0,
    "linear": lambda place: 1 - place.before,
    "sigmoid": lambda place: 1 / (1 + math.exp(10 * (place.before - 0.5))),
    "none": lambda _: 1.0,
}
# h(s): the rest of the weight by the cosine of generated and real IHC
LOOKUPS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda s: s.clamp_min(0),
    "top": lambda s: (1 - (s.clamp(0, 1) - 1).square()).sqrt(),
    "bell": lambda s: torch.exp(-8 * (s - 0.5).square()) / math.sqrt(2 * math.pi),
    "uniform": torch.ones_like,
}


class Config(SpectralConfig):
    """The launcher's values for MIST. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    epochs: Epochs = 30
    decay_epochs: DecayEpochs = 10
    load_size: LoadSize = 0
    lambda_nce: Weight = 10.0
    lambda_identity: Weight = 0.0  # in full, not halved as in CUT
    lambda_asp: Weight = 10.0
    lambda_gp: Weight = 10.0
    asp_schedule: Literal["lambda", "linear", "sigmoid", "none"] = "lambda"  # lambda: p = 1 until the decay; none: SP
    asp_lookup: Literal["linear", "top", "bell", "uniform"] = "linear"
    gp_weights: tuple[Weight, ...] = Field((1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0), min_length=1)  # ω

    @model_validator(mode="after")
    def _pyramid_fits(self) -> "Config":
        if self.lambda_gp > 0:
            require_levels(self.crop_size, len(self.gp_weights), "gp_weights")
        return self


CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "taps": (0, 4, 8, 12, 14), "patches": 64, "discriminator_width": 16,
    "discriminator_layers": 2, "batch_size": 2, "crop_size": 64, "steps": 800, "lr": 1e-3,
    "spectral_generator": False, "lambda_nce": 1.0, "lambda_asp": 1.0,
    "gp_weights": (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0),
}  # fmt: skip


class ASP(SpectralContrastive[Config]):
    """Spectrally normalised antialiased ResNet-6, five-layer PatchGAN, two PatchNCE losses, Gaussian pyramid."""

    card = Card(
        title="ASP",
        citation="Li et al. Adaptive Supervised PatchNCE Loss for Learning H&E-to-IHC Stain Translation with "
        "Inconsistent Groundtruth Image Pairs. MICCAI 2023",
        origin="https://github.com/lifangda01/AdaptiveSupervisedPatchNCE",
        licence="BSD-2-Clause",
        pairing="weak",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity", "g_asp", "g_gp"),
        parameters={"generator": 7_837_699, "discriminator": 2_791_905, "heads": 560_384},
        deviations=(
            "released, sampling=replace: about 63 % of the pairs are seen in an epoch",
            "released, iterate_in_translation: the power iteration of the spectral norm goes on in the official test, "
            "so an image depends on how many came before; here each is translated as the first of them",
            "in training the power iteration advances once a step; officially in each of seven passes",
            "the PatchNCE heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of the H&E are those of the pass that translated it: same weights, one pass fewer",
            "where a run counts steps, so does the schedule of the weights; officially it counts epochs",
            "BCI: no launcher is released, and its images were brightened first in a way that is not; MIST's values",
        ),
        compute="one RTX 3090; no times given (official README)",
    )
    variants = {"released": {"sampling": "replace", "iterate_in_translation": True}}
    suites = {
        "claim": Suite(
            "PatchNCE against the real IHC: without, with equal weights, with weights by cosine and schedule",
            (
                SuiteRow("no-asp", {"lambda_asp": 0.0}, "printed numbers not at hand"),
                SuiteRow("sp", {"asp_schedule": "none"}, "printed numbers not at hand"),
                SuiteRow("asp", {}, "printed numbers not at hand"),
            ),
        )
    }
    presets = {
        "mist": {},  # the defaults are the launcher's for MIST: crops of 512 from tiles of 1024, 30 + 10 epochs
        # At their published weight both PatchNCE terms hold the colours of the H&E for longer than some hundred steps
        # last; a spectrally normalised G falls behind D in so few.
        "cpu": CPU,
        "small": CPU | SMALL | {"patches": 128},
    }  # fmt: skip

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """PatchNCE against the H&E; ASP and GP against the real IHC."""
        c = self.config
        losses = self.contrast(seen, halved=False)
        if c.lambda_asp > 0:
            asp = partial(self.supervised, place=seen.place)
            losses["g_asp"] = c.lambda_asp * over_layers(asp, *self.embed(seen.of_fake, seen.of_ihc))
        if c.lambda_gp > 0:
            losses["g_gp"] = c.lambda_gp * weighted_gap(seen.ihc, seen.fake, c.gp_weights)
        return losses

    def supervised(self, queries: Tensor, keys: Tensor, place: Place) -> Tensor:
        """L_ASP of unit features (…, B, N, D) of generated and real IHC at a place of the schedule."""
        losses = each_patch_nce(queries, keys, self.config.temperature)
        with torch.no_grad(), full_precision(queries):
            weights = self.weights((queries * keys).sum(dim=-1), place)
        return (weights * losses).mean()

    def weights(self, cosines: Tensor, place: Place) -> Tensor:
        """w for the cosines (…, B, N) of a layer's positions: mean 1 over all images of the batch, on all devices."""
        p = SCHEDULES[self.config.asp_schedule](place)
        raw = p + (1 - p) * LOOKUPS[self.config.asp_lookup](cosines)
        mean = sum_over_ranks(raw.mean(dim=(-2, -1), keepdim=True)) / ranks()
        return raw / mean
