"""Files: atomic writes, reading what is a file indeed, and digests."""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import socket
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from vsbench.errors import RunError

TEMPORARY = re.compile(r"\..*\.by-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.[^.]*)?")
OLD = 24 * 3600  # seconds after which a temporary file of another machine is nobody's any more
NOT_REGULAR = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
LARGEST = 1 << 35  # bytes of a file that is read for its digest: weights of eight thousand million numbers
LEDGER = ".vsbench-files"  # in a folder that was named for output: what we wrote there
LEDGER_BYTES = 1 << 26  # of half a million names; what is not read of a longer one counts as somebody else's
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # of every file inside: the earliest that ZIP knows
Check = Callable[[Path], None]

_watched: dict[Path, Check] = {}
_writes_until_look: dict[Path, int] = {}


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; renamed onto it on success, removed on failure.

    The suffix of ``path`` is kept, since many writers choose their format by it. Temporary files of writers that were
    killed are removed on the way. An OSError names ``path``, whichever of its writers meets it.
    """
    ask(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path.parent)
    mark = f"by-{this_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.parent / f".{path.stem[:40]}.{mark}{path.suffix}"  # a name may be as long as names can be
    try:
        with named(path, temporary):
            temporary.open("xb").close()  # with the rights that the umask gives, which another thread needs unchanged
            rights = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            if stat.S_IMODE(temporary.stat().st_mode) != rights:  # safetensors makes a file anew, for its owner alone
                temporary.chmod(rights)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def free_bytes(place: Path) -> int:
    """What is free on the disk where a file or folder is, or will be."""
    return shutil.disk_usage(next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())).free


@contextmanager
def named(place: Path | str, temporary: Path | None = None) -> Iterator[None]:
    """An OSError in here names ``place``, where it names nothing, as writing does, or what stands for it meanwhile."""
    try:
        yield
    except OSError as error:
        if error.filename is None or (temporary is not None and str(error.filename) == str(temporary)):
            error.filename, error.filename2 = str(place), None
        raise


@contextmanager
def watched(folder: Path, check: Check) -> Iterator[None]:
    """Ask ``check`` about every path under ``folder`` that is about to be written; it raises what speaks against it."""
    key = folder.absolute()
    before = _watched.get(key)
    _watched[key] = check
    try:
        yield
    finally:
        del _watched[key]
        if before is not None:
            _watched[key] = before


def ask(path: Path) -> None:
    """Whether ``path`` may be written, of those who watch a folder it lies in. ``atomic`` asks by itself."""
    if _watched:
        place = path.absolute()
        for folder, check in list(_watched.items()):
            if folder in place.parents:
                check(place)


def _clear(folder: Path) -> None:
    """Remove temporary files of dead writers. In a large folder not at each write: looking takes as long as it is."""
    waiting = _writes_until_look.get(folder, 0)
    if waiting > 0:
        _writes_until_look[folder] = waiting - 1
        return
    names = [file.name for file in folder.iterdir()]
    _writes_until_look[folder] = len(names) // 16
    for name in names:
        found = TEMPORARY.fullmatch(name)
        if found is not None and _is_dead(folder / name, found["machine"], int(found["process"])):
            with suppress(OSError):  # another writer was faster, or it is not ours to remove
                (folder / name).unlink()


def _is_dead(file: Path, machine: str, process: int) -> bool:
    if machine == this_machine():
        if process == os.getpid() or os.name == "nt":  # where kill knows no signal 0
            return False
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
    try:
        return time.time() - file.stat().st_mtime > OLD
    except OSError:
        return False


@cache
def this_machine() -> str:
    """Where a process number means something: this machine since its start, and this container of it."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return digest(parts)[:8]


@contextmanager
def only_ours(folder: Path, option: str, expected: Iterable[str] = ()) -> Iterator[None]:
    """While this holds, what lies under ``folder`` is written over only where vsbench wrote it: names are kept there.

    Raises RunError at the first file of somebody else, which stays as it is: of ``expected``, which will surely be
    written, before anything is. ``option``: what named the folder.
    """
    ledger = folder.absolute() / LEDGER
    known = set[str]()
    if os.path.lexists(ledger):
        with open_regular(ledger) as file:  # names of files are bytes, which may be no UTF-8
            known = {os.fsdecode(name) for name in file.read(LEDGER_BYTES).split(b"\0")}

    def check(path: Path) -> None:
        name = path.relative_to(ledger.parent).as_posix()
        if name in known:
            return
        require_replaceable(path, lambda _: False, option)
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with ledger.open("ab") as file:
            file.write(os.fsencode(name) + b"\0")
        known.add(name)

    for name in expected:
        if name not in known:
            require_replaceable(folder / name, lambda _: False, option)
    with watched(folder, check):
        yield


