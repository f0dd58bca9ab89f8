"""SRC and hDCE: patch-wise semantic relation for contrastive translation (Jung et al., CVPR 2022).

CUT, whose PatchNCE becomes hDCE, and a second loss on how the patches of an image relate to each other. With q_i, k_i
the embedded patches of output and input, T the temperature, γ falling from ``gamma_start`` to ``gamma_end``:

    L_G   = (D(G(he)) − 1)² + λ_nce ½ [ hDCE(G(he), he) + hDCE(G(ihc), ihc) ] + λ_src SRC(G(he), he)
    SRC   = Σ_i JSD( P_i ‖ Q_i ),   P_ij ∝ exp(q_i·q_j),  Q_ij ∝ exp(k_i·k_j)
    hDCE  = mean_i log Σ_j≠i exp( (w_ij q_i·k_j − q_i·k_i) / T ),   w_ij = exp( (k_i·k_j − max_j≠i k_i·k_j) / γ )

The positive is not among the negatives ("decoupled"), so that patches that are solved still teach. As in the released
code that gives the gradient; the value that is logged is the cross-entropy with the positive among them. One set of
positions serves all four images of a step.
"""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vsbench.losses.contrastive import SAME_POSITION, over_layers
from vsbench.method import Card, Epochs, Place, Weight
from vsbench.nn.patches import unit_length
from vsbench.precision import full_precision

from ._contrastive import Contrastive, CutConfig, Seen, cut_networks
from ._tiles import MIST, PHANTOM

Gamma = Annotated[float, Field(ge=1e-3, le=1e6)]

# Two crops of 64², not one of 128² as its family has: results/examples/phantom/presets.md.
CPU = PHANTOM | {"patches": 64, "batch_size": 2, "crop_size": 64, "average": 0.0}


