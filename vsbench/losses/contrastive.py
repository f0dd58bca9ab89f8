"""PatchNCE and its kin."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from vsbench.precision import full_precision

SAME_POSITION = -10.0  # what the official codes put on the diagonal of the negatives, before the temperature


def patch_nce(queries: Tensor, keys: Tensor, temperature: float, across_images: bool = False) -> Tensor:
    """InfoNCE over patches: query *i* must pick key *i* among the keys.

    Parameters
    ----------
    queries, keys : (…, B, N, D) float, unit length along D. ``keys`` are constants: no gradient reaches them.
    temperature : divides the cosine similarities; > 0.
    across_images : negatives are the patches of all B images, else of the query's own image.

    Returns
    -------
    Scalar, mean over B·N. 0 is perfect; about ``log(N)`` is chance.
    """
    if across_images:
        queries, keys = (x.flatten(-3, -2).unsqueeze(-3) for x in (queries, keys))
    return each_patch_nce(queries, keys, temperature).mean()


def each_patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each patch, −ln p of its own key's softmax probability: (…, N, D) twice → (…, N).

    Source: CUT (arXiv:2007.15651), PatchNCE with internal negatives. As in the official code the positive stands apart
    and its place among the negatives holds ``SAME_POSITION``: no weight at temperature 0.07, some at high ones.
    """
    keys = keys.detach()
    with full_precision(queries):
        return _missed((queries / temperature) @ keys.mT, temperature)


def weighted_patch_nce(cosines: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """``patch_nce`` in which negative *j* of query *i* counts ``weights[…, i, j]`` times.

    Both (…, N, N), queries in rows, the positives on the diagonal; their weights do not count. weights > 0. The
    gradient reaches both. Scalar, mean over all queries. Source: MoNCE (arXiv:2203.09333).
    """
    own = torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    with full_precision(cosines):
        return _missed(cosines / temperature + weights.masked_fill(own, 1.0).log(), temperature).mean()


def _missed(logits: Tensor, temperature: float) -> Tensor:
    """−ln of each row's softmax at the diagonal, (…, N, N) → (…, N), one extra negative at ``SAME_POSITION``."""
    # the positive among the negatives, and the extra negative beside them: no second copy of the logits
    total = torch.logaddexp(logits.logsumexp(dim=-1), logits.new_full((), SAME_POSITION / temperature))
    return total - logits.diagonal(dim1=-2, dim2=-1)


def layered_patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float) -> Tensor:
    """Mean of ``patch_nce`` over layers, each (B, N, D)."""
    return over_layers(partial(patch_nce, temperature=temperature), queries, keys)


def over_layers(loss: Callable[..., Tensor], *patches: Sequence[Tensor]) -> Tensor:
    """Mean over layers of a loss of queries and keys (and more), (B, N, D) for each layer.

    Layers of one size go together as (layers, B, N, D), which is sooner done: ``loss`` takes (…, B, N, D) and gives a
    mean over what comes before the last three dimensions.
    """
    if len({layer.shape for layer in patches[0]}) == 1:
        return loss(*(torch.stack(list(layers)) for layers in patches))
    return torch.stack([loss(*layer) for layer in zip(*patches, strict=True)]).mean()
