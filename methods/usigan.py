"""USIGAN: unbalanced self-information feature transport for weakly paired sections (Peng et al., arXiv:2507.05843).

CUT's generator G, discriminator D and PatchNCE, and what an adjacent section can still teach:

- UOT-CTM: in the features of G's encoder, transport H&E → real IHC → generated IHC must equal H&E → generated IHC.
- PC-SCM: the images of a batch must resemble each other in DAB density (ODC), and in features (CC), as the real IHC do.

    L_D = ½ [ (D(ihc) − 1)² + D(fake)² ]
    L_G = (D(fake) − 1)² + ½ [ NCE(fake, he) + NCE(G(ihc), ihc) ]
          + λ_tcyc mean |T(he→ihc) T(ihc→fake) − T(he→fake)|            eq. 11
          + λ_cc mean |M(ihc) − M(fake)|  over features                 eq. 15
          + λ_odc ( mean |M(O_ihc) − M(O_fake)| + (mean O_ihc − mean O_fake)² )   eq. 14

The default is what the paper's equations mean; the variant ``released`` is what the official code computes.
"""

from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from vsbench.losses.adversarial import cross_entropy, least_squares
from vsbench.losses.contrastive import over_layers
from vsbench.losses.correlation import correlation_gap, layered_correlation_gap
from vsbench.losses.stain import density_gap, focal_calibration, focal_optical_density
from vsbench.losses.transport import (
    cosine_cost,
    penalty_of_slack,
    released_cost,
    released_plan,
    scaled_plan,
    unbalanced_plan,
)
from vsbench.method import Card, Count, DecayEpochs, Epochs, LoadSize, Weight
from vsbench.precision import full_precision

from ._contrastive import Features, Seen
from ._spectral import SpectralConfig, SpectralContrastive
from ._tiles import SMALL
from ._usigan_suites import declare_suites


