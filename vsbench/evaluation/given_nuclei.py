"""Nuclei outlined elsewhere, of all images of an evaluation: which file is whose, and what identifies them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vsbench.data.nuclei import ENDINGS
from vsbench.data.pairs import Pair, few, images_by_stem
from vsbench.data.threads import in_threads
from vsbench.engine.run import Run
from vsbench.errors import DataError, unreadable
from vsbench.files import digest, file_digest

REAL, HE = "real", "he"  # folders of the real images' nuclei; the others are named as rows are
OF_CELLPOSE = "_cp_masks"  # what Cellpose adds to the name of an image


@dataclass(frozen=True)
class GivenNuclei:
    """``folder/real/<id>.tif`` for each real IHC; ``he/`` of the H&E; ``<row>/`` of a row's images, or, where it has
    several seeds, ``<row>/seed-<n>/``. A row without has no values of nuclei.
    """

    folder: Path
    digest: str = field(init=False)  # SHA-256 over those of real images: rows measured against others don't compare

    def __post_init__(self) -> None:
        found = [(name, self._files(self.folder / name)) for name in (REAL, HE) if name == REAL or self._has(name)]
        files = [(f"{name}/{stem}", file) for name, there in found for stem, file in sorted(there.items())]
        contents = in_threads(_digest, [file for _, file in files])
        object.__setattr__(self, "digest", digest(p for (n, _), d in zip(files, contents, strict=True) for p in (n, d)))

    def with_nuclei(self, pairs: list[Pair]) -> list[Pair]:
        """The pairs with the files of their real images' nuclei. Raises DataError as ``of_row`` does."""
        ids = [pair.id for pair in pairs]
        found = {name: self._of_each(self.folder / name, ids) for name in (REAL, HE) if name == REAL or self._has(name)}
        return [replace(pair, nuclei={name: files[pair.id] for name, files in found.items()}) for pair in pairs]

    def of_row(self, run: Run, ids: Collection[str]) -> Mapping[str, Path]:
        """Pair id → file of a row's images; none where the row has none. Raises DataError naming ids that are missing,
        or files that belong to none.
        """
        of_row = self.folder / run.folder.parent.name
        folder = next((one for one in (of_row / run.folder.name, of_row) if one.is_dir()), None)
        if folder is None or of_row.name in (REAL, HE):
            return {}
        if folder == of_row and run.folder.name.startswith("seed-") and len(_seeds(run)) > 1:
            raise DataError(f"{folder}: the row has several seeds; put the nuclei of each into {folder / 'seed-0'} …")
        return self._of_each(folder, ids)

    def _has(self, name: str) -> bool:
        return (self.folder / name).is_dir()

    def _of_each(self, folder: Path, ids: Collection[str]) -> Mapping[str, Path]:
        files = self._files(folder, any("/" in name for name in ids))
        missing, strange = sorted(set(ids) - files.keys()), sorted(files.keys() - set(ids))
        for problem, names in (("no nuclei of", missing), ("belongs to no test pair:", strange)):
            if names:
                raise DataError(f"{folder}: {problem} {few(names)}; one file for each test pair, of the same stem")
        return files

    def _files(self, folder: Path, nested: bool = True) -> Mapping[str, Path]:
        files: dict[str, Path] = {}
        for stem, file in images_by_stem(folder, nested, ENDINGS).items():
            name = stem.removesuffix(OF_CELLPOSE)
            if name in files:
                raise DataError(f"{file}: {files[name].name} is of the same image; keep one of them")
            files[name] = file
        return files


def _seeds(run: Run) -> list[Path]:
    return list(run.folder.parent.glob("seed-*"))


def _digest(file: Path) -> str:
    try:
        return file_digest(file)
    except OSError as error:
        raise unreadable(file, error) from None
