"""IHC4BC: HER2, Ki67, ER and PR, 1000 × 1000 pairs of consecutive sections (Akbarnejad et al., 2023), in two layouts.

Kaggle, without a split of its own (made here, by patient):

    <root>/IHC4BC_Compressed/Images/HandE/Her2/Patient_0_1010/Subregion_11/0_1010_11_1_2.jpg     H&E
    <root>/IHC4BC_Compressed/Images/IHC/Her2/Patient_0_1010/Subregion_11/0_1010_11_1_2.jpg       IHC: the same path

The repack that published numbers belong to, split on disk:

    <root>/IHC4BC_data/HER2/{trainA,trainB,valA,valB}/<name>.jpg     A: H&E, B: IHC; val is the test set

The same with all markers in one folder, told by the ends of the names:

    <root>/IHC4BC_data/{trainA,trainB,valA,valB}/<name>_HER2.jpg

Names are ``<number>_<patient>_<region>_<row>_<column>``; neighbouring tiles of a region overlap by half. The label
files are read from the folder ``Labels`` beside ``Images``, or from where ``labels`` says: see ``_ihc4bc_labels``.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import AliasChoices, Field

from vsbench.data.pairs import Pair, in_order, match, name_of
from vsbench.data.search import Subfolders, find_folders, is_aligned, stain_in, stain_of, subfolders, the_one
from vsbench.data.splits import keep_slides_of
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig, Seed
from vsbench.errors import DataError

from ._ihc4bc_labels import MEND, NAME, label_files, read_labels

FOLDERS = {"train": ("trainA", "trainB"), "test": ("valA", "valB")}


class Config(DatasetConfig):
    """Where labels are. The Kaggle copy has no official split: there it is that of ``split_by=slides``."""

    split_seed: Seed = Field(default=0, validation_alias=AliasChoices("split_seed", "seed"))  # seed: its old name
    labels: str = "auto"  # file, or folder of CSVs, below the data root or anywhere; "none": labels are not read
    label_cutoff: float | None = Field(None, ge=0, le=1e6)  # mean DAB, in their unit, from which a nucleus is positive


class IHC4BC(Dataset[Config]):
    """Four markers, many tiles; copies differ in number and split."""

    card = DatasetCard(
        title="IHC4BC",
        citation=(
            "Akbarnejad et al. Predicting Ki67, ER, PR, and HER2 Statuses from H&E-stained Breast Cancer Images. "
            "arXiv:2308.01982, 2023"
        ),
        url="https://ihc4bc.github.io",
        licence="not stated on the project page; see the Kaggle page akbarnejad1991/ihc4bc-compressed",
        pairing="consecutive sections, registered by hand",
        split_unit="Kaggle copy: patients; repack: unknown (slides may be shared by train and test)",
        size=(1000, 1000),
        counts={  # of the repack, as a user of it counted; the Kaggle copy has about 90,000 pairs in all and no split
            ("her2", "train"): 15287,
            ("ki67", "train"): 13890,
            ("er", "train"): 13413,
            ("pr", "train"): 13125,
            **{(stain, "test"): 1000 for stain in ("her2", "ki67", "er", "pr")},
        },
        split_warnings=(
            "neighbouring tiles overlap by half: a split over tiles, as the repack's may be, puts the same pixels "
            "into train and test; the Kaggle copy is split by patient here, and split_by=slides does so with a repack "
            "whose names tell the patient",
        ),
        warnings=(
            "copies of IHC4BC differ: Kaggle has about 90,000 pairs, the repack of the published rows 55,715 + 4,000, "
            "and the USIGAN paper's table lists 81,206 + 4,000; compare only numbers of one copy",
            "the slide (here: the patient) is read from names of the form 0_1010_11_1_2; where a repack has others, "
            "slides are unknown and intervals over slides cannot be computed",
            "1000 is no multiple of 16: deep generators need padding",
            "H&E and IHC are consecutive sections: no two nuclei correspond, and pixel metrics have a ceiling",
        ),
    )
    stains = ("her2", "ki67", "er", "pr")

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file that is not named as IHC4BC names its files."""
        folder, pairs = self._all_of(root, stain, split)
        if _is_kaggle(subfolders(folder)):
            pairs = keep_slides_of(pairs, split, self.config.ratio, self.config.split_seed, folder)
        yield from self._labelled(pairs, self._label_files(root, folder, stain), stain)

    def pool(self, root: Path, stain: str) -> Iterator[Pair]:
        """All pairs; those of the Kaggle copy are looked for once, and not split first."""
        folder, pairs = self._all_of(root, stain, "train")
        if not _is_kaggle(subfolders(folder)):
            pairs += self._all_of(root, stain, "test")[1]
        yield from self._labelled(pairs, self._label_files(root, folder, stain), stain)

    def _all_of(self, root: Path, stain: str, split: str) -> tuple[Path, list[Pair]]:
        """The folder of a stain, and all its pairs in the Kaggle copy, in the repack those of the split."""
        found = find_folders(
            root, lambda children: _is_kaggle(children) or is_aligned(children), "ihc4bc", other="mist"
        )
        mine = [f for f in found if _is_kaggle(subfolders(f)) or stain_of(f, root) == stain]
        mixed = [] if mine else [f for f in found if stain_of(f, root) is None]
        what = f"folder of IHC4BC's {stain} (with HandE and IHC, or trainA or valA)"
        folder = the_one(mine or mixed, root, what)
        children = subfolders(folder)
        if _is_kaggle(children):
            he_dir, ihc_dir = (_marker(children[side], stain) for side in ("hande", "ihc"))
            return folder, in_order(_pairs(he_dir, ihc_dir, split, nested=True))
        he_dir, ihc_dir = (folder / name for name in FOLDERS[split])
        return folder, _pairs(he_dir, ihc_dir, split, nested=False, marker=stain if mixed else None)

    def _label_files(self, root: Path, folder: Path, stain: str) -> list[Path]:
        """DataError where ``labels`` names a place that holds none of the stain; nothing need be in the usual one."""
        if self.config.labels == "none":
            return []
        if self.config.labels != "auto":
            place = root / self.config.labels
            files = label_files(place, stain)
            if not files:
                raise DataError(f"{place}: no .csv below has {stain} in its path; name it so, or give the file itself")
            return files
        homes = [folder] if folder == root else [folder, folder.parent]  # nothing outside the root is looked at
        found = [beside for home in homes if (beside := subfolders(home).get("labels"))]
        return label_files(found[0], stain) if found else []

    def _labelled(self, pairs: list[Pair], files: list[Path], stain: str) -> Iterator[Pair]:
        """DataError where the files know none of the images: they are of another copy, or name them otherwise."""
        names = [_plain(pair.id) for pair in pairs]
        labels = read_labels(files, stain, set(names), self.config.label_cutoff)
        if files and not labels:
            raise DataError(f"{files[0]}: names none of the {len(pairs)} images, such as {pairs[0].id}; {MEND}")
        for pair, name in zip(pairs, names, strict=True):
            yield replace(pair, labels=labels.get(name, {}))


