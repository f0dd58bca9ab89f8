"""Bytes to RGB: the kind of an image is decided by its content, whatever its name says."""

import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Transpose
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from vsbench.data import jpeg, png, tiff
from vsbench.errors import DataError, unreadable
from vsbench.files import open_regular
from vsbench.names import said

Kind = Literal["RGB", "grey", "labels"]  # RGB or RGBA, or grey, of 8 bits; grey of 8 to 32 bits
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
MAX_PIXELS = 178_000_000  # about 13,000², within the limit Pillow itself enforces; larger is a bomb or a whole slide
MAX_SIDE = 65_535  # as in a JPEG
DEEP = "grey (more than 8 bits)"
AS_LABELS = "save the numbers of nuclei as grey of 16 bits, PNG or TIFF"
MAX_BYTES = 1 << 30  # of a file: more than so many pixels take
ORIENTATION = ExifTags.Base.Orientation
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}  # what an orientation asks for (EXIF 2.32, 0x0112); 1, and what is none, for nothing
SIDEWAYS = {5, 6, 7, 8}
XMP_ORIENTATION = re.compile(r"""tiff:Orientation(?:\s*=\s*["']|>)\s*([1-8])""")
OTHERS = {
    b"GIF8": "a GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"%PDF": "a PDF",
    b"<": "a web page or XML",
    b"PK": "a zip archive",
}  # what else is found under an image's name, by its first bytes

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs is none of the user's concern


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB, a writable array of its own.

    The pixels are those stored: no resize, no colour profile, no gamma. They stand upright, as every viewer shows them:
    turned as the EXIF orientation says, where there is none as XMP's ``tiff:Orientation`` does, in all formats alike.
    What is transparent is laid over white; opaque alpha changes nothing.

    Raises DataError, naming the file, where it is missing, no regular file, empty, damaged, no image of a known format,
    not whole, larger than ``MAX_PIXELS``, of several pages or frames, or not 8-bit RGB(A): grey, palette, CMYK and
    16-bit images are refused, since a conversion nobody asked for would change the stain colours that are measured.
    Whole is an image of which every row was decoded from bytes that are there: a missing row would count as black,
    which is the strongest stain there is.
    """
    pixels = _pixels(path)
    return pixels if isinstance(pixels, np.ndarray) else np.array(pixels)


def read_image(path: Path) -> Image.Image:
    """The same pixels as a Pillow image, for those who need a part: making the whole an array takes a while of its own.

    Raises DataError as ``read_rgb`` does.
    """
    pixels = _pixels(path)
    return Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels


def read_grey(path: Path) -> Image.Image:
    """An 8-bit grey image, (H, W). Raises DataError as ``read_rgb`` does, and for colour images."""
    pixels = _pixels(path, "grey")
    return (Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels).convert("L")


def read_labels(path: Path) -> NDArray[np.integer]:
    """The numbers in a grey image of 8 to 32 bits, (H, W). Raises DataError as ``read_rgb`` does, and where the file
    says that they are not what is meant: transparent ones, or what JPEG made of them.
    """
    pixels = np.asarray(_pixels(path, "labels"))
    if pixels.ndim != 2:
        raise DataError(f"{path}: not plain grey; {AS_LABELS}, without transparency")
    return pixels


def read_size(path: Path, wanted: Kind = "RGB") -> tuple[int, int]:
    """(height, width), upright, from the header alone.

    Raises DataError as ``read_rgb`` does, as far as the header tells: of the pixels it tells whether their bytes are
    there, not what is in them.
    """
    with _opened(path, whole=False, wanted=wanted) as (image, _):
        width, height = _upright_size(image)
        return height, width


def kept_text(path: Path, key: str) -> str | None:
    """What an image file keeps as text under a key; None where it keeps none, or can't be read."""
    try:
        with _opened(path, whole=False, wanted="RGB") as (image, _):
            text = image.info.get(key)
    except DataError:
        return None
    return text if isinstance(text, str) else None


