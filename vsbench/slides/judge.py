"""A generated slide held against the real one, read as a stream: of both what every number on them needs, added up.

What is judged is where both sections have tissue, H&E and IHC: what a generated slide shows elsewhere changes nothing,
and which tissue that is does not depend on it. All else counts as glass, without stain. The frame is the H&E's, at the
generated slide's µm a pixel; a real slide that lies otherwise is laid on it by its transform.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsbench.data.seams import Seams
from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.metric import SIDES
from vsbench.metrics.places import UNIT
from vsbench.metrics.seams import beside_seams
from vsbench.slides.alignment import Direction, same_frame
from vsbench.slides.cells import Grid, Numbers, Part
from vsbench.slides.hot_spots import FINEST, FieldSums
from vsbench.slides.measure import tiles_of
from vsbench.slides.overlay import Overlay, require_one_frame, told_alignment
from vsbench.slides.pair_list import SlidePair, pixel_of
from vsbench.slides.reading import RGB, Slide, frame, open_slide, scaled
from vsbench.slides.seams import BESIDE, slide_seams
from vsbench.slides.tissue import PIXEL, Tissue, find_tissue
from vsbench.stain.balanced import BINS, read_transmission
from vsbench.stain.dab import POSITIVE_LEVEL, dab8, density_table
from vsbench.stain.light import Light, find_light

BLOCKS = 16  # along a side, of the finest blocks
WHITE_LEVEL = 255  # of DAB: none
WHICH: tuple[str, ...] = tuple(SIDES.values())
MEND = "give a column transform: a file with a matrix, or slides/…-alignment.json of data tiles --register"
Place = tuple[int, int, int, int]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Frame:
    """The slides of a pair, open, in the frame they are judged in: ``height`` × ``width`` pixels of ``pixel`` µm.

    ``tissue``: where both sections have some; ``judged``: of the H&E's tissue, the share that is. ``he_scale``: the
    H&E's finest pixels to one of the frame's.
    """

    height: int
    width: int
    pixel: float
    he: Overlay
    real: Overlay
    generated: Overlay
    tissue: Tissue
    judged: float


class OpenPair(ExitStack):
    """Opens the slides of a pair, and closes them with its block."""

    def frame(self, pair: SlidePair, generated: Path, pixel: float | None, direction: Direction) -> Frame:
        """The frame of a pair with a generated slide. ``pixel``: µm; None: the generated slide's.

        Raises DataError where slides can't be read, do not tell their pixels' size, lie in another frame, or share no
        tissue.
        """
        he, real = self.enter_context(open_slide(pair.he)), self.enter_context(open_slide(pair.ihc))
        made = he if generated == pair.he else self.enter_context(open_slide(generated))
        he_pixel, real_pixel = pixel_of(he, pair.he_mpp, "he_mpp"), pixel_of(real, pair.ihc_mpp, "ihc_mpp")
        made_pixel = he_pixel if made is he else own_pixel(he, made, he_pixel)
        pixel = made_pixel if pixel is None else pixel
        height, width = frame(he, pixel / he_pixel)
        told = told_alignment(pair, he, real, (he_pixel, real_pixel), direction, MEND)
        alignment = told.scaled(he_pixel / pixel, 1)
        laid = Overlay(real, alignment, pixel / real_pixel)
        of_he = Overlay(he, same_frame(pixel, he_pixel), pixel / he_pixel)
        tissue, judged = _shared(of_he, laid, height, width, pixel)
        if not tissue.mask.any():
            raise DataError(f"{pair.he}, {pair.ihc}: no tissue lies over the other's; are they aligned?")
        return Frame(
            height, width, pixel, of_he, laid, Overlay(made, same_frame(pixel, made_pixel), pixel / made_pixel),
            tissue, judged,
        )  # fmt: skip


def own_pixel(he: Slide, made: Slide, he_pixel: float) -> float:
    """µm a pixel of a slide made from an H&E's, which has its frame. Raises DataError where it has not."""
    told = made.pixel_size
    if told is None:
        told = he_pixel * float(np.sqrt(_area(he) / _area(made)))
    require_one_frame(he, made, (he_pixel, told), "a generated slide shows what its H&E's slide shows")
    return told


def _area(slide: Slide) -> float:
    return float(slide.levels[0].height) * slide.levels[0].width


