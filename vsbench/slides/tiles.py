"""Slide pairs to tiles: a tree that the data set ``folder`` reads, of one size and one µm a pixel, split by patient.

    <out>/<stain>/he/<split>/<patient>_<slide>_x001024_y020480.png     place: pixels of the H&E's slide
    <out>/<stain>/ihc/<split>/…                                         the same tissue, in the H&E's frame
    <out>/<stain>/slides/<patient>_<slide>.json                         what became of the pair; its alignment

Tiles appear whole or not at all, and a pair that is done is not looked at again: the same command goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.carried import write_carried
from vsbench.data.manifest import Manifest, Record
from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.files import atomic, digest, file_digest, free_bytes, read_json, write_json
from vsbench.metrics.sharpness import sharpness
from vsbench.slides.alignment import Alignment, Direction
from vsbench.slides.overlay import Overlay, told_alignment
from vsbench.slides.pair_list import SlidePair, pixel_of
from vsbench.slides.reading import RGB, Slide, frame, open_slide, scaled
from vsbench.slides.registration import AGREED, LARGEST, PIXEL, Registration, register, require_trusted
from vsbench.slides.tissue import Tissue, require_tissue

Array = NDArray[np.float64]
Fate = Literal["written", "blank", "blurred", "outside", "unregistered"]
Progress = Callable[[int, int], None]

SLIDE = "^([^_]+)_"  # the patient, who is what tiles share, in a tile's name
PLACES = 32  # along a tile's side, where the masks are looked at
SAMPLE = 32  # tiles by which a slide's usual sharpness is known
COARSER = 1.1  # than a tile's pixels a slide may be: more would be invented
OUTSIDE = 0.02  # of a tile that may lie beyond the IHC's slide
BYTES = 2.0  # of a pixel of a PNG of tissue, about
COMPRESSION = 4  # of zlib


@dataclass(frozen=True)
class Cut:
    """How tiles are cut. ``pixel``: µm; ``stride``: pixels from tile to tile; ``tissue``: share of it, at least, in
    both sections; ``sharp``: of the slide's usual sharpness (variance of the Laplacian for its tissue), at least.
    """

    size: int = 512
    stride: int = 512
    pixel: float = 0.5
    tissue: float = 0.25
    sharp: float = 0.25


@dataclass(frozen=True, eq=False)
class CutPair:
    """What became of a pair: tiles by their fate, and how its sections were registered, where they were."""

    pair: SlidePair
    tiles: Mapping[str, int]
    registration: Mapping[str, Any] | None
    kept: bool  # done by an earlier call


@dataclass(frozen=True)
class _Place:
    """A tile: ``x``, ``y`` in pixels of the H&E's frame at the tiles' scale, and its name."""

    y: int
    x: int
    name: str


def cut_pairs(
    pairs: list[SlidePair],
    out: Path,
    cut: Cut,
    registers: bool = False,
    direction: Direction = "he-to-ihc",
    workers: int = 1,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = print,
) -> Iterator[CutPair | DataError]:
    """Cut each pair; a DataError in place of one that can't be, of which nothing is kept.

    ``registers``: find the alignment of pairs without a transform; else they are taken to share a frame. Memory is
    that of some tiles for each of ``workers`` threads. Raises DataError where ``out`` holds tiles cut otherwise.
    """
    homes = {stain: _Home(out / stain, cut) for stain in dict.fromkeys(pair.stain for pair in pairs)}
    for home in homes.values():
        home.require_same()
    for pair in pairs:
        try:
            yield _Cutter(pair, homes[pair.stain], workers).run(registers, direction, progress, say)
        except DataError as error:
            yield error


@dataclass(frozen=True)
class _Home:
    """The tree of a stain, which says how its tiles are cut from the first of them on."""

    folder: Path
    cut: Cut

    def require_same(self) -> None:
        """Raise DataError where tiles lie there that were cut otherwise."""
        _known(self._record, self._wanted, "tiles cut otherwise")

    def begin(self) -> None:
        """Write down how they are cut."""
        write_json(self._record, self._wanted)
        write_carried(self.folder, {"slide": SLIDE, "pixel_size": self.cut.pixel})

    @property
    def _record(self) -> Path:
        return self.folder / "slides" / "cut.json"

    @property
    def _wanted(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self.cut)}


class _Cutter:
    """One pair at work."""

    def __init__(self, pair: SlidePair, tree: _Home, workers: int) -> None:
        self.pair, self.tree, self.home, self.cut, self.workers = pair, tree, tree.folder, tree.cut, workers
        self.record = self.home / "slides" / f"{pair.id}.json"
        self.lies = self.home / "slides" / f"{pair.id}-alignment.json"
        self.residual = self.home / "slides" / f"{pair.id}-residual.png"

    def run(self, registers: bool, direction: Direction, progress: Progress, say: Callable[[str], None]) -> CutPair:
        """All of it."""
        plan = self._plan(registers, direction)
        known = _known(self.record, plan, "another pair, or one aligned otherwise,")
        if known and "tiles" in known and not self._cleared():
            return CutPair(self.pair, known["tiles"], known.get("registration"), kept=True)
        with open_slide(self.pair.he) as he, open_slide(self.pair.ihc) as ihc:
            pixels = self._pixel(he, self.pair.he_mpp, "he_mpp"), self._pixel(ihc, self.pair.ihc_mpp, "ihc_mpp")
            self._require_a_tile(he, pixels[0])
            tissue = require_tissue(he), require_tissue(ihc)
            alignment, found = self._alignment(he, ihc, pixels, registers, direction, say)
            sections = _Sections(he, ihc, pixels, alignment, tissue, self.cut)
            fates: Counter[str] = Counter()
            places = self._candidates(sections, found, fates)
            self._require_room(places)
            self.tree.begin()
            write_json(self.record, plan)  # from here on tiles are of this plan
            if found is not None:
                write_json(self.lies, {**alignment.as_json(), **found.described()})
                _draw_residual(found, self.residual)
            try:
                self._cut(sections, places, fates, progress)
            except DataError:
                self._discard()
                raise
        described = None if found is None else found.described()
        tiles = {fate: fates[fate] for fate in ("written", "blank", "blurred", "outside", "unregistered")}
        self._note([place.name for place in places])
        write_json(self.record, {**plan, "tiles": tiles, "registration": described})
        return CutPair(self.pair, tiles, described, kept=False)

    def _cut(self, sections: "_Sections", places: list[_Place], fates: Counter[str], progress: Progress) -> None:
        usual = sections.usual(places)

        def work(place: _Place) -> Fate:
            return self._tile(sections, place, usual)

        with closing(in_threads(work, places, self.workers, 2 * self.workers)) as done:
            for number, fate in enumerate(done, start=1):
                fates[fate] += 1
                progress(number, len(places))

    def _cleared(self) -> bool:
        """Remove tiles of a pair that is done which lack their partner or have changed; whether there were any."""
        recorded = {
            name: file.size
            for name, file in Manifest(self.home).files.items()
            if Path(name).name.startswith(f"{self.pair.id}_x")
        }
        changed = [
            self.home / name
            for name, size in recorded.items()
            if not (self.home / name).is_file() or (self.home / name).stat().st_size != size
        ]
        for file in changed:
            file.unlink(missing_ok=True)
        return bool(changed)

    def _discard(self) -> None:
        """Keep nothing of a pair of which a part can't be read: its tiles would be trained on."""
        for side in ("he", "ihc"):
            for file in (self.home / side / self.pair.split).glob(f"{self.pair.id}_x*.png"):
                file.unlink()
        for file in (self.record, self.lies, self.residual):
            file.unlink(missing_ok=True)

    def _plan(self, registers: bool, direction: Direction) -> dict[str, Any]:
        pair = self.pair
        files = [file for file in (pair.he, pair.ihc, pair.transform) if file is not None]
        states = [(file.name, file.stat()) for file in files]
        made = digest(
            [
                *(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states),
                f"{pair.he_mpp} {pair.ihc_mpp}",
            ]
        )
        how = direction if pair.transform else "registered" if registers else "same frame"
        return {
            "schema": 2,
            "he": pair.he.name,
            "ihc": pair.ihc.name,
            "split": pair.split,
            "aligned": how,
            "made": made,
        }

    def _pixel(self, slide: Slide, told: float | None, column: str) -> float:
        pixel = pixel_of(slide, told, column)
        if pixel > COARSER * self.cut.pixel:
            raise DataError(f"{slide.file}: {pixel:g} µm a pixel, coarser than tiles of {self.cut.pixel:g}; give --mpp")
        return pixel

    def _alignment(
        self,
        he: Slide,
        ihc: Slide,
        pixels: tuple[float, float],
        registers: bool,
        direction: Direction,
        say: Callable[[str], None],
    ) -> tuple[Alignment, Registration | None]:
        """From the H&E's finest pixels to the IHC's."""
        if self.pair.transform is not None or not registers:
            mend = "add --register, or a column transform with the file of a matrix"
            return told_alignment(self.pair, he, ihc, pixels, direction, mend), None
        found = register_slides(he, ihc, pixels)
        require_trusted(found)
        if found.alignment.mirrored:
            say(f"{self.pair.id}: the IHC lies mirrored, the other face up; its tiles are turned back")
        pixel = thumbnail_pixel(he, ihc, pixels)
        return found.alignment.scaled(pixel / pixels[0], pixel / pixels[1]), found

    def _candidates(self, sections: "_Sections", found: Registration | None, fates: Counter[str]) -> list[_Place]:
        """Places with enough tissue in both sections, in order; what is left out is counted."""
        size, stride = self.cut.size, self.cut.stride
        height, width = frame(sections.he, sections.scales[0])
        places = []
        for y in range(0, height - size + 1, stride):
            for x in range(0, width - size + 1, stride):
                fate = sections.fate(y, x, found)
                if fate is not None:
                    fates[fate] += 1
                    continue
                corner = (round(side * sections.scales[0]) for side in (x, y))
                places.append(_Place(y, x, "{}_x{:06d}_y{:06d}".format(self.pair.id, *corner)))
        return places

    def _require_a_tile(self, he: Slide, pixel: float) -> None:
        height, width = frame(he, self.cut.pixel / pixel)
        if min(height, width) < self.cut.size:
            raise DataError(
                f"{he.file}: {height}×{width} pixels of {self.cut.pixel:g} µm, smaller than a tile of {self.cut.size}"
            )

    def _require_room(self, places: list[_Place]) -> None:
        """For tiles that no call before has written."""
        tiles = sum(not file.exists() for place in places for file in self._files(place.name))
        needed = int(tiles * BYTES * self.cut.size**2)
        if needed > (free := free_bytes(self.home)):
            raise DataError(f"{self.home}: some {needed:,} bytes are needed, {free:,} are free; make room")

    def _files(self, name: str) -> tuple[Path, Path]:
        he, ihc = (self.home / side / self.pair.split / f"{name}.png" for side in ("he", "ihc"))
        return he, ihc

    def _tile(self, sections: "_Sections", place: _Place, usual: tuple[float, float]) -> Fate:
        files = self._files(place.name)
        if all(file.exists() for file in files):  # of this plan, and written whole
            return "written"
        images = sections.tiles(place.y, place.x)
        measured = [_sharpness(image, share) for image, share in zip(images, sections.shares(place), strict=True)]
        if any(value < self.cut.sharp * least for value, least in zip(measured, usual, strict=True)):
            return "blurred"
        for file, image in zip(files, images, strict=True):
            with atomic(file) as temporary:
                Image.fromarray(image).save(temporary, format="PNG", compress_level=COMPRESSION)
        return "written"

    def _note(self, names: list[str]) -> None:
        """Into the manifest."""
        manifest = Manifest(self.home)
        for name in names:
            for file, slide in zip(self._files(name), (self.pair.he, self.pair.ihc), strict=True):
                if file.exists():
                    record = Record(file.stat().st_size, file_digest(file), f"{slide.name} {name.split('_', 2)[2]}")
                    manifest.files[file.relative_to(self.home).as_posix()] = record
        manifest.save()