class Config(CutConfig):
    """The values for horse2zebra. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    patches: Annotated[int, Field(ge=2, le=1 << 20)] = 256  # per layer and image; one has no negatives
    lambda_nce: Weight = 0.1  # of hDCE, which stands in PatchNCE's place
    lambda_identity: Weight = 0.1
    lambda_src: Weight = 0.05
    gamma_start: Gamma = 50.0
    gamma_end: Gamma = 10.0
    gamma_step_epoch: Epochs | None = None  # after it γ is 1; scaled like the epochs where a run counts steps
    # logits: as released, weights multiply the negatives' logits; exponentials: as the paper has it, what they are the
    # exponents of, with weights ∝ exp(k_i·k_j/γ) of mean 1
    hard_negatives: Literal["logits", "exponentials", "off"] = "logits"
    decoupled: bool = True  # False: the gradient is that of the cross-entropy, too


class SRC(Contrastive[Config]):
    """CUT's networks and step; decoupled NCE with hard negatives, and semantic relation consistency."""

    card = Card(
        title="SRC",
        citation="Jung et al. Exploring Patch-wise Semantic Relation for Contrastive Learning in Image-to-Image "
        "Translation Tasks. CVPR 2022",
        origin="https://github.com/jcy132/Hneg_SRC",
        licence="MIT",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity", "g_src"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384},
        deviations=(
            "the default is the released code, whose weights multiply logits and whose γ divides; the variant "
            "equations has the paper's importance weights on the exponentials",
            "relations are taken in each image, SRC is the mean over images: the released code takes one image a step",
            "the heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
            "where a run counts steps, so does γ; officially it counts epochs",
        ),
        compute="not stated",
    )
    variants = {
        "cityscapes": {"lambda_src": 0.1, "gamma_step_epoch": 200},
        "equations": {"hard_negatives": "exponentials"},
    }
    presets = {
        "mist": MIST,
        "cpu": CPU,
        "small": PHANTOM,
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config, *cut_networks(config))

    def terms(self, seen: Seen) -> dict[str, Tensor]:
        """½ λ [ hDCE(G(he), he) + hDCE(G(ihc), ihc) ] + λ SRC(G(he), he)."""
        c, losses = self.config, {}
        hdce = partial(self.hdce, gamma=self.gamma(seen.place))
        share = 0.5 if c.lambda_identity > 0 else 1.0
        positions = self.heads.draw(seen.of_he)
        if c.lambda_nce > 0 or c.lambda_src > 0:
            patches = self.embed_at(positions, seen.of_fake, seen.of_he)
            if c.lambda_nce > 0:
                losses["g_nce"] = share * c.lambda_nce * over_layers(hdce, *patches)
        if c.lambda_identity > 0:
            own = self.embed_at(positions, seen.of_identity, seen.of_ihc)
            losses["g_identity"] = share * c.lambda_identity * over_layers(hdce, *own)
        if c.lambda_src > 0:
            losses["g_src"] = c.lambda_src * over_layers(self.relation_gap, *patches)
        return losses

    def gamma(self, place: Place) -> float:
        """γ at a place of the schedule: from ``gamma_start`` before the first epoch to ``gamma_end`` in the last."""
        c = self.config
        if c.gamma_step_epoch is not None:
            units, epochs = place.constant + place.decay, c.epochs + c.decay_epochs
            if place.unit * epochs > c.gamma_step_epoch * units:
                return 1.0
        return c.gamma_start + (c.gamma_end - c.gamma_start) * place.after

    def relation_gap(self, queries: Tensor, keys: Tensor) -> Tensor:
        """SRC of unit features (…, N, D), mean over images; at most N ln 2."""
        with full_precision(queries):
            log_p, log_q = ((s := unit_length(x)) @ s.mT for x in (queries, keys.detach()))
            log_p, log_q = log_p.log_softmax(dim=-1), log_q.log_softmax(dim=-1)
            log_m = torch.logaddexp(log_p, log_q) - math.log(2)
            divergence = 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m))
            return divergence.sum(dim=(-2, -1)).mean()

    def hdce(self, queries: Tensor, keys: Tensor, gamma: float) -> Tensor:
        """hDCE of unit features (…, N, D), mean over all of them."""
        missed = self.missed(queries, keys, gamma)
        cross_entropy = F.softplus(missed).mean()
        if not self.config.decoupled:
            return cross_entropy
        return missed.mean() + (cross_entropy - missed.mean()).detach()

    def missed(self, queries: Tensor, keys: Tensor, gamma: float) -> Tensor:
        """log Σ_j≠i exp(l_ij / T) − q_i·k_i / T of each patch, (…, N, D) → (…, N): how far its positive is behind."""
        c, keys = self.config, keys.detach()
        own = itself(keys)
        with full_precision(queries):
            cosines = queries @ keys.mT
            negatives = cosines / c.temperature
            if c.hard_negatives == "logits":
                negatives = negatives * hardness(keys, gamma)
            elif c.hard_negatives == "exponentials":
                log_share = (keys @ keys.mT / gamma).masked_fill(own, -math.inf).log_softmax(dim=-1)
                negatives = negatives + log_share + math.log(len(own) - 1)
            total = negatives.masked_fill(own, SAME_POSITION / c.temperature).logsumexp(dim=-1)
            return total - cosines.diagonal(dim1=-2, dim2=-1) / c.temperature


def hardness(keys: Tensor, gamma: float) -> Tensor:
    """w_ij of the hDCE for features (…, N, D) → (…, N, N): 1 for the negative that is most like the positive of its
    row, less for the others. The diagonal says nothing.
    """
    unit = unit_length(keys)
    cosines = (unit @ unit.mT).masked_fill(itself(keys), SAME_POSITION)
    return torch.exp((cosines - cosines.amax(dim=-1, keepdim=True)) / gamma)


def itself(keys: Tensor) -> Tensor:
    """Where a patch meets itself: (N, N) of truths for features (…, N, D)."""
    return torch.eye(keys.shape[-2], dtype=torch.bool, device=keys.device)
