"""PatchNCE and its kin."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vsbench.precision import full_precision

SAME_POSITION = -10.0  # what the official codes put on the diagonal of the negatives, before the temperature


def patch_nce(queries: Tensor, keys: Tensor, temperature: float, across_images: bool = False) -> Tensor:
    """InfoNCE over patches: query *i* must pick key *i* among the keys.

    Parameters
    ----------
    queries, keys : (B, N, D) float, unit length along D. ``keys`` are constants: no gradient reaches them.
    temperature : divides the cosine similarities; > 0.
    across_images : negatives are the patches of all B images, else of the query's own image.

    Returns
    -------
    Scalar, mean over B·N. 0 is perfect; about ``log(N)`` is chance.

    Source: CUT (arXiv:2007.15651), PatchNCE with internal negatives. As in the official code the positive stands apart
    and its place among the negatives holds ``SAME_POSITION``: no weight at temperature 0.07, some at high ones.
    """
    keys = keys.detach()
    if across_images:
        queries, keys = queries.flatten(0, 1)[None], keys.flatten(0, 1)[None]
    with full_precision(queries):
        logits = (queries / temperature) @ keys.mT  # (B, N, N); the positives lie on the diagonal
        # the positive among the negatives, and the extra negative beside them: no second copy of the logits
        total = torch.logaddexp(logits.logsumexp(dim=2), logits.new_full((), SAME_POSITION / temperature))
        return (total - logits.diagonal(dim1=1, dim2=2)).mean()


def layered_patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float) -> Tensor:
    """Mean of ``patch_nce`` over layers, each (B, N, D); layers of one size go together, which is sooner done."""
    if len({q.shape for q in queries}) == 1:
        return patch_nce(torch.cat(list(queries)), torch.cat(list(keys)), temperature)
    return torch.stack([patch_nce(q, k, temperature) for q, k in zip(queries, keys, strict=True)]).mean()
