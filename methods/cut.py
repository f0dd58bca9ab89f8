"""CUT and FastCUT: contrastive unpaired translation (Park et al., ECCV 2020).

A generator G and a patch discriminator D. PatchNCE holds the tissue in place: in G's own encoder, a patch of G(he)
must be nearer to the same patch of he than to he's other patches.

    L_D = ½ [ (D(ihc) − 1)² + D(G(he))² ]
    L_G = (D(G(he)) − 1)² + λ/2 [ NCE(G(he), he) + NCE(G(ihc), ihc) ]

FastCUT leaves the identity term out, weights the other with 10, and mirrors the input of G half of the time.
"""

from vsbench.method import Card

from ._contrastive import Contrastive, CutConfig, cut_networks
from ._tiles import MIST, PHANTOM


class Config(CutConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    mirror: bool = False  # FastCUT's flip equivariance


class CUT(Contrastive[Config]):
    """Antialiased ResNet, 70 × 70 PatchGAN, PatchNCE in G's encoder: the family's step as it is."""

    card = Card(
        title="CUT",
        citation="Park et al. Contrastive Learning for Unpaired Image-to-Image Translation. ECCV 2020",
        origin="https://github.com/taesungp/contrastive-unpaired-translation",
        licence="BSD-2-Clause",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384},
        deviations=(
            "the PatchNCE heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
        ),
        compute="not stated",
    )
    variants = {
        "fast": {"lambda_nce": 10.0, "lambda_identity": 0.0, "mirror": True, "epochs": 150, "decay_epochs": 50},
    }
    presets = {
        "mist": MIST,
        "cpu": PHANTOM,
        "small": PHANTOM,
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config, *cut_networks(config), mirror=config.mirror)
