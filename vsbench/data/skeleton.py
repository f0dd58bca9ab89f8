"""What a data set's reader makes of names alone: trees of empty files, and which names it refuses.

Listing pairs opens no image: so a reader can be asked what it would find in an archive that is not unpacked, in a tree
that is not there yet, or in a folder without some of its files.
"""

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from vsbench.data.pairs import SUFFIXES, Pair, is_hidden, name_of
from vsbench.errors import DataError

TEXTS = frozenset({".csv", ".tsv", ".txt"})  # lists of splits, labels, licences: readers do read these
ANCHORS = 32  # how many small groups of names are tried before a tree counts as unreadable


class Reader(Protocol):
    """What of a data set is used here."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Its splits."""

    @property
    def paired(self) -> bool:
        """Whether H&E and IHC are of one tissue."""

    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        """Its pairs; DataError where a name is at fault."""


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return Path(name).suffix.lower() in SUFFIXES


def is_text(name: str) -> bool:
    """Whether a file is called like a list or table."""
    return Path(name).suffix.lower() in TEXTS


def lies_hidden(name: str) -> bool:
    """Whether a path has a hidden part: readers pass over these."""
    return any(map(is_hidden, Path(name).parts))


def is_read(name: str) -> bool:
    """Whether a file is called like one that readers read."""
    return is_image(name) or is_text(name)


def files_below(root: Path) -> list[str]:
    """The visible files at or below a folder, by path from there with "/", in order. Links are followed."""
    found, seen = [], set()
    for folder, children, files in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:  # a link to a folder further up
            children.clear()
            continue
        seen.add(real)
        children[:] = [child for child in children if not is_hidden(child)]
        here = Path(folder).relative_to(root)
        found += [(here / file).as_posix() for file in files if not is_hidden(file)]
    return sorted(found)


@contextmanager
def skeleton(like: Path, images: Iterable[str], texts: Mapping[str, Path] = {}) -> Iterator[Path]:
    """A folder named like another, of empty images and the given text files; removed in the end."""
    here = like.absolute()
    with tempfile.TemporaryDirectory(prefix="vsbench-") as temporary:
        root = Path(temporary, here.parent.name or "top", here.name or "top")  # readers look at these two names
        root.mkdir(parents=True)
        for name, path in texts.items():
            _make_room(root / name)
            _link(path, root / name)
        plant(root, images)
        yield root


def plant(root: Path, images: Iterable[str]) -> None:
    """Make empty files below a folder."""
    for name in images:
        path = root / name
        _make_room(path)
        path.touch()


def listed(reader: Reader, root: Path, stain: str, split: str, shown: Path) -> list[Pair]:
    """The reader's pairs of ``root``; an error speaks of ``shown`` in its place."""
    try:
        return reader.pairs(root, stain, split)
    except DataError as error:
        raise type(error)(str(error).replace(str(root), str(shown))) from None


def refused_names(
    reader: Reader, root: Path, stain: str, split: str
) -> tuple[list[tuple[list[str], str]], list[Pair]] | None:
    """Every name for which the reader refuses a split, and the pairs that it finds without these.

    Names of one stem stand or fall together: each is (paths from ``root``, the reader's own words on this one alone).
    They are found by halving the tree's names. None where the reader reads no part of it: then no single name is at
    fault.
    """
    names = list(filter(is_read, files_below(root)))
    groups: dict[str, list[str]] = defaultdict(list)
    for name in filter(is_image, names):
        groups[name_of(Path(Path(name).name))].append(name)
    texts = {name: root / name for name in names if is_text(name)}
    with skeleton(root, (), texts) as bare:
        for folder in {(bare / name).parent for name in names}:
            folder.mkdir(parents=True, exist_ok=True)

        def words(stems: Sequence[str]) -> str | None:
            """Why these names are refused; None where they aren't."""
            here = [name for stem in stems for name in groups[stem]]
            plant(bare, here)
            try:
                listed(reader, bare, stain, split, root)
            except DataError as error:
                return str(error)
            finally:
                for name in here:
                    (bare / name).unlink()
            return None

        anchor = _readable(list(groups), words)
        if anchor is None:
            return None
        wrong = _halved([stem for stem in groups if stem not in anchor], lambda stems: words([*anchor, *stems]))
        plant(bare, [name for stem, some in groups.items() if stem not in wrong for name in some])
        try:
            good = listed(reader, bare, stain, split, root)
        except DataError:  # of several names together, which no one of them is to blame for
            return None
    faults = [(_meant(groups[stem], reason, root), reason) for stem, reason in wrong.items()]
    return faults, [_moved(pair, bare, root) for pair in good]


def _meant(names: list[str], reason: str, root: Path) -> list[str]:
    """Those of equally named files that a reason speaks of."""
    meant = [name for name in names if str((root / name).parent) in reason and Path(name).name in reason]
    return meant or names


def _readable(stems: list[str], words: Callable[[Sequence[str]], str | None]) -> list[str] | None:
    """Some names that the reader takes by themselves: without any it would complain of empty folders."""
    size = 1
    while size <= len(stems):
        stride = len(stems) // size
        for start in range(0, stride, max(1, stride // ANCHORS)):
            some = stems[start::stride]  # from all over the tree: some readers want several slides
            if words(some) is None:
                return some
        size *= 4
    return None


def _halved(stems: list[str], words: Callable[[Sequence[str]], str | None]) -> dict[str, str]:
    """The names that are refused, each with the reason."""
    reason = words(stems) if stems else None
    if reason is None:
        return {}
    if len(stems) == 1:
        return {stems[0]: reason}
    middle = len(stems) // 2
    return _halved(stems[:middle], words) | _halved(stems[middle:], words)


def _moved(pair: Pair, here: Path, there: Path) -> Pair:
    return replace(pair, he=there / pair.he.relative_to(here), ihc=there / pair.ihc.relative_to(here))


def _make_room(path: Path) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)


def _link(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path.resolve())
    except OSError:  # a system that lets no user make links
        shutil.copyfile(path, target)
