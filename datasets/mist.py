"""MIST: HER2, Ki67, ER and PR, 1024 × 1024 pairs of consecutive sections (Li et al., MICCAI 2023).

    <root>/MIST/HER2/TrainValAB/trainA/67M2100642_15_18.jpg     H&E: slide, row, column of the tile
    <root>/MIST/HER2/TrainValAB/trainB/67M2100642_15_18.jpg     IHC: the same name
    <root>/MIST/HER2/TrainValAB/{valA,valB}/                    what papers call the test set

The folder of a stain is looked for, so levels may be missing and archives may have left their suffix (``HER2-004``).
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import AliasChoices, Field

from vsbench.data.pairs import Pair, match
from vsbench.data.search import find_aligned
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig, Seed
from vsbench.errors import DataError

SPELT = {"her2": "HER2", "ki67": "Ki67", "er": "ER", "pr": "PR"}
FOLDERS = {"train": ("trainA", "trainB"), "test": ("valA", "valB")}


class Config(DatasetConfig):
    """``split_by=slides`` pools all tiles and splits them anew, each slide on one side, as the authors advise."""

    split_seed: Seed = Field(default=0, validation_alias=AliasChoices("split_seed", "seed"))  # seed: its old name


class MIST(Dataset[Config]):
    """Four markers; its published split shares slides between train and test."""

    card = DatasetCard(
        title="MIST",
        citation=(
            "Li et al. Adaptive Supervised PatchNCE Loss for Learning H&E-to-IHC Stain Translation with Inconsistent "
            "Groundtruth Image Pairs. MICCAI 2023"
        ),
        url="https://github.com/lifangda01/AdaptiveSupervisedPatchNCE",
        licence="none stated for the images; treat as research use, no redistribution",
        pairing="consecutive sections",
        split_unit="random tiles (slides are shared by train and test); slides with split_by=slides",
        size=(1024, 1024),
        pixel_size=0.4661,
        counts={
            ("her2", "train"): 4642,
            ("ki67", "train"): 4361,
            ("er", "train"): 4153,
            ("pr", "train"): 4139,
            **{(stain, "test"): 1000 for stain in ("her2", "ki67", "er", "pr")},
        },
        split_warnings=(
            "MIST's published split is random over tiles: train and test share slides and patients, so its scores are "
            "optimistic; split_by=slides keeps them apart, and its scores compare with no published ones",
        ),
        warnings=("H&E and IHC are consecutive sections: no two nuclei correspond, and pixel metrics have a ceiling",),
    )
    stains = ("her2", "ki67", "er", "pr")

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file whose name tells no slide."""
        folder = find_aligned(root, stain, own="mist", other="ihc4bc")
        he_dir, ihc_dir = (folder / name for name in FOLDERS[split])
        for stem, he, ihc in match(he_dir, ihc_dir):
            slide, underscore, _ = stem.partition("_")
            if not (slide and underscore):
                form = "MIST's are <slide>_<row>_<column>, others are for the data set 'folder'"
                raise DataError(f"{he}: no slide in its name; {form}")
            yield Pair(id=stem, he=he, ihc=ihc, slide=slide, split=split)

    def canonical(self, pair: Pair, stain: str) -> tuple[str, str]:
        """The authors' own layout, whatever level is missing in a download."""
        he, ihc = FOLDERS[pair.split]
        home = f"{SPELT[stain]}/TrainValAB"
        return f"{home}/{he}/{pair.id}", f"{home}/{ihc}/{pair.id}"
