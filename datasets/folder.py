"""Your own pairs: two folders of images whose file names agree, split by sub-folder, by list or by slide.

    <root>/he/<split>/<name>.png     <root>/ihc/<split>/<name>.png     split_by=folders (the default)
    <root>/he/<name>.png             <root>/ihc/<name>.png             split_by=lists, slides or folds

``he``, ``ihc`` and ``lists`` may hold ``{split}`` and ``{stain}``: ``he={split}A`` reads ``trainA`` and ``testA``, and
``ihc={stain}`` one folder of a stain each. With ``{split}`` in it, a name has no sub-folder of the split, and lists,
slides or folds split the pairs of both splits anew.

``paired=false``: the training images of the two sides are of different tissue, in any number, under any names. Methods
that need no pairs train on them; the test images are pairs as ever, since they are what translations are compared with.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, field_validator, model_validator

from vsbench.data.carried import read_carried
from vsbench.data.pairs import NotHere, Pair, images_by_stem, match, name_of
from vsbench.data.search import laid_otherwise, side_by_side, stained
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig, Seed
from vsbench.errors import DataError

Pattern = Annotated[str, Field(max_length=1000)]


class Config(DatasetConfig):
    """Where the images are, and how the slide is read from a name. ``split_by=folders`` is ``official`` here."""

    he: Pattern = "he"  # folder below the root
    ihc: Pattern = "ihc"
    pixel_size: Annotated[float, Field(gt=0, le=1000)] | None = None  # µm: for scale bars and distances
    slide: Pattern | None = None  # regular expression found in the stem; its first group, or all of it, is the slide
    paired: bool = True  # False: the training images of the two sides do not correspond
    split_seed: Seed = Field(default=0, validation_alias=AliasChoices("split_seed", "seed"))  # seed: its old name

    @field_validator("split_by", mode="before")
    @classmethod
    def _official_are_folders(cls, name: Any) -> Any:
        return "official" if name == "folders" else name

    @field_validator("slide")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
                re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"no regular expression ({error})") from None
        return pattern

    @model_validator(mode="after")
    def _options_fit(self) -> "Config":
        if self.split_by in ("slides", "folds") and not self.slide:
            raise ValueError(f"split_by={self.split_by} needs slide=PATTERN, to read the slide from a name")
        if not self.paired and self.split_by != "official":
            raise ValueError("paired=false needs split_by=folders: what is no pair can't be split as one")
        return self


class Folder(Dataset[Config]):
    """Any stain, any size; the only data set that knows nothing but what you tell it."""

    card = DatasetCard(
        title="your own folders",
        citation="none: the images are your own",
        url="none",
        licence="the images' own",
        pairing="as you paired them, by equal file names",
        split_unit="as you choose: sub-folders and lists as they are, or slides with split_by=slides or folds",
        warnings=(
            "without slide=PATTERN no slide is known: tiles count as independent, and intervals over slides cannot be "
            "computed",
        ),
    )
    stains = ()
    is_own = True

    @classmethod
    def carried(cls, root: Path) -> dict[str, Any]:
        """What ``vsbench data tiles`` wrote beside the images: ``slide`` and ``pixel_size``."""
        return read_carried(root)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None of slides where a pattern tells them."""
        return () if self.config.slide else super().warnings

    @property
    def pixel_size(self) -> float | None:
        """As ``pixel_size=`` says."""
        return self.config.pixel_size

    @property
    def paired(self) -> bool:
        """As ``paired=`` says."""
        return self.config.paired

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file in whose name the pattern finds no slide."""
        he_dir, ihc_dir = (self._folder(root, name, stain, split) for name in (self.config.he, self.config.ihc))
        if not (he_dir.is_dir() or ihc_dir.is_dir()) and (mend := side_by_side(root) or laid_otherwise(root, he_dir)):
            raise NotHere(f"{he_dir}: no such folder; {mend}")
        if split == "train" and not self.paired:
            yield from self._unpaired(he_dir, ihc_dir, split)
        else:
            for stem, he, ihc in match(he_dir, ihc_dir):
                yield Pair(stem, he, ihc, self._slide(he), split)

    def pool(self, root: Path, stain: str) -> Iterator[Pair]:
        """All pairs: of one folder a side, unless their names tell the split."""
        names = self.config.he + self.config.ihc
        for split in self.splits if "{split}" in names else self.splits[:1]:
            yield from self.find(root, stain, split)

    def _unpaired(self, he_dir: Path, ihc_dir: Path, split: str) -> Iterator[Pair]:
        """Every image of both sides at least once; where the H&E are fewer, they come round again as ``<name>~2``."""
        he_of, ihc = images_by_stem(he_dir), list(images_by_stem(ihc_dir).values())
        stems = list(he_of)
        for number in range(max(len(stems), len(ihc))):
            turn, stem = number // len(stems), stems[number % len(stems)]
            id_ = f"{stem}~{turn + 1}" if turn else stem
            yield Pair(id_, he_of[stem], ihc[number % len(ihc)], self._slide(he_of[stem]), split)

    def _folder(self, root: Path, name: str, stain: str, split: str) -> Path:
        folder = stained(root, name.replace("{split}", split), stain)
        return folder / split if self.config.split_by == "official" and "{split}" not in name else folder

    def _slide(self, path: Path) -> str | None:
        if not self.config.slide:
            return None
        found = re.search(self.config.slide, name_of(Path(path.name)))
        slide = found and found[1 if found.re.groups else 0]
        if not slide:
            raise DataError(
                f"{path}: slide={self.config.slide} finds no slide in this name; mend the pattern or the name"
            )
        return slide
