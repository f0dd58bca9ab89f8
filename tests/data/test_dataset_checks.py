"""The checks for data sets catch planted faults: a check that never failed has not been tested."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vsbench.checks.datasets import (
    Check,
    Tree,
    check_card,
    check_doubled_partner,
    check_empty_root,
    check_ignores_other_files,
    check_leaves_no_trace,
    check_missing_partner,
    check_opens_no_image,
    check_options,
    check_order,
    check_pairs,
    check_splits,
    check_splits_anew,
    check_unknown_names,
    dataset_checks,
)
from vsbench.data.pairs import Pair, match
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError

CARD = DatasetCard(
    title="Sound",
    citation="nobody",
    url="nowhere",
    licence="none",
    pairing="same section",
    split_unit="slides",
    counts={("her2", "train"): 4},
)


class Sound(Dataset[DatasetConfig]):
    card = CARD
    stains = ("her2",)

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        for stem, he, ihc in match(root / split / "he", root / split / stain):
            yield Pair(stem, he, ihc, stem.partition("_")[0], split)


class FileSystemOrder(Sound):
    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        pairs = {pair.id: pair for pair in super().pairs(root, stain, split)}
        with os.scandir(root / split / "he") as entries:
            stems = [Path(entry.name).stem for entry in entries]
        return [pairs[stem] for stem in stems]


class PairsByIndex(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        he, ihc = (sorted((root / split / side).glob("*_*.png")) for side in ("he", stain))
        if not he:
            raise DataError(f"{root}: holds no image")
        for a, b in zip(he, ihc, strict=False):
            yield Pair(a.stem, a, b, a.stem.partition("_")[0], split)


class LastOfAStemWins(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        he, ihc = ({p.stem: p for p in (root / split / side).glob("*_*.*")} for side in ("he", stain))
        for stem in sorted(he):
            yield Pair(stem, he[stem], ihc[stem], None, split)


class OpensImages(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        for pair in super().find(root, stain, split):
            with Image.open(pair.he) as image:
                yield replace(pair, labels={"size": str(image.size)})


class TakesAnyFile(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        for he in sorted((root / split / "he").iterdir()):
            yield Pair(he.name, he, root / split / stain / he.name, he.name.partition("_")[0], split)


class SharedImages(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, split=split) for pair in super().find(root, stain, "train"))


class SharedSlides(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, slide="one") for pair in super().find(root, stain, split))


class PoolsTrainAlone(Sound):
    def pool(self, root: Path, stain: str) -> Iterator[Pair]:
        return self.find(root, stain, "train")


class SplitsTilesAnew(Sound):
    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        if self.config.split_by == "official":
            return super().pairs(root, stain, split)
        pool = sorted(self.pool(root, stain), key=lambda pair: pair.id)
        return pool[self.splits.index(split) :: 2]


class NoLicence(Sound):
    card = replace(CARD, licence=" ")


class CountsAnotherStain(Sound):
    card = replace(CARD, counts={("HER2", "train"): 4})


class HidesThatSlidesAreUnknown(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, slide=None) for pair in super().find(root, stain, split))


class OneIdForAll(Sound):
    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        return [replace(pair, id="tile") for pair in super().pairs(root, stain, split)]


class FoldersInIds(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, id=f"{split}/{pair.id}") for pair in super().find(root, stain, split))


class HEIsItsOwnPartner(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, ihc=pair.he) for pair in super().find(root, stain, split))


class WrongSplit(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return (replace(pair, split="train") for pair in super().find(root, stain, split))


class TakesAnyName(Sound):
    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        return list(self.find(root, self.stains[0], "train" if split not in self.splits else split))


class TakesAnyOption(Sound):
    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "TakesAnyOption":
        return cls()


class EndlessConfig(DatasetConfig):
    panels: int = 2


class TakesAnyNumber(Dataset[EndlessConfig]):
    card = CARD
    stains = ("her2",)
    find = Sound.find


class LongErrors(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        try:
            yield from super().find(root, stain, split)
        except DataError as error:
            raise DataError(f"{error}\nmend it") from None


class EmptyIsFine(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        return super().find(root, stain, split) if (root / split).is_dir() else iter(())


class WritesAnIndex(Sound):
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        (root / "index.csv").write_text("he,ihc\n")
        return super().find(root, stain, split)


FAULTS: list[tuple[type[Sound], Check]] = [
    (FileSystemOrder, check_order),
    (PairsByIndex, check_missing_partner),
    (LastOfAStemWins, check_doubled_partner),
    (OpensImages, check_opens_no_image),
    (TakesAnyFile, check_ignores_other_files),
    (SharedImages, check_splits),
    (SharedSlides, check_splits),
    (PoolsTrainAlone, check_splits_anew),
    (SplitsTilesAnew, check_splits_anew),
    (NoLicence, check_card),
    (CountsAnotherStain, check_card),
    (HidesThatSlidesAreUnknown, check_card),
    (OneIdForAll, check_pairs),
    (FoldersInIds, check_pairs),
    (HEIsItsOwnPartner, check_pairs),
    (WrongSplit, check_pairs),
    (TakesAnyName, check_unknown_names),
    (TakesAnyOption, check_options),
    (TakesAnyNumber, check_options),
    (LongErrors, check_missing_partner),
    (EmptyIsFine, check_empty_root),
    (WritesAnIndex, check_leaves_no_trace),
]


def make(data_set: type[Sound], folder: Path) -> Tree:
    for split, slides in (("train", "ab"), ("test", "cd")):
        for side in ("he", "her2"):
            (folder / split / side).mkdir(parents=True)
            for slide in slides:
                for tile in (1, 2):
                    Image.new("RGB", (2, 3)).save(folder / split / side / f"{slide}_{tile}.png")
    return Tree(data_set(), folder, "her2")


@pytest.mark.parametrize("check", dataset_checks(), ids=lambda check: check.__name__)
def test_a_sound_data_set_passes(check: Check) -> None:
    check(lambda folder: make(Sound, folder))


@pytest.mark.parametrize(("fault", "check"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_is_caught(fault: type[Sound], check: Check) -> None:
    with pytest.raises((AssertionError, OSError)):  # OSError: what opening a broken image raises
        check(lambda folder: make(fault, folder))


def test_every_check_has_caught_a_fault() -> None:
    assert {check for _, check in FAULTS} == set(dataset_checks())
