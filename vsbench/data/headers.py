"""What the headers of training images tell before the first step: kind, size, partner, room for the crop."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from vsbench.data.augment import require_crop
from vsbench.data.decode import read_size, require_one_size
from vsbench.data.pairs import Pair, few
from vsbench.data.threads import in_threads
from vsbench.errors import DataError


class Headers:
    """What the headers of images have told: each is read once, in threads, however many trainings ask."""

    def __init__(self) -> None:
        self._told: dict[Path, tuple[int, int] | DataError] = {}

    def sizes(self, files: Iterable[Path]) -> dict[Path, tuple[int, int] | DataError]:
        """(height, width) of each file, or what is wrong with it, so that one fault hides no other."""
        asked = list(dict.fromkeys(files))
        new = [file for file in asked if file not in self._told]
        self._told.update(zip(new, in_threads(_size, new), strict=True))
        return {file: self._told[file] for file in asked}


def require_trainable(
    train: Sequence[Pair], held_out: Sequence[Pair], crop_size: int, aligned: bool, headers: Headers | None = None
) -> None:
    """Read the header of each H&E and IHC once, and refuse what a training would stop at.

    ``crop_size``: the side of the crops cut from tiles as they are, 0 where tiles are resized first. ``aligned``:
    whether a training pair is cut alike, and so must have one size; a held-out pair always must. ``headers``: those
    that were read before.

    Raises DataError with the first fault, and the names of the other images that have one. That an image is cut short
    shows here, damage within only when the whole is decoded: ``vsbench data verify`` does that.
    """
    faults: dict[Path, str] = {}
    sizes: dict[Path, tuple[int, int]] = {}

    def note(file: Path, check: Callable[[], None]) -> None:
        try:
            check()
        except DataError as error:
            faults.setdefault(file, str(error))

    told = (headers or Headers()).sizes(file for pair in (*train, *held_out) for file in (pair.he, pair.ihc))
    for file, found in told.items():
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
    try:
        return read_size(file)
    except DataError as error:
        return error
