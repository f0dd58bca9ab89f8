"""The data set contract: a card, and pairs found on disk."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from vsbench.config import build_config, config_type
from vsbench.data.pairs import Pair, in_order
from vsbench.errors import UsageError


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
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # (stain, split) → published number of pairs
    warnings: tuple[str, ...] = ()  # printed wherever results on this data are shown


class DatasetConfig(BaseModel):
    """Options of a data set: each field is a ``--data KEY=VALUE`` key. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


C = TypeVar("C", bound=DatasetConfig)


class Dataset(ABC, Generic[C]):
    """Finds the pairs of one data set. Listing pairs opens no image."""

    card: ClassVar[DatasetCard]
    stains: ClassVar[tuple[str, ...]]  # lower case; () means any name is accepted (one's own folders)
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    needs_root: ClassVar[bool] = True  # False: the data set makes its own images (then ``root`` is a cache folder)

    def __init__(self, config: C | None = None) -> None:
        self.config: C = config if config is not None else config_type(type(self))()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> "Dataset[Any]":
        """Build with ``--data`` options. Raises UsageError naming an unknown option or a bad value."""
        return cls(build_config(config_type(cls), options))

    def pairs(self, root: Path, stain: str, split: str) -> list[Pair]:
        """All pairs of a stain and split by id.

        Raises UsageError for an unknown stain or split (listing the known ones) and DataError, naming the file or
        folder, where images are missing, doubled or not named as the data set names them.
        """
        if self.stains and stain not in self.stains:
            raise UsageError(f"unknown stain {stain!r}: {self.card.title} has {', '.join(self.stains)}")
        if split not in self.splits:
            raise UsageError(f"unknown split {split!r}: {self.card.title} has {', '.join(self.splits)}")
        return in_order(self.find(root, stain, split))

    @abstractmethod
    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        """Yield the pairs in any order; ``stain`` and ``split`` are known ones."""
