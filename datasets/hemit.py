"""HEMIT: H&E and multiplex fluorescence of colon, 1024 × 1024 TIFF pairs of one section (Bian et al., 2024).

    <root>/HEMIT/<split>/input/[8960,47104]_patch_2_3.tif      H&E; split: train, val or test
    <root>/HEMIT/<split>/label/[8960,47104]_patch_2_3.tif      DAPI, panCK and CD3 as the three channels of one image

or ``{input,label}/<split>``. The bracket is the place of a region on its slide; which slide, names do not say.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from vsbench.data.pairs import Pair, match
from vsbench.data.search import find_sided, sided_folders
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError

SIDES = ("input", "label")
NAME = re.compile(r"\[(?P<region>\d+, *\d+)\]_.+", re.ASCII)


class HEMIT(Dataset[DatasetConfig]):
    """Three markers in one image, and none of them in brown."""

    card = DatasetCard(
        title="HEMIT",
        citation=(
            "Bian et al. HEMIT: H&E to Multiplex-immunohistochemistry Image Translation with Dual-Branch Pix2pix "
            "Generator. arXiv:2403.18501, 2024"
        ),
        url="https://github.com/BianChang/HEMIT-DATASET",
        licence="CC BY 4.0",
        pairing="same section",
        split_unit="fixed by the authors; slides may be shared by train and test",
        size=(1024, 1024),
        counts={("mihc", "train"): 3717, ("mihc", "val"): 630, ("mihc", "test"): 945},
        warnings=(
            "HEMIT's second image is fluorescence (DAPI, panCK and CD3 as its channels), not DAB in bright field: what "
            "is computed from optical density (IoD, R_p, DAB and haematoxylin values) means nothing on it",
            "HEMIT's names tell the region of a tile, not its slide: what is called slide here is the region. The 8 "
            "slides have several each, so intervals over slides are too narrow, and regions of one slide may be in "
            "train and test",
        ),
    )
    stains = ("mihc",)
    splits = ("train", "val", "test")

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file whose name tells no region."""
        home = find_sided(root, SIDES, type(self).splits, own="hemit")
        for he_dir, label_dir in sided_folders(home, SIDES, (split,)):
            for stem, he, label in match(he_dir, label_dir):
                name = NAME.fullmatch(stem)
                if name is None:
                    raise DataError(f"{he}: no region in its name; expected the form [8960,47104]_patch_2_3.tif")
                yield Pair(stem, he, label, slide=name["region"].replace(" ", ""), split=split)
