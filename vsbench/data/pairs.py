"""A pair of images, and strict pairing by name."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from vsbench.errors import DataError
from vsbench.files import digest, file_digest

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})


@dataclass(frozen=True)
class Pair:
    """One H&E tile and the IHC tile of an adjacent section.

    ``id`` is the common file stem. ``slide`` groups tiles that are not independent (None: unknown). ``truth`` is the
    IHC of the H&E's own section, ``best`` the best prediction of it that the H&E allows: only the phantom knows them.
    """

    id: str
    he: Path
    ihc: Path
    slide: str | None
    split: str
    labels: dict[str, str] = field(default_factory=dict)
    truth: Path | None = None
    best: Path | None = None

    @property
    def images(self) -> list[Path]:
        """All its image files."""
        return [file for file in (self.he, self.ihc, self.truth, self.best) if file is not None]


def match(he_dir: Path, ihc_dir: Path, nested: bool = False) -> Iterator[tuple[str, Path, Path]]:
    """(name, H&E file, IHC file) in the order of the names, which are those of ``images_by_stem``; opens no image.

    Raises DataError naming the folder that is missing or empty, the files without a partner on either side (the first
    three and how many more), or two files of one name.
    """
    he, ihc = images_by_stem(he_dir, nested), images_by_stem(ihc_dir, nested)
    complaints = []
    for here, there, folder, other in ((he, ihc, he_dir, ihc_dir), (ihc, he, ihc_dir, he_dir)):
        if alone := sorted(here.keys() - there.keys()):
            files = few([here[name].relative_to(folder).as_posix() for name in alone])
            complaints.append(f"{folder}: no partner in {other} for {files}")
    if complaints:
        raise DataError(f"{'; '.join(complaints)}; add the partners or move these files away")
    for name in sorted(he):
        yield name, he[name], ihc[name]


def images_by_stem(folder: Path, nested: bool = False) -> dict[str, Path]:
    """The image files of a folder by stem; opens none. Hidden files, and files of other kinds, are passed over.

    ``nested``: of all folders below it too, by the path below ``folder`` without the ending: ``"slide-1/tile-7"``.

    Raises DataError where the folder is missing or holds no image, or where two files share a name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the data root and the data set's layout")
    found: dict[str, Path] = {}
    for path in sorted(_images(folder, nested)):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(f"{path}: {found[name].name} has the same stem; keep one of them")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    return found


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


def pairs_digest(pairs: list[Pair], content: Callable[[Path], str] = file_digest) -> str:
    """SHA-256 over ids, slides and file contents of all images, in order: identifies a data set, wherever it lies.

    ``content`` gives the digest of a file, for callers that have it already.
    """
    parts: list[str] = []
    for pair in pairs:
        parts += [pair.id, pair.slide or "", *map(content, pair.images)]
    return digest(parts)


def _images(folder: Path, nested: bool) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; check your rights to read it") from None
    for entry in visible:
        # A broken link counts as an image: it is then reported by name when it is read, not left out in silence.
        if entry.is_dir():
            if nested:
                yield from _images(Path(entry.path), nested)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield Path(entry.path)
