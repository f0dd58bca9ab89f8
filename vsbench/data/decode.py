"""Bytes to RGB: the kind of an image is decided by its content, whatever its name says."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vsbench.errors import DataError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 400_000_000  # a 20,000 × 20,000 tile; larger is a decompression bomb or a whole slide


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB. RGBA is laid over white; no resize, no rotation, no colour profile.

    Raises DataError, naming the file, where it is missing, empty, truncated, no image of a known format, larger than
    ``MAX_PIXELS``, or not 8-bit RGB(A): grey, palette, CMYK and 16-bit images carry no stain colours to measure.
    """
    with _opened(path) as image:
        if image.mode not in ("RGB", "RGBA"):
            raise DataError(f"{path}: {_describe(image.mode)} image; convert it to 8-bit RGB")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd metadata is of no consequence for the pixels
                image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{path}: damaged image ({_one_line(error)}); fetch the file again") from None
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return np.asarray(image)


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header alone. Raises DataError as ``read_rgb`` does, as far as the header tells."""
    with _opened(path) as image:
        return image.height, image.width


def require_equal_sizes(images: dict[Path, NDArray[np.uint8]]) -> None:
    """Raise DataError naming the first two files whose sizes differ."""
    (first, reference), *others = images.items()
    for path, image in others:
        if image.shape != reference.shape:
            height, width = image.shape[:2]
            raise DataError(
                f"{path}: {height}×{width} pixels, but {first} has {reference.shape[0]}×{reference.shape[1]}; "
                "the images of a pair must have one size"
            )


def _opened(path: Path) -> Image.Image:
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: empty file (zero bytes); fetch it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit below replaces Pillow's warning
            image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {MAX_PIXELS:,} pixels; cut it into tiles") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: unreadable ({_one_line(error)}); fetch the file again") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DataError(f"{path}: {image.height}×{image.width} pixels, more than {MAX_PIXELS:,}; cut it into tiles")
    return image


def _describe(mode: str) -> str:
    kinds = {"L": "grey", "LA": "grey", "1": "black-and-white", "P": "palette", "CMYK": "CMYK", "F": "float"}
    return kinds.get(mode, "16-bit grey" if mode.startswith("I") else mode)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