def _shared(he: Overlay, real: Overlay, height: int, width: int, pixel: float) -> tuple[Tissue, float]:
    """The tissue of both, in pixels of some µm of the frame, and its share of the H&E's."""
    scale = max(1.0, PIXEL / pixel)
    rows, columns = (max(1, round(side / scale)) for side in (height, width))
    places = scale * np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1)
    masks = []
    for overlay in (he, real):
        moved, finest = overlay.alignment(places), overlay.slide.levels[0]
        there = ((moved >= 0) & (moved < [finest.width, finest.height])).all(axis=-1)
        masks.append(find_tissue(overlay.slide).at(moved) & there)
    both = masks[0] & masks[1]
    return Tissue(both, both.astype(np.float32), scale), float(both.sum() / max(1, masks[0].sum()))


@dataclass(eq=False)
class Totals:
    """What is added up over a slide; of ``fake`` and ``real`` each. Only tissue counts.

    ``levels`` (256,): pixels at each DAB level; ``transmitted`` (BINS,): the same, not cut off, for another light than
    white; ``lights``: what glass looks like on each; ``both``: pixels that are positive in both. ``blocks``
    (BLOCKS, BLOCKS): tissue, and densities in ``places.UNIT``; ``areas``: their pixels. ``jumps``: across lines of
    pixels, where there are seams.
    """

    pixel: float
    fields: FieldSums
    blocks: Mapping[str, Numbers]
    areas: Numbers
    levels: Mapping[str, Numbers]
    transmitted: Mapping[str, Numbers]
    lights: Mapping[str, Light | None]
    jumps: "Mapping[str, Jumps] | None"
    both: int = 0

    @property
    def pixels(self) -> int:
        """Of tissue."""
        return int(self.levels["fake"].sum())


@dataclass(eq=False)
class Jumps:
    """|Differences| across lines of pixels, from one row (column) to the one before it: sums and numbers by line."""

    seams: Seams
    sums: tuple[Numbers, Numbers]
    counts: tuple[Numbers, Numbers]

    @property
    def relative(self) -> float:
        """As ``relative_jump`` with lines ``BESIDE``, over those that show tissue."""
        across: list[float] = []
        beside: list[float] = []
        for places, sums, counts in zip((self.seams.rows, self.seams.columns), self.sums, self.counts, strict=True):
            means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
            across += [means[place] for place in places if counts[place]]
            beside += [means[place] for place in beside_seams(places, len(sums), BESIDE) if counts[place]]
        base = float(np.mean(beside)) if beside else 0.0
        return float(np.mean(across)) / base if across and base > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class _Window:
    """What a window gives."""

    levels: dict[str, Numbers]
    transmitted: dict[str, Numbers]
    both: int
    blocks: dict[str, Part]
    fields: dict[str, Part]
    jumps: dict[str, tuple[tuple[Numbers, Numbers, Numbers], ...]] = field(default_factory=dict)


def add_up(opened: Frame, workers: int = 2, progress: Progress = lambda done, total: None) -> Totals:
    """Read a pair once. Memory is that of some tiles for each of ``workers`` threads.

    Raises DataError where what is stored can't be decoded.
    """
    reader = _Reader(opened)
    places = list(tiles_of(opened.height, opened.width, opened.tissue))
    totals = reader.empty()
    with closing(in_threads(reader.read, places, workers, 2 * workers)) as windows:
        for number, window in enumerate(windows, start=1):
            reader.add(totals, window)
            progress(number, len(places))
    return totals


