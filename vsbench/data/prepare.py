"""From a download, folder or archive, to a tree that the data set's reader reads: linked or copied, never moved."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vsbench.data.archive import Archive, opened, stem_of
from vsbench.data.manifest import NAME as MANIFEST
from vsbench.data.manifest import Manifest
from vsbench.data.member_names import unwritable
from vsbench.data.pairs import Pair, few
from vsbench.data.place import Half, How, Item, Placer
from vsbench.data.search import find_folders, subfolders, the_one
from vsbench.data.skeleton import Reader, files_below, is_image, is_read, is_text, lies_hidden, listed, skeleton
from vsbench.errors import DataError, UsageError
from vsbench.names import brief

SAVE_EVERY = 30.0  # seconds between manifests: so much work is looked at anew after a crash
NOTHING = "(?!)"  # as a regular expression: double images lie in folders of any name
Side = Literal["he", "ihc"]
Progress = Callable[[int, int], None]  # done, total
Listed = dict[tuple[str, str], list[Pair]]  # by stain and split


@dataclass(frozen=True)
class Source:
    """A download: its visible images and texts by name, and where a reader finds (at least the names of) them."""

    path: Path  # what the user gave
    root: Path
    names: tuple[str, ...]  # in the order in which they are best read
    archive: Archive | None  # None: a folder, and ``root`` is ``path``
    others: tuple[str, ...] = ()  # visible files that nobody reads


@dataclass
class Prepared:
    """What became of a download. ``pairs``: (stain, split) → how many. ``refused``: what was left, and why."""

    home: Path
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)  # stains that nobody asked for by name, and why
    spare: list[str] = field(default_factory=list)  # images of the source in none of these pairs
    others: list[str] = field(default_factory=list)  # files of the source of kinds that are not read
    files: dict[How, int] = field(default_factory=lambda: {"linked": 0, "copied": 0, "kept": 0})


def prepare(
    reader: Reader,
    name: str,
    source: Path,
    dest: Path,
    stains: Sequence[str],
    optional: bool = False,
    copy: bool = False,
    left: Side | None = None,
    progress: Progress = lambda done, total: None,
) -> Prepared:
    """Put all pairs of some stains, and the text files beside them, below ``dest/name``; write a manifest there.

    ``left``: each image of the source is two side by side, with this on the left; else images are as the reader finds
    them. ``optional``: a stain of which nothing can be read is not there. ``copy``: no hard links. What is there and
    right is kept, and no file is ever there by half. Before anything is written, the reader is asked whether it would
    find the same pairs in the new place.

    Raises UsageError and DataError, naming what is wrong: nothing to be found, a destination in the source, an archive
    that may not be unpacked (see ``archive``), a file of someone else in the way, no space.
    """
    home = dest / name
    _require_apart(source, dest, home)
    result = Prepared(home)
    with _no_trouble(home), _opened(source) as top:
        if left:
            found, pairs = top, _side_by_side(reader, top, stains)
        else:
            found, pairs = _found(reader, top, stains, optional, result)
        result.others = list(top.others)
        result.pairs = {key: len(some) for key, some in pairs.items()}
        manifest = Manifest(home)
        items = _plan(reader, manifest, found, pairs, left)
        result.spare = sorted(set(filter(is_image, found.names)) - {item.name for item in items})
        placer = Placer(manifest, found.path, found.root, found.archive, copy)
        placer.require_sound(items)
        home.mkdir(parents=True, exist_ok=True)
        placer.require_space(items)
        saved = time.monotonic()
        try:
            with closing(placer.place(items)) as placed:  # closed before the manifest is saved: threads are at work
                for done, how in enumerate(placed, start=1):
                    result.files[how] += 1
                    progress(done, len(items))
                    if time.monotonic() - saved > SAVE_EVERY:
                        manifest.save()
                        saved = time.monotonic()
        finally:
            manifest.save()
    return result


@contextmanager
def _no_trouble(home: Path) -> Iterator[None]:
    """The machine's troubles, where no file of the source is at fault, as a DataError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{error.filename or home}: {reason}; mend that, and run the same again") from None


