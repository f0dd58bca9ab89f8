"""MoNCE: contrastive translation with modulated negatives (Zhan et al., CVPR 2022).

CUT, in whose PatchNCE each negative now counts by how like it is to the query. With s_ij the cosine of query i and
key j, T the temperature, a transport plan π between the queries and keys of an image says how much:

    π = argmin ⟨c, π⟩ + η KL(π | 1),  all marginals 1,   c_ij = −s_ij, or s_ij − 1 for ``easy``;  c_ii = 10
    w_ij = Q (N − 1) π_ij
    NCE = −log( exp(s_ii/T) / ( exp(s_ii/T) + Σ_j≠i w_ij exp(s_ij/T) ) )

The plan is learned through: the gradient reaches the queries by way of the weights too.
"""

from typing import Literal

from torch import Tensor

from vsbench.losses.contrastive import over_layers, weighted_patch_nce
from vsbench.losses.transport import released_cost, unbalanced_plan
from vsbench.method import Card, Count, Positive
from vsbench.precision import full_precision

from ._contrastive import Contrastive, CutConfig, Features, cut_networks
from ._tiles import MIST, PHANTOM

FAINT = 1e-8  # what every weight has at least, as released: its logarithm is taken


class Config(CutConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    mirror: bool = False  # FastCUT's flip equivariance
    weighting: Literal["hard", "easy"] = "hard"  # hard: negatives that resemble the query weigh more; easy: less
    eta: Positive = 1.0  # entropic regularisation, the paper's β: the smaller, the more the weights differ
    negative_weight: Positive = 1.0  # Q
    iterations: Count = 50
    detach_weights: bool = False  # True: the weights are constants


class MoNCE(Contrastive[Config]):
    """CUT's networks and step; PatchNCE with negatives weighted by optimal transport."""

    card = Card(
        title="MoNCE",
        citation="Zhan et al. Modulated Contrast for Versatile Image Synthesis. CVPR 2022",
        origin="https://github.com/fnzhan/MoNCE",
        licence="MIT",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384},
        deviations=(
            "the unpaired setting only; that for semantic layouts has another generator and VGG features",
            "defaults are those of the released options (η = 1); the horse2zebra script has η = 0.1 and batches of 12: "
            "--preset horse2zebra_2022",
            "N is the number of patches asked for, as released, also where a map has fewer positions",
            "one transport problem per image; the released code merges images where the batch lies on several GPUs",
            "the heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
        ),
        compute="not stated",
    )
    variants = {
        "fast": {"lambda_nce": 10.0, "lambda_identity": 0.0, "mirror": True, "epochs": 150, "decay_epochs": 50},
    }
    presets = {
        "horse2zebra_2022": {"eta": 0.1, "batch_size": 12},  # the released script
        "mist": MIST,
        "cpu": PHANTOM | {"iterations": 10},
        "small": PHANTOM | {"iterations": 10},
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config, *cut_networks(config), mirror=config.mirror)

    def nce(self, outputs: Features, sources: Features) -> Tensor:
        """The modulated NCE between features of output and source, mean over ``taps``."""
        return over_layers(self.modulated_nce, *self.embed(outputs, sources))

    def modulated_nce(self, queries: Tensor, keys: Tensor) -> Tensor:
        """NCE of (…, N, D) unit queries and constant keys; a scalar."""
        c = self.config
        with full_precision(queries):
            cosines = queries @ keys.mT
            plan = self.plan(cosines.detach() if c.detach_weights else cosines)
            weights = c.negative_weight * (c.patches - 1) * plan + FAINT
            return weighted_patch_nce(cosines, weights, c.temperature)

    def plan(self, cosines: Tensor) -> Tensor:
        """π (…, N, N), queries in rows: its columns sum to 1, its rows nearly so."""
        c = self.config
        cost, _ = released_cost(-cosines.flatten(0, -3), repel=c.weighting == "easy", mask_diagonal=True)
        # the diagonal's 10 is no concern of the scaling form: no mass is as exact as next to none
        bound = 2.0 if c.weighting == "easy" else 1.0
        return unbalanced_plan(cost, c.eta, float("inf"), c.iterations, bound=bound).reshape(cosines.shape)
