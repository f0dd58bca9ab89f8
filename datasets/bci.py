"""BCI: HER2, 1024 × 1024 pairs of consecutive sections (Liu et al., CVPR Workshops 2022).

    <root>/BCI_dataset/HE/<split>/00820_test_2+.png      number, split, HER2 level of the whole slide (0, 1+, 2+, 3+)
    <root>/BCI_dataset/IHC/<split>/00820_test_2+.png     the same name: the partner

or ``<split>/{HE,IHC}`` as the challenge has it. A ``val`` is a part of the published train set and is counted there.
The bytes are JPEG whatever the names say. Names carry no slide, so intervals over slides do not exist here.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from vsbench.data.pairs import Pair, in_order, match
from vsbench.data.search import find_sided, sided_folders
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError

NAME = re.compile(r"\d{5}_(?P<split>train|test)_(?P<level>0|1\+|2\+|3\+)", re.ASCII)
SIDES = ("HE", "IHC")
PARTS = {"train": ("train", "val"), "test": ("test",)}


class BCI(Dataset[DatasetConfig]):
    """One marker, many published numbers; nothing tells which tiles share a slide."""

    card = DatasetCard(
        title="BCI",
        citation=(
            "Liu et al. BCI: Breast Cancer Immunohistochemical Image Generation through Pyramid Pix2pix. "
            "CVPR Workshops 2022"
        ),
        url="https://bupt-ai-cz.github.io/BCI/",
        licence="non-commercial research; no commercial use of the data or its derivatives",
        pairing="consecutive sections, registered by the authors",
        split_unit="unknown",
        size=(1024, 1024),
        counts={("her2", "train"): 3896, ("her2", "test"): 977},
        warnings=(
            "BCI's names carry no slide: whether train and test share slides is not known, and intervals over slides "
            "cannot be computed",
            "the HER2 level in a name is the whole slide's, not the tile's: a tile of a 3+ slide may have no DAB",
            "H&E and IHC are consecutive sections: shifts remain, and pixel metrics have a ceiling",
        ),
    )
    stains = ("her2",)

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file that is not named as BCI names its files."""
        home = find_sided(root, SIDES, ("train", "val", "test"), own="bci", other="her2[-_ ]?match")
        pairs = []
        for he_dir, ihc_dir in sided_folders(home, SIDES, PARTS[split]):
            for stem, he, ihc in match(he_dir, ihc_dir):
                name = NAME.fullmatch(stem)
                if name is None or name["split"] != split:
                    raise DataError(f"{he}: not a BCI {split} name; expected the form 00820_{split}_2+.png")
                labels = {f"{stain}_of_slide": name["level"], "grade": name["level"].rstrip("+")}
                pairs.append(Pair(stem, he, ihc, slide=None, split=split, labels=labels))
        yield from in_order(pairs)

    def canonical(self, pair: Pair, stain: str) -> tuple[str, str]:
        """Sides first, then splits."""
        return f"HE/{pair.split}/{pair.id}", f"IHC/{pair.split}/{pair.id}"
