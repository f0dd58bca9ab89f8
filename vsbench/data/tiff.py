"""TIFF: which of them can be read, and whether all strips or tiles are there."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from vsbench.data import jpeg

# Tags (TIFF 6.0)
WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANES = 256, 257, 259, 262, 277, 284
STRIPS = (273, 279, 278)  # offsets, byte counts, rows of each
TILES = (324, 325, 323)
TILE_WIDTH, JPEG_TABLES = 322, 347
YCBCR, SEPARATE = 6, 2
RAW, JPEG = 1, 7
# Those of which libtiff knows whether a strip held all its rows, but for JPEG, which is looked at here.
READ = {RAW, 5, JPEG, 8, 32773, 32946, 34925, 50000}
NAMES = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "old-style JPEG", 33003: "JPEG 2000", 33004: "JPEG 2000",
    33005: "JPEG 2000", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
BIG_BIG_ENDIAN = b"MM\0+"
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", BIG_BIG_ENDIAN)


def refused(file: BinaryIO) -> str | None:
    """Why a TIFF is not read, by the compression that its first image names; None where that is no reason."""
    file.seek(0)
    head = file.read(16)
    if not head.startswith(MAGIC):
        return None
    if head.startswith(BIG_BIG_ENDIAN):
        return "big-endian BigTIFF"  # which Pillow knows by its first bytes and can't read
    tags = ImageFileDirectory_v2(head if b"+" in head[:4] else head[:8])
    file.seek(tags.next)
    tags.load(file)
    compression, photometric = tags.get(COMPRESSION, RAW), tags.get(PHOTOMETRIC)
    if compression not in READ:
        return f"TIFF compressed by {NAMES.get(compression, f'scheme {compression}')}"
    if photometric == YCBCR and compression != JPEG:
        return "TIFF of YCbCr"  # Pillow asks libtiff for it in a way that says nothing of missing rows
    return None


def is_jpeg(image: TiffImageFile) -> bool:
    """Whether its strips or tiles are JPEGs."""
    return image.tag_v2.get(COMPRESSION) == JPEG


def stored_size(image: TiffImageFile) -> tuple[int, int]:
    """(width, height) as stored, before it is turned."""
    return image.tag_v2[WIDTH], image.tag_v2[HEIGHT]


def require_strips(image: TiffImageFile, file: BinaryIO) -> None:
    """Raise ValueError where a strip or tile is missing, reaches beyond the file, or is shorter than its rows are."""
    end = file.seek(0, os.SEEK_END)
    raw = image.tag_v2.get(COMPRESSION, RAW) == RAW
    separate = image.tag_v2.get(PLANES) == SEPARATE
    for piece in _pieces(image):
        if piece.begin + piece.length > end:
            raise ValueError(f"cut short: {piece.begin + piece.length - end:,} bytes are missing")
        samples = 1 if separate else image.tag_v2.get(SAMPLES, 1)
        if piece.length < (piece.rows * piece.columns * samples if raw else 1) or piece.begin == 0:
            raise ValueError("a strip or tile is shorter than its rows")


def require_jpegs(image: TiffImageFile, data: bytes) -> None:
    """Raise ValueError where a strip or tile that is a JPEG is not whole, of which libtiff says nothing."""
    if not is_jpeg(image):
        return
    tables = image.tag_v2.get(JPEG_TABLES, b"\xff\xd8\xff\xd9")
    for piece in _pieces(image):
        height, width, _ = jpeg.decode(tables[:-2] + data[piece.begin + 2 : piece.begin + piece.length]).shape
        if height < piece.rows or width < piece.columns:
            raise ValueError(f"{height}×{width} pixels where {piece.rows}×{piece.columns} belong")


class _Piece(NamedTuple):
    """A strip or tile: where its bytes are, and how many pixels it holds."""

    begin: int
    length: int
    rows: int
    columns: int


def _pieces(image: TiffImageFile) -> Iterator[_Piece]:
    """Those of the whole image, in order. Raises ValueError where there are fewer."""
    tags: Any = image.tag_v2
    width, height = stored_size(image)
    tiled = TILES[0] in tags
    begins, lengths, rows = map(tags.get, TILES if tiled else STRIPS)
    rows = rows if tiled else min(rows or height, height)
    columns = tags[TILE_WIDTH] if tiled else width
    across, down = -(-width // columns), -(-height // rows)
    count = across * down * (tags.get(SAMPLES, 1) if tags.get(PLANES) == SEPARATE else 1)
    if (there := min(len(begins or ()), len(lengths or ()))) < count:
        raise ValueError(f"{there} of {count} strips or tiles are there")
    for number, (begin, length) in enumerate(zip(begins[:count], lengths[:count], strict=True)):
        left = height - number // across % down * rows  # rows below the upper edge of this one
        yield _Piece(begin, length, rows if tiled else min(rows, left), columns)


@cache
def silence() -> None:
    """libtiff tells its errors to the terminal besides raising them: not to ours, where it can be told so."""
    with suppress(AttributeError, OSError):  # where its functions can't be reached from outside
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
