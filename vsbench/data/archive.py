"""Zip and tar files whose names and sizes are looked at before anything is written, and again while it is read."""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from vsbench.data.archive_kinds import require_archive
from vsbench.data.member_names import Names, refused
from vsbench.errors import DataError
from vsbench.names import said

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_RATIO = (
    100  # bytes unpacked per byte of the archive: images hardly shrink (1–2), text does 20-fold, bombs 1000-fold
)
MAX_ENTRY = 2 << 30  # bytes of one file; the largest image that is decoded here has half a gigabyte
MAX_HEADER = 256 << 10  # bytes of a tar member's long name or pax records, which are read into memory
BLOCK = 1 << 20
PADDING = 1 << 24  # zeros behind the end of a tar, at most; GNU tar's blocks are 10 KiB, those of tapes some MiB
ENCRYPTED = 0x1  # of a zip entry's flags
UNIX = 3  # of a zip entry's "made by": its permissions tell links apart
PACKED: dict[bytes, Callable[[Path], Any]] = {  # by first bytes; each of them checks what it unpacks
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x5d\0\0": lzma.open,
}
HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
DAMAGE = (  # what the readers of zip and tar raise for what is not as it must be
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
)


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
        except NotImplementedError as error:
            raise DataError(f"{self.path}: {entry.name}: {said(error)}; unpack it, and give the folder") from None
        except DAMAGE as error:
            raise DataError(f"{self.path}: {entry.name} is damaged ({said(error)}); fetch the archive again") from None
        if total != entry.size:
            raise DataError(
                f"{self.path}: {entry.name} is not of the {entry.size:,} bytes it claims; fetch the archive again"
            )

    def check(self, names: Iterable[str]) -> None:
        """Read files whose checksum the archive holds, to the end. Raises DataError naming the first that is wrong."""
        for name in names:
            if self.entries[name].crc is not None:
                for _ in self.blocks(name):
                    pass

    def below(self, folder: str) -> "Archive":
        """The files below a folder, by their names from there."""
        start = f"{folder}/"
        names = (name for name in self.entries if name.startswith(start))
        return replace(self, entries={name.removeprefix(start): self.entries[name] for name in names})


def stem_of(path: Path) -> str:
    """The name of an archive without its ending: ``HER2-004`` of ``HER2-004.tar.gz``."""
    ending = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")
    return path.name[: len(path.name) - len(ending)]


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive all of whose entries may be unpacked.

    Raises DataError naming the archive where it is something else, can't be read or fails its checksum, and the entry
    that would leave the destination (an absolute name, a drive, ``..``), can't be written, is a link or a device, is
    encrypted, has another's name (case and Unicode form aside), or is larger than ``MAX_ENTRY``; and where all together
    are more than ``MAX_RATIO`` times the archive, or more than ``MAX_ENTRIES``.
    """
    require_archive(path)
    with _zip(path) if zipfile.is_zipfile(path) else _tar(path) as archive:
        _require_bearable(archive)
        yield archive


@contextmanager
def _zip(path: Path) -> Iterator[Archive]:
    try:
        file = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError(f"{path}: no zip file that can be read ({said(error)}); fetch it again") from None
    with file:
        packed = 0
        names = Names(path)
        entries = {}
        for info in sorted(file.infolist(), key=lambda info: info.header_offset):
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == UNIX else 0
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refused(path, info.orig_filename, "a link or a device, no file")
            name = names.safe(info.orig_filename.replace("\\", "/"), info.is_dir())
            packed += info.compress_size
            if name is None:
                continue
            if info.flag_bits & ENCRYPTED:
                raise refused(path, name, "encrypted")
            entries[name] = Entry(name, info.file_size, info.CRC, partial(file.open, info))
        if packed > path.stat().st_size:
            raise DataError(f"{path}: entries overlap in the file, as in a decompression bomb; nothing is unpacked")
        yield Archive(path, entries)


class _Member(tarfile.TarInfo):
    """A header that is looked at before anything it announces is read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.size < 0:
            raise tarfile.ReadError(f"a size of {member.size:,}")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file, which is not read here")
        if member.type in HEADERS and member.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes, more than {MAX_HEADER:,}")
        return member


@contextmanager
def _tar(path: Path) -> Iterator[Archive]:
    entries: dict[str, Entry] = {}
    with ExitStack() as opened_files:
        try:
            stream = opened_files.enter_context(_unpacking(path))
            file = opened_files.enter_context(tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member))
        except DAMAGE as error:
            raise DataError(f"{path}: no zip or tar file that can be read ({said(error)}); fetch it again") from None
        names = Names(path)
        limit = MAX_RATIO * path.stat().st_size + BLOCK
        try:
            for member in file:
                if member.size < 0 or any(key.startswith("GNU.sparse") for key in member.pax_headers):
                    raise tarfile.ReadError(f"{member.name!a} is sparse, or of negative size")
                member.pax_headers = {}  # else those that count for all members are kept once for each
                end = member.offset_data + member.size
                if end > limit:  # at once: to get at the next header, all of this is decompressed
                    raise _bomb(path, end)
                if not (member.isreg() or member.isdir()):
                    raise refused(path, member.name, "a link or a device, no file")
                name = names.safe(member.name, member.isdir())
                if name is not None:
                    entries[name] = Entry(name, member.size, None, partial(_member, file, member))
            _require_end(stream, file.offset)
        except DAMAGE as error:
            raise DataError(f"{path}: a damaged tar file ({said(error)}); fetch it again") from None
        yield Archive(path, entries)


def _unpacking(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(max(0, path.stat().st_size - PADDING))
        tail = file.read(PADDING)
    for start, unpack in PACKED.items():
        if head.startswith(start):
            if len(tail) == PADDING and not any(tail):  # gzip would read through them byte by byte
                raise tarfile.ReadError("it ends in nothing but zeros, as where a download did not end")
            stream: IO[bytes] = unpack(path)
            return stream
    return path.open("rb")


def _require_end(stream: IO[bytes], start: int) -> None:
    """Read on to the end, where gzip, bzip2 and xz hold their checksums; nothing but zeros may be left.

    ``tarfile`` takes a header that is damaged or missing for the end, and passes over all that follows.
    """
    stream.seek(start)
    position = start
    while block := stream.read(BLOCK):
        position += len(block)
        if block.count(0) != len(block):
            raise tarfile.ReadError("a damaged header, or other data behind its end")
        if position - start > PADDING:
            raise tarfile.ReadError(f"more than {PADDING:,} zeros behind its end, as where a download did not end")
    if position == start:
        raise tarfile.ReadError("cut short: its end is missing")


def _member(file: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = file.extractfile(member)
    if content is None:
        raise tarfile.ReadError("no regular file")
    return content


def _require_bearable(archive: Archive) -> None:
    for entry in archive.entries.values():
        if entry.size > MAX_ENTRY:
            raise refused(archive.path, entry.name, f"{entry.size:,} bytes unpacked, more than {MAX_ENTRY:,}")
    total = sum(entry.size for entry in archive.entries.values())
    if total > MAX_RATIO * archive.path.stat().st_size:
        raise _bomb(archive.path, total)


def _bomb(path: Path, size: int) -> DataError:
    return DataError(
        f"{path}: {size:,} bytes or more unpacked, over {MAX_RATIO} times the archive: a decompression bomb; nothing "
        "is unpacked"
    )
