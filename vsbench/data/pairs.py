"""A pair of images, and strict pairing by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vsbench.errors import DataError
from vsbench.files import digest, file_digest

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})


@dataclass(frozen=True)
class Pair:
    """One H&E tile and the IHC tile of an adjacent section.

    ``id`` is the common file stem. ``slide`` groups tiles that are not independent (None: unknown). ``truth`` is the
    IHC of the H&E's own section, which only the phantom knows.
    """

    id: str
    he: Path
    ihc: Path
    slide: str | None
    split: str
    labels: dict[str, str] = field(default_factory=dict)
    truth: Path | None = None


def match(he_dir: Path, ihc_dir: Path) -> Iterator[tuple[str, Path, Path]]:
    """(stem, H&E file, IHC file) in the order of the stems; opens no image.

    Raises DataError naming the folder that is missing or empty, the file without a partner, or two files of one stem.
    """
    he, ihc = images_by_stem(he_dir), images_by_stem(ihc_dir)
    for here, there, other in ((he, ihc, ihc_dir), (ihc, he, he_dir)):
        for stem in sorted(here.keys() - there.keys()):
            raise DataError(f"{here[stem]}: no partner of that name in {other}; add it or move this file away")
    for stem in sorted(he):
        yield stem, he[stem], ihc[stem]


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The image files of a folder by stem.

    Raises DataError where the folder is missing or holds no image, or where two files share a stem.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check the data root and the data set's layout")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path}: {found[path.stem].name} has the same stem; keep one of them")
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    return found


def pairs_digest(pairs: list[Pair]) -> str:
    """SHA-256 over ids and file contents of all images, in order: identifies a data set, wherever it lies."""
    parts: list[str] = []
    for pair in pairs:
        parts += [pair.id, pair.slide or "", *(file_digest(path) for path in (pair.he, pair.ihc, pair.truth) if path)]
    return digest(parts)
