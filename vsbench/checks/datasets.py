"""What every data set must fulfil. Authors of plugins run these on their own: each check takes ``make``, which builds a
tiny tree in the data set's own layout, in the empty folder it is given.

    def make(folder: Path) -> Tree:
        ...  # write at least two pairs of each split of one stain, of two slides or more in all where slides are known;
        ...  # a few bytes will do for an image
        return Tree(MyDataset(), root=folder, stain="her2")

    for check in dataset_checks():
        check(make)

A data set that makes its own images (``needs_root`` is False) has no layout to damage: ``LAYOUT_CHECKS`` pass it by.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from vsbench.checks._beyond import beyond
from vsbench.data.pairs import SUFFIXES, Pair
from vsbench.dataset import Dataset
from vsbench.errors import DataError, UsageError, UserError


@dataclass(frozen=True)
class Tree:
    """A data set, where a tiny copy of it lies, and the stain that is there."""

    dataset: Dataset[Any]
    root: Path
    stain: str


Make = Callable[[Path], Tree]
Check = Callable[[Make], None]


def dataset_checks() -> list[Check]:
    """All checks, each to be called with ``make``; AssertionError says what is wrong."""
    return [
        check_card,
        check_pairs,
        check_order,
        check_splits,
        check_splits_anew,
        check_unknown_names,
        check_options,
        *LAYOUT_CHECKS,
    ]


def check_card(make: Make) -> None:
    """The card is complete, its counts are of known stains and splits, and unknown slides are admitted."""
    with _tree(make) as tree:
        card, dataset = tree.dataset.card, tree.dataset
        for field in ("title", "citation", "url", "licence", "pairing", "split_unit"):
            assert getattr(card, field).strip(), f"the card's {field} is empty"
        said = (*card.split_warnings, *card.warnings)
        assert all(warning.strip() for warning in said), "the card holds an empty warning"
        for (stain, split), count in card.counts.items():
            assert stain in dataset.stains, f"the card counts an unknown stain {stain!r}"
            assert split in dataset.splits, f"the card counts an unknown split {split!r}"
            assert count > 0, f"the card counts {count} pairs of {stain} {split}"
        assert all(stain == stain.lower() for stain in dataset.stains), f"stains are lower case: {dataset.stains}"
        assert card.size is None or min(card.size) > 0, f"the card's size is {card.size}"
        assert dataset.pixel_size is None or dataset.pixel_size > 0, f"a pixel is {dataset.pixel_size} µm large"
        if any(pair.slide is None for split in dataset.splits for pair in _list(tree, split)):
            assert any("slide" in warning for warning in card.warnings), "slides are unknown; the card must warn of it"


def check_pairs(make: Make) -> None:
    """Every pair has an id of its own that can be a file name, the split asked for, and images that are there."""
    with _tree(make) as tree:
        for split in tree.dataset.splits:
            pairs = _list(tree, split)
            assert len(pairs) >= 2, f"{len(pairs)} pairs of {split}: the tiny tree needs two"
            ids = [pair.id for pair in pairs]
            assert len(set(ids)) == len(ids), f"an id occurs twice in {split}: {sorted(ids)}"
            for pair in pairs:
                assert Path(pair.id).name == pair.id, f"{pair.id!r} can't be a file name"
                assert pair.split == split, f"{pair.id}: split {pair.split!r}, asked for {split!r}"
                assert pair.slide != "", f"{pair.id}: an empty slide; None where it is unknown"
                files = pair.images
                assert len(set(files)) == len(files), f"{pair.id}: one file stands for two images"
                assert all(file.is_file() for file in files), f"{pair.id}: {files} are not all there"


def check_order(make: Make) -> None:
    """The order of the pairs is the same each time, and whatever order the file system lists a folder in."""
    with _tree(make) as tree:
        for split in tree.dataset.splits:
            pairs = _list(tree, split)
            for backwards in (False, True):
                with _folders_listed(backwards):
                    assert _list(tree, split) == pairs, f"the order of {split} follows the file system's"


def check_splits(make: Make) -> None:
    """No image is in two splits; nor is a slide, unless the card says that slides are shared."""
    with _tree(make) as tree:
        files: dict[Path, str] = {}
        slides: dict[str, str] = {}
        for split in tree.dataset.splits:
            for pair in _list(tree, split):
                for file in (pair.he, pair.ihc):
                    assert file not in files, f"{file} is in {files.get(file)} and {split}"
                    files[file] = split
                if pair.slide is not None:
                    other = slides.setdefault(pair.slide, split)
                    told = "shared" in tree.dataset.card.split_unit
                    assert other == split or told, f"slide {pair.slide} is in {other} and {split}; the card hides it"


def check_splits_anew(make: Make) -> None:
    """Folds by slide hold every pair of the published splits once, and no slide twice; unknown slides are refused."""
    with _tree(make) as tree:
        pool = [pair for split in tree.dataset.splits for pair in _list(tree, split)]
        dataset = tree.dataset
        for fold in (0, 1):
            config = dataset.config.model_copy(update={"split_by": "folds", "folds": 2, "fold": fold})
            anew = replace(tree, dataset=type(dataset)(config))
            if any(pair.slide is None for pair in pool):
                _refusal(DataError, _list, anew, "test")
                continue
            train, test = (_list(anew, split) for split in ("train", "test"))
            found, there = sorted(p.id for p in train + test), sorted(p.id for p in pool)
            assert found == there, f"fold {fold} has {found}, the published splits {there}"
            sides = [{p.slide for p in pairs} for pairs in (train, test)]
            assert sides[0].isdisjoint(sides[1]), f"fold {fold}: slides on both sides: {sorted(map(str, sides[0]))}"


def check_unknown_names(make: Make) -> None:
    """An unknown stain or split is refused, and the known ones are listed."""
    with _tree(make) as tree:
        dataset = tree.dataset
        wrong = [(tree.stain, "no-such-split", dataset.splits)]
        if dataset.stains:
            wrong.append(("no-such-stain", dataset.splits[0], dataset.stains))
        for stain, split, known in wrong:
            message = _refusal(UsageError, dataset.pairs, tree.root, stain, split)
            assert all(name in message for name in known), f"{message!r} does not list {known}"


def check_options(make: Make) -> None:
    """A misspelt option is refused by name, and a number without sense: 10²², infinity, NaN."""
    with _tree(make) as tree:
        wrong = [("no_such_option", 1)]
        wrong += [(name, number) for name, value in tree.dataset.config for number in beyond(value)]
        for name, value in wrong:
            message = _refusal(UsageError, type(tree.dataset).from_options, {name: value})
            assert name in message, f"{message!r} does not name the option {name}"


def check_missing_partner(make: Make) -> None:
    """Where one image of a pair is missing, on either side, the error names the file."""
    for side in ("he", "ihc"):
        with _tree(make) as tree:
            for split in tree.dataset.splits:
                pair = _list(tree, split)[-1]
                gone: Path = getattr(pair, side)
                gone.rename(tree.root / "kept")
                message = _refusal(DataError, _list, tree, split)
                assert pair.id in message, f"{message!r} does not name {gone.name}, whose partner is missing"
                (tree.root / "kept").rename(gone)


def check_doubled_partner(make: Make) -> None:
    """Where two files could be one image of a pair, the error names one of them."""
    for side in ("he", "ihc"):
        with _tree(make) as tree:
            for split in tree.dataset.splits:
                file: Path = getattr(_list(tree, split)[0], side)
                twin = file.with_suffix(".png" if file.suffix != ".png" else ".jpg")
                shutil.copyfile(file, twin)
                message = _refusal(DataError, _list, tree, split)
                assert file.name in message or twin.name in message, f"{message!r} names neither {file} nor {twin}"
                twin.unlink()


def check_opens_no_image(make: Make) -> None:
    """Pairs are listed by name alone: what is in the image files makes no difference."""
    with _tree(make) as tree:
        before = {split: _list(tree, split) for split in tree.dataset.splits}
        for number, file in enumerate(_images(tree.root)):
            file.write_bytes(b"no image" * (number % 2))  # zero bytes, too
        for split, pairs in before.items():
            assert _list(tree, split) == pairs, f"the pairs of {split} depend on what is in the files"


def check_ignores_other_files(make: Make) -> None:
    """Hidden files and files that are no images, as file managers leave them, make no difference."""
    with _tree(make) as tree:
        before = {split: _list(tree, split) for split in tree.dataset.splits}
        for folder in {file.parent for file in _images(tree.root)}:
            for name in (".DS_Store", "._tile.png", "Thumbs.db", "notes.txt"):
                (folder / name).write_bytes(b"")
        for split, pairs in before.items():
            assert _list(tree, split) == pairs, f"the pairs of {split} depend on files that are no images"


def check_empty_root(make: Make) -> None:
    """An empty or missing root is refused, and named."""
    with _tree(make) as tree, tempfile.TemporaryDirectory() as empty:
        for root in (Path(empty), Path(empty) / "missing"):
            for split in tree.dataset.splits:
                message = _refusal(DataError, _list, replace(tree, root=root), split)
                assert str(root) in message, f"{message!r} does not name {root}"


def check_leaves_no_trace(make: Make) -> None:
    """Listing pairs writes nothing below the root."""
    with _tree(make) as tree:
        before = sorted(tree.root.rglob("*"))
        for split in tree.dataset.splits:
            _list(tree, split)
        assert sorted(tree.root.rglob("*")) == before, "listing pairs leaves files behind"


LAYOUT_CHECKS: tuple[Check, ...] = (
    check_missing_partner,
    check_doubled_partner,
    check_opens_no_image,
    check_ignores_other_files,
    check_empty_root,
    check_leaves_no_trace,
)


@contextmanager
def _tree(make: Make) -> Iterator[Tree]:
    with tempfile.TemporaryDirectory() as folder:
        yield make(Path(folder))


def _list(tree: Tree, split: str) -> list[Pair]:
    return tree.dataset.pairs(tree.root, tree.stain, split)


def _images(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)


def _refusal(kind: type[UserError], call: Callable[..., object], *arguments: object) -> str:
    """The message of the error that the call must raise: of this kind, and of one line."""
    try:
        call(*arguments)
    except kind as error:
        message = str(error)
        assert message, f"an empty {kind.__name__}"
        assert "\n" not in message, f"the error has more than one line: {message!r}"
        return message
    raise AssertionError(f"passes in silence; expected a {kind.__name__}")


@contextmanager
def _folders_listed(backwards: bool) -> Iterator[None]:
    """Every folder is listed by name, or the other way round."""
    scandir, listdir = os.scandir, os.listdir

    def ordered_scandir(path: Any = ".") -> _Entries:
        with scandir(path) as entries:
            return _Entries(sorted(entries, key=lambda entry: entry.name, reverse=backwards))

    def ordered_listdir(path: Any = ".") -> list[str]:
        return sorted(listdir(path), reverse=backwards)

    with mock.patch.object(os, "scandir", ordered_scandir), mock.patch.object(os, "listdir", ordered_listdir):
        yield


class _Entries:
    """What ``os.scandir`` gives, from a list."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        """Nothing is open."""
