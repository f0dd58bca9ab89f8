"""A pair of images, and strict pairing by name."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from vsbench.data.member_names import BY_SYSTEMS
from vsbench.errors import DataError, unreadable
from vsbench.files import digest, file_digest
from vsbench.names import in_utf8, shown

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp"})
TABLE = ".csv"  # a data set may read its labels from one, wherever it lies
LEFT_BEHIND = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", BY_SYSTEMS.lower()})  # by Windows and macOS
OF_A_SPLIT = re.compile(r"train(ing)?|test(ing)?|val(id(ation)?)?|dev", re.IGNORECASE)  # in the name of a folder


class NotHere(DataError):
    """Of a split there is nothing, on neither side: as where test images alone were fetched."""


@dataclass(frozen=True)
class Pair:
    """One H&E tile and the IHC tile of an adjacent section.

    ``id`` is the common file stem. ``slide`` groups tiles that are not independent (None: unknown). ``truth`` is the
    IHC of the H&E's own section, ``best`` the best prediction of it that the H&E allows, ``cells`` the places and the
    positivity of its cells (``data.true_cells``): only the phantom knows them. ``pixel_size``: µm a pixel; where a
    data set leaves it None, that of all its images is filled in (``Dataset.pairs``).
    """

    id: str
    he: Path
    ihc: Path
    slide: str | None
    split: str
    labels: dict[str, str] = field(default_factory=dict)
    truth: Path | None = None
    best: Path | None = None
    cells: Path | None = None
    nuclei: dict[str, Path] = field(default_factory=dict)  # outlined elsewhere, of "real" and "he"
    pixel_size: float | None = None

    @property
    def images(self) -> list[Path]:
        """All its image files."""
        return [file for file in (self.he, self.ihc, self.truth, self.best) if file is not None]


def match(he_dir: Path, ihc_dir: Path, nested: bool = False) -> Iterator[tuple[str, Path, Path]]:
    """(name, H&E file, IHC file) in the order of the names, which are those of ``images_by_stem``; opens no image.

    Raises DataError naming the folder that is missing or empty, the files without a partner on either side (the first
    three and how many more), or two files of one name; NotHere where both folders are missing.
    """
    if not he_dir.is_dir() and not ihc_dir.is_dir():
        raise NotHere(_no_folder(he_dir))
    he, ihc = images_by_stem(he_dir, nested), images_by_stem(ihc_dir, nested)
    complaints, mend = [], "add the partners or move these files away"
    if he.keys().isdisjoint(ihc):
        mend = "give the two files of a pair one name; the endings may differ"
    for here, there, folder, other in ((he, ihc, he_dir, ihc_dir), (ihc, he, ihc_dir, he_dir)):
        if alone := sorted(here.keys() - there.keys()):
            files = few([here[name].relative_to(folder).as_posix() for name in alone])
            stems = set(alone)
            strange = [file.name for file in _not_images(other) if name_of(file.relative_to(other)) in stems]
            of_another = f" ({few(strange)} there is no image that is read)" if strange else ""
            complaints.append(f"{folder}: no partner in {other} for {files}{of_another}")
    if complaints:
        raise DataError(f"{'; '.join(complaints)}; {mend}")
    for name in sorted(he):
        yield name, he[name], ihc[name]


def images_by_stem(folder: Path, nested: bool = False, endings: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """The image files of a folder by stem; opens none. Hidden files, and files of other kinds, are passed over.

    Stems are in Unicode form NFC, whatever the file names are in: no viewer shows the difference, and copying between
    systems makes it. ``nested``: of all folders below it too, by the path below ``folder`` without the ending:
    ``"slide-1/tile-7"``. ``endings``: those of the files that are looked for.

    Raises DataError where the folder is missing or holds no image, or where two files share a name.
    """
    if not folder.is_dir():
        raise DataError(_no_folder(folder))
    found: dict[str, Path] = {}
    for path in sorted(_images(folder, nested, endings)):
        name = name_of(path.relative_to(folder))
        if name in found:
            raise DataError(
                f"{path}: {found[name].name} has the same stem{_alike(path, found[name])}; keep one of them"
            )
        found[name] = path
    if not found:
        others = [file.name for file in _not_images(folder)]
        but = f", but {len(others)} of other kinds: {few(others)}" if others else ""
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(endings))}){but}")
    return found


def name_of(file: Path) -> str:
    """A file's path without its ending, with "/", in Unicode form NFC."""
    return unicodedata.normalize("NFC", file.with_suffix("").as_posix())


