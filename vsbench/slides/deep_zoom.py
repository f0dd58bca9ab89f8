"""A slide as small JPEG tiles of many levels, for a viewer in a page: Deep Zoom's layout, written as a stream."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from vsbench.data.threads import in_threads
from vsbench.files import ask, digest, named, read_json, write_json
from vsbench.slides.overlay import Overlay
from vsbench.slides.reading import RGB, WHITE

TILE = 512  # pixels a side
OVERLAP = 1  # pixels that tiles share with their neighbours, so that a viewer draws no line between them
LARGEST = 8192  # pixels of the longer side of the finest level
QUALITY = 80  # of JPEG
SCHEMA = 1


@dataclass(frozen=True)
class Levels:
    """The levels of an image of ``height`` × ``width`` pixels, of which the finest has ``scale`` of the frame's pixels
    to one. ``first``, ``last``: their numbers, Deep Zoom's: level 0 is a single pixel, the first here fits into a tile.
    """

    height: int
    width: int
    scale: int
    first: int
    last: int

    @classmethod
    def of(cls, height: int, width: int) -> "Levels":
        """Of a frame."""
        scale = 1
        while max(height, width) > LARGEST * scale:
            scale *= 2
        height, width = -(-height // scale), -(-width // scale)
        longer = max(height, width)
        last = math.ceil(math.log2(longer))
        return cls(height, width, scale, last - max(0, math.ceil(math.log2(longer / TILE))), last)

    def size(self, level: int) -> tuple[int, int]:
        """Height and width of a level."""
        factor = 2 ** (self.last - level)
        return -(-self.height // factor), -(-self.width // factor)


@dataclass(frozen=True)
class Written:
    """What lies there: by level, by row, a "1" for each tile that there is; one that is all white is left out."""

    tiles: list[list[str]]
    bytes: int

    @property
    def count(self) -> int:
        """Tiles."""
        return sum(row.count("1") for level in self.tiles for row in level)


def write_tiles(overlay: Overlay, levels: Levels, folder: Path) -> Written:
    """Write ``<folder>/<level>/<column>_<row>.jpg``, unless that was done from the same file and transform.

    Memory is that of some tiles. Raises DataError where the slide can't be read.
    """
    file, record = overlay.slide.file, folder / "made.json"
    state = file.stat()
    lies = [repr(overlay.alignment.as_json()), repr(overlay.factor), repr(levels)]
    made = digest([f"{SCHEMA} {QUALITY} {file.resolve()} {state.st_size} {state.st_mtime_ns}", *lies])
    if (there := _made(record)).get("made") == made:
        return Written(there["tiles"], there["bytes"])
    if folder.exists():
        shutil.rmtree(folder)
    found, total = [], 0
    for level in range(levels.first, levels.last + 1):
        height, width = levels.size(level)
        rows, columns = -(-height // TILE), -(-width // TILE)
        places = [(row, column) for row in range(rows) for column in range(columns)]

        def write(place: tuple[int, int], level: int = level) -> int:
            return _write(overlay, levels, level, *place, folder)

        sizes = list(in_threads(write, places, 2, 4))
        found.append(["".join("1" if size else "0" for size in sizes[row * columns : (row + 1) * columns])
                      for row in range(rows)])  # fmt: skip
        total += sum(sizes)
    write_json(record, {"made": made, "tiles": found, "bytes": total})
    return Written(found, total)


def _made(record: Path) -> dict[str, Any]:
    try:
        return dict(read_json(record))
    except (OSError, ValueError):
        return {}


def _write(overlay: Overlay, levels: Levels, level: int, row: int, column: int, folder: Path) -> int:
    """Its bytes; 0 where it is white, and not written."""
    tile = _tile(overlay, levels, level, row, column)
    if (tile == WHITE).all():
        return 0
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=QUALITY, colorsubsampling="420")
    path = folder / str(level) / f"{column}_{row}.jpg"
    ask(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with named(path):
        path.write_bytes(data)
    return len(data)


def _tile(overlay: Overlay, levels: Levels, level: int, row: int, column: int) -> RGB:
    (top, down), (left, across) = (
        (max(0, place * TILE - OVERLAP), min(side, (place + 1) * TILE + OVERLAP))
        for place, side in zip((row, column), levels.size(level), strict=True)
    )
    return overlay.window(levels.scale * 2.0 ** (levels.last - level), top, left, down - top, across - left)