def _require_apart(source: Path, dest: Path, home: Path) -> None:
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder; SOURCE is what you downloaded")
    here = source.resolve()
    if here in (dest.resolve(), *dest.resolve().parents):
        raise UsageError(f"{dest}: lies in {source}, where nothing is written; give a DEST elsewhere")
    if home.resolve() in (here, *here.parents):
        raise UsageError(f"{source}: lies in {home}, where the prepared files go; give a DEST elsewhere")


@contextmanager
def _opened(path: Path) -> Iterator[Source]:
    """A folder as it is; of an archive the names, and the texts unpacked, in a temporary folder."""
    if path.is_dir():
        names, others = _parted(files_below(path))
        for name in names:
            if reason := unwritable(name):
                raise DataError(f"{path}: {brief(name)}: {reason}; rename it")
        yield Source(path, path, names, None, others)
        return
    with opened(path) as archive:
        names, others = _parted(name for name in archive.entries if not lies_hidden(name))
        with skeleton(path.with_name(stem_of(path)), names) as root:
            for name in filter(is_text, names):
                with (root / name).open("wb") as file:
                    file.writelines(archive.blocks(name))
            yield Source(path, root, names, archive, others)


def _parted(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(those that readers read, the others but for the manifest of an earlier preparation)."""
    names = list(names)
    others = (name for name in names if not is_read(name) and Path(name).name != MANIFEST)
    return tuple(filter(is_read, names)), tuple(others)


def _found(
    reader: Reader, top: Source, stains: Sequence[str], optional: bool, result: Prepared
) -> tuple[Source, Listed]:
    """The source, or the folder that it holds alone, and that in turn, in which the reader finds pairs.

    Raises DataError with the reasons of the source itself, and of the innermost such folder, where it finds none.
    """
    source, tried = top, list[str]()
    while True:
        pairs = _pairs(reader, source, stains, optional, result)
        if pairs:
            return source, pairs
        tried.append("; ".join([*result.refused, *result.absent.values()]))
        if not (inner := _only_folder(source)):
            raise DataError("; or, within the folder that it holds: ".join(dict.fromkeys((tried[0], tried[-1]))))
        source = inner
        result.refused.clear()
        result.absent.clear()


def _only_folder(source: Source) -> Source | None:
    """The one folder that holds all images of a source: every desktop packs a folder so."""
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in source.names if is_image(name)}
    if len(tops) != 1 or "" in tops:
        return None
    (folder,) = tops
    names = tuple(name.removeprefix(f"{folder}/") for name in source.names if name.startswith(f"{folder}/"))
    archive = source.archive and source.archive.below(folder)
    return Source(source.path if archive else source.path / folder, source.root / folder, names, archive)


def _pairs(reader: Reader, source: Source, stains: Sequence[str], optional: bool, result: Prepared) -> Listed:
    """What the reader finds; why it refuses a split goes to ``result``."""
    found: Listed = {}
    for stain in stains:
        refused = []
        for split in reader.splits:
            try:
                found[stain, split] = listed(reader, source.root, stain, split, source.path)
            except DataError as error:
                refused.append(str(error))
        if optional and len(refused) == len(reader.splits):
            result.absent[stain] = refused[0]
        else:
            result.refused += dict.fromkeys(refused)
    return found


def _side_by_side(reader: Reader, source: Source, stains: Sequence[str]) -> Listed:
    """Of each double image a pair in which this image is both."""
    if len(stains) != 1:
        raise UsageError("side-by-side images do not tell their stain: give one --stain")
    splits = set(reader.splits)
    what = f"folder with double images in {' or '.join(reader.splits)}"
    try:
        bases = find_folders(source.root, lambda children: not splits.isdisjoint(children), own=NOTHING)
        parts = subfolders(the_one(bases, source.root, what))
    except DataError as error:
        raise DataError(str(error).replace(str(source.root), str(source.path))) from None
    images = [source.root / name for name in source.names if is_image(name)]
    found: Listed = {}
    for split in reader.splits:
        here = [image for image in images if image.parent == parts.get(split)]
        if here:
            found[stains[0], split] = [Pair(image.stem, image, image, None, split) for image in here]
    if not found:
        raise DataError(f"{source.path}: no {what}")
    return found


@dataclass(frozen=True)
class Move:
    """A pair of the source, and where its images go."""

    stain: str
    pair: Pair
    he: Item
    ihc: Item


def _plan(reader: Reader, manifest: Manifest, source: Source, pairs: Listed, left: Side | None) -> list[Item]:
    """What goes where: the first of a few arrangements in which the reader finds the same pairs again.

    The data set's own, if it has one; else the source's, below as many of the last names of the source's path as it
    takes to tell the stain, for people do download ``HER2/TrainValAB`` by itself.
    """
    here = source.path.absolute()
    last = tuple(part for part in (here.parent.name, stem_of(here)) if part)
    prefixes = [()] if left or hasattr(reader, "canonical") else [(), last[-1:], last]
    order = {name: place for place, name in enumerate(source.names)}
    complaints = []
    for prefix in prefixes:
        above = "".join(f"{part}/" for part in prefix)
        moves = [_move(reader, source, pair, key[0], left, above) for key, some in pairs.items() for pair in some]
        texts = [Item(name, above + name) for name in source.names if is_text(name)]
        complaint = _complaint(reader, manifest, source, moves, texts, strict=left is None)
        if complaint is None:
            items = {*texts, *(item for move in moves for item in (move.he, move.ihc))}
            return sorted(items, key=lambda item: (order[item.name], item.target))
        complaints.append(complaint)
    raise DataError(f"{source.path}: its pairs would not be found again in {manifest.home}: {complaints[0]}")


def _move(reader: Reader, source: Source, pair: Pair, stain: str, left: Side | None, above: str) -> Move:
    he, ihc = (path.relative_to(source.root).as_posix() for path in (pair.he, pair.ihc))
    if arrange := getattr(reader, "canonical", None):
        he_stem, ihc_stem = arrange(pair, stain)
    elif left:
        he_stem, ihc_stem = f"he/{pair.split}/{pair.id}", f"ihc/{pair.split}/{pair.id}"
    else:
        he_stem, ihc_stem = (name.removesuffix(Path(name).suffix) for name in (he, ihc))
    if left:
        halves: tuple[Half, Half] = ("left", "right") if left == "he" else ("right", "left")
        items = [Item(n, f"{above}{s}.png", h) for n, s, h in zip((he, ihc), (he_stem, ihc_stem), halves, strict=True)]
    else:
        items = [Item(n, f"{above}{s}{Path(n).suffix}") for n, s in zip((he, ihc), (he_stem, ihc_stem), strict=True)]
    return Move(stain, pair, *items)


def _complaint(
    reader: Reader, manifest: Manifest, source: Source, moves: Sequence[Move], texts: Sequence[Item], strict: bool
) -> str | None:
    """Why the reader would not find these pairs in the destination, together with what is there; None if it would.

    ``strict``: of the same slide and with the same labels, too.
    """
    images = Counter(item.target for item in {item for move in moves for item in (move.he, move.ihc)})
    if doubled := sorted(target for target, times in images.items() if times > 1):
        return f"more than one image would be {few(doubled)}"
    there = {name: manifest.home / name for name in manifest.files if (manifest.home / name).exists()}
    read = {name: path for name, path in there.items() if is_text(name)}
    read |= {item.target: source.root / item.name for item in texts}
    with skeleton(manifest.home, {*images, *filter(is_image, there)}, read) as root:
        for stain, split in dict.fromkeys((move.stain, move.pair.split) for move in moves):
            try:
                again = {pair.id: pair for pair in listed(reader, root, stain, split, manifest.home)}
            except DataError as error:
                return str(error)
            mine = [move for move in moves if (move.stain, move.pair.split) == (stain, split)]
            lost = [move.pair.id for move in mine if not _is_found(move, again.get(move.pair.id), root, strict)]
            if lost:
                return f"{stain} {split}: not, or with another slide or label: {few(lost)}"
    return None


def _is_found(move: Move, again: Pair | None, root: Path, strict: bool) -> bool:
    if again is None or (again.he, again.ihc) != (root / move.he.target, root / move.ihc.target):
        return False
    return not strict or (again.slide, again.labels) == (move.pair.slide, move.pair.labels)
