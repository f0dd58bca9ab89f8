"""Zip and tar files whose names and sizes are looked at before anything is written, and again while it is read."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from vsbench.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_RATIO = (
    100  # bytes unpacked per byte of the archive: images hardly shrink (1–2), text does 20-fold, bombs 1000-fold
)
MAX_ENTRY = 2 << 30  # bytes of one file; the largest image that is decoded here has half a gigabyte
MAX_ENTRIES = 2_000_000  # the largest set we know of holds 186,000 images
BLOCK = 1 << 20
BY_SYSTEMS = "__MACOSX"  # a folder that macOS adds to zips, with a shadow of every file
ENCRYPTED = 0x1  # of a zip entry's flags
UNIX = 3  # of a zip entry's "made by": its permissions tell links apart


@dataclass(frozen=True)
class Entry:
    """A regular file in an archive. ``crc`` is its CRC-32 where the archive holds one."""

    name: str  # relative, with "/"
    size: int
    crc: int | None
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Archive:
    """The files of an archive by name, in the order in which they lie there, which is the fast one to read in."""

    path: Path
    entries: dict[str, Entry]

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces.

        Raises DataError naming it where it is damaged, or holds more or fewer bytes than the archive's directory says.
        """
        entry, total = self.entries[name], 0
        try:
            with entry.open() as file:
                while block := file.read(min(BLOCK, entry.size + 1 - total)):
                    total += len(block)
                    if total > entry.size:
                        break
                    yield block
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{self.path}: {name} is damaged ({_one_line(error)}); fetch the archive again") from None
        except NotImplementedError as error:
            raise DataError(f"{self.path}: {name}: {_one_line(error)}; unpack it, and give the folder") from None
        if total != entry.size:
            raise DataError(
                f"{self.path}: {name} is not of the {entry.size:,} bytes it claims; fetch the archive again"
            )


def stem_of(path: Path) -> str:
    """The name of an archive without its ending: ``HER2-004`` of ``HER2-004.tar.gz``."""
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return path.name[: len(path.name) - len(ending)]


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive all of whose entries may be unpacked.

    Raises DataError naming the archive where it can't be read, and the entry that would leave the destination (an
    absolute name, a drive, ``..``), is a link or a device, is encrypted, has another's name (case aside), or is larger
    than ``MAX_ENTRY``; and where all together are more than ``MAX_RATIO`` times the archive, or more than
    ``MAX_ENTRIES``.
    """
    with _zip(path) if zipfile.is_zipfile(path) else _tar(path) as archive:
        _require_bearable(archive)
        yield archive


@contextmanager
def _zip(path: Path) -> Iterator[Archive]:
    try:
        file = zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no zip file that can be read ({_one_line(error)}); fetch it again") from None
    with file:
        packed = 0
        names = _Names(path)
        entries = {}
        for info in sorted(file.infolist(), key=lambda info: info.header_offset):
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == UNIX else 0
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(path, info.orig_filename, "a link or a device, no file")
            name = names.safe(info.orig_filename.replace("\\", "/"), info.is_dir())
            packed += info.compress_size
            if name is None:
                continue
            if info.flag_bits & ENCRYPTED:
                raise _refused(path, name, "encrypted")
            entries[name] = Entry(name, info.file_size, info.CRC, partial(file.open, info))
        if packed > path.stat().st_size:
            raise DataError(f"{path}: entries overlap in the file, as in a decompression bomb; nothing is unpacked")
        yield Archive(path, entries)


@contextmanager
def _tar(path: Path) -> Iterator[Archive]:
    try:
        file = tarfile.open(path, "r:*")  # noqa: SIM115 (closed below, once it is known to be one)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path}: no zip or tar file that can be read ({_one_line(error)}); fetch it again") from None
    with file:
        names = _Names(path)
        entries: dict[str, Entry] = {}
        limit, total = MAX_RATIO * path.stat().st_size, 0
        try:
            for member in file:
                total += member.size  # at once: to get at the next header, all of this is decompressed
                if total > limit:
                    raise _bomb(path, total)
                if not (member.isreg() or member.isdir()):
                    raise _refused(path, member.name, "a link or a device, no file")
                name = names.safe(member.name, member.isdir())
                if name is not None:
                    entries[name] = Entry(name, member.size, None, partial(_member, file, member))
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{path}: a damaged tar file ({_one_line(error)}); fetch it again") from None
        yield Archive(path, entries)


def _member(file: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = file.extractfile(member)
    if content is None:
        raise tarfile.ReadError("no regular file")
    return content


class _Names:
    """Names as they come; raises DataError for one that may not be unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.count = 0

    def safe(self, name: str, is_folder: bool) -> str | None:
        """The name in its plain form; None for a folder, and for what systems add."""
        self.count += 1
        if self.count > MAX_ENTRIES:
            raise DataError(f"{self.path}: more than {MAX_ENTRIES:,} entries; unpack it, and give the folder")
        parts = PurePosixPath(name).parts
        if name.startswith("/") or "\0" in name or ":" in name.split("/")[0] or ".." in parts:
            raise _refused(self.path, name, "it would leave the destination")
        if not parts or BY_SYSTEMS in parts:
            return None
        plain = "/".join(parts)
        key = plain.casefold()  # on some file systems names that differ by case alone are one file
        if not is_folder and (key in self.files or key in self.folders):
            raise _refused(self.path, name, f"{self.files.get(key) or self.folders[key]} has the same name")
        for depth in range(1, len(parts) + is_folder):
            above = "/".join(parts[:depth])
            if above.casefold() in self.files:
                raise _refused(self.path, name, f"{above} is a file and a folder")
            self.folders[above.casefold()] = above
        if is_folder:
            return None
        self.files[key] = plain
        return plain


def _require_bearable(archive: Archive) -> None:
    for entry in archive.entries.values():
        if entry.size > MAX_ENTRY:
            raise _refused(archive.path, entry.name, f"{entry.size:,} bytes unpacked, more than {MAX_ENTRY:,}")
    total = sum(entry.size for entry in archive.entries.values())
    if total > MAX_RATIO * archive.path.stat().st_size:
        raise _bomb(archive.path, total)


def _bomb(path: Path, size: int) -> DataError:
    return DataError(
        f"{path}: {size:,} bytes or more unpacked, over {MAX_RATIO} times the archive: a decompression bomb; nothing "
        "is unpacked"
    )


def _refused(path: Path, name: str, reason: str) -> DataError:
    return DataError(f"{path}: {name!r}: {reason}; nothing is unpacked: make the archive again without it")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
