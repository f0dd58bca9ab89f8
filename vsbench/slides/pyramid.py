"""Pyramids, written strip by strip: whatever their size, a few tiles are in memory, and a killed writer goes on.

A strip is a row of tiles of the finest level, compressed, in a file of its own beside the slide to be
(``<name>.part/``). When all are there, the coarser levels are made from them, and the slide is put together and
renamed into its place: under its own name there is nothing but the whole of it.

Two layouts, by the name's ending. ``.ome.tif``: levels as SubIFDs, with OME-XML, for QuPath, Bio-Formats and tifffile.
``.tif``: levels as images of their own, marked as reduced, which OpenSlide reads; of an OME-TIFF it sees one level.
"""

import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vsbench.data.threads import in_threads
from vsbench.errors import RunError, UsageError
from vsbench.files import TEMPORARY, atomic, read_json, write_json
from vsbench.slides.reading import package

RGB = NDArray[np.uint8]
TILE = 512  # pixels a side
QUALITY = 90  # of JPEG, without subsampling of colour, in which DAB differs from haematoxylin
OME_ENDINGS, PLAIN_ENDINGS = (".ome.tif", ".ome.tiff"), (".tif", ".tiff")
LARGEST = 1 << 20  # pixels a side


@dataclass(frozen=True)
class Format:
    """What is to be written. ``pixel_size``: µm at full resolution; ``quality``: of JPEG, None: lossless."""

    height: int
    width: int
    pixel_size: float | None
    quality: int | None = QUALITY
    channel: str = "RGB"  # what the image shows, in a word or two
    description: str = ""  # kept in the file

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each level, halved until one tile holds it."""
        found = [(self.height, self.width)]
        while max(found[-1]) > TILE:
            height, width = found[-1]
            found.append((-(-height // 2), -(-width // 2)))
        return found

    @property
    def strips(self) -> int:
        """Rows of tiles of the finest level."""
        return -(-self.height // TILE)


def is_ome(file: Path) -> bool:
    """Whether a name asks for an OME-TIFF, or else for a plain pyramid. Raises UsageError for any other ending."""
    name = file.name.lower()
    if not name.endswith(PLAIN_ENDINGS):
        raise UsageError(f"{file}: a slide is written as .ome.tif (for QuPath) or .tif (for OpenSlide)")
    return name.endswith(OME_ENDINGS)


class Pyramid:
    """A slide that is being written. Strips that a killed writer has left in ``folder`` are there already.

    ``plan``: what the pixels follow from, kept beside the strips. Raises RunError where those there have another one.
    """

    def __init__(self, file: Path, form: Format, plan: Mapping[str, Any]) -> None:
        self.is_ome = is_ome(file)
        if max(form.height, form.width) > LARGEST:
            raise UsageError(f"{file}: {form.height}×{form.width} pixels; {LARGEST:,} a side are the most")
        self._tifffile = package("tifffile")
        self.file, self.form = file, form
        self.folder = part_folder(file)
        self._read = lru_cache(maxsize=3)(_read_strip)  # tiles of a strip are asked for one after the other
        whole = {**asdict(form), **plan}
        kept = self.folder / "plan.json"
        if _is_empty(self.folder):
            write_json(kept, whole)
        elif _plan(kept) != whole:
            raise RunError(
                f"{self.folder}: begun with other settings, or not by vsbench; move this folder away, or name another "
                "slide"
            )

    @property
    def done(self) -> int:
        """Strips that are there, without a gap from the first."""
        count = 0
        while count < self.form.strips and self._strip(0, count).exists():
            count += 1
        return count

    def append(self, number: int, strip: RGB) -> None:
        """Write one strip, (≤ 512, width, 3); the last one is as high as what is left."""
        lefts = range(0, strip.shape[1], TILE)
        self._write(0, number, list(in_threads(self._encoded, (strip[:, left : left + TILE] for left in lefts))))

    def finish(self) -> None:
        """Make the coarser levels, put the slide together, and remove what it was made from.

        Raises RunError where strips are missing.
        """
        form = self.form
        if self.done < form.strips:
            raise RunError(f"{self.folder}: {self.done} of {form.strips} strips are there; run the same command again")
        for level, (height, width) in enumerate(form.sizes[1:], start=1):
            for row in range(-(-height // TILE)):
                if not self._strip(level, row).exists():
                    columns = range(-(-width // TILE))
                    self._write(level, row, list(in_threads(partial(self._halved, level, row), columns)))
        self._assemble()
        shutil.rmtree(self.folder)

    def _assemble(self) -> None:
        form = self.form
        kind: dict[str, Any] = {"compression": "jpeg", "subsampling": (1, 1)}
        if form.quality is None:
            kind = {"compression": "zlib", "predictor": 2}
        with atomic(self.file) as temporary, self._tifffile.TiffWriter(temporary, bigtiff=True, ome=self.is_ome) as out:
            for level, size in enumerate(form.sizes):
                how: dict[str, Any] = {"subfiletype": 1 if level else 0, "metadata": None}
                if form.description and not self.is_ome and level == 0:
                    how["description"] = form.description
                if self.is_ome and level == 0:
                    how |= {"subifds": len(form.sizes) - 1, "metadata": self._ome()}
                if form.pixel_size is not None:
                    by_cm = 1e4 * size[1] / (form.pixel_size * form.width)
                    how |= {"resolution": (by_cm, by_cm), "resolutionunit": "CENTIMETER"}
                out.write(
                    self._tiles(level), shape=(*size, 3), dtype=np.uint8, photometric="rgb", planarconfig="contig",
                    tile=(TILE, TILE), software="vsbench", **kind, **how,
                )  # fmt: skip

    def _ome(self) -> dict[str, object]:
        """For the OME-XML. Equal slides have equal bytes, so its identifier is the digest of the pixels."""
        total = sha256(repr(self.form).encode())
        for number in range(self.form.strips):
            total.update(self._strip(0, number).read_bytes())
        found: dict[str, object] = {
            "axes": "YXS",
            "UUID": f"urn:uuid:{UUID(bytes=total.digest()[:16])}",
            "Name": self.file.name,
            "Channel": {"Name": [self.form.channel]},
        }
        if self.form.description:
            found["Description"] = self.form.description
        if self.form.pixel_size is not None:
            found |= {f"PhysicalSize{axis}": self.form.pixel_size for axis in "XY"}
            found |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
        return found

    def _tiles(self, level: int) -> Iterator[bytes]:
        height, width = self.form.sizes[level]
        for row in range(-(-height // TILE)):
            yield from self._read(self._strip(level, row), -(-width // TILE))

    def _halved(self, level: int, row: int, column: int) -> bytes:
        """A tile of a level, from the four below it."""
        height, width = self.form.sizes[level - 1]
        image = np.zeros((2 * TILE, 2 * TILE, 3), np.uint8)
        for down in (0, 1):
            for across in (0, 1):
                at = 2 * row + down, 2 * column + across
                if at[0] * TILE < height and at[1] * TILE < width:
                    tile = self._decoded(self._read(self._strip(level - 1, at[0]), -(-width // TILE))[at[1]])
                    image[down * TILE : (down + 1) * TILE, across * TILE : (across + 1) * TILE] = tile
        inner = image[: height - 2 * row * TILE, : width - 2 * column * TILE]
        if inner.shape[0] % 2 or inner.shape[1] % 2:
            inner = np.pad(inner, ((0, inner.shape[0] % 2), (0, inner.shape[1] % 2), (0, 0)), mode="edge")
        total = inner.astype(np.uint16)
        total = total[0::2] + total[1::2]
        total = total[:, 0::2] + total[:, 1::2]
        return self._encoded(((total + 2) // 4).astype(np.uint8))

    def _encoded(self, tile: RGB) -> bytes:
        return encoded(tile, self.form.quality)

    def _decoded(self, tile: bytes) -> RGB:
        if self.form.quality is not None:
            return simplejpeg.decode_jpeg(tile)
        differences = np.frombuffer(zlib.decompress(tile), np.uint8).reshape(TILE, TILE, 3)
        return np.add.accumulate(differences, axis=1, dtype=np.uint8)

    def _strip(self, level: int, number: int) -> Path:
        return self.folder / f"level-{level}" / f"{number:06d}.tiles"

    def _write(self, level: int, number: int, tiles: list[bytes]) -> None:
        with atomic(self._strip(level, number)) as temporary, temporary.open("wb") as out:
            out.write(np.array([len(tile) for tile in tiles], "<i8").tobytes())
            out.writelines(tiles)


def encoded(tile: RGB, quality: int | None) -> bytes:
    """A tile, (≤ 512, ≤ 512, 3), as it is stored; filled up by repetition, so that JPEG draws no edge there."""
    missing = TILE - tile.shape[0], TILE - tile.shape[1]
    if any(missing):
        tile = np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    if quality is None:
        differences = tile.copy()
        differences[:, 1:] -= tile[:, :-1]
        return zlib.compress(differences.tobytes(), 6)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=quality, colorsubsampling="444", fastdct=False)


def _plan(file: Path) -> Any:
    try:
        return read_json(file)
    except (OSError, ValueError):
        return None


def part_folder(file: Path) -> Path:
    """Where the parts of a slide lie until it is whole."""
    return file.with_name(f"{file.name}.part")


def _is_empty(folder: Path) -> bool:
    """Whether nothing is there but what a writer leaves that was killed before its first file: it is removed later."""
    names = [file.name for file in folder.iterdir()] if folder.exists() else []
    return all(name == ".lock" or TEMPORARY.fullmatch(name) for name in names)


def _read_strip(file: Path, count: int) -> tuple[bytes, ...]:
    data = file.read_bytes()
    ends = 8 * count + np.cumsum(np.frombuffer(data[: 8 * count], "<i8"))
    if len(ends) != count or ends[-1] != len(data):
        raise RunError(f"{file}: damaged; remove its folder, and start again")
    return tuple(data[end - length : end] for end, length in zip(ends, np.diff(ends, prepend=8 * count), strict=True))