def require_replaceable(path: Path, ours: Callable[[Path], bool], option: str) -> None:
    """Raise RunError where something lies at ``path`` that vsbench did not write, by what ``ours`` sees in it."""
    if not os.path.lexists(path):
        return
    try:
        known = path.is_file() and ours(path)
    except (OSError, ValueError):
        known = False
    if not known:
        raise RunError(f"{path}: exists already and was not written by vsbench; remove it, or give another {option}")


def has_first_line(line: str) -> Callable[[Path], bool]:
    """Whether a text file begins with this line, for ``require_replaceable``."""
    wanted = line.rstrip("\n").encode()

    def look(path: Path) -> bool:
        with path.open("rb") as file:
            return file.readline(len(wanted) + 2).rstrip(b"\r\n") == wanted

    return look


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are errors, since they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_zip(path: Path, contents: Mapping[str, bytes], mark: bytes) -> None:
    """Write a ZIP file atomically; the same contents by name give the same bytes. ``mark``: its comment."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = mark
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(entry, contents[name], zipfile.ZIP_DEFLATED)


def is_zip_of(mark: bytes) -> Callable[[Path], bool]:
    """Whether a file is a ZIP that ``write_zip`` wrote with this mark, for ``require_replaceable``."""

    def look(path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as there:
                return there.comment == mark
        except zipfile.BadZipFile:
            return False

    return look


def json_number(number: float) -> float | str | None:
    """A number for JSON, which knows neither infinity ("inf", "-inf") nor NaN (None)."""
    if math.isnan(number):
        return None
    return float(number) if math.isfinite(number) else str(float(number))


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes. A FIFO, socket or device, whose reading may wait for ever, is never waited for.

    Raises OSError with a ``strerror`` fit for a message: for these, a folder, and whatever ``open`` raises it for.
    """
    _require_regular(path, path.stat().st_mode)  # before it is opened: opening a device does something to it
    return open(path, "rb", opener=_opened_regular)


def _opened_regular(name: str, flags: int) -> int:
    descriptor = os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _require_regular(Path(name), os.fstat(descriptor).st_mode)
    except OSError:  # another thing was put there in between
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = NOT_REGULAR.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"{kind}, not a file", str(path))


def read_text(path: Path, largest: int) -> str:
    """The UTF-8 text of a file of at most ``largest`` bytes; a mark at its start (BOM) is left away.

    Raises OSError as ``open_regular`` does, and ValueError, saying what is wrong, where the file is longer or no text.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise ValueError(f"{size:,} bytes, where {largest:,} are the most")
        try:
            return file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"no UTF-8 text at byte {error.start:,}") from None


def read_json(path: Path, largest: int = 1 << 26) -> Any:
    """Read a UTF-8 JSON file of at most ``largest`` bytes. Raises OSError and ValueError as ``read_text`` does."""
    return parse_json(read_text(path, largest))


def parse_json(text: str) -> Any:
    """What a JSON text holds. Raises ValueError, saying what is wrong, and nothing else."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # Python's of a number of more digits than it reads
        raise ValueError("a number of too many digits" if "digits" in str(error) else str(error)) from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises OSError as ``open_regular`` does, and for a file of more than ``LARGEST`` bytes, of which none is read.
    """
    require_bearable(path)
    total = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def require_bearable(path: Path) -> None:
    """Raise OSError for what is no regular file, as ``open_regular`` does, and for one of more than ``LARGEST`` bytes:
    with holes in it a file of terabytes costs nothing.
    """
    status = path.stat()
    _require_regular(path, status.st_mode)
    if status.st_size > LARGEST:
        raise OSError(errno.EINVAL, f"{status.st_size:,} bytes, where {LARGEST:,} are the most", str(path))


def digest(parts: Iterable[str]) -> str:
    """SHA-256 over strings in order, each closed by a zero byte, in hexadecimal."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode() + b"\0")
    return total.hexdigest()
