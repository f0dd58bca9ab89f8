"""JPEG, decoded where all of it is there: what libjpeg only warns of, before it makes pixels up, is damage here."""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray

# Markers (ITU-T T.81, table B.1). A 0 after 0xFF, and the restart marks, are part of a scan's data.
MARKER = re.compile(rb"\xff+([\x02-\xcf\xd8-\xfe])")
START, END, SCAN, JFIF, ADOBE = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
DESCRIPTIONS = {*range(0xE0, 0xF0), 0xFE} - {JFIF, ADOBE}  # of no matter to the pixels
PLAIN_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
PLAIN_SCAN = b"\0\x3f\0"  # of a sequential scan: all coefficients, all their bits
MISSING = 15  # bits of a coefficient that no scan has brought


def decode(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, writable: the pixels that Pillow gives.

    Raises ValueError where libjpeg counts a warning, or where a progressive file ends before its last scan, of which
    libjpeg says nothing. Odd bytes in the header, of which it warns too, are passed over.
    """
    _require_scans(data)
    try:
        return simplejpeg.decode_jpeg(data)
    except ValueError:
        plain = _plain(data)
        if plain == data:
            raise
        return simplejpeg.decode_jpeg(plain)


def require_end(file: BinaryIO) -> None:
    """Raise ValueError where the mark of the end is missing; reads all only where something follows the image."""
    file.seek(-2, os.SEEK_END)
    if file.read(2) != bytes((0xFF, END)):
        file.seek(0)
        if all(marker != END for marker, _, _ in _segments(file.read())):
            raise ValueError("cut short: no end mark")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where it begins, where its content ends) up to the end mark; a scan's data are not its content."""
    position = 2
    while found := MARKER.search(data, position):
        marker, begin, position = found[1][0], found.start(1) - 1, found.end()
        if marker not in (START, END):
            position += int.from_bytes(data[position : position + 2], "big")
        yield marker, begin, position
        if marker == END:
            return


def _require_scans(data: bytes) -> None:
    """Raise ValueError unless the scans bring all components and, in a progressive file, all bits of each coefficient.

    A file cut between two scans, and closed, is sound to libjpeg: the specification allows it, and nobody writes it.
    """
    missing: dict[int, list[int]] = {}  # component → lowest bit that is there, of each coefficient
    progressive = False
    for marker, begin, end in _segments(data):
        content = data[begin + 4 : end]
        if marker in FRAMES:
            progressive = marker in PROGRESSIVE
            missing = {component: [MISSING] * 64 for component in content[6 : 6 + 3 * content[5] : 3]}
        elif marker == SCAN:
            count = content[0]
            first, last, bits = content[1 + 2 * count : 4 + 2 * count] if progressive else PLAIN_SCAN
            for component in content[1 : 1 + 2 * count : 2]:
                missing[component][first : last + 1] = [bits & 15] * (last + 1 - first)
            if not any(map(any, missing.values())):
                return
    raise ValueError("cut short: its last scans are missing")


def _plain(data: bytes) -> bytes:
    """The same image without what its header says besides: libjpeg warns of it, and then of nothing that follows."""
    kept = [data[:2]]
    progressive = False
    for marker, begin, end in _segments(data):
        progressive |= marker in PROGRESSIVE
        if marker == SCAN:
            kept += [data[begin:end] if progressive else data[begin : end - 3] + PLAIN_SCAN, data[end:]]
            break
        if marker not in DESCRIPTIONS:
            kept.append(PLAIN_JFIF if marker == JFIF else data[begin:end])
    return b"".join(kept)
