"""QS-Attn: contrastive translation with queries selected by attention (Hu et al., CVPR 2022).

CUT, whose PatchNCE in the deep layers of G's encoder takes no random patches. With X the rows of the source's feature
map (positions × channels) and Y those of the output's, attention tells which positions S matter, and what lies there:

    A = softmax(X Xᵀ)
    H_i = −Σ_j A_ij log A_ij
    S = the N positions of lowest H, of each image
    keys = A_S X,  queries = A_S Y          then embedded by the heads as ever

Both are routed by the source's attention, through which the queries' gradient reaches the source as well; the keys are
constants. With ``local`` attention a position sees the window around it alone; ``local_global`` selects by the local
and routes by the global one.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from vsbench.method import Card
from vsbench.nn.patches import rows_at
from vsbench.precision import full_precision

from ._contrastive import Contrastive, CutConfig, Features, cut_networks
from ._tiles import MIST, PHANTOM

CHUNK = 1024  # positions whose attention is there at a time: all of it would be positions × positions


class Config(CutConfig):
    """Published defaults. Every field is a ``--set`` key; a weight of 0 switches its term off."""

    mode: Literal["global", "local", "local_global"] = "global"
    attention_from: int = Field(
        default=3, ge=0, le=100
    )  # the place among ``taps`` from which on positions are selected
    window: int = Field(default=7, ge=1, le=255)  # side of what local attention sees
    windows: Literal["corrected", "released"] = "corrected"  # released: local with the index errors of the code
    detach_attention: bool = False  # True: the attention is a constant


class QSAttn(Contrastive[Config]):
    """CUT's networks and step; PatchNCE of patches that attention selects and routes."""

    card = Card(
        title="QS-Attn",
        citation="Hu et al. QS-Attn: Query-Selected Attention for Contrastive Learning in I2I Translation. CVPR 2022",
        origin="https://github.com/sapphire497/query-selected-attention",
        licence="none stated",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_nce", "g_identity"),
        parameters={"generator": 11_378_179, "discriminator": 2_764_737, "heads": 560_384},
        deviations=(
            "positions of equal entropy in the order of the map; officially in any order. In float32 many entropies "
            "are exactly 0",
            "entropies in chunks and without gradient, then the attention of the selected positions alone: the same "
            "loss and gradient without a matrix of all positions",
            "mode local and local_global: a window is its neighbours times channels. The released code reads its rows, "
            "channel slow and neighbour fast, as if it were the other way round, and in local mode mixes up positions "
            "and channels of the values too: windows=released",
            "the heads are built with G, not in the first forward pass: same layers, another random stream",
            "features of H&E and real IHC are those of the pass that made the images: same weights, two passes fewer",
        ),
        compute="not stated",
    )
    variants = {
        "released_local": {"mode": "local", "windows": "released"},
        "released_local_global": {"mode": "local_global", "windows": "released"},
    }
    presets = {
        "mist": MIST,
        "cpu": PHANTOM,
        "small": PHANTOM,
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config, *cut_networks(config))

    def embed(self, outputs: Features, *sources: Features) -> tuple[list[Tensor], ...]:
        """Queries of ``outputs`` and keys of the source: at drawn positions first, then selected and routed."""
        (source,) = sources
        drawn = self.heads.draw(source[: self.config.attention_from])
        pairs = list(zip(outputs, source, strict=True))
        rows = [(rows_at(y, where), rows_at(x, where)) for (y, x), where in zip(pairs, drawn, strict=False)]
        rows += [self.routed(y, x) for y, x in pairs[len(drawn) :]]
        with torch.no_grad():
            keys = self.heads.embed([key for _, key in rows])
        return self.heads.embed([query for query, _ in rows]), keys

    def routed(self, output: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) → A_S Y and A_S X, (B, N, C) each; the latter a constant. N: all where fewer are."""
        dtype = torch.promote_types(source.dtype, torch.float32)  # products run up to thousands: no half precision
        with full_precision(source):
            output, source = output.to(dtype), source.to(dtype)
            selected = self.select(source)
            attention = self.attention(source, selected, local=self.config.mode == "local")
            if self.config.detach_attention:
                attention = attention.detach()
            with torch.no_grad():
                keys = self.route(attention, source, selected)
            return self.route(attention, output, selected), keys

    def select(self, source: Tensor) -> Tensor:
        """S: (B, N) positions of the lowest entropies in rising order, the first in the map where they are equal."""
        return self.entropies(source).sort(dim=1, stable=True).indices[:, : self.config.patches]

    @torch.no_grad()
    def entropies(self, source: Tensor) -> Tensor:
        """H: (B, H·W). Summed up as −p log p: as log Σ exp less the mean the small ones would be lost."""
        positions = torch.arange(source[0, 0].numel(), device=source.device).expand(len(source), -1)
        local = self.config.mode != "global"
        parts = [self.attention(source, part, local) for part in positions.split(CHUNK, dim=1)]
        return torch.cat([torch.special.entr(part).sum(2) for part in parts], dim=1)

    def attention(self, source: Tensor, positions: Tensor, local: bool) -> Tensor:
        """Rows of A at (B, K) positions: (B, K, H·W), or over the neighbours in their windows (B, K, window²)."""
        own = _take(source.flatten(2).mT, positions)
        if not local:
            return torch.softmax(own @ source.flatten(2), dim=2)
        near = self.neighbours(source, positions)
        if self.config.windows == "released":
            near = near.mT.reshape(near.shape)  # channel slow and neighbour fast, read the other way round
        return torch.softmax((near @ own[..., None]).squeeze(3), dim=2)

    def route(self, attention: Tensor, features: Tensor, selected: Tensor) -> Tensor:
        """A_S times the rows of a map (B, C, H, W), of all positions or of each selected one's neighbours."""
        if self.config.mode != "local":
            return attention @ features.flatten(2).mT
        near = self.neighbours(features, selected)
        if self.config.windows == "released":
            near = near.permute(0, 3, 2, 1).reshape(
                near.shape
            )  # (channels, neighbours, positions), as if they were not
        return (attention[:, :, None] @ near).squeeze(2)

    def neighbours(self, features: Tensor, positions: Tensor) -> Tensor:
        """(B, C, H, W), (B, K) → (B, K, window², C): what lies around the positions, zeros beyond the borders."""
        side, width = self.config.window, features.shape[3]
        before = side // 2
        padded = F.pad(features, (before, side - 1 - before) * 2)
        steps = torch.arange(side, device=features.device)
        offsets = (steps[:, None] * padded.shape[3] + steps).flatten()
        corners = positions // width * padded.shape[3] + positions % width
        return _take(padded.flatten(2).mT, (corners[..., None] + offsets).flatten(1)).unflatten(1, (-1, side * side))


def _take(rows: Tensor, positions: Tensor) -> Tensor:
    """(B, N, C), (B, K) → (B, K, C): the rows of each image at its positions."""
    return rows[torch.arange(len(rows), device=rows.device)[:, None], positions]
