"""The data set contract: a card, and pairs found on disk."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vsbench.bounds import SEED
from vsbench.config import build_config, config_type
from vsbench.data.pairs import Pair, in_order
from vsbench.data.root import cache_folder, find_data_root
from vsbench.data.search import stained
from vsbench.data.splits import all_folds, by_lists, keep_folds_of, keep_slides_of
from vsbench.errors import UsageError
from vsbench.markers import marker
from vsbench.names import brief, named_after

Seed = Annotated[int, Field(ge=0, le=SEED)]


@dataclass(frozen=True)
class Bound:
    """What can be reached in one value on a data set whose answer is known; None: n/a."""

    stain: str
    value: str
    protocol: str
    ceiling: float | None  # of the best prediction that the H&E allows
    identity: float | None  # of the H&E unchanged
    mean_colour: float | None  # of the mean colour of the training IHC


@dataclass(frozen=True)
class DatasetCard:
    """What a reader must know before trusting a number on this data."""

    title: str
    citation: str
    url: str
    licence: str
    pairing: str  # how the two sections of a pair relate: "consecutive sections", "same section", …
    split_unit: str  # what keeps train and test apart: "slides", "random tiles (slides are shared)", …
    size: tuple[int, int] | None = None  # height, width; None: any
    pixel_size: float | None = None  # µm, of every image; None: unknown, or it differs
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (stain, split) → published number of pairs
    warnings: tuple[str, ...] = ()  # printed wherever results on this data are shown
    split_warnings: tuple[str, ...] = ()  # before these, where the split is the published one
    bounds: tuple[Bound, ...] = ()  # with the default options, where the answer is known


class DatasetConfig(BaseModel):
    """Options of a data set: each field is a ``--data KEY=VALUE`` key. Unknown keys are errors.

    Those here are every data set's: which pairs are train and which are test. Whatever is not ``official`` pools all
    pairs of a stain and splits them anew, into train and test alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    split_by: Literal["official", "slides", "folds", "lists"] = "official"
    ratio: float = Field(default=0.8, gt=0, lt=1)  # with slides: the share of the slides that are train
    split_seed: Seed = 0  # with slides and folds: another seed, another split
    folds: int = Field(default=5, ge=2, le=1000)  # with folds: how many; no slide is in two
    # with folds: the one that is the test set, counted from 0; or all of them, each with trainings of its own
    fold: Annotated[int, Field(ge=0, lt=1000)] | Literal["all"] = 0
    lists: str = Field(
        default="{split}.txt", max_length=1000
    )  # with lists: text files below the root or anywhere, one pair's id (file stem) a line

    @model_validator(mode="after")
    def _split_can_be(self) -> "DatasetConfig":
        if self.fold != "all" and self.fold >= self.folds:
            raise ValueError(f"fold={self.fold}: the {self.folds} folds are counted from 0 to {self.folds - 1}")
        for name, mode in (("folds", "folds"), ("fold", "folds"), ("lists", "lists")):
            if name in self.model_fields_set and self.split_by != mode:  # else it would do nothing, and not say so
                raise ValueError(f"{name}={getattr(self, name)} needs split_by={mode}")
        return self


NEW_SPLITS = ("train", "test")
C = TypeVar("C", bound=DatasetConfig)


