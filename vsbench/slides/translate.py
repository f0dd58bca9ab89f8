"""A slide goes in, a slide comes out: tiles are read, translated and written at the same time, and none is kept.

What is in memory: a row of tiles being blended, some tiles ahead, and the mask of the tissue. Strips of the pyramid
that are written stay written (``Pyramid``), so a killed translation goes on with the first strip that is missing. A
tile is translated with the same neighbours in its batch whenever that happens, so the bytes are the same.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vsbench.data.tensors import to_images
from vsbench.data.threads import THREADS, in_threads
from vsbench.engine.lock import locked
from vsbench.engine.statistics import Statistics, recording
from vsbench.engine.tiles import PIECES, Span, Tiling, spans
from vsbench.engine.translate import normalising, translated
from vsbench.errors import DataError, RunError
from vsbench.files import free_bytes
from vsbench.method import Method
from vsbench.slides.pyramid import TILE, Format, Pyramid, encoded, part_folder
from vsbench.slides.reading import RGB, WHITE, Slide, frame, scaled
from vsbench.slides.seams import seams_said
from vsbench.slides.tissue import Tissue, require_tissue

ALIKE = 0.02  # pixels that differ by less are taken for the training's
MOSAICS = 4  # of pieces of tissue, from which a tile's statistics are known
COARSER = 2.0  # than the training's pixels: more is not enlarged
FULL = 0.5  # of a piece that must be tissue
GB = 1e9
ROOM = 50e6  # bytes beside what is estimated


@dataclass(frozen=True)
class Settings:
    """How a slide is translated. ``quality``: of the JPEG that is written; None: lossless."""

    tiling: Tiling
    batch: int = 1
    statistics: Literal["tile", "sample"] = "sample"
    bfloat16: bool = False
    quality: int | None = 90


@dataclass(frozen=True)
class Outcome:
    """What was written: pixels, µm of one, the share of tissue, and tiles translated by this call, in seconds."""

    height: int
    width: int
    pixel_size: float
    tissue: float
    tiles: int
    seconds: float


@dataclass(frozen=True)
class _Job:
    """Tiles of one row that go through the network together, by their columns."""

    row: int
    columns: tuple[int, ...]


def scale_for(slide: Slide, told: float | None, trained: float | None) -> float:
    """The slide's finest pixels to one that the network is shown: 1 where they differ by less than ``ALIKE``.

    ``told``: µm of the slide's, where the user says so; ``trained``: µm of the training's. Raises DataError where the
    slide, RunError where the run does not tell, and DataError where the slide is too coarse.
    """
    here = told if told is not None else slide.pixel_size
    if here is None:
        raise DataError(f"{slide.file}: does not tell how many µm a pixel has; add --mpp, such as --mpp 0.25")
    if trained is None:
        raise RunError(
            "the run's data set does not tell how many µm a pixel has; add --run-mpp, or train with --data pixel_size="
        )
    scale = trained / here
    if scale < 1 / COARSER:
        raise DataError(
            f"{slide.file}: {here:g} µm a pixel at its finest, where the run was trained at {trained:g}: too coarse to "
            "be enlarged"
        )
    return 1.0 if abs(scale - 1) < ALIKE else scale


def translate_slide(
    method: Method[Any],
    slide: Slide,
    target: Path,
    settings: Settings,
    scale: float,
    pixel_size: float,
    devices: Sequence[torch.device],
    plan: Mapping[str, Any],
    progress: Callable[[int, int, float], None] = lambda done, total, rate: None,
    say: Callable[[str], None] = print,
    channel: str = "virtual stain",
) -> Outcome:
    """Translate an open slide to a pyramid at ``target``, in the frame of the slide at a ``scale`` (``scale_for``).

    ``pixel_size``: µm of the pixels written. Where there is no tissue no network runs, and all is white. ``plan``: what
    the pixels follow from beside all of this, such as digests; strips of another plan are not gone on with.
    ``progress`` is told of tiles, and of how many a second; ``channel`` names what the slide shows. Raises DataError
    where the slide is blank or damaged, RunError where memory or disk are short, or another process writes there.
    """
    tissue = require_tissue(slide)
    say(f"tissue: {100 * tissue.share:.1f} % of the slide; what is glass stays white")
    height, width = frame(slide, scale)
    rows, columns = spans(height, settings.tiling), spans(width, settings.tiling)
    form = Format(height, width, pixel_size, settings.quality, channel, seams_said(rows, columns))
    whole = len(rows) == len(columns) == 1
    networks = _Networks(method, devices, settings.bfloat16)
    try:
        pieces = [
            _mosaic(slide, scale, places, settings.tiling.size)
            for places in _pieces(tissue, height, width, scale, settings.tiling)
        ]
        stained = networks.learn(pieces, settings.statistics == "sample" and not whole)
        _require_room(target, form, tissue.share, stained)
        with locked(part_folder(target), say, mend="wait for it, stop it, or choose another OUT"):
            pyramid = Pyramid(target, form, {"scale": scale, **_json(settings), **plan})
            begun = time.perf_counter()
            tiles = _stream(networks, slide, scale, tissue, rows, columns, pyramid, settings.batch, progress)
            pyramid.finish()
    except torch.OutOfMemoryError:
        raise RunError(
            f"out of memory in batches of {settings.batch} tiles of {settings.tiling.size} pixels; take smaller ones "
            "(--tile, --batch)"
        ) from None
    finally:
        networks.close()
    return Outcome(height, width, pixel_size, tissue.share, tiles, time.perf_counter() - begun)


def _stream(
    networks: "_Networks",
    slide: Slide,
    scale: float,
    tissue: Tissue,
    rows: list[Span],
    columns: list[Span],
    pyramid: Pyramid,
    batch: int,
    progress: Callable[[int, int, float], None],
) -> int:
    """Write the strips that are missing; the number of tiles translated for that."""
    band = _Band(pyramid, tissue, scale, len(rows[0].pixels), columns[-1].start + len(columns[-1].pixels))
    jobs = [job for job in _jobs(tissue, scale, rows, columns, batch) if rows[job.row].stop > band.first]
    total, done, begun = sum(len(job.columns) for job in jobs), 0, time.perf_counter()

    def read(job: _Job) -> tuple[_Job, list[RGB]]:
        return job, [_window(slide, scale, rows[job.row], columns[number]) for number in job.columns]

    under_way: deque[tuple[_Job, Future[torch.Tensor]]] = deque()

    def take() -> None:
        nonlocal done
        job, future = under_way.popleft()
        row = rows[job.row]
        band.finished(row.start)
        for number, fake in zip(job.columns, future.result(), strict=True):
            band.add(row, columns[number], fake)
        done += len(job.columns)
        progress(done, total, done / (time.perf_counter() - begun))

    with closing(band), closing(in_threads(read, jobs, min(4, THREADS), ahead=4 + networks.count)) as batches:
        for job, images in batches:
            under_way.append((job, networks.submit(images)))
            if len(under_way) > 2 * networks.count:
                take()
        while under_way:
            take()
        band.finished(pyramid.form.height)
    return done


def _jobs(tissue: Tissue, scale: float, rows: list[Span], columns: list[Span], batch: int) -> Iterator[_Job]:
    """The tiles that show tissue. What is together in a batch is no matter of where a translation was resumed."""
    for number, row in enumerate(rows):
        wanted = [
            place
            for place, column in enumerate(columns)
            if tissue.touches(scale, row.start, column.start, len(row.pixels), len(column.pixels))
        ]
        for first in range(0, len(wanted), batch):
            yield _Job(number, tuple(wanted[first : first + batch]))


def _window(slide: Slide, scale: float, row: Span, column: Span) -> RGB:
    """What a tile shows, reflected where it reaches beyond the slide."""
    top, left = int(row.pixels.min()), int(column.pixels.min())
    size = int(row.pixels.max()) + 1 - top, int(column.pixels.max()) + 1 - left
    return scaled(slide, scale, top, left, *size)[np.ix_(row.pixels - top, column.pixels - left)]


class _Band:
    """The rows of the slide that are being blended, from the first of a strip on; strips are written from another
    thread while the next ones are made.
    """

    def __init__(self, pyramid: Pyramid, tissue: Tissue, scale: float, tile: int, width: int) -> None:
        self.pyramid, self.tissue, self.scale = pyramid, tissue, scale
        self.number = pyramid.done
        self.sums = torch.zeros(3, TILE + tile, width)
        self.writer = ThreadPoolExecutor(1)
        self.written: Future[None] | None = None

    @property
    def first(self) -> int:
        """The first row that is not written."""
        return self.number * TILE

    def add(self, row: Span, column: Span, fake: torch.Tensor) -> None:
        """Blend in a tile (3, H, W); what lies in strips that are written already is left away."""
        skipped = max(0, self.first - row.start)
        top = row.start + skipped - self.first
        weights = torch.from_numpy(np.outer(row.weights[skipped:], column.weights))
        place = self.sums[:, top : top + len(weights), column.start : column.start + len(column.pixels)]
        place.addcmul_(fake[:, skipped:], weights)

    def finished(self, row: int) -> None:
        """Rows above this one take no more tiles: write the strips that are whole."""
        height = self.pyramid.form.height
        while self.first < height and (row >= self.first + TILE or row >= height):
            strip = self._strip(min(TILE, height - self.first))
            if self.written is not None:
                self.written.result()
            self.written = self.writer.submit(self.pyramid.append, self.number, strip)
            self._forget()
            self.number += 1
        if row >= height and self.written is not None:
            self.written.result()

    def _forget(self) -> None:
        """Move up by a strip, in place: a copy would be the largest thing in memory."""
        for top in range(0, self.sums.shape[1] - TILE, TILE):
            below = self.sums[:, top + TILE : top + 2 * TILE]
            self.sums[:, top : top + below.shape[1]] = below
        self.sums[:, -TILE:] = 0

    def close(self) -> None:
        """Wait for what is being written."""
        self.writer.shutdown()

    def _strip(self, height: int) -> RGB:
        width = self.pyramid.form.width
        strip = np.full((height, width, 3), WHITE, np.uint8)
        for left in range(0, width, TILE):
            part = strip[:, left : left + TILE]
            covered = self.tissue.coverage(self.scale, self.first, left, *part.shape[:2])
            if covered.any():
                fake = to_images(self.sums[None, :, :height, left : left + part.shape[1]])[0]
                part[:] = np.rint(WHITE - covered[..., None] * (WHITE - fake.astype(np.float32))).astype(np.uint8)
        return strip


class _Networks:
    """One network on each device, each in a thread of its own; batches go to them in turn."""

    def __init__(self, method: Method[Any], devices: Sequence[torch.device], bfloat16: bool) -> None:
        self.devices, self.bfloat16 = devices, bfloat16
        self.methods = [(deepcopy(method) if number else method).to(at).eval() for number, at in enumerate(devices)]
        self.known = [Statistics() for _ in devices]
        self.threads = [ThreadPoolExecutor(1) for _ in devices]
        self.turn = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.devices)

    def learn(self, pieces: list[RGB], normalise: bool) -> list[RGB]:
        """Translate images, and normalise by their statistics from now on if wished."""
        known, stained = Statistics(), []
        for piece in pieces:
            with recording(self.methods[0], known) if normalise else nullcontext():
                stained += to_images(self._translated(0, [piece]))
        for number, device in enumerate(self.devices if normalise else ()):
            means, variances = ([values.to(device) for values in of] for of in (known.means, known.variances))
            self.known[number].add(means, variances)
        return stained

    def submit(self, images: list[RGB]) -> Future[torch.Tensor]:
        """(B, 3, H, W) of images of one size, when it is there."""
        number = self.turn % self.count
        self.turn += 1
        return self.threads[number].submit(self._translated, number, images)

    def close(self) -> None:
        """End the threads."""
        for thread in self.threads:
            thread.shutdown(cancel_futures=True)

    def _translated(self, number: int, images: list[RGB]) -> torch.Tensor:
        method, device = self.methods[number], self.devices[number]
        cast = torch.autocast(device.type, torch.bfloat16) if self.bfloat16 else nullcontext()
        with cast, normalising(method, self.known[number]):
            return translated(method, images, device).float().cpu()


def _pieces(tissue: Tissue, height: int, width: int, scale: float, tiling: Tiling) -> list[list[tuple[int, int]]]:
    """Where pieces of tissue lie, (y, x), from all over the slide: ``PIECES``² for each of some mosaics."""
    side = -(-tiling.size // PIECES)
    full: list[tuple[int, int]] = []
    other: list[tuple[int, int]] = []
    for y in range(0, max(1, height - side + 1), side):
        for x in range(0, max(1, width - side + 1), side):
            if tissue.touches(scale, y, x, side, side):
                share = tissue.coverage(scale, y, x, side, side)[:: max(1, side // 8), :: max(1, side // 8)].mean()
                (full if share >= FULL else other).append((y, x))
    places = full or other
    count = min(MOSAICS, -(-len(places) // PIECES**2))
    chosen = [places[number * len(places) // (count * PIECES**2)] for number in range(count * PIECES**2)]
    return [chosen[turn::count] for turn in range(count)]


def _mosaic(slide: Slide, scale: float, places: list[tuple[int, int]], size: int) -> RGB:
    side = -(-size // PIECES)
    pieces = [scaled(slide, scale, y, x, side, side) for y, x in places]
    lines = [np.concatenate(pieces[first : first + PIECES], axis=1) for first in range(0, len(pieces), PIECES)]
    return np.concatenate(lines)[:size, :size]


def _require_room(target: Path, form: Format, share: float, stained: list[RGB]) -> None:
    """Raise RunError where the disk has no room for the slide and what it is put together from."""
    sample = np.mean([len(encoded(image[:TILE, :TILE], form.quality)) / image[:TILE, :TILE].size for image in stained])
    glass = len(encoded(np.full((TILE, TILE, 3), WHITE, np.uint8), form.quality)) / (3 * TILE**2)
    one = 3 * form.height * form.width * (share * sample + glass) * 4 / 3  # with the coarser levels
    there = sum(file.stat().st_size for file in part_folder(target).rglob("*") if file.is_file())
    needed, free = 2 * one + ROOM - there, free_bytes(target)
    if needed > free:
        raise RunError(
            f"{target}: takes about {needed / GB:.1f} GB until it is whole ({one / GB:.1f} GB then), and "
            f"{free / GB:.1f} GB are free; make room, or name another disk"
        )


def _json(settings: Settings) -> dict[str, Any]:
    """Of what the pixels follow from."""
    tiling = settings.tiling
    return {
        "tile": tiling.size, "overlap": tiling.overlap, "batch": settings.batch, "statistics": settings.statistics,
        "bfloat16": settings.bfloat16,
    }  # fmt: skip
