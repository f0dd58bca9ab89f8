"""Earlier generated images, which a discriminator may see again (Shrivastava et al., CVPR 2017)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vsbench.ranks import gather, share


class ImagePool:
    """Earlier generated images. Until it is full each image is stored and returned; later half of the time a stored
    one is returned, and the new one takes its place. Decided image by image, as in CycleGAN's official code.

    Several processes each hold the same pool: it exchanges the images of all of them, and each takes its share back.
    ``images`` are part of the training state of the method that has the pool.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) of new images → as many, new or old, without gradient."""
        if self.size == 0:
            return images.detach()
        returned = []
        for image in gather(images.detach()):
            if len(self.images) < self.size:
                self.images.append(image)
                returned.append(image)
            elif float(torch.rand(())) > 0.5:
                place = int(torch.randint(self.size, ()))
                returned.append(self.images[place])
                self.images[place] = image
            else:
                returned.append(image)
        return share(torch.stack(returned))


def kept_images(found: Sequence[Any], side: int, device: torch.device) -> list[Tensor]:
    """(…, 3, side, side) images that a training state holds, on ``device``. Raises ValueError for what is none."""
    for image in found:
        if not isinstance(image, Tensor) or image.shape[-3:] != (3, side, side):
            raise ValueError(f"kept images are 3 × {side} × {side}")
        if not image.is_floating_point() or not image.isfinite().all():
            raise ValueError("kept images are finite numbers")
    return [image.to(device) for image in found]