class Config(SpectralConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    batch_size: Count = 2
    epochs: Epochs = 40
    decay_epochs: DecayEpochs = 40
    load_size: LoadSize = 1024
    gan: Literal["lsgan", "log"] = "lsgan"  # log: the logarithmic form that the paper prints
    lambda_tcyc: Weight = 10_000.0
    lambda_cc: Weight = 10.0
    lambda_odc: Weight = 1.0
    # UOT-CTM
    transport: Literal["cycle", "direct"] = "cycle"  # direct: |T(he→ihc) − T(ihc→fake)|, the ablation's L1 row
    cost: Literal["attract", "repel"] = "attract"  # repel: similar features get the least mass, as released
    mask_diagonal: bool = False  # True forbids transport to the same position, as released
    solver: Literal["standard", "balanced", "literal", "released"] = "standard"  # literal: eqs. 8–9 as printed
    direct_plan: Literal["relaxed", "balanced"] = "relaxed"  # balanced: T(he→fake) is classical transport
    marginals: Literal["unit", "uniform"] = (
        "unit"  # mass of each position: 1, or 1/N, which makes products N times small
    )
    tau: Weight = 0.001  # slack of the marginals: KL weight η/τ, so that τ → 0 is classical transport
    eta: float = Field(1.0, gt=0, le=1e9)
    iterations: Count = 50  # shapes the plan to the last digit; its mass, off by a factor near 1, needs 1/tau
    composition: Literal["shared", "released"] = "shared"  # released: contracts the H&E index with the generated one
    # PC-SCM
    density_input: Literal["intensity", "signed"] = "intensity"  # signed: the network's [−1, 1] as released
    density_calibration: bool = False
    density_matrix_threshold: Weight = 0.0  # densities below it count as 0 in M
    density_sum_threshold: Weight = 0.0  # the same in the sum
    density_sum_weight: Weight = 1.0  # of the second term of eq. 14 against its first
    alpha: float = Field(default=1.8, ge=1, le=100)

    @model_validator(mode="after")
    def _released_solver(self) -> "Config":
        if self.solver == "released" and (self.marginals, self.direct_plan) != ("unit", "relaxed"):
            raise ValueError("solver released knows unit marginals and relaxed plans only")
        return self


# Equal embeddings make all plans equal, L_tcyc's trivial solution; at its published weight it holds PatchNCE at chance
# for longer than a run of some thousand steps lasts. Spectrally normalised networks fall behind in so few steps: G
# behind D, and D behind the stain. On crops this small the second term of L_odc is nothing without a weight, and with
# α = 1.8 less. The identity term says that dark stays dark. What was tried: results/examples/phantom/presets.md.
CPU: dict[str, Any] = {
    "width": 16, "blocks": 3, "taps": (0, 4, 8, 12, 14), "patches": 64, "discriminator_width": 16,
    "discriminator_layers": 3, "load_size": 0, "crop_size": 96, "decay_phase": "crop", "steps": 1600, "lr": 1e-3,
    "spectral_generator": False, "spectral_discriminator": False, "lambda_identity": 0.0, "lambda_tcyc": 20.0,
    "lambda_cc": 2.0, "alpha": 1.0, "density_sum_weight": 20.0, "iterations": 10, "average": 0.99,
}  # fmt: skip


class USIGAN(SpectralContrastive[Config]):
    """Spectrally normalised antialiased ResNet-6, five-layer PatchGAN, transport and correlation losses."""

    card = Card(
        title="USIGAN",
        citation="Peng et al. USIGAN: Unbalanced Self-Information Feature Transport for Weakly Paired Image IHC "
        "Virtual Staining. arXiv:2507.05843",
        origin="https://github.com/MIXAILAB/USIGAN",
        licence="CC-BY-NC-SA-4.0",
        pairing="weak",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity", "g_tcyc", "g_cc", "g_odc"),
        parameters={"generator": 7_837_699, "discriminator": 2_791_905, "heads": 560_384},
        deviations=(
            "default: the equations' meaning. The variant released does what the released code does, by settings:",
            "released, cost=repel: exp((1 − cosine)/η) gives the mass to dissimilar features",
            "released, mask_diagonal: no transport to the same position, not even where it is right (H&E → generated)",
            "released, solver=released: the relaxation only loses mass, almost uniformly, whatever the features",
            "released, composition=released: the product of plans contracts the H&E index with the generated one",
            "released, density_input=signed: density of a tensor in [−1, 1]; below mid-grey all is darkest",
            "released, density_calibration: a constant is added to the grey level before its logarithm",
            "released, density_sum_threshold=0.15: weaker densities are left out of the sum",
            "released, iterate_in_translation: the power iteration of the spectral norm goes on in the official test, "
            "so an image depends on how many came before; here each is translated as the first of them",
            "released, decay_phase=shrink: in the decay whole tiles at half the magnification, in place of crops",
            "released, sampling=replace: about 63 % of the pairs are seen in an epoch",
            "both: in training the power iteration advances once a step; officially in each of thirteen passes",
            "both: features of H&E and real IHC are those of the pass that made the images, fake and identity are "
            "encoded once: one encoder pass in place of twelve",
            "both: the adversarial loss is least squares as released; the paper prints the logarithm (gan=log)",
            "40 + 40 epochs are MIST's; for IHC4BC the paper says 20 in all: --set epochs=10 --set decay_epochs=10",
        ),
        compute="one RTX A6000: MIST 80 epochs about 2 days, IHC4BC 20 epochs about 3 days (paper)",
    )
    variants = {
        "released": {
            "cost": "repel", "mask_diagonal": True, "solver": "released", "composition": "released",
            "density_input": "signed", "density_calibration": True, "density_sum_threshold": 0.15,
            "iterate_in_translation": True, "decay_phase": "shrink", "sampling": "replace",
        },
    }  # fmt: skip
    suites = declare_suites(variants["released"])
    presets = {
        "mist": {},  # the published settings are for MIST's tiles of 1024²
        "cpu": CPU,
        "small": CPU | {"steps": SMALL["steps"]},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config, least_squares if config.gan == "lsgan" else cross_entropy)

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """PatchNCE, UOT-CTM and PC-SCM; the features of H&E and real IHC are constants of each."""
        c = self.config
        losses = self.contrast(seen)
        if c.lambda_tcyc > 0:
            losses["g_tcyc"] = c.lambda_tcyc * self.transport_gap(seen.of_he, seen.of_ihc, seen.of_fake)
        if c.lambda_cc > 0:
            losses["g_cc"] = c.lambda_cc * layered_correlation_gap(seen.of_ihc, seen.of_fake)
        if c.lambda_odc > 0:
            losses["g_odc"] = c.lambda_odc * self.density_correlation(seen.ihc, seen.fake)
        return losses

    def transport_gap(self, he: Features, ihc: Features, fake: Features) -> Tensor:
        """L_tcyc (eq. 11): embedded patches of the three images, their plans, mean over ``taps``; 0 at best."""
        of_fake, of_he, of_ihc = self.embed(fake, he, ihc)
        return over_layers(self.plan_gap, of_he, of_ihc, of_fake)

    def plan_gap(self, he: Tensor, ihc: Tensor, fake: Tensor) -> Tensor:
        """Mean |composed − direct plan| for (…, N, D) unit features, of which only ``fake`` may need a gradient."""
        he, ihc, fake = (features.flatten(0, -3) for features in (he, ihc, fake))
        with full_precision(fake):
            with torch.no_grad():
                he_to_ihc = self.plan(he, ihc)
            if self.config.transport == "direct":
                return (he_to_ihc - self.plan(ihc, fake)).abs().mean()
            if self.config.direct_plan == "balanced":
                ihc_to_fake, he_to_fake = self.plan(ihc, fake), self.plan(he, fake, balanced=True)
            else:
                ihc_to_fake, he_to_fake = self.plan(torch.cat([ihc, he]), torch.cat([fake, fake])).chunk(2)
            if self.config.composition == "shared":
                return (he_to_ihc @ ihc_to_fake - he_to_fake).abs().mean()
            # as released: plans transposed, (ihc, he) times (fake, ihc), which contracts the H&E with the fake index
            return (he_to_ihc.mT @ ihc_to_fake.mT - he_to_fake.mT).abs().mean()

    def plan(self, source: Tensor, target: Tensor, balanced: bool = False) -> Tensor:
        """The transport plan (B, N, N) between unit features; ``balanced`` whatever the solver is."""
        c = self.config
        cost, bound = released_cost(cosine_cost(source, target), c.cost == "repel", c.mask_diagonal)
        if c.solver == "released":
            return released_plan(torch.exp(-cost / c.eta), c.tau, c.iterations)
        mass = 1.0 if c.marginals == "unit" else 1 / cost.shape[1]
        if c.solver == "literal" and not balanced:
            return scaled_plan(cost, c.eta, c.tau / c.eta, c.iterations, mass, bound)
        penalty = float("inf") if c.solver == "balanced" or balanced else penalty_of_slack(c.tau, c.eta)
        return unbalanced_plan(cost, c.eta, penalty, c.iterations, mass, bound)

    def density_correlation(self, real: Tensor, fake: Tensor) -> Tensor:
        """L_odc (eq. 14) of images in [−1, 1]: correlation of DAB densities in the batch, and their mean per image."""
        c, dtype = self.config, torch.promote_types(fake.dtype, torch.float32)  # never in half precision
        with full_precision(fake):
            densities = [self.density(image.to(dtype)) for image in (real, fake)]
            maps = [d * (d >= c.density_matrix_threshold) for d in densities]
            sums = [d * (d >= c.density_sum_threshold) for d in densities]
            return correlation_gap(*maps) + c.density_sum_weight * density_gap(*sums)

    def density(self, image: Tensor) -> Tensor:
        """Focal optical density (B, H, W) of images in [−1, 1]."""
        c = self.config
        intensity = (image + 1) / 2 if c.density_input == "intensity" else image
        return focal_optical_density(intensity, c.alpha, focal_calibration(c.alpha) if c.density_calibration else 0.0)
