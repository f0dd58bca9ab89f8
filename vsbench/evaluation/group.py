"""The test pairs of one data set and stain: what all rows that are compared on them have in common."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vsbench import registry
from vsbench.data.pairs import NotHere, Pair, few, images_of, not_read, pairs_digest
from vsbench.data.splits import split_digest
from vsbench.dataset import data_name, pairs_of
from vsbench.engine.run import Run, group_folder
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.digests import Digests
from vsbench.evaluation.given_nuclei import GivenNuclei
from vsbench.evaluation.sizes import CommonSize
from vsbench.files import digest
from vsbench.markers import marker
from vsbench.records.run import SLIDES
from vsbench.stats.slides import ENOUGH

SPLIT = "test"
FOLDS = "folds"  # below the results: a results folder for each fold
PROTOCOL = "native"  # stored size, no resize, all pairs of the split


@dataclass
class Group:
    """The pairs, their digests and what must be said beside every number on them.

    ``size``: at which all their rows are measured, where that is not the size the images are stored at.
    """

    dataset: str
    options: dict[str, Any]
    stain: str
    data_root: Path | None
    results: Path
    size: CommonSize | None = None
    name: str | None = None  # what the pairs are called; None given: as ``dataset.data_name`` has it
    nuclei: GivenNuclei | None = None  # outlined elsewhere
    pairs: list[Pair] = field(init=False)
    train: list[Pair] = field(init=False)  # empty where only the test split is here
    digests: Digests = field(init=False)
    warnings: list[str] = field(init=False)

    def __post_init__(self) -> None:
        source = registry.load("vsbench.datasets", self.dataset).from_options(self.options)
        self.name = data_name(source, self.name, self.data_root)
        test = pairs_of(source, self.data_root, self.stain, SPLIT)
        self.pairs = [replace(p, labels={**p.labels, "stain": marker(self.stain)}) for p in test]
        if self.size is not None:  # at which true cells, known by their pixels, are in other places
            self.pairs = [replace(p, cells=None) for p in self.pairs]
        if self.nuclei is not None:
            if self.size is not None:
                raise UsageError("--nuclei are those of the images at their own size: leave out --size")
            self.pairs = self.nuclei.with_nuclei(self.pairs)
        without_train = [] if source.paired else ["training images are unpaired: no rows made from them"]
        if source.folds:
            without_train = [f"{len(source.folds)} folds: each image is made by what was trained on the other folds"]
        try:
            with_train = source.paired and not source.folds
            self.train = pairs_of(source, self.data_root, self.stain, "train") if with_train else []
        except DataError as error:
            self.train = []
            why = "" if isinstance(error, NotHere) else f" ({error})"
            without_train = [f"no training split here, so no rows made from it and no look for shared slides{why}"]
        self.digests = Digests(self.results / "digests.json")
        self.digests.add(
            file for p in self.pairs for file in (*p.images, p.cells, *p.nuclei.values()) if file is not None
        )
        beside = not_read(images_of([*self.pairs, *self.train]), source.splits)
        resized = [] if self.size is None else [self.size.said]
        self.warnings = [
            *resized, *source.warnings, *self._slide_warnings(), *self._twin_warnings(), *without_train, *beside
        ]  # fmt: skip

    @cached_property
    def folds(self) -> list["Group"]:
        """A group for each fold whose test pairs are pooled here, with results of its own; none where they are not."""
        source = registry.load("vsbench.datasets", self.dataset).from_options(self.options)
        own = [self.options | {"fold": fold.config.fold} for fold in source.folds]
        return [
            Group(
                self.dataset, options, self.stain, self.data_root, fold_results(self.results, options), name=self.name
            )
            for options in own
        ]

    @property
    def folder(self) -> Path:
        """The folder of its rows."""
        return group_folder(self.results, self.dataset, self.stain)

    @property
    def protocol(self) -> str:
        """The protocol of its evaluations, where a row has none of its own."""
        return PROTOCOL if self.size is None else self.size.protocol

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 over ids, slides and contents of the test images."""
        return pairs_digest(self.pairs, self.digests.of)

    def images_digest(self, files: Mapping[str, Path]) -> str:
        """SHA-256 over the images of a row, pair id → file."""
        self.digests.add(files.values())
        return digest([self.digests.of(files[p.id]) for p in self.pairs])

    @cached_property
    def labels_digest(self) -> str:
        """SHA-256 over what the data set says of the test pairs besides the images."""
        parts: list[str] = []
        for p in self.pairs:
            parts += [p.id, *(f"{key}={value}" for key, value in sorted(p.labels.items()))]
            if p.pixel_size is not None:
                parts.append(f"pixel_size={p.pixel_size}")
            if p.cells is not None:
                parts.append(self.digests.of(p.cells))
            parts += [f"{name}={self.digests.of(file)}" for name, file in sorted(p.nuclei.items())]
        return digest(parts)

    @cached_property
    def split_digest(self) -> str | None:
        """SHA-256 over which tiles of which slides are in which split; None where the training split is not here."""
        return split_digest(self.train, self.pairs) if self.train else None

    @cached_property
    def he_digest(self) -> str:
        """SHA-256 over ids and contents of the test H&E alone: what translations depend on."""
        return digest(part for p in self.pairs for part in (p.id, self.digests.of(p.he)))

    @cached_property
    def train_digest(self) -> str:
        """SHA-256 over the training images: what rows made from them depend on."""
        self._add_training()
        return pairs_digest(self.train, self.digests.of)

    def _add_training(self) -> None:
        """Of the files of the training pairs, those that methods are shown."""
        self.digests.add(file for p in self.train for file in (p.he, p.ihc))

    def _slide_warnings(self) -> Iterable[str]:
        test = {p.slide for p in self.pairs}
        if None in test:
            yield "slides unknown: tiles of one slide are not independent, and train and test may share slides"
            return
        shared = test & {p.slide for p in self.train}
        if shared:
            yield f"{len(shared)} of {len(test)} test slides are also in the training set"
        if len(test) < ENOUGH:
            yield f"only {len(test)} test slides: too few to rank methods"

    def _twin_warnings(self) -> Iterable[str]:
        """Of test images that are training images too: what near-duplicates there are, ``data audit`` says."""
        try:
            self._add_training()
        except DataError:  # told where they are read
            return
        trained = {self.digests.of(file) for p in self.train for file in (p.he, p.ihc)}
        twins = [p.id for p in self.pairs if not trained.isdisjoint(map(self.digests.of, (p.he, p.ihc)))]
        if twins:
            yield f"{len(twins)} of {len(self.pairs)} test pairs have an image of the training set: {few(twins)}"


def fold_results(results: Path, options: Mapping[str, Any]) -> Path:
    """The results folder of a fold: folds are other splits, whose runs may not stand side by side in one.

    ``options``: the data set's, with ``folds`` and ``fold``.
    """
    seed = options.get("split_seed", 0)
    return results / FOLDS / f"fold-{options['fold']}-of-{options.get('folds', 5)}{f'-seed-{seed}' if seed else ''}"


def group_of(
    run: Run,
    data_root: Path | None,
    results: Path,
    size: CommonSize | None = None,
    nuclei: GivenNuclei | None = None,
) -> Group:
    """The group a run belongs to; its data lie under ``data_root``, $VSBENCH_DATA, or where they lay in training."""
    record = run.record
    if record.dataset == SLIDES:
        raise UsageError(
            f"{run.folder}: of whole slides; evaluate them by their list (--slides LIST --name {record.row})"
        )
    if data_root is None and not os.environ.get("VSBENCH_DATA") and record.data_root:
        data_root = Path(record.data_root)
    options = record.dataset_options or {}
    return Group(record.dataset, options, record.stain, data_root, results, size, record.data_name, nuclei)
