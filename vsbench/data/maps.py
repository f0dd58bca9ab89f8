"""Pictures that follow from an IHC tile and are cut and mirrored with it: made once per tile where they can be kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.augment import Tile, TileReader
from vsbench.data.decode import read_grey, read_size, require_one_size
from vsbench.data.pairs import Pair, few, images_by_stem
from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.files import digest, file_digest

Maps = NDArray[np.uint8]
Keep = Callable[[Path, int, str, int, Callable[[], Maps]], Maps]  # file, load size, name, channels, what makes them

MEMORY = 2**28  # bytes of maps that a process keeps


@dataclass(frozen=True)
class TileMaps:
    """What a method wants made of each IHC tile, whole and as it is loaded.

    ``make``: (H, W, 3) uint8 → (H, W, ``channels``) uint8. A pure function that can be pickled; ``key`` names it with
    all its settings: what was kept under a key is used again. With ``folder``, which holds a ready 8-bit grey picture
    for each tile under the tile's id, ``make`` is given that too, (H, W).
    """

    channels: int
    key: str
    make: Callable[..., Maps]
    folder: str = ""
    mend: str = "add them"  # what to do where pictures are missing


@dataclass
class Memory:
    """Keeps the maps of as many tiles as fit: the first ones, since each epoch asks for all of them."""

    kept: dict[tuple[Path, int, str], Maps] = field(default_factory=dict)
    room: int = MEMORY

    def __call__(self, path: Path, load_size: int, name: str, channels: int, make: Callable[[], Maps]) -> Maps:
        """The maps of a tile."""
        key = path, load_size, name
        if key in self.kept:
            return self.kept[key]
        made = make()
        if made.nbytes <= self.room:
            self.kept[key] = made
            self.room -= made.nbytes
        return made


@dataclass(frozen=True)
class MappedTiles:
    """A ``TileReader`` that gives the IHC tiles of another one their maps. ``keep``: where these are kept."""

    read: TileReader
    maps: TileMaps
    pictures: Mapping[Path, Path | None]  # of each IHC tile, what ``ready_pictures`` found
    keep: Keep = field(default_factory=Memory)

    def __call__(self, path: Path, load_size: int) -> Tile:
        """A tile as it is loaded. Raises DataError naming a bad file."""
        tile = self.read(path, load_size)
        if path not in self.pictures:
            return tile
        maps = self.keep(path, load_size, self.name(path), self.maps.channels, lambda: self._made(path, tile))
        return replace(tile, maps=maps)

    @property
    def names(self) -> list[tuple[Path, str, int]]:
        """All that will be kept: tile, name, channels."""
        return [(path, self.name(path), self.maps.channels) for path in self.pictures]

    def name(self, path: Path) -> str:
        """Names the maps of an IHC tile: their key and the content of its ready picture."""
        picture = self.pictures[path]
        return digest([self.maps.key, "" if picture is None else file_digest(picture)])

    def _made(self, path: Path, tile: Tile) -> Maps:
        pixels, picture = np.asarray(tile.pixels), self.pictures[path]
        if picture is None:
            return self.maps.make(pixels)
        grey = read_grey(picture)
        require_one_size({path: tile.stored, picture: (grey.height, grey.width)})
        height, width = tile.size
        return self.maps.make(pixels, np.asarray(grey.resize((width, height), Image.Resampling.BICUBIC)))


def ready_pictures(maps: TileMaps, pairs: Sequence[Pair]) -> dict[Path, Path | None]:
    """Of each IHC tile its ready picture, None where the maps need none; opens none.

    Raises DataError where pictures are missing, naming the tiles.
    """
    if not maps.folder:
        return dict.fromkeys((pair.ihc for pair in pairs), None)
    folder = Path(maps.folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, in which ready maps of the tiles should lie; {maps.mend}")
    found = images_by_stem(folder, nested=True)
    if missing := [pair.id for pair in pairs if pair.id not in found]:
        raise DataError(f"{folder}: no ready map named after {few(missing)}; {maps.mend}")
    return {pair.ihc: found[pair.id] for pair in pairs}


def pictures_digest(maps: TileMaps, pairs: Sequence[Pair]) -> str | None:
    """Of the contents of all ready pictures, in the order of the pairs; None where the maps need none."""
    pictures = [picture for picture in ready_pictures(maps, pairs).values() if picture is not None]
    return digest(in_threads(file_digest, pictures)) if pictures else None


def require_maps(maps: TileMaps, pairs: Sequence[Pair]) -> None:
    """Raise DataError where a ready picture is missing, or its header says that it doesn't fit its tile."""
    pictures = [(ihc, picture) for ihc, picture in ready_pictures(maps, pairs).items() if picture is not None]
    for _ in in_threads(lambda item: require_one_size(_sizes(*item)), pictures):
        pass


def _sizes(ihc: Path, picture: Path) -> dict[Path, tuple[int, int]]:
    return {ihc: read_size(ihc), picture: read_size(picture, "grey")}