class _Reader:
    """Reads windows of a pair."""

    def __init__(self, opened: Frame) -> None:
        self.opened = opened
        size = opened.height, opened.width
        self.blocks, side = Grid.of_blocks(*size, BLOCKS), 1000 * FINEST / opened.pixel
        self.fields, self.whole = Grid.of_squares(*size, side), side**2
        made = opened.generated
        unchanged = abs(made.factor - 1) * max(size) < 0.5  # resampled, its seams would be elsewhere, and smoothed
        self.seams = slide_seams(made.slide.file, size) if unchanged else None
        self.units = np.rint(density_table() / UNIT).astype(np.int64)
        self.lines = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        if self.seams is not None:
            rows, columns = (
                np.array(sorted({*places, *beside_seams(places, length, BESIDE)}), np.int64)
                for places, length in zip((self.seams.rows, self.seams.columns), size, strict=True)
            )
            self.lines = rows, columns

    def empty(self) -> Totals:
        """Nothing added up yet."""
        opened = self.opened
        tissue, fake, real = (np.zeros(self.fields.shape, np.int64) for _ in range(3))
        fields = FieldSums(tissue, fake, real, self.whole)
        jumps = None if self.seams is None else {name: self._no_jumps(self.seams) for name in WHICH}
        return Totals(
            opened.pixel, fields,
            {name: np.zeros(self.blocks.shape, np.int64) for name in ("tissue", *WHICH)},
            np.outer(np.diff(self.blocks.rows), np.diff(self.blocks.columns)),
            {name: np.zeros(256, np.int64) for name in WHICH},
            {name: np.zeros(BINS, np.int64) for name in WHICH},
            {name: slide_light(overlay.slide) for name, overlay in self._overlays()},
            jumps,
        )  # fmt: skip

    def _no_jumps(self, seams: Seams) -> Jumps:
        height, width = self.opened.height, self.opened.width
        sums, counts = ((np.zeros(height, np.int64), np.zeros(width, np.int64)) for _ in range(2))
        return Jumps(seams, sums, counts)

    def _overlays(self) -> list[tuple[str, Overlay]]:
        return [("fake", self.opened.generated), ("real", self.opened.real)]

    def read(self, place: Place) -> _Window:
        """A window of both slides; runs in a thread."""
        y, x, height, width = place
        up, left = ((1 if self.seams is not None and start else 0) for start in (y, x))  # jumps look at the line before
        inside = self.opened.tissue.inside(y - up, x - left, height + up, width + left)
        own = inside[up:, left:]
        blocks, fields = {"tissue": self.blocks.sums(own, y, x)}, {"tissue": self.fields.sums(own, y, x)}
        levels, transmitted, jumps, positive = {}, {}, {}, []
        for name, overlay in self._overlays():
            image = overlay.window(1.0, y - up, x - left, height + up, width + left)
            core = image[up:, left:]
            dab = np.where(own, dab8(np.ascontiguousarray(core)), np.uint8(WHITE_LEVEL))
            levels[name] = np.bincount(dab[own], minlength=256)
            transmitted[name] = _transmission(core, own)
            positive.append(dab <= POSITIVE_LEVEL)
            blocks[name] = self.blocks.sums(self.units[dab], y, x)
            fields[name] = self.fields.sums(positive[-1], y, x)
            if self.seams is not None:
                jumps[name] = self._jumps(image, inside, (y - up, x - left), (up, left))
        return _Window(levels, transmitted, int(np.count_nonzero(positive[0] & positive[1])), blocks, fields, jumps)

    def _jumps(
        self, image: RGB, inside: NDArray[np.bool_], corner: tuple[int, int], margin: tuple[int, int]
    ) -> tuple[tuple[Numbers, Numbers, Numbers], ...]:
        """Along both axes: which lines, the sums across them, and of how many numbers."""
        found = []
        for axis, lines in enumerate(self.lines):
            here = np.moveaxis(image, axis, 0)
            mask = np.moveaxis(inside, axis, 0)[:, margin[1 - axis] :]  # the margin's own lines are another window's
            pixels = here[:, margin[1 - axis] :]
            near = lines[(lines > corner[axis]) & (lines < corner[axis] + len(here))]
            places = near - corner[axis]
            counted = mask[places] & mask[places - 1]
            jumps = np.abs(pixels[places].astype(np.int16) - pixels[places - 1]).sum(axis=-1, dtype=np.int64)
            found.append((near, (jumps * counted).sum(axis=1), 3 * counted.sum(axis=1, dtype=np.int64)))
        return tuple(found)

    def add(self, totals: Totals, window: _Window) -> None:
        """A window to what is there."""
        totals.both += window.both
        for name in WHICH:
            totals.levels[name][:] += window.levels[name]
            totals.transmitted[name][:] += window.transmitted[name]
            for axis, (lines, sums, counts) in enumerate(window.jumps.get(name, ())):
                assert totals.jumps is not None
                totals.jumps[name].sums[axis][lines] += sums
                totals.jumps[name].counts[axis][lines] += counts
        for name, part in window.blocks.items():
            part.add_to(totals.blocks[name])
        for name, part in window.fields.items():
            part.add_to(getattr(totals.fields, name))


def _transmission(image: RGB, inside: NDArray[np.bool_]) -> Numbers:
    """``read_transmission`` of the pixels inside, in rows as long as an image's."""
    pixels = image[inside]
    side = 1024
    whole = len(pixels) // side * side
    counts = read_transmission(pixels[:whole].reshape(-1, side, 3))
    return counts + read_transmission(pixels[None, whole:])


def slide_light(slide: Slide) -> Light | None:
    """The light of a slide, from the whole of it at some µm a pixel; None where it shows no glass."""
    scale = 1.0 if slide.pixel_size is None else max(1.0, PIXEL / slide.pixel_size)
    while max(frame(slide, scale)) > 4096:
        scale *= 2
    return find_light(scaled(slide, scale, 0, 0, *frame(slide, scale)))
