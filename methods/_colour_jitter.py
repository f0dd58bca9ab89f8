"""Colours changed at random, as torchvision's ColorJitter does on floats."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vsbench.ranks import ranks, share

GREY = (0.299, 0.587, 0.114)


def colour_jitter(images: Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> Tensor:
    """(B, 3, H, W) in [−1, 1] → the same, each image changed in its own way, in a random order of the four changes.

    Factors are uniform in 1 ± brightness, contrast and saturation, the turn of the hue in ± hue of a circle. Drawn on
    the CPU, for the images of all ranks.
    """
    draws, orders = (share(torch.rand(ranks() * len(images), 4, device="cpu")) for _ in range(2))
    spread = (brightness, contrast, saturation, hue)
    changed = []
    for image, draw, order in zip((images + 1) / 2, draws.tolist(), orders.argsort(dim=1).tolist(), strict=True):
        amounts = [width * (2 * u - 1) for width, u in zip(spread, draw, strict=True)]
        changed.append(_changed(image, amounts, order))
    return torch.stack(changed) * 2 - 1


def _changed(image: Tensor, amounts: Sequence[float], order: Sequence[int]) -> Tensor:
    """(3, H, W) in [0, 1] after the changes 0 to 3 (brightness, contrast, saturation, hue) in this order."""
    for change in order:
        if change == 3:
            image = _hue_turned(image, amounts[3])
            continue
        grey = sum(weight * channel for weight, channel in zip(GREY, image, strict=True))
        towards = (torch.zeros_like(grey), grey.mean(), grey)[change]
        image = torch.lerp(towards.expand_as(image), image, 1 + amounts[change]).clamp(0, 1)
    return image


def _hue_turned(image: Tensor, turn: float) -> Tensor:
    """(3, H, W) in [0, 1] with its hue turned by a share of the circle; its saturation and value stay."""
    red, green, blue = image
    top, bottom = image.amax(0), image.amin(0)
    chroma = top - bottom
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixths = torch.where(
        top == red, (green - blue) / safe, torch.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    steps = [(n + sixths + 6 * turn) % 6 for n in (5, 3, 1)]  # of red, green and blue from the top of the circle
    return torch.stack([top - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in steps])
