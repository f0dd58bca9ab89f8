"""SHA-256 of files, kept between runs: a file whose stamps are as they were is not read again, as in git's index."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from vsbench.data.threads import in_threads
from vsbench.errors import unreadable
from vsbench.files import file_digest, read_json, write_text

SCHEMA = 1
LARGEST = 1 << 28  # bytes of a store: of a million files
YOUNG = 2_000_000_000  # ns: the ticks of the coarsest file system clock in use

Stamps = tuple[int, int, int, int]  # bytes, time of change of the content and of the inode in ns, inode


class Digests:
    """Digests of files by path, kept in one JSON file; ``save`` writes it.

    A digest is taken from there where size, inode and both times of change are the same. The inode's time can't be set
    by hand, so other content with size and date restored is noticed (Windows has no such time). A file that was changed
    less than two seconds before it was read is not kept: another change within one tick of the clock would leave no
    trace.

    A store that is damaged or of another version counts as empty. Two processes may share a store: the last to save
    wins, and what it did not know is read once more.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self._kept = _load(store)
        self._seen: dict[Path, str] = {}
        self._changed = False

    def add(self, paths: Iterable[Path]) -> None:
        """Look at files, and read those that are not known as they are, in threads.

        Raises DataError naming a file that can't be read.
        """
        unknown: list[Path] = []
        for path in dict.fromkeys(paths):
            stamps, digest = self._kept.get(str(path.absolute()), (None, ""))
            if stamps == _stamps(path):
                self._seen[path] = digest
            else:
                unknown.append(path)
        for path, (digest, lasting) in zip(unknown, in_threads(_read, unknown), strict=True):
            self._seen[path] = digest
            self._keep(path, digest, lasting)

    def of(self, path: Path) -> str:
        """The digest of a file, in hexadecimal, as ``add`` last saw it; a file not yet added is added.

        Raises DataError where it can't be read.
        """
        if path not in self._seen:
            self.add([path])
        return self._seen[path]

    def save(self) -> None:
        """Write the store, atomically, if there is something new; files that are gone are forgotten."""
        if not self._changed:
            return
        files = {name: [*stamps, digest] for name, (stamps, digest) in self._kept.items() if Path(name).exists()}
        write_text(self.store, json.dumps({"schema": SCHEMA, "files": files}, separators=(",", ":")))
        self._changed = False

    def _keep(self, path: Path, digest: str, lasting: Stamps | None) -> None:
        name = str(path.absolute())
        if lasting is not None:
            self._kept[name] = (lasting, digest)
            self._changed = True
        elif self._kept.pop(name, None) is not None:
            self._changed = True


def _load(store: Path) -> dict[str, tuple[Stamps, str]]:
    try:
        content = read_json(store, LARGEST)
        if content["schema"] != SCHEMA:
            return {}
        return {
            name: ((int(size), int(changed), int(touched), int(inode)), str(digest))
            for name, (size, changed, touched, inode, digest) in content["files"].items()
        }
    except (OSError, AttributeError, KeyError, TypeError, ValueError):
        return {}


def _stamps(path: Path) -> Stamps:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(path: Path) -> tuple[str, Stamps | None]:
    """(digest, the stamps it may be kept under: None for a young file)."""
    now, stamps = time.time_ns(), _stamps(path)  # before reading: a file that changes meanwhile won't have these
    try:
        digest = file_digest(path)
    except OSError as error:
        raise unreadable(path, error) from None
    _, changed, touched, _ = stamps
    return digest, stamps if now - max(changed, touched) >= YOUNG else None
