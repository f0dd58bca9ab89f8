"""One file of a download to its place: by hard link, as a copy, out of an archive, or as one half of a double image."""

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.archive import Archive
from vsbench.data.decode import read_rgb
from vsbench.data.manifest import Manifest, Record
from vsbench.data.threads import in_threads
from vsbench.errors import DataError
from vsbench.files import atomic, file_digest, open_regular

How = Literal["linked", "copied", "kept"]
Half = Literal["left", "right"]
BLOCK = 1 << 20


@dataclass(frozen=True)
class Item:
    """A file of the source by name, where it goes below the data set's folder, and which half of the image."""

    name: str
    target: str
    half: Half | None = None


class Placer:
    """Puts files below a manifest's home and records them there.

    A file that is there and right is kept; one that an earlier run put there and that has changed since is replaced;
    any other is someone else's, or from another source, and an error. A file appears whole or not at all, and sources
    are only read.
    """

    def __init__(self, manifest: Manifest, source: Path, root: Path, archive: Archive | None, copy: bool) -> None:
        self.manifest = manifest
        self.source = source  # as messages and the manifest call it
        self.root = root
        self.archive = archive
        self.copy = copy

    def place(self, items: Sequence[Item]) -> Generator[How, None, None]:
        """What became of each file, in order. Raises DataError naming the file that can't be read or written."""
        # The bytes of an archive come one after the other.
        results = in_threads(self._place, items) if self.archive is None else (self._place(item) for item in items)
        with closing(results):
            for item, (how, record) in zip(items, results, strict=True):
                self.manifest.files[item.target] = record
                yield how

    def require_space(self, items: Sequence[Item]) -> None:
        """Raise DataError where the file system has no room for what is not there yet."""
        home = self.manifest.home
        missing = [item for item in items if not (home / item.target).exists()]
        if self.archive is not None:
            size = sum(self.archive.entries[item.name].size for item in missing)
        else:
            device = home.stat().st_dev
            states = [(item, (self.root / item.name).stat()) for item in missing if (self.root / item.name).exists()]
            size = sum(s.st_size for item, s in states if self.copy or item.half or s.st_dev != device)
        if size > (free := shutil.disk_usage(home).free):
            raise DataError(f"{home}: {size:,} bytes are needed, {free:,} are free; make room or give another DEST")

    def require_sound(self, items: Sequence[Item]) -> None:
        """Raise DataError where a checksum in the archive does not hold for a file that is not there yet."""
        if self.archive is not None:
            missing = (item.name for item in items if not (self.manifest.home / item.target).exists())
            self.archive.check(dict.fromkeys(missing))

    def _place(self, item: Item) -> tuple[How, Record]:
        target = self.manifest.home / item.target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if item.half:
                how = self._half(item, item.half, target)
            elif self.archive is not None:
                how = self._unpacked(item, self.archive, target)
            else:
                how = self._whole(item, target)
            record = Record(target.stat().st_size, file_digest(target), self._called(item, self.source.resolve()))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{error.filename or target}: {reason}; mend that, and run the same again") from None
        return how, record

    def _whole(self, item: Item, target: Path) -> How:
        path = Path(os.path.realpath(self.root / item.name, strict=True))  # a link to a link would be as weak as that
        open_regular(path).close()  # else a FIFO would be linked, and lie there
        linked = target.exists() and target.samefile(path)
        if linked and not self.copy:
            return "kept"
        if target.exists() and not linked:
            if file_digest(target) == file_digest(path):
                return "kept"
            self._require_damaged(item, target)
        if not self.copy and _hard_link(path, target):
            return "linked"
        with atomic(target) as temporary, temporary.open("wb") as file:
            file.writelines(_blocks(path))
            file.flush()
            if file_digest(temporary) != file_digest(path):
                raise DataError(f"{path}: its copy has other bytes; was it changed meanwhile? Run the same again")
        return "copied"

    def _unpacked(self, item: Item, archive: Archive, target: Path) -> How:
        if target.exists():
            if _holds(target, archive, item.name):
                return "kept"
            self._require_damaged(item, target)
        with atomic(target) as temporary, temporary.open("wb") as file:
            file.writelines(archive.blocks(item.name))
        return "copied"

    def _half(self, item: Item, half: Half, target: Path) -> How:
        image = self._decoded(item)
        height, width, _ = image.shape
        if width % 2:
            raise DataError(f"{self._called(item)}: {height}×{width} pixels: no two halves of one width")
        pixels = image[:, : width // 2] if half == "left" else image[:, width // 2 :]
        if target.exists():
            if _shows(target, pixels):
                return "kept"
            self._require_damaged(item, target)
        with atomic(target) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
        return "copied"

    def _decoded(self, item: Item) -> NDArray[np.uint8]:
        if self.archive is None:
            return read_rgb(self.root / item.name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(item.name).name)
            with path.open("wb") as file:
                file.writelines(self.archive.blocks(item.name))
            try:
                return read_rgb(path)
            except DataError as error:
                raise DataError(str(error).replace(str(path), self._called(item))) from None

    def _require_damaged(self, item: Item, target: Path) -> None:
        record = self.manifest.files.get(item.target)
        if record is None or record.sha256 == file_digest(target):  # whole, so from another source
            raise DataError(
                f"{target}: there already, with other content than {self._called(item)}; move it away, or give another "
                "DEST"
            )

    def _called(self, item: Item, source: Path | None = None) -> str:
        """The file of the source, as messages call it; with ``source`` the source's own path."""
        source = source or self.source
        return f"{source}: {self.archive.entries[item.name].name}" if self.archive else str(source / item.name)


def _blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, in pieces. Raises DataError where it can't be read: what fails besides is the writing."""
    try:
        with open_regular(path) as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise DataError(
            f"{path}: {(error.strerror or str(error)).lower()}; mend that, and run the same again"
        ) from None


def _hard_link(path: Path, target: Path) -> bool:
    """Whether the file system makes one; it replaces what is there in one step."""
    link = target.with_name(f".{target.name}-{os.getpid()}")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # another file system, or one without links
        return False
    link.replace(target)
    return True


def _holds(target: Path, archive: Archive, name: str) -> bool:
    """Whether a file has the bytes of an archive's entry, by the archive's own CRC-32 if it holds one."""
    entry = archive.entries[name]
    if target.stat().st_size != entry.size:
        return False
    if entry.crc is None:
        total = hashlib.sha256()
        for block in archive.blocks(name):
            total.update(block)
        return total.hexdigest() == file_digest(target)
    crc = 0
    with target.open("rb") as file:
        while block := file.read(BLOCK):
            crc = zlib.crc32(block, crc)
    return crc == entry.crc


def _shows(target: Path, pixels: NDArray[np.uint8]) -> bool:
    try:
        return np.array_equal(read_rgb(target), pixels)
    except DataError:
        return False
