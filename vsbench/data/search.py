"""Finds a data set's folders below a root: by names alone, in an order of our own, and no deeper than needed."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vsbench.data.decode import read_size
from vsbench.data.pairs import SUFFIXES, few, is_folder, is_hidden
from vsbench.errors import DataError, unreadable
from vsbench.markers import SPELLINGS, spelling

DEPTH = 4  # levels below the root: "histology/MIST/HER2/TrainValAB" is the deepest we have met

Subfolders = Mapping[str, Path]  # by lower-case name


def find_folders(root: Path, holds: Callable[[Subfolders], bool], own: str, other: str | None = None) -> list[Path]:
    """The folders at or below ``root`` whose sub-folders satisfy ``holds``, shallow first, then by name.

    ``own`` and ``other`` are regular expressions: how this data set, and one that looks the same on disk, are called.
    Folders called ``other`` are not entered, and a root called so must have one called ``own`` inside. Where any of the
    folders found is called ``own``, or lies in one that is, only these are given. Nothing below them is searched.

    Raises DataError where ``root`` is no folder or a folder can't be listed.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; check the data root")
    found: list[tuple[Path, str | None]] = []
    root_owner = _owner(root.absolute().name, own, other)
    level = [(root, root_owner if root_owner == "other" else None)]  # "own" at the root would tell nothing apart
    for depth in range(DEPTH + 1):
        below = []
        for folder, owner in level:
            children = subfolders(folder)
            if holds(children):
                found.append((folder, owner))
            elif depth < DEPTH:
                inner = [(child, _owner(child.name, own, other)) for child in children.values()]
                below += [(child, named or owner) for child, named in inner if named != "other"]
        level = below
    return [f for f, owner in found if owner == "own"] or [f for f, owner in found if owner is None]


def subfolders(folder: Path) -> dict[str, Path]:
    """The visible sub-folders by lower-case name, in the order of these names.

    Raises DataError where two names differ by case alone, or where the folder can't be listed.
    """
    try:
        with os.scandir(folder) as entries:
            paths = sorted(Path(e.path) for e in entries if not is_hidden(e.name) and is_folder(e))
    except OSError as error:
        raise unreadable(folder, error) from None
    found: dict[str, Path] = {}
    for path in paths:
        if twin := found.get(path.name.lower()):
            raise DataError(f"{path}: {twin.name} beside it differs by case alone; keep one of them")
        found[path.name.lower()] = path
    return dict(sorted(found.items()))


def stained(root: Path, name: str, stain: str) -> Path:
    """The path ``name`` below ``root`` with the stain in the place of {stain}, as the folder or file there spells it.

    Where none is there, in the marker's own name. Raises DataError where several are.
    """
    place = root
    for part in Path(name).parts:
        if "{stain}" in part and place.is_dir():
            pattern = re.compile(spelling(stain).join(map(re.escape, part.split("{stain}"))))
            there = sorted(entry.name for entry in place.iterdir() if pattern.fullmatch(entry.name))
            if len(there) > 1:
                raise DataError(f"{place}: {few(there)} spell one stain; keep one, or name it in place of {{stain}}")
            part = there[0] if there else part
        place /= part.replace("{stain}", stain)
    return place


def stain_in(name: str) -> str | None:
    """The one marker that a folder name spells ("HER2-004" → "her2"); None where it spells none, or several."""
    found = [stain for stain, other in SPELLINGS.items() if _spells(name, other)]
    return found[0] if len(found) == 1 else None


def stain_of(folder: Path, root: Path) -> str | None:
    """The marker that the innermost folder with one in its name spells, from ``folder`` out to ``root`` itself.

    Where ``folder`` is ``root``, its parent's name counts too: people point right at ``HER2/TrainValAB``.
    """
    inside = folder.relative_to(root).parts
    parts = [*root.absolute().parts[-1 if inside else -2 :], *inside]
    return next((stain for name in reversed(parts) if (stain := stain_in(name))), None)


def the_one(found: list[Path], root: Path, what: str) -> Path:
    """The only folder of a list. Raises DataError naming the root where there is none, two of them where several."""
    if not found:
        mend = side_by_side(root) or "give the data set's own folder as data root"
        raise DataError(f"{root}: no {what} within {DEPTH} levels below; {mend}")
    if len(found) > 1:
        raise DataError(f"{root}: more than one {what}: {found[0]} and {found[1]}; give one of them as data root")
    return found[0]