@dataclass(frozen=True, eq=False)
class _Sections:
    """Both slides of a pair, open, and how they lie."""

    he: Slide
    ihc: Slide
    pixels: tuple[float, float]
    alignment: Alignment
    tissue: tuple[Tissue, Tissue]
    cut: Cut

    @property
    def scales(self) -> tuple[float, float]:
        """Finest pixels of each slide for one of a tile."""
        he, ihc = (self.cut.pixel / pixel for pixel in self.pixels)
        return he, ihc

    def fate(self, y: int, x: int, found: Registration | None) -> Fate | None:
        """Why a tile is left out before it is read; None: it is not."""
        inside, shares = self._looked_at(y, x)
        if shares[0] < self.cut.tissue:
            return "blank"
        if inside < 1 - OUTSIDE:
            return "outside"
        if shares[1] < self.cut.tissue:
            return "blank"
        if found is not None:
            middle = (np.array([y, x]) + self.cut.size / 2) / frame(self.he, self.scales[0])
            row, column = (np.array(found.sure.shape) * middle).astype(int)
            if not found.sure[row, column]:
                return "unregistered"
        return None

    def shares(self, place: _Place) -> tuple[float, float]:
        """Of tissue in both."""
        return self._looked_at(place.y, place.x)[1]

    def _looked_at(self, y: int, x: int) -> tuple[float, tuple[float, float]]:
        """Share of a tile within the IHC's slide, and shares of tissue, on the masks."""
        steps = (np.arange(PLACES) + 0.5) * self.cut.size / PLACES
        places = self.scales[0] * np.stack(np.meshgrid(x + steps, y + steps), axis=-1)
        moved = self.alignment(places)
        level = self.ihc.levels[0]
        inside = ((moved >= 0) & (moved < [level.width, level.height])).all(axis=-1)
        he, ihc = (tissue.at(where) for tissue, where in zip(self.tissue, (places, moved), strict=True))
        return float(inside.mean()), (float(he.mean()), float((ihc & inside).mean()))

    def tiles(self, y: int, x: int) -> tuple[RGB, RGB]:
        """Both tiles, the IHC's in the frame of the H&E."""
        size = self.cut.size
        he = scaled(self.he, self.scales[0], y, x, size, size)
        ihc = Overlay(self.ihc, self.alignment, self.pixels[0] / self.pixels[1])
        return he, ihc.window(self.scales[0], y, x, size, size)

    def usual(self, places: list[_Place]) -> tuple[float, float]:
        """Median sharpness of both slides, by some of their tiles."""
        chosen = places[:: max(1, len(places) // SAMPLE)]
        found = []
        for place in chosen:
            found.append(
                [_sharpness(*pair) for pair in zip(self.tiles(place.y, place.x), self.shares(place), strict=True)]
            )
        he, ihc = np.median(found, axis=0) if found else (0.0, 0.0)
        return float(he), float(ihc)


def register_slides(he: Slide, ihc: Slide, pixels: tuple[float, float]) -> Registration:
    """Two open slides, with finest pixels of so many µm, at low magnification. Raises DataError."""
    pixel = thumbnail_pixel(he, ihc, pixels)
    images = []
    for slide, own in zip((he, ihc), pixels, strict=True):
        scale = pixel / own
        images.append(scaled(slide, scale, 0, 0, *frame(slide, scale)))
    try:
        return register(images[0], images[1], pixel)
    except DataError as error:
        raise DataError(f"{he.file}, {ihc.file}: {error}") from None


def thumbnail_pixel(he: Slide, ihc: Slide, pixels: tuple[float, float]) -> float:
    """µm a pixel of the images that ``register_slides`` registers."""
    sides = [
        pixel * max(slide.levels[0].height, slide.levels[0].width)
        for slide, pixel in zip((he, ihc), pixels, strict=True)
    ]
    return max(PIXEL, max(sides) / LARGEST, *pixels)


def _sharpness(image: RGB, tissue: float) -> float:
    """For the tissue alone: glass has none."""
    return sharpness(image) / max(tissue, 1e-3)


def _known(file: Path, wanted: dict[str, Any], what: str) -> dict[str, Any] | None:
    """What a record holds that agrees with ``wanted``; None where there is none yet. Raises DataError where not."""
    if not file.exists():
        return None
    try:
        found: Any = read_json(file)
        same = all(found[key] == value for key, value in wanted.items())
    except (KeyError, OSError, TypeError, ValueError):
        found, same = None, False
    if not same:
        raise DataError(f"{file}: of {what} lies there; give another OUT, or remove {file.parent.parent}")
    return dict(found)


def _draw_residual(found: Registration, file: Path) -> None:
    """Blue: the ways there and back agree; red: they differ by ``AGREED``, or a place is not found; grey: glass."""
    share = np.where(found.sure, found.residual / AGREED, 1.0)[..., None]
    colours = (1 - share) * [40, 90, 200] + share * [200, 40, 40]
    image = np.where(np.isnan(found.residual)[..., None], 235, colours).astype(np.uint8)
    with atomic(file) as temporary:
        Image.fromarray(image).resize((8 * image.shape[1], 8 * image.shape[0]), Image.Resampling.NEAREST).save(
            temporary
        )
