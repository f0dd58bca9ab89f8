"""HER2match: HER2, 1024 × 1024 pairs of one section stained twice (Klöckner et al., 2025).

    <root>/HER2match/HE/<split>/<name>.jpg       split: train, val or test, as the authors fixed them
    <root>/HER2match/IHC/<split>/<name>.jpg      the same name: the partner

or ``<split>/{HE,IHC}``. Where names tell the slide, the data set ``folder`` reads it: ``he=HE ihc=IHC slide=PATTERN``.
"""

from collections.abc import Iterator
from pathlib import Path

from vsbench.data.pairs import Pair, match
from vsbench.data.search import find_sided, sided_folders
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig

SIDES = ("HE", "IHC")


class HER2match(Dataset[DatasetConfig]):
    """One marker on the very section of the H&E: pixels may be compared here."""

    card = DatasetCard(
        title="HER2match",
        citation=(
            "Klöckner et al. GANs vs. Diffusion Models for Virtual Staining with the HER2match Dataset. "
            "arXiv:2506.18484, 2025"
        ),
        url="https://doi.org/10.1007/978-3-032-05472-2_12",
        licence="not verified; see where you obtained it",
        pairing="same section",
        split_unit="fixed by the authors; by what is not known here",
        size=(1024, 1024),
        counts={("her2", "train"): 11610, ("her2", "val"): 3582, ("her2", "test"): 5980},
        warnings=(
            "HER2match's counts and layout are from one user's copy, not from its authors: look at what "
            "vsbench data verify says of yours",
            "no slide is read from HER2match's names: tiles count as independent, and intervals over slides cannot be "
            "computed",
        ),
    )
    stains = ("her2",)
    splits = ("train", "val", "test")

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names."""
        home = find_sided(root, SIDES, type(self).splits, own="her2[-_ ]?match", other="bci")
        for he_dir, ihc_dir in sided_folders(home, SIDES, (split,)):
            for stem, he, ihc in match(he_dir, ihc_dir):
                yield Pair(stem, he, ihc, slide=None, split=split)

    def canonical(self, pair: Pair, stain: str) -> tuple[str, str]:
        """Sides first, then splits."""
        return f"HE/{pair.split}/{pair.id}", f"IHC/{pair.split}/{pair.id}"