class Dataset(ABC, Generic[C]):
    """Finds the pairs of one data set. Listing pairs opens no image.

    A data set may also have ``canonical(pair, stain)``: where ``vsbench data prepare`` puts the H&E and the IHC of a
    pair, below the data set's folder and without the ending. Without it they lie as they lay in the source.
    """

    card: ClassVar[DatasetCard]
    stains: ClassVar[tuple[str, ...]]  # as ``markers.marker`` has them; () means any name is accepted (one's own)
    splits: tuple[str, ...] = NEW_SPLITS  # published ones; an object whose options split anew has those of NEW_SPLITS
    is_own: ClassVar[bool] = False  # True: the user's pairs, which are called after the folder that they lie in
    needs_root: ClassVar[bool] = True  # False: the data set makes its own images (then ``root`` is a cache folder)

    def __init__(self, config: C | None = None) -> None:
        self.config: C = config if config is not None else config_type(type(self))()
        if self.config.split_by != "official":
            self.splits = NEW_SPLITS

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Dataset[Any]":
        """Build with ``--data`` options. Raises UsageError naming an unknown option or a bad value."""
        return cls(build_config(config_type(cls), options))

    @classmethod
    def carried(cls, root: Path) -> dict[str, Any]:
        """Options that the images at ``root`` bring with them; what a user gives goes before them. DataError."""
        return {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be said of numbers on this data, as its options have it."""
        official = self.card.split_warnings if self.config.split_by == "official" else ()
        return (*official, *self.card.warnings)

    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        """All pairs of a stain, in any spelling, and split by id.

        Raises UsageError for an unknown stain or split (listing the known ones) and DataError, naming the file or
        folder, where images are missing, doubled or not named as the data set names them.
        """
        stain = marker(stain)
        if self.stains and stain not in self.stains:
            raise UsageError(f"unknown stain {brief(stain)}: {self.card.title} has {', '.join(self.stains)}")
        if split not in self.splits:
            raise UsageError(f"unknown split {brief(split)}: {self.card.title} has {', '.join(self.splits)}")
        if self.config.split_by == "official":
            found = in_order(self.find(root, stain, split))
        else:
            kept = self._keep(in_order(self.pool(root, stain)), root, stain, split)
            found = [replace(pair, split=split) for pair in kept]
        return [pair if pair.pixel_size is not None else replace(pair, pixel_size=self.pixel_size) for pair in found]

    @property
    def folds(self) -> list["Dataset[C]"]:
        """The folds whose test sets are its own together, where ``fold=all``; else none."""
        if self.config.split_by != "folds" or self.config.fold != "all":
            return []
        return [type(self)(self.config.model_copy(update={"fold": fold})) for fold in range(self.config.folds)]

    @property
    def pixel_size(self) -> float | None:
        """µm a pixel, for scale bars and distances; None where it is unknown."""
        return self.card.pixel_size

    @property
    def paired(self) -> bool:
        """Whether the IHC of a training pair is of its H&E's tissue; where not, only unpaired methods may train."""
        return True

    @property
    def unattainable(self) -> str | None:
        """Why no real data can have these training pairs, where that is so; rows trained on them are references."""
        return None

    def training_pairs(self, root: Path, stain: str) -> list[Pair]:
        """What a training learns from: the pairs of the split ``train``, as a rule. Raises as ``pairs`` does."""
        return self.pairs(root, stain, "train")

    @abstractmethod
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Yield the pairs of a published split, in any order; ``stain`` and ``split`` are known ones."""

    def pool(self, root: Path, stain: str) -> Iterator[Pair]:
        """Yield all pairs of a stain, to be split anew: those of all published splits."""
        for split in type(self).splits:
            yield from self.find(root, stain, split)

    def _keep(self, pool: list[Pair], root: Path, stain: str, split: str) -> list[Pair]:
        config = self.config
        if config.split_by == "slides":
            return keep_slides_of(pool, split, config.ratio, config.split_seed, root)
        if config.split_by == "folds":
            if config.fold == "all":
                return all_folds(pool, split, config.folds, root)
            return keep_folds_of(pool, split, config.folds, config.fold, config.split_seed, root)
        lists = {s: stained(root, config.lists.replace("{split}", s), stain) for s in self.splits}
        # A list for another split is read too where there is one: a pair in both must not pass.
        lists = {s: path for s, path in lists.items() if s == split or path.exists()}
        split_of = by_lists([pair.id for pair in pool], lists)
        return [pair for pair in pool if split_of.get(pair.id) == split]


def data_folder(dataset: Dataset[Any], option: Path | None) -> Path:
    """Where a data set's images lie: the data root, or a cache for one that makes its own."""
    if dataset.needs_root:
        return find_data_root(option).resolve()
    return option if option is not None else cache_folder()


def data_name(dataset: Dataset[Any], given: str | None, option: Path | None) -> str | None:
    """What pairs are called in tables: as ``given``, or, one's own, after their folder. None: as the data set is."""
    if given is None and dataset.is_own:
        return named_after(data_folder(dataset, option))
    return given


def with_carried(dataset: type[Dataset[Any]], given: dict[str, Any], option: Path | None) -> dict[str, Any]:
    """Options as given, and beside them those that the images carry. Raises DataError.

    Where there are no images, that is for those to say who look for them.
    """
    if not dataset.needs_root:
        return given
    try:
        root = find_data_root(option)
    except UsageError:
        return given
    return {**dataset.carried(root), **given}


def pairs_of(dataset: Dataset[Any], option: Path | None, stain: str, split: str) -> list[Pair]:
    """The pairs of a split, wherever the data set lies."""
    return dataset.pairs(data_folder(dataset, option), stain, split)
