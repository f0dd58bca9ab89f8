"""PatchNCE and its kin."""

import torch
from torch import Tensor
from torch.nn import functional as F

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
    logits = queries @ keys.mT  # (B, N, N); the positives lie on the diagonal
    positive = logits.diagonal(dim1=1, dim2=2)[..., None]
    own = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    logits = torch.cat([positive, logits.masked_fill(own, SAME_POSITION)], dim=2) / temperature
    return F.cross_entropy(logits.flatten(0, 1), torch.zeros_like(logits[..., 0].flatten(), dtype=torch.long))
