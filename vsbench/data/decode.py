"""Bytes to RGB: the kind of an image is decided by its content, whatever its name says."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from vsbench.errors import DataError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 178_000_000  # about 13,000², within the limit Pillow itself enforces; larger is a bomb or a whole slide
PNG_BIT_DEPTH = 24  # its place in the file: signature 8, length 4, "IHDR" 4, width 4, height 4 (PNG specification)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB, a writable array of its own.

    The pixels are those stored: no resize, no colour profile, no gamma; not turned after EXIF in a JPEG or PNG, but as
    a TIFF's own orientation says. What is transparent is laid over white; opaque alpha changes nothing. Progressive and
    interlaced files are read whole or not at all.

    Raises DataError, naming the file, where it is missing, empty, truncated, damaged, no image of a known format,
    larger than ``MAX_PIXELS``, of several pages or frames, or not 8-bit RGB(A): grey, palette, CMYK and 16-bit images
    are refused, since a conversion nobody asked for would change the stain colours that are measured.
    """
    return np.array(read_image(path))


def read_image(path: Path) -> Image.Image:
    """The same pixels as a Pillow image, for those who need a part: making the whole an array takes a while of its own.

    Raises DataError as ``read_rgb`` does.
    """
    with _opened(path) as image:
        with _refusing_damage(path):
            image.load()
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return image


def read_size(path: Path) -> tuple[int, int]:
    """(height, width) from the header alone. Raises DataError as ``read_rgb`` does, as far as the header tells."""
    with _opened(path) as image:
        return image.height, image.width


def require_equal_sizes(images: dict[Path, NDArray[np.uint8]]) -> None:
    """Raise DataError naming the first two files whose sizes differ."""
    require_one_size({path: (image.shape[0], image.shape[1]) for path, image in images.items()})


def require_one_size(sizes: dict[Path, tuple[int, int]]) -> None:
    """The same of sizes (height, width)."""
    (first, (height, width)), *others = sizes.items()
    for path, size in others:
        if size != (height, width):
            raise DataError(
                f"{path}: {size[0]}×{size[1]} pixels, but {first} has {height}×{width}; "
                "the images of a pair must have one size"
            )


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image with its header read and found to be 8-bit RGB(A) of a bearable size."""
    with _refusing_damage(path):
        if path.stat().st_size == 0:
            raise DataError(f"{path}: empty file (zero bytes); fetch it again")
        image = Image.open(path, formats=FORMATS)
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{path}: {image.height}×{image.width} pixels, more than {MAX_PIXELS:,}; cut it into tiles")
        with _refusing_damage(path):
            kind, pages = _kind(path, image), getattr(image, "n_frames", 1)  # one-image formats have no n_frames
        if kind != "RGB":
            raise DataError(f"{path}: {kind} image; convert it to 8-bit RGB")
        if pages > 1:
            raise DataError(f"{path}: holds {pages} images; save the one that is meant to a file of its own")
        yield image


def _kind(path: Path, image: Image.Image) -> str:
    """What the image is, "RGB" for 8-bit RGB and RGBA. Pillow would cut 16-bit colour to 8 bits unasked."""
    if image.mode not in ("RGB", "RGBA"):
        kinds = {"L": "grey", "LA": "grey", "1": "black-and-white", "P": "palette", "PA": "palette", "F": "float"}
        return kinds.get(image.mode, "grey (more than 8 bits)" if image.mode.startswith("I") else image.mode)
    bits = 8
    if image.format == "PNG":
        with path.open("rb") as file:
            bits = file.read(PNG_BIT_DEPTH + 1)[PNG_BIT_DEPTH]
    elif isinstance(image, TiffImageFile):
        bits = max(image.tag_v2.get(BITSPERSAMPLE, (8,)))
    return "RGB" if bits == 8 else f"{bits}-bit RGB"


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Whatever Pillow raises on bad bytes becomes one line that names the file."""
    try:
        yield
    except UnidentifiedImageError:
        raise DataError(f"{path}: no image that can be read ({', '.join(FORMATS)}, 8 bits a channel)") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {MAX_PIXELS:,} pixels; cut it into tiles") from None
    except OSError as error:
        if error.strerror is None:  # a decoder's complaint, not the file system's
            raise _damaged(path, error) from None
        raise DataError(f"{path}: {error.strerror.lower()}; check the path and your rights to read it") from None
    except (ArithmeticError, EOFError, LookupError, SyntaxError, TypeError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: damaged image ({reason}); fetch the file again")
