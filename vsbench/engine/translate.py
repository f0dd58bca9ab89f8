"""Translation of whole images by a trained method."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from vsbench.data.decode import read_rgb
from vsbench.data.tensors import to_images, to_tensor
from vsbench.errors import RunError
from vsbench.files import atomic
from vsbench.method import Method

SMALLEST = 8  # pixels a side: the ResNets reflect borders at a quarter of the size, which takes two positions there


def translate_image(method: Method[Any], he: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 H&E → IHC of the same size.

    Sides that are no multiple of what the network needs, or below ``SMALLEST``, are padded by reflection (by repetition
    where the image is smaller than the padding) and cut back. Raises RunError when memory is short.
    """
    height, width, _ = he.shape
    multiple = method.size_multiple
    below, right = (-(-max(side, SMALLEST) // multiple) * multiple - side for side in (height, width))
    mode = "reflect" if below < height and right < width else "replicate"
    image = F.pad(to_tensor([he]).to(device), (0, right, 0, below), mode=mode)
    try:
        with torch.inference_mode():
            fake = method.translate(image)[..., :height, :width]
    except torch.OutOfMemoryError:
        raise RunError(f"out of memory translating {height}×{width} pixels; cut the images into tiles") from None
    return to_images(fake)[0]


def translate_files(
    method: Method[Any],
    files: Iterable[tuple[Path, Path]],
    device: torch.device,
    done: Callable[[Path], None] | None = None,
) -> None:
    """Translate H&E files to PNG files (lossless, written atomically), calling ``done`` with each path written."""
    method = method.to(device).eval()
    for source, target in files:
        fake = translate_image(method, read_rgb(source), device)
        with atomic(target) as temporary:
            Image.fromarray(fake).save(temporary, format="PNG")
        if done is not None:
            done(target)
