"""PNG, decoded where all of it is there: chunks, their checksums, and every row."""

import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
HEADER_AT = 16  # after the signature, and the header chunk's length and name
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by colour type
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # Adam7
DENSEST = 1032  # bytes that one byte of a deflate stream can become at most


class Header(NamedTuple):
    """Of an image; as bytes in this order."""

    width: int
    height: int
    depth: int  # bits a sample
    colour: int
    compression: int
    filtering: int
    interlaced: int


def read_header(file: BinaryIO) -> Header:
    """What the first chunk says. Raises struct.error where it is cut short."""
    file.seek(HEADER_AT)
    return Header(*HEADER.unpack(file.read(HEADER.size)))


def read_head(file: BinaryIO) -> bytes:
    """A PNG of the same header and descriptions, wherever in the file they stand, without pixels: none is read.

    Raises ValueError where a chunk reaches beyond the file, the end chunk is missing, or the data are too few to become
    all the rows, for which no room need be made then.
    """
    kept, data = [SIGNATURE], 0
    for kind, begin, length in _chunks(file):
        if kind == b"IDAT":
            data += length
        elif kind != b"fdAT" and not (data and kind == b"fcTL"):  # further frames of an animation
            file.seek(begin - 8)
            kept.append(file.read(length + 12))
    header = read_header(file)
    if _size_of_rows(header) > DENSEST * data:
        raise ValueError(f"cut short: {data:,} bytes of data can't become {header.height:,} rows")
    return b"".join([*kept[:-1], _chunk(b"IDAT"), kept[-1]])


def decode(data: bytes) -> Image.Image:
    """The image, loaded. Raises ValueError where a checksum does not hold or a row is missing, or as Pillow does."""
    view = memoryview(data)
    for kind, begin, length in _chunks(BytesIO(data)):
        end = begin + length
        if zlib.crc32(view[begin - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"checksum of {kind.decode('ascii', 'replace')} does not hold")
    image = Image.open(BytesIO(data), formats=["PNG"])
    image.load()
    _require_rows(data, image)
    return image


def _require_rows(data: bytes, image: Image.Image) -> None:
    """Raise ValueError where the stream ends before the rows do, though it ends well: Pillow takes that for whole.

    One that goes on after them is taken as libpng and every viewer take it: the header, whose checksum holds, says how
    many rows the image has. No damage makes such a file, and to look for it would take as long for every image.

    It decodes into memory full of zeros, so that a last row with anything in it was decoded. Only where there is
    nothing in it, or where rows come in passes, all are counted, which takes a third of the time once more.
    """
    header = read_header(BytesIO(data))
    last = image.crop((0, image.height - 1, image.width, image.height)).tobytes()
    if any(last) and not header.interlaced:
        return
    wanted = _size_of_rows(header)
    stream = b"".join(data[begin : begin + n] for kind, begin, n in _chunks(BytesIO(data)) if kind == b"IDAT")
    if (found := len(zlib.decompressobj().decompress(stream, wanted))) < wanted:
        raise ValueError(f"cut short: its rows are {wanted:,} bytes, of which {found:,} are there")


def _size_of_rows(header: Header) -> int:
    """Bytes of all rows before they are compressed, each with the byte that names its filter."""
    width, height, depth, colour, _, _, interlaced = header
    size = 0
    for top, left, down, right in PASSES if interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // right)
        if rows > 0 and columns > 0:
            size += rows * (1 + -(-columns * depth * SAMPLES[colour] // 8))
    return size


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, where its data begin, their length) of each; reads none of them."""
    end, position = file.seek(0, os.SEEK_END), len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        file.seek(position)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        begin, position = position + 8, position + length + 12
        if position > end:
            raise ValueError(f"cut short: {position - end:,} bytes are missing")
        yield kind, begin, length


def _chunk(kind: bytes) -> bytes:
    """An empty one."""
    return struct.pack(">I", 0) + kind + struct.pack(">I", zlib.crc32(kind))