def passed_over(images: Iterable[Path], splits: Collection[str] = ("train", "test")) -> list[Path]:
    """What lies visibly beside these images and is not read, in order.

    Files of other kinds, but for tables; folders in or below which none of these images lies; and folders that are
    called as those of the images are, but after another split, none of ``splits``: ``he/val`` beside ``he/train``.
    """
    folders = {file.parent for file in images}
    entered = folders.union(*(folder.parents for folder in folders))
    beside = [file for folder in sorted(folders) for file in _not_images(folder) if file not in entered]
    return [*_of_other_splits(folders, entered, splits), *beside]


def not_read(images: Iterable[Path], splits: Collection[str] = ("train", "test")) -> list[str]:
    """A line on what is passed over beside these images, for a warning; none where nothing is."""
    files = passed_over(images, splits)
    if not files:
        return []
    kinds = Counter(file.suffix.lower() or ("folders" if file.is_dir() else "without ending") for file in files)
    counts = ", ".join(f"{kind} ({n})" for kind, n in sorted(kinds.items()))
    names = few([shown("/".join(file.parts[-3:])) for file in files])  # how the folders above are called is no result
    return [f"not read, though beside the images: {counts}: {names}"]


def in_order(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs by id. Raises DataError naming both files where two share an id, since results are stored by id."""
    ordered = sorted(pairs, key=lambda pair: pair.id)
    for first, second in pairwise(ordered):
        if first.id == second.id:
            raise DataError(f"{second.he}: {first.he} has the same name; keep one of them, or rename one")
    return ordered


def few(names: Sequence[str]) -> str:
    """The first three names and how many more there are, for an error of one line."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def images_of(pairs: Iterable[Pair]) -> list[Path]:
    """All image files of some pairs, each once."""
    return list(dict.fromkeys(file for pair in pairs for file in pair.images))


def pairs_digest(pairs: list[Pair], content: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over ids, slides and file contents of all images, in order: identifies a data set, wherever it lies.

    ``content`` gives the digest of a file, for callers that have it already.
    """
    parts: list[str] = []
    for pair in pairs:
        parts += [pair.id, pair.slide or "", *map(content, pair.images)]
    return digest(parts)


def _images(
    folder: Path, nested: bool, endings: Collection[str], above: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    above |= {folder.resolve()}
    for path, is_folder in _visible(folder):
        # A broken link counts as an image: it is then reported by name when it is read, not left out in silence.
        is_image = not is_folder and path.suffix.lower() in endings
        if not in_utf8(path.name) and (is_image or (is_folder and nested)):
            raise DataError(f"{path}: its name is not in UTF-8; rename it")
        if is_image:
            yield path
        elif is_folder and nested and path.resolve() not in above:  # a link to a folder further up
            yield from _images(path, nested, endings, above)


def _not_images(folder: Path) -> list[Path]:
    """Files that are neither images nor tables by their names, and folders."""
    known = {*SUFFIXES, TABLE}
    return [path for path, is_folder in _visible(folder) if is_folder or path.suffix.lower() not in known]


def _of_other_splits(folders: Set[Path], entered: Set[Path], splits: Collection[str]) -> list[Path]:
    """Folders that hold something, below the one where all the images are."""
    if not folders:
        return []
    top = Path(os.path.commonpath(folders))
    read = {(path.parent, OF_A_SPLIT.sub("*", path.name)) for path in entered if top in path.parents}
    found = []
    for parent in sorted({parent for parent, pattern in read if "*" in pattern}):
        for path, is_folder in _visible(parent):
            split = OF_A_SPLIT.search(path.name)
            if is_folder and path not in entered and split is not None and split[0].lower() not in splits:
                alike = (parent, OF_A_SPLIT.sub("*", path.name)) in read
                found += [path] if alike and _visible(path) else []
    return found


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a system's own affair, and passed over by all that read."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _visible(folder: Path) -> list[tuple[Path, bool]]:
    """What is in a folder and not hidden, in order, and whether each is a folder. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            visible = sorted((entry.name, is_folder(entry)) for entry in entries if not is_hidden(entry.name))
    except OSError as error:
        raise unreadable(folder, error) from None
    return [(folder / name, folder_there) for name, folder_there in visible]


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether there is a folder, or a link to one; not where a link leads back to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _no_folder(folder: Path) -> str:
    if folder.exists():
        return f"{folder}: a file, where a folder of images is expected"
    return f"{folder}: no such folder; check the data root and the data set's layout"


def _alike(one: Path, other: Path) -> str:
    """What to say where nobody can see how two names differ."""
    same = unicodedata.normalize("NFC", one.name) == unicodedata.normalize("NFC", other.name)
    return " and differs in Unicode form alone" if same and one.name != other.name else ""