def lossy_kind(path: Path) -> str | None:
    """How an image is stored where that changed its pixels: "JPEG", "lossy WebP", "TIFF of JPEG".

    None where it did not, or where the image can't be read.
    """
    try:
        with _opened(path, whole=False, wanted="RGB") as (image, file):
            if image.format in ("JPEG", "MPO"):
                return "JPEG"
            if isinstance(image, TiffImageFile):
                return "TIFF of JPEG" if tiff.is_jpeg(image) else None
            return "lossy WebP" if image.format == "WEBP" and _has_chunk(file, b"VP8 ") else None
    except DataError:  # which is told where it is read
        return None


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


def _pixels(path: Path, wanted: Kind = "RGB") -> Image.Image | NDArray[np.uint8]:
    """An RGB image, as its decoder makes it: an array of a JPEG (RGB if grey too), Pillow's image of the others."""
    with _opened(path, whole=True, wanted=wanted) as (head, file):
        data, turn = file.read(), UPRIGHT.get(_orientation(head))
        if head.format in ("JPEG", "MPO"):
            array = jpeg.decode(data)
            if turn is None:
                return array
            image = Image.fromarray(array)
        elif head.format == "PNG":
            image = png.decode(data)
        else:
            image = head
            if isinstance(head, TiffImageFile):
                tiff.require_jpegs(head, data)
                if ORIENTATION in head.tag_v2:
                    turn = None  # Pillow turns it by this tag
                else:
                    head.getexif()[ORIENTATION] = 1  # and by nothing else
            image.load()
        if turn is not None:
            image = image.transpose(turn)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        return image


@contextmanager
def _opened(path: Path, whole: bool, wanted: Kind) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """The image with its header read, found to be as wanted, of a bearable size, with its bytes there; and its file.

    ``whole``: with all bytes of the file in memory. Of a PNG the image has no pixels, which may stand before its EXIF.
    """
    with _refusing_damage(path), _quiet(), open_regular(path) as opened:
        length = os.fstat(opened.fileno()).st_size
        if length == 0:
            raise DataError(f"{path}: empty file (zero bytes); fetch it again")
        if length > MAX_BYTES:
            raise DataError(f"{path}: {length:,} bytes, more than {MAX_BYTES:,}; cut it into tiles")
        file = BytesIO(opened.read()) if whole else opened
        image = _head(path, file)
        _require_bearable(path, *image.size)
        kind, pages = _kind(image, file), getattr(image, "n_frames", 1)  # one-image formats have no n_frames
        if wanted == "labels" and kind not in ("grey", DEEP):
            raise DataError(f"{path}: {kind} image; {AS_LABELS}")
        if wanted != "labels" and kind != wanted:
            raise DataError(f"{path}: {kind} image; convert it to 8-bit {wanted}")
        if pages > 1:
            raise DataError(f"{path}: holds {pages} images; save the one that is meant to a file of its own")
        _require_bytes(image, file)
        file.seek(0)
        yield image, file


def _head(path: Path, file: BinaryIO) -> Image.Image:
    """The image, nothing of it decoded. Raises DataError for what is known and not read."""
    start = file.read(16)
    if reason := tiff.refused(file):
        raise DataError(f"{path}: {reason}, which is not read here; save it without compression, deflated, or as PNG")
    file.seek(0)
    try:
        if start.startswith(png.SIGNATURE):
            header = png.read_header(file)
            _require_bearable(path, header.width, header.height)
            return Image.open(BytesIO(png.read_head(file)), formats=["PNG"])
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        known = next((f", but {name}" for magic, name in OTHERS.items() if start.startswith(magic)), "")
        raise DataError(f"{path}: no image that can be read ({', '.join(FORMATS)}, 8 bits a channel){known}") from None


