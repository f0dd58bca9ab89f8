"""One process at a time in a run folder."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lightning_fabric import Fabric

from vsbench.errors import RunError
from vsbench.files import watched

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

HOLDER = 200  # characters that are read of who holds a folder
_held: set[Path] = set()  # by this process, which the system would let in a second time


@contextmanager
def locked(
    folder: Path, say: Callable[[str], None], mend: str = "wait for it, stop it, or choose another --label"
) -> Iterator[None]:
    """Hold a folder, made where it is missing. The system lets go of it when the process ends, however that happens.

    A record lock, since those are not inherited: the processes that prepare batches may outlive a killed training by
    some seconds. The file stays, being no lock by itself. On Windows, and on a file system without locks, nothing is
    locked; ``say`` tells of the latter. Raises RunError naming the process that holds the folder, or where ``.lock`` is
    no plain file, and at any later write in the folder if that was deleted or made anew meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / ".lock"
    if fcntl is None:
        yield
        return
    if path in _held:
        raise RunError(f"{folder}: in use by this very process")
    with _opened(path) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read(HOLDER).strip() or "another process"
            raise RunError(f"{folder}: in use by {holder}; {mend}") from None
        except OSError as error:
            say(f"{path}: cannot be locked ({error.strerror}); see to it that no other process trains in this folder")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()

        def still_there(target: Path) -> None:
            if not _is_at(file, path):
                raise RunError(f"{folder}: was deleted or replaced meanwhile; nothing more is written there")

        still_there(path)
        _held.add(path)
        try:
            with watched(path.parent, still_there):
                yield
        finally:
            _held.remove(path)


@contextmanager
def alone_with_jobs(results: Path) -> Iterator[None]:
    """Waits until nobody else, in no thread either, is in here with the same results: to begin jobs, or call them off.

    A file lock, which belongs to what was opened here. Nothing is locked where ``locked`` locks nothing.
    """
    results.mkdir(parents=True, exist_ok=True)
    with _opened(results.resolve() / ".jobs") as file:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def holder_of(folder: Path) -> str | None:
    """Who holds a folder, as ``locked`` says it; None where nobody does, or that can't be known. Writes nothing."""
    if fcntl is None:
        return None
    try:
        with (folder / ".lock").open(encoding="utf-8", errors="replace") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                return file.read(HOLDER).strip() or "another process"
    except OSError:  # no lock, or a file system without them
        return None
    return None


def _opened(path: Path) -> TextIO:
    """The file of the lock, made where it is missing; RunError where something else lies there, or a link."""
    wrong = RunError(f"{path}: no file of vsbench, but a link, folder or device; remove it")
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise wrong from None
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise wrong
    return os.fdopen(number, "r+", encoding="utf-8", errors="replace")


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def locked_by_first(folder: Path, fabric: Fabric, say: Callable[[str], None]) -> Iterator[None]:
    """``locked`` in the first of several processes; the others go on when it is, or fail with it."""
    with ExitStack() as stack:
        problem = None
        if fabric.is_global_zero:
            try:
                stack.enter_context(locked(folder, say))
            except RunError as error:
                problem = str(error)
        problem = fabric.broadcast(problem)
        if problem is not None:
            raise RunError(problem)
        yield