def _plain(name: str) -> str:
    """A name without the marker at its end."""
    found = NAME.match(name)
    return found.group() if found else name


def _is_kaggle(children: Subfolders) -> bool:
    return {"hande", "ihc"} <= children.keys()


def _marker(side: Path, stain: str) -> Path:
    """The folder of a marker in ``HandE`` or ``IHC``."""
    return the_one([f for f in subfolders(side).values() if stain_in(f.name) == stain], side, f"folder of {stain}")


def _pairs(he_dir: Path, ihc_dir: Path, split: str, nested: bool, marker: str | None = None) -> list[Pair]:
    """All pairs of two folders, or those whose names end with ``marker``.

    The patient is read from every name, or (in the repacks alone) from none.
    """
    pairs = []
    for _, he, ihc in match(he_dir, ihc_dir, nested):
        stem = id_ = name_of(Path(he.name))
        if marker is not None:
            stem, _, end = stem.rpartition("_")
            if stain_in(end) is None:
                raise DataError(f"{he}: no marker at the end of its name, and none in the folders' names; add it there")
            if stain_in(end) != marker:
                continue
        name = NAME.fullmatch(stem)
        pairs.append(Pair(id_, he, ihc, slide=name["patient"] if name else None, split=split))
    if not pairs:
        raise DataError(f"{he_dir}: no image of {marker}, by the ends of the names")
    unnamed = [pair.he for pair in pairs if pair.slide is None]
    if unnamed and (nested or len(unnamed) < len(pairs)):
        raise DataError(f"{unnamed[0]}: no patient in its name; expected the form 0_1010_11_1_2.jpg")
    return pairs
