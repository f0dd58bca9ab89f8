"""The spatially-correlative loss: what of an image resembles what, whatever its colours (Zheng et al., CVPR 2021)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.precision import full_precision

Similarity = Literal["dot", "cosine"]


def self_similarity(features: Tensor, positions: Tensor, window: int, similarity: Similarity) -> Tensor:
    """How a map's cells at some positions resemble the cells around them.

    Parameters
    ----------
    features : (B, C, H, W) float. Its mean over positions is taken off each channel of each image.
    positions : (P,) flat row-major positions, the same for all images.
    window : side of the square of cells around a position, moved inwards at borders (from row − window // 2 on); where
        it is not smaller than height and width, all cells.
    similarity : ``dot``: tanh of a tenth of the mean product over channels; ``cosine``.

    Returns
    -------
    (B, P, K) in [−1, 1], K = window² or H·W, row-major.
    """
    height, width = features.shape[2:]
    with full_precision(features):
        cells = features.flatten(2).to(torch.promote_types(features.dtype, torch.float32))
        cells = cells - cells.mean(2, keepdim=True)
        cells = F.normalize(cells, dim=1) if similarity == "cosine" else cells / cells.shape[1] ** 0.5
        rows = cells[..., positions].mT @ cells  # (B, P, H·W): smaller than the cells of each window would be
        if window < min(height, width):
            rows = rows.gather(2, windows(positions, window, height, width).expand(len(rows), -1, -1))
        return rows if similarity == "cosine" else torch.tanh(rows / 10)


def windows(positions: Tensor, window: int, height: int, width: int) -> Tensor:
    """(P,) flat positions → (P, window²) flat positions of the cells around each, row-major."""
    steps = torch.arange(window, device=positions.device)
    row = (positions // width - window // 2).clamp(0, height - window)
    column = (positions % width - window // 2).clamp(0, width - window)
    cells = (row[:, None] + steps)[:, :, None] * width + (column[:, None] + steps)[:, None]
    return cells.flatten(1)


def spatial_gap(source: Tensor, target: Tensor, mode: Literal["cos", "l1"], similarity: Similarity) -> Tensor:
    """How far the self-similarities of a target are from those of its source: a scalar, 0 where they agree.

    (B, P, K) each, of which the quarter that is largest in the ``target`` counts, the rest being 0 in both. ``cos``:
    smooth L1 of 1 − cosine of two rows; ``l1``: smooth L1 of their difference, times K over that quarter. As released,
    it is the plain L1 for cosine similarities. No gradient flows through the choice of the quarter.
    """
    distance = F.l1_loss if similarity == "cosine" else F.smooth_l1_loss
    keys = target.shape[2]
    quarter = keys // 4
    with full_precision(target):
        with torch.no_grad():
            counts = target >= target.topk(quarter + 1, dim=2, sorted=False).values.amin(2, keepdim=True)
        source, target = source * counts, target * counts
        if mode == "l1":
            return distance(keys / quarter * source, keys / quarter * target)
        cosine = F.cosine_similarity(source, target, dim=2)
        return distance(cosine, torch.ones_like(cosine))


def contrast_of_rows(source: Tensor, target: Tensor, other: Tensor, temperature: float) -> Tensor:
    """What learned self-similarities are learned by: row *p* of a source must pick row *p* of its target, a scalar.

    (B, P, K) each. Negatives are the target's other rows, and the source's and the target's resemblance to all rows of
    another image: 3 P classes in all, of the query's own image. Gradient flows through all three; log(3 P) is chance.
    """
    with full_precision(source):
        source, target, other = (F.normalize(rows, dim=2) for rows in (source, target, other))
        pairs = ((source, target), (source, other), (target, other))
        logits = torch.cat([a @ b.mT for a, b in pairs], dim=2) / temperature
        return (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean()
