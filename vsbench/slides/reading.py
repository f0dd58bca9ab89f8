"""Whole slides, read window by window: OpenSlide for what scanners write, tifffile for OME-TIFF and the rest.

OpenSlide 4.0 sees of an OME-TIFF only its first level, so these are read here. Whatever reads it, a TIFF is looked at
first: one that was cut short, or holds other things than 8-bit RGB, is refused by name before a pixel of it counts.
"""

import importlib
import logging
import math
import xml.etree.ElementTree as ElementTree
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.tiff import MAGIC
from vsbench.errors import DataError, UserError
from vsbench.files import open_regular
from vsbench.names import brief, said

RGB = NDArray[np.uint8]
WHITE = 255
COARSEST = 20.0  # µm a pixel: what claims more is a printer's resolution (72 dpi are 353 µm), not a microscope's
FINEST = 0.01
UNEQUAL = 0.01  # by which the sides of a pixel may differ
SEGMENT = 1 << 28  # bytes of a decoded tile or strip: more is no pyramid
CACHE = 1 << 26  # bytes of decoded tiles that are kept
SOURCE = 2048  # pixels a side that are read at once to be reduced
UNITS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}  # in µm
REDUCED = 1  # bit of a TIFF's subfile type


@dataclass(frozen=True)
class Level:
    """One level of a pyramid, in pixels."""

    height: int
    width: int


