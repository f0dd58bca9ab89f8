"""Tiles kept decoded on disk, so that a crop is a look into mapped memory.

A tile is kept at the size at which it is loaded, 3 bytes a pixel: 3 MiB at 1024², 0.2 MiB at 286². It pays where
decoding or shrinking is what a training waits for, and the folder lies on a fast disk or fits into memory.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray

from vsbench.data.augment import Tile, read_tile, target_size
from vsbench.data.decode import read_size
from vsbench.data.pairs import Pair
from vsbench.errors import UsageError
from vsbench.files import atomic, file_digest


@dataclass(frozen=True)
class TileCache:
    """Written tile by tile when one is first asked for; may be shared by processes and runs, and deleted at any time.

    Kept under the digest of the image file, the size, and the versions of the decoders: what is found there
    has the pixels that decoding would give now.
    """

    folder: Path
    files: Mapping[Path, tuple[str, tuple[int, int]]]  # digest of the content, (height, width)

    @classmethod
    def of(cls, pairs: Iterable[Pair], folder: Path) -> "TileCache":
        """Of the H&E and IHC of these pairs, each file read once. Raises DataError naming a bad file."""
        files: dict[Path, tuple[str, tuple[int, int]]] = {}
        for pair in pairs:
            for path in (pair.he, pair.ihc):
                size = read_size(path)
                files[path] = file_digest(path), size
        return cls(folder.resolve() / f"pillow-{PIL.__version__}-simplejpeg-{simplejpeg.__version__}", files)

    def require_room(self, load_sizes: Iterable[int], maps: Iterable[tuple[Path, str, int]] = ()) -> int:
        """Bytes that tiles of these load sizes will take besides those that are there, all of them asked for.

        ``maps``: what else will be ``kept`` of tiles, by tile, name and channels. Makes the folder.
        Raises UsageError where the disk has less.
        """
        wanted = [*((path, "", 3) for path in self.files), *maps]
        kept = {
            (*self._kept(path, load_size, name), channels)
            for path, name, channels in wanted
            for load_size in set(load_sizes)
        }
        needed = sum(channels * height * width for file, (height, width), channels in kept if not file.exists())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise UsageError(f"{self.folder}: no tiles can be kept there ({error.strerror}); choose another") from None
        if not os.access(self.folder, os.W_OK):
            raise UsageError(f"{self.folder}: no tiles can be kept there (not writable); choose another")
        if needed > free:
            raise UsageError(
                f"{self.folder}: the tiles take {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
                "choose another folder, or decode each time"
            )
        return needed

    def tile(self, path: Path, load_size: int) -> Tile:
        """A tile loaded at ``load_size``; decoded and written down where it isn't there whole. Raises DataError."""

        def decoded() -> NDArray[np.uint8]:
            return np.asarray(read_tile(path, load_size).pixels)

        return Tile(self.kept(path, load_size, "", 3, decoded), self.files[path][1])

    def kept(
        self, path: Path, load_size: int, name: str, channels: int, make: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        """(H, W, ``channels``) that follow from a tile, kept under ``name``; where not there, what ``make`` gives."""
        file, size = self._kept(path, load_size, name)
        try:
            return np.memmap(file, np.uint8, "r", shape=(*size, channels))
        except (FileNotFoundError, ValueError):  # not there, or shorter than it must be
            made = make()
            with suppress(OSError), atomic(file) as temporary:  # a disk that fills up must not end a training
                made.tofile(temporary)
            return made

    def _kept(self, path: Path, load_size: int, name: str = "") -> tuple[Path, tuple[int, int]]:
        digest, stored = self.files[path]
        height, width = size = target_size(stored, load_size)
        ending = f".{name}.maps" if name else ".rgb"
        return self.folder / digest[:2] / f"{digest}-{height}x{width}{ending}", size
