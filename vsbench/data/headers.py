"""What the headers of training images tell before the first step: kind, size, partner, room for the crop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from vsbench.data.augment import require_crop
from vsbench.data.decode import read_size, require_one_size
from vsbench.data.pairs import Pair, few
from vsbench.data.threads import in_threads
from vsbench.errors import DataError

_kept: dict[Path, tuple[int, int] | DataError] | None = None  # what headers have told, within ``headers_read_once``


@contextmanager
def headers_read_once() -> Iterator[None]:
    """Within it the header of an image is read once, however many methods are to learn from it."""
    global _kept
    _kept = {}
    try:
        yield
    finally:
        _kept = None


def require_trainable(train: Sequence[Pair], held_out: Sequence[Pair], crop_size: int, aligned: bool) -> None:
    """Read the header of each H&E and IHC once, in threads, and refuse what a training would stop at.

    ``crop_size``: the side of the crops cut from tiles as they are, 0 where tiles are resized first. ``aligned``:
    whether a training pair is cut alike, and so must have one size; a held-out pair always must.

    Raises DataError with the first fault, and the names of the other images that have one. That an image is cut short
    shows here, damage within only when the whole is decoded: ``vsbench data verify`` does that.
    """
    files = list(dict.fromkeys(file for pair in (*train, *held_out) for file in (pair.he, pair.ihc)))
    faults: dict[Path, str] = {}
    sizes: dict[Path, tuple[int, int]] = {}

    def note(file: Path, check: Callable[[], None]) -> None:
        try:
            check()
        except DataError as error:
            faults.setdefault(file, str(error))

    for file, found in zip(files, in_threads(_size, files), strict=True):
        if isinstance(found, DataError):
            faults[file] = str(found)
        else:
            sizes[file] = found
    for file in dict.fromkeys(file for pair in train for file in (pair.he, pair.ihc) if file in sizes):
        note(file, partial(require_crop, file, sizes[file], crop_size))
    for pair in (*(train if aligned else ()), *held_out):
        if pair.he in sizes and pair.ihc in sizes:
            note(pair.ihc, partial(require_one_size, {file: sizes[file] for file in (pair.he, pair.ihc)}))
    if faults:
        first, *others = faults
        more = f"; not fit to train on either: {few([str(file) for file in others])}" if others else ""
        raise DataError(f"{faults[first]}{more}")


def _size(file: Path) -> tuple[int, int] | DataError:
    """(height, width), or what is wrong, so that one fault hides no other."""
    if _kept is not None and file in _kept:
        return _kept[file]
    found: tuple[int, int] | DataError
    try:
        found = read_size(file)
    except DataError as error:
        found = error
    if _kept is not None:
        _kept[file] = found
    return found
