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
from vsbench.data.search import Subfolders, find_folders, subfolders, the_one
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError

NAME = re.compile(r"\d{5}_(?P<split>train|test)_(?P<level>0|1\+|2\+|3\+)", re.ASCII)
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
        pairs = []
        for he_dir, ihc_dir in _folders(root, split):
            for stem, he, ihc in match(he_dir, ihc_dir):
                name = NAME.fullmatch(stem)
                if name is None or name["split"] != split:
                    raise DataError(f"{he}: not a BCI {split} name; expected the form 00820_{split}_2+.png")
                pairs.append(Pair(stem, he, ihc, slide=None, split=split, labels={f"{stain}_of_slide": name["level"]}))
        yield from in_order(pairs)


def _folders(root: Path, split: str) -> list[tuple[Path, Path]]:
    """The H&E and IHC folders of a split: one of each, or two where the challenge's ``val`` lies apart."""
    base = the_one(find_folders(root, _is_bci, own="bci"), root, "folder with HE and IHC")
    children = subfolders(base)
    if _holds_both(children):
        he, ihc = children["he"], children["ihc"]
        found = [(he / part, ihc / part) for part in PARTS[split] if part in subfolders(he)]
    else:
        found = [(children[part] / "HE", children[part] / "IHC") for part in PARTS[split] if part in children]
    if not found:
        raise DataError(
            f"{base}: no {split} images; expected them in HE/{split} and IHC/{split}, or {split}/HE and so on"
        )
    return found


def _is_bci(children: Subfolders) -> bool:
    parts = [children[part] for part in ("train", "val", "test") if part in children]
    return _holds_both(children) or any(_holds_both(subfolders(part)) for part in parts)


def _holds_both(children: Subfolders) -> bool:
    return {"he", "ihc"} <= children.keys()
