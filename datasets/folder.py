"""Your own pairs: two folders of images whose file names agree, split by sub-folder, by list or by slide.

    <root>/he/<split>/<name>.png     <root>/ihc/<split>/<name>.png     split_by=folders (the default)
    <root>/he/<name>.png             <root>/ihc/<name>.png             split_by=lists, split_by=slides

``he``, ``ihc`` and ``lists`` may hold ``{split}`` and ``{stain}``: ``he={split}A`` reads ``trainA`` and ``testA``, and
``ihc={stain}`` one folder of a stain each. With ``{split}`` in it, a name has no sub-folder of the split.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from vsbench.data.pairs import Pair, match
from vsbench.data.splits import by_lists, keep_slides_of
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError


class Config(DatasetConfig):
    """Where the images and their splits are, and how the slide is read from a name."""

    he: str = "he"  # folder below the root
    ihc: str = "ihc"
    slide: str | None = None  # regular expression found in the stem; its first group, or all of it, is the slide
    split_by: Literal["folders", "lists", "slides"] = "folders"
    lists: str = "{split}.txt"  # with "lists": text file below the root, one stem a line
    ratio: float = Field(default=0.8, gt=0, lt=1)  # with "slides": the share of the slides that are train
    seed: int = 0  # with "slides": another seed, another split

    @field_validator("slide")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression ({error})") from None
        return pattern

    @model_validator(mode="after")
    def _slides_can_be_read(self) -> "Config":
        if self.split_by == "slides" and not self.slide:
            raise ValueError("split_by=slides needs slide=PATTERN, to read the slide from a name")
        return self


class Folder(Dataset[Config]):
    """Any stain, any size; the only data set that knows nothing but what you tell it."""

    card = DatasetCard(
        title="your own folders",
        citation="none: the images are your own",
        url="none",
        licence="the images' own",
        pairing="as you paired them, by equal file names",
        split_unit="as you choose: sub-folders and lists as they are, or slides with split_by=slides",
        warnings=(
            "without slide=PATTERN no slide is known: tiles count as independent, and intervals over slides cannot be "
            "computed",
        ),
    )
    stains = ()

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Pairs in the order of their names. DataError names a file in whose name the pattern finds no slide."""
        config = self.config
        he_dir, ihc_dir = (self._folder(root, name, stain, split) for name in (config.he, config.ihc))
        pairs = [Pair(stem, he, ihc, self._slide(he), split) for stem, he, ihc in match(he_dir, ihc_dir)]
        if config.split_by == "lists":
            lists = {s: root / _filled(config.lists, stain, s) for s in self.splits}
            # A list for another split is read too where there is one: a pair in both must not pass.
            lists = {s: path for s, path in lists.items() if s == split or path.exists()}
            split_of = by_lists([pair.id for pair in pairs], lists)
            pairs = [pair for pair in pairs if split_of.get(pair.id) == split]
        elif config.split_by == "slides":
            pairs = keep_slides_of(pairs, split, config.ratio, config.seed, root)
        yield from pairs

    def _folder(self, root: Path, name: str, stain: str, split: str) -> Path:
        folder = root / _filled(name, stain, split)
        return folder / split if self.config.split_by == "folders" and "{split}" not in name else folder

    def _slide(self, path: Path) -> str | None:
        if not self.config.slide:
            return None
        found = re.search(self.config.slide, path.stem)
        slide = found and found[1 if found.re.groups else 0]
        if not slide:
            raise DataError(
                f"{path}: slide={self.config.slide} finds no slide in this name; mend the pattern or the name"
            )
        return slide


def _filled(name: str, stain: str, split: str) -> str:
    return name.replace("{stain}", stain).replace("{split}", split)
