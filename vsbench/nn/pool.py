"""Earlier generated images, which a discriminator may see again (Shrivastava et al., CVPR 2017)."""

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