def _require_bearable(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limits = f"{MAX_PIXELS:,} or {MAX_SIDE:,} a side"
        raise DataError(f"{path}: {height}×{width} pixels, more than {limits}; cut it into tiles")


def _require_bytes(image: Image.Image, file: BinaryIO) -> None:
    """Raise ValueError where the file ends before the pixels do, as far as lengths tell. A PNG's are known by now."""
    end = file.seek(0, os.SEEK_END)
    if image.format in ("JPEG", "MPO"):
        jpeg.require_end(file)
    elif isinstance(image, TiffImageFile):
        tiff.silence()
        tiff.require_strips(image, file)
    elif isinstance(image, BmpImageFile):
        tiles: Any = image.tile
        for _, (_, top, _, bottom), offset, (_, bytes_a_row, *_) in tiles:
            if (missing := offset + bytes_a_row * (bottom - top) - end) > 0:
                raise ValueError(f"cut short: {missing:,} bytes are missing")
    elif image.format == "WEBP":
        file.seek(4)
        if (missing := int.from_bytes(file.read(4), "little") + 8 - end) > 0:
            raise ValueError(f"cut short: {missing:,} bytes are missing")


def _has_chunk(webp: BinaryIO, kind: bytes) -> bool:
    webp.seek(12)  # after "RIFF", the length, "WEBP"
    while len(head := webp.read(8)) == 8:
        if head[:4] == kind:
            return True
        length = int.from_bytes(head[4:], "little")
        webp.seek(length + length % 2, os.SEEK_CUR)
    return False


def _orientation(image: Image.Image) -> int:
    """By EXIF, else by XMP, of which some releases of Pillow know and some don't."""
    exif = Image.Image.getexif(image)  # a PNG's own would decode it first
    if ORIENTATION in exif:
        return exif[ORIENTATION]
    packet = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or ""
    found = XMP_ORIENTATION.search(packet if isinstance(packet, str) else packet.decode("latin-1"))
    return int(found[1]) if found else 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) as it stands upright."""
    width, height = tiff.stored_size(image) if isinstance(image, TiffImageFile) else image.size
    return (height, width) if _orientation(image) in SIDEWAYS else (width, height)


def _kind(image: Image.Image, file: BinaryIO) -> str:
    """What the image is, "RGB" for 8-bit RGB and RGBA. Pillow would cut 16-bit colour to 8 bits unasked."""
    if image.mode not in ("RGB", "RGBA"):
        kinds = {"L": "grey", "LA": "grey", "1": "black-and-white", "P": "palette", "PA": "palette", "F": "float"}
        return kinds.get(image.mode, DEEP if image.mode.startswith("I") else image.mode)
    bits = 8
    if image.format == "PNG":
        bits = png.read_header(file).depth
    elif isinstance(image, TiffImageFile):
        bits = max(image.tag_v2.get(BITSPERSAMPLE, (8,)))
    return "RGB" if bits == 8 else f"{bits}-bit RGB"


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Whatever a decoder raises on bad bytes becomes one line that names the file."""
    try:
        yield
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {MAX_PIXELS:,} pixels; cut it into tiles") from None
    except OSError as error:
        if error.strerror is None:  # a decoder's complaint, not the file system's
            raise _damaged(path, error) from None
        raise unreadable(path, error) from None
    except (
        ArithmeticError,
        EOFError,
        LookupError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged image ({said(error)}); fetch the file again")


_silence = threading.Lock()
_silent = [0]  # threads that decode
_filters = warnings.catch_warnings()


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's warnings, of odd tags and cut files, are not for the user: what matters of them is an error here.

    Python keeps one list of filters for all threads: the first changes it, and the last puts it back.
    """
    global _filters
    with _silence:
        if _silent[0] == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _silent[0] += 1
    try:
        yield
    finally:
        with _silence:
            _silent[0] -= 1
            if _silent[0] == 0:
                _filters.__exit__(None, None, None)