class Slide(Protocol):
    """A slide that is open, to be read from several threads. ``pixel_size``: µm at full resolution; None: untold."""

    file: Path
    pixel_size: float | None
    levels: tuple[Level, ...]  # the finest first

    def region(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        """(height, width, 3) of a level, at pixels (y, x) of that level; white beyond the slide, or where nothing is.

        Raises DataError where what is stored there can't be decoded.
        """

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> "Slide": ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...


def open_slide(file: Path) -> Slide:
    """Open a slide: what OpenSlide reads, OME-TIFF, and other TIFF of 8-bit RGB. Use it in a ``with``.

    Raises DataError where it can't be read, is cut short, or is none (16 bits, fluorescence); and
    UserError where the packages of the extra ``slides`` are missing.
    """
    try:
        with open_regular(file) as opened:
            head = opened.read(4)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({said(error)})") from None
    openslide = package("openslide")
    try:
        theirs = openslide.OpenSlide.detect_format(str(file))
    except openslide.OpenSlideError as error:
        raise DataError(f"{file}: damaged or cut short ({said(error)})") from None
    if head in MAGIC:
        tiff = _Tiff(file)  # refuses what is not whole, or none of ours
        if tiff.is_ome or theirs in (None, "generic-tiff"):
            return tiff.read_by_us()
        tiff.let_go()
    elif theirs is None:
        raise DataError(
            f"{file}: no whole slide that can be read; give SVS, NDPI, MRXS, SCN, DICOM, OME-TIFF or another TIFF"
        )
    return _OpenSlide(file, openslide)


def package(name: str) -> Any:
    """A package of the extra ``slides``. Raises UserError where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f'whole slides need the package {name}; pip install "vsbench[slides]"') from None


def frame(slide: Slide, scale: float) -> tuple[int, int]:
    """(height, width) of the slide with ``scale`` of its finest pixels to a pixel, along a side."""
    return tuple(max(1, round(side / scale)) for side in (slide.levels[0].height, slide.levels[0].width))  # type: ignore[return-value]


def scaled(slide: Slide, scale: float, y: int, x: int, height: int, width: int) -> RGB:
    """(height, width, 3): a window at (y, x) of the slide's ``frame`` at a scale, white beyond it.

    From the coarsest level that is fine enough. Windows meet without a seam: what a pixel shows is no matter of the
    window it was asked in. Raises DataError.
    """
    number = max(n for n, level in enumerate(slide.levels) if n == 0 or _ratio(slide, level, scale)[0] >= 1 - 1e-6)
    level = slide.levels[number]
    ratios = _ratio(slide, level, scale)
    if max(abs(r - 1) * side for r, side in zip(ratios, (level.height, level.width), strict=True)) < 0.5:
        return slide.region(number, y, x, height, width)
    step = max(1, int(SOURCE / max(*ratios, 1.0)))
    image = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, step):
        for left in range(0, width, step):
            size = min(step, height - top), min(step, width - left)
            image[top : top + size[0], left : left + size[1]] = _resized(
                slide, number, ratios, (y + top, x + left), size
            )
    return image


def _ratio(slide: Slide, level: Level, scale: float) -> tuple[float, float]:
    """Pixels of a level to one at the scale, down and across."""
    finest = slide.levels[0]
    return scale * level.height / finest.height, scale * level.width / finest.width


def _resized(
    slide: Slide, number: int, ratios: tuple[float, float], place: tuple[int, int], size: tuple[int, int]
) -> RGB:
    """A window of the frame, from what lies there and a margin that the filter reaches into."""
    first, last = [], []
    for start, length, ratio in zip(place, size, ratios, strict=True):
        margin = math.ceil(3 * max(ratio, 1.0))
        first.append(math.floor(start * ratio) - margin)
        last.append(math.ceil((start + length) * ratio) + margin)
    read = slide.region(number, first[0], first[1], last[0] - first[0], last[1] - first[1])
    (top, left), (down, across) = (
        [start * ratio - begin for start, ratio, begin in zip(place, ratios, first, strict=True)],
        [length * ratio for length, ratio in zip(size, ratios, strict=True)],
    )
    box = (left, top, left + across, top + down)
    return np.asarray(Image.fromarray(read).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box))


class _Open(ABC):
    """A slide closes with its block."""

    @abstractmethod
    def close(self) -> None:
        """Let the file go."""

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _OpenSlide(_Open):
    """What OpenSlide reads."""

    def __init__(self, file: Path, openslide: Any) -> None:
        self.file, self._error = file, openslide.OpenSlideError
        try:
            self._slide = openslide.OpenSlide(str(file))
            self.levels = tuple(Level(height, width) for width, height in self._slide.level_dimensions)
            sides = [self._slide.properties.get(f"openslide.mpp-{axis}") for axis in "xy"]
        except openslide.OpenSlideError as error:
            raise DataError(f"{file}: damaged or cut short ({said(error)})") from None
        self._downsamples = self._slide.level_downsamples
        self.pixel_size = _pixel_size(file, sides)

    def region(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        factor = self._downsamples[level]
        try:
            image = self._slide.read_region((round(x * factor), round(y * factor)), level, (width, height))
        except self._error as error:
            raise DataError(f"{self.file}: damaged or cut short ({said(error)})") from None
        levels = np.asarray(image)
        if (levels[..., 3] == WHITE).all():
            return np.ascontiguousarray(levels[..., :3])
        paper = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
        return np.asarray(Image.alpha_composite(paper, image))[..., :3].copy()

    def close(self) -> None:
        self._slide.close()


class _Tiff(_Open):
    """A TIFF, by tifffile. Levels are the first image, its SubIFDs, and the reduced images that follow it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        tifffile = package("tifffile")
        self._tiff: Any = None
        try:
            with _reading(file) as self._heard:
                self._tiff = tifffile.TiffFile(str(file))
                self._require_whole()
                _require_rgb(file, self._tiff.pages[0])
                self.is_ome = bool(self._tiff.is_ome)
        except BaseException:
            if self._tiff is not None:
                self._tiff.close()
            raise

    def read_by_us(self) -> "_Tiff":
        """Prepare for ``region``, where it is not OpenSlide that reads. Raises DataError where it can't be read so."""
        first = self._tiff.pages[0]
        try:
            with _reading(self.file):
                if self._heard.error is not None:
                    raise ValueError(self._heard.error)
                _require_pieces(self.file, first)
                _require_one(self.file, first, self._tiff)
                self._pages = [first, *(page for page in _others(first, self._tiff) if _fits(page, first))]
                told = self._ome_size() if self.is_ome else [None, None]
                self.pixel_size = _pixel_size(self.file, told if None not in told else _tag_size(first))
        except BaseException:
            self._tiff.close()
            raise
        self.levels = tuple(Level(page.imagelength, page.imagewidth) for page in self._pages)
        self._file, self._lock = open_regular(self.file), Lock()
        rows, columns = _segment_size(first)
        self._segment = lru_cache(maxsize=max(8, CACHE // (3 * rows * columns)))(self._decoded)
        return self

    def region(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        page = self._pages[level]
        rows, columns = _segment_size(page)
        across = -(-page.imagewidth // columns)
        image = np.full((height, width, 3), WHITE, np.uint8)
        bottom, right = min(y + height, page.imagelength), min(x + width, page.imagewidth)
        for row in range(max(y, 0) // rows, -(-bottom // rows)):
            for column in range(max(x, 0) // columns, -(-right // columns)):
                segment = self._segment(level, row * across + column)
                if segment is None:
                    continue
                top, left = max(y, row * rows), max(x, column * columns)
                part = segment[
                    top - row * rows : bottom - row * rows, left - column * columns : right - column * columns
                ]
                image[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1]] = part
        return image

    def let_go(self) -> None:
        """Close it where it was only looked at."""
        self._tiff.close()

    def close(self) -> None:
        self.let_go()
        self._file.close()
        self._segment.cache_clear()

    def _decoded(self, level: int, index: int) -> RGB | None:
        """A tile or strip, (rows, columns, 3); None where a pyramid leaves it out."""
        page = self._pages[level]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0:
            return None
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(count)
        with _reading(self.file):
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
            if decoded is None or decoded.dtype != np.uint8 or decoded.shape[-1] != 3:
                raise ValueError("a tile of another kind than its image")
        return decoded[0]

    def _require_whole(self) -> None:
        """Raise DataError where images or their tiles lie beyond the end of the file."""
        tiff, size = self._tiff, self._tiff.filehandle.size
        pages = list(tiff.pages)
        tiff.filehandle.seek(tiff.pages.next_page_offset)
        if int.from_bytes(tiff.filehandle.read(tiff.tiff.offsetsize), "little") != 0:
            raise DataError(f"{self.file}: cut short: images that it names are missing; copy it again")
        for page in pages:
            found = [page, *(page.pages or ())] if page.subifds else [page]
            if len(found) - 1 < len(page.subifds or ()):
                raise DataError(f"{self.file}: levels of its pyramid are missing; copy it again")
            for image in found:
                ends = np.asarray(image.dataoffsets, np.int64) + np.asarray(image.databytecounts, np.int64)
                if len(ends) and (missing := int(ends.max()) - size) > 0:
                    raise DataError(f"{self.file}: cut short: {missing:,} bytes are missing; copy it again")

    def _ome_size(self) -> list[str | float | None]:
        """µm of a pixel along x and y, as the OME-XML tells them."""
        text = self._tiff.ome_metadata or ""
        for element in ElementTree.fromstring(text).iter():
            if element.tag.rpartition("}")[2] == "Pixels":
                found: list[str | float | None] = []
                for axis in "XY":
                    size = element.get(f"PhysicalSize{axis}")
                    unit = UNITS.get(element.get(f"PhysicalSize{axis}Unit", "µm"))
                    found.append(float(size) * unit if size is not None and unit is not None else None)
                return found
        return [None, None]


@contextmanager
def _reading(file: Path) -> Iterator["_Heard"]:
    """Whatever tifffile or a decoder stumbles over in here is damage, and said in one line; not to the terminal."""
    log, heard = logging.getLogger("tifffile"), _Heard()
    log.addHandler(heard)
    passed_on, log.propagate = log.propagate, False
    try:
        yield heard
    except UserError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what they like
        raise DataError(f"{file}: damaged or cut short, or of a kind that can't be read ({said(error)})") from None
    finally:
        log.removeHandler(heard)
        log.propagate = passed_on


class _Heard(logging.Handler):
    """Keeps the first error that tifffile tells of and goes on from, such as a tag that lies beyond the end.

    Scanners write tags of their own that it may not understand, so only what is read here needs to be free of them.
    """

    error: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and self.error is None:
            self.error = record.getMessage()


def _require_rgb(file: Path, page: Any) -> None:
    """Raise DataError unless a page is 8-bit RGB."""
    colours = getattr(page.photometric, "name", str(page.photometric))
    if page.bitspersample != 8 or page.samplesperpixel != 3 or colours not in ("RGB", "YCBCR"):
        channels = f"{page.samplesperpixel} channel{'s' * (page.samplesperpixel != 1)}"
        raise DataError(
            f"{file}: {channels} of {page.bitspersample} bits ({colours.lower()}), as of fluorescence or a grey image; "
            "H&E and IHC are RGB of 8 bits, without transparency"
        )


def _require_pieces(file: Path, page: Any) -> None:
    """Raise DataError unless it is stored in tiles or strips of a bearable size, of three channels each."""
    if page.planarconfig != 1:
        raise DataError(f"{file}: its channels are stored apart (planar); save it with pixels of three channels")
    rows, columns = _segment_size(page)
    if 3 * rows * columns > SEGMENT:
        raise DataError(
            f"{file}: stored in pieces of {rows}×{columns} pixels, each read whole; save it in tiles (a pyramid)"
        )


def _require_one(file: Path, first: Any, tiff: Any) -> None:
    """Raise DataError where another image is as large as the first: planes, or a label that comes before the slide."""
    large = [p for p in tiff.pages if p.imagelength >= first.imagelength and p.imagewidth >= first.imagewidth]
    if len(large) > 1:
        raise DataError(
            f"{file}: {len(large)} images of {first.imagelength}×{first.imagewidth} pixels or more in one file: planes "
            "of a stack, or a label before the slide; save the slide alone"
        )


def _segment_size(page: Any) -> tuple[int, int]:
    """(rows, columns) of a tile, or of a strip."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth


def _others(first: Any, tiff: Any) -> Iterator[Any]:
    """The images that may be levels of the first one, the finest first."""
    within = list(first.pages) if first.subifds else []
    after = [page for page in list(tiff.pages)[1:] if page.subfiletype & REDUCED]
    yield from sorted(within + after, key=lambda page: -page.imagewidth)


def _fits(page: Any, first: Any) -> bool:
    """Whether a page shows the whole of the first one, smaller, in the same way."""
    if page.imagewidth >= first.imagewidth or page.imagelength >= first.imagelength:
        return False
    down, across = first.imagelength / page.imagelength, first.imagewidth / page.imagewidth
    slack = max(1 / page.imagelength, 1 / page.imagewidth)
    alike = page.bitspersample == 8 and page.samplesperpixel == 3 and page.planarconfig == 1
    return alike and abs(down / across - 1) <= 2 * slack


def _tag_size(page: Any) -> list[str | float | None]:
    """µm of a pixel along x and y, as resolution tags tell them."""
    if 282 not in page.tags or page.tags.valueof(296, default=2) == 1:  # no resolution, or of no unit
        return [None, None]
    return [1 / number if number > 0 else None for number in page.get_resolution("MICROMETER")]


def _pixel_size(file: Path, sides: list[Any]) -> float | None:
    """µm of a square pixel; None where it is not told, or is none of a microscope's. DataError where not square."""
    try:
        across, down = (float(side) for side in sides)
    except (TypeError, ValueError):
        return None
    if not (FINEST <= across <= COARSEST and FINEST <= down <= COARSEST):
        return None
    if abs(across / down - 1) > UNEQUAL:
        raise DataError(f"{file}: pixels of {brief(across)} by {brief(down)} µm are not square; resample it")
    return math.sqrt(across * down)
