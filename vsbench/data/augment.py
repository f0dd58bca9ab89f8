"""Random crops and flips, the same for both images of a pair when they are aligned."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.errors import DataError


@dataclass(frozen=True)
class Augmentation:
    """Bicubic resize of the whole tile to ``load_size`` square (0: as it is), a random crop, a random mirroring."""

    load_size: int
    crop_size: int
    flip: bool

    def apply(self, images: dict[Path, NDArray[np.uint8]], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
        """(H, W, 3) images of one size, by file → (crop, crop, 3) each, cut and mirrored alike.

        Raises DataError, naming the file, where an image is smaller than the crop.
        """
        resized = {path: self._resize(image) for path, image in images.items()}
        height, width, _ = next(iter(resized.values())).shape
        if min(height, width) < self.crop_size:
            raise DataError(
                f"{next(iter(resized))}: {height}×{width} pixels hold no crop of {self.crop_size}; "
                "lower crop_size, or set load_size to enlarge the tiles"
            )
        top = int(rng.integers(height - self.crop_size + 1))
        left = int(rng.integers(width - self.crop_size + 1))
        mirrored = self.flip and rng.random() < 0.5
        crops = [image[top : top + self.crop_size, left : left + self.crop_size] for image in resized.values()]
        return [crop[:, ::-1] if mirrored else crop for crop in crops]

    def _resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = (self.load_size, self.load_size)
        if self.load_size == 0 or image.shape[:2] == size:
            return image
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
