"""One process at a time in a run folder."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lightning_fabric import Fabric

from vsbench.errors import RunError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

_held: set[Path] = set()  # by this process, which the system would let in a second time


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a folder, made where it is missing. The system lets go of it when the process ends, however that happens.

    A record lock, since those are not inherited: the processes that prepare batches may outlive a killed training by
    some seconds. The file stays, being no lock by itself. On Windows, and on a file system without locks, nothing is
    locked; ``say`` tells of the latter. Raises RunError naming the process that holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / ".lock"
    if fcntl is None:
        yield
        return
    if path in _held:
        raise RunError(f"{folder}: in use by this very process")
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(f"{folder}: in use by {holder}; wait for it, stop it, or choose another --label") from None
        except OSError as error:
            say(f"{path}: cannot be locked ({error.strerror}); see to it that no other process trains in this folder")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        _held.add(path)
        try:
            yield
        finally:
            _held.remove(path)


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