def find_aligned(root: Path, stain: str, own: str, other: str) -> Path:
    """The folder of ``stain`` that holds ``trainA`` or ``valA`` (A: H&E, B: IHC); the other levels may be missing.

    ``own`` and ``other`` as in ``find_folders``. Raises DataError where there is none, or more than one.
    """
    found = find_folders(root, is_aligned, own, other)
    return the_one([f for f in found if stain_of(f, root) == stain], root, f"folder of {stain} with trainA or valA")


def is_aligned(children: Subfolders) -> bool:
    """Whether a folder with these sub-folders holds ``trainA`` or ``valA``."""
    return not {"traina", "vala"}.isdisjoint(children)


def find_sided(root: Path, sides: tuple[str, str], parts: Sequence[str], own: str, other: str | None = None) -> Path:
    """The folder that holds both ``sides``, H&E first, or a folder of ``parts`` that does; names in any case.

    ``own`` and ``other`` as in ``find_folders``. Raises DataError where there is none, or more than one.
    """

    def holds(children: Subfolders) -> bool:
        candidates = [children, *(subfolders(children[part]) for part in parts if part in children)]
        return any({side.lower() for side in sides} <= names.keys() for names in candidates)

    return the_one(find_folders(root, holds, own, other), root, f"folder with {' and '.join(sides)}")


def sided_folders(base: Path, sides: tuple[str, str], parts: Sequence[str]) -> list[tuple[Path, Path]]:
    """The H&E and IHC folders of each of the ``parts`` that is there, as ``HE/train`` and so on or ``train/HE``.

    Raises DataError where none is.
    """
    children = subfolders(base)
    if sides[0].lower() in children:
        he, ihc = (_child(base, side) for side in sides)
        found = [(_child(he, part), _child(ihc, part)) for part in parts if part in subfolders(he)]
    else:
        found = [(_child(children[p], sides[0]), _child(children[p], sides[1])) for p in parts if p in children]
    if not found:
        (he_name, ihc_name), part = sides, parts[0]
        form = f"{he_name}/{part} and {ihc_name}/{part}, or {part}/{he_name} and so on"
        raise DataError(f"{base}: no {part} images; expected them in {form}")
    return found


def side_by_side(root: Path) -> str:
    """How to mend it where the first image below ``root`` holds several panels in a row; "" where it does not."""
    try:
        image = _first_image(root)
        height, width = read_size(image) if image is not None else (0, 0)
    except (DataError, OSError):  # it is the hint that fails, not the search
        return ""
    if height == 0 or width == height or width % height:
        return ""
    what = f"{image} is {width // height} square panels in a row"
    if width // height == 2:
        command = "vsbench data prepare folder SOURCE DEST --stain S --side-by-side he|ihc"
        return f"{what}: if they are H&E and IHC, split them first: {command}"
    if width // height == 6:
        return f"{what}, as DeepLIIF has them: the first is IHC and none is H&E, so there is nothing here to translate"
    return f"{what}: save its H&E and its IHC as files of their own"


def laid_otherwise(root: Path, folder: Path) -> str:
    """How to read what lies at ``root`` where ``folder``, below it, is not there; "" where nothing can be said of it.

    ``folder`` is called after a side, or after a split below it.
    """
    try:
        if _holds_image(folder.parent):
            return f"{folder.parent} holds images itself: tell the split by --data split_by=slides, folds or lists"
        there = list(subfolders(root).values())
    except DataError:
        return ""
    if not there or root not in folder.parents or folder.relative_to(root).parts[0] in {path.name for path in there}:
        return ""
    names = few([path.name for path in there])
    return f"{root} holds {names}: name the folders of the two sides by --data he=… and --data ihc=…"


def _holds_image(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES and path.is_file() for path in folder.iterdir())


def _owner(name: str, own: str, other: str | None) -> str | None:
    is_own, is_other = _spells(name, own), other is not None and _spells(name, other)
    if is_own == is_other:  # both ("IHC4BC_MIST" holds the two) says as little as neither
        return None
    return "own" if is_own else "other"


def _spells(name: str, spelling: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(?:{spelling})(?![a-z0-9])", name.lower()) is not None


def _child(folder: Path, name: str) -> Path:
    """A sub-folder by its name in any case; by this spelling where there is none."""
    return subfolders(folder).get(name.lower(), folder / name) if folder.is_dir() else folder / name


def _first_image(root: Path) -> Path | None:
    level = [root]
    for _ in range(DEPTH + 1):
        for folder in level:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if not is_hidden(entry.name))
            if image := next((name for name in names if Path(name).suffix.lower() in SUFFIXES), None):
                return folder / image
        level = [child for folder in level for child in subfolders(folder).values()]
    return None
