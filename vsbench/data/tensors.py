"""Between uint8 images and the networks' tensors."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(images: list[NDArray[np.uint8]]) -> Tensor:
    """(H, W, 3) uint8 images of one size → (B, 3, H, W) float32 in [−1, 1]."""
    return scaled(np.stack(images))


def scaled(levels: NDArray[np.uint8], pin_memory: bool = False) -> Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float32 in [−1, 1], in memory from which a GPU fetches at once if pinned."""
    batch, height, width, channels = levels.shape
    tensor = torch.empty(batch, channels, height, width, dtype=torch.float32, pin_memory=pin_memory)
    return tensor.copy_(torch.from_numpy(levels).permute(0, 3, 1, 2)).div_(127.5).sub_(1)


def to_images(tensor: Tensor) -> list[NDArray[np.uint8]]:
    """(B, 3, H, W) float in [−1, 1] → (H, W, 3) uint8 images, rounded to nearest (official codes truncate)."""
    levels = tensor.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return list(levels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
