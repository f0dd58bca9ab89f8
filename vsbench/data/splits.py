"""Splits: by slide, so that no slide is on both sides, in two parts or in folds, or as text files say."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import floor
from pathlib import Path

from vsbench.data.pairs import NotHere, Pair, few
from vsbench.errors import DataError
from vsbench.files import digest, read_text
from vsbench.names import said

LARGEST = 1 << 28  # bytes of a list


def by_slide(slides: Iterable[str], ratio: float, seed: int) -> dict[str, str]:
    """Slide → "train" or "test": the share ``ratio`` of the slides (not of their tiles) is train, at least one each.

    The slides are put in the order of SHA-256 over seed and name: the same on every machine, whatever the order in
    which they come, and one slide more moves at most one of the others.

    Raises DataError where there are fewer than two slides.
    """
    order = _shuffled(slides, seed)
    if len(order) < 2:
        raise DataError(f"a split by slide needs two slides or more; found {', '.join(order) or 'none'}")
    n_train = min(max(floor(ratio * len(order) + 0.5), 1), len(order) - 1)
    return {slide: "train" if i < n_train else "test" for i, slide in enumerate(order)}


def by_fold(tiles: Mapping[str, int], folds: int, seed: int) -> dict[str, int]:
    """Slide → fold, 0 … ``folds`` − 1, from the number of tiles of each slide, 1 or more.

    In the order of ``by_slide``, each slide goes to the fold with the fewest tiles so far. So no fold is empty, and
    none has more tiles than another by more than the largest slide has.

    Raises DataError where there are fewer slides than folds.
    """
    if len(tiles) < folds:
        raise DataError(f"{folds} folds by slide need as many slides; found {len(tiles)}: give a lower folds=N")
    filled = [0] * folds
    fold_of = {}
    for slide in _shuffled(tiles, seed):
        fold_of[slide] = filled.index(min(filled))
        filled[fold_of[slide]] += tiles[slide]
    return fold_of


def keep_slides_of(pairs: Collection[Pair], split: str, ratio: float, seed: int, root: Path) -> list[Pair]:
    """Those pairs whose slide ``by_slide`` puts into ``split``.

    Raises DataError, naming ``root``, where there are fewer than two slides, and the file of a pair without a slide.
    """
    slides = _known_slides(pairs)
    try:
        sides = by_slide(slides, ratio, seed)
    except DataError as error:
        raise DataError(f"{root}: {error}") from None
    return [pair for pair, slide in zip(pairs, slides, strict=True) if sides[slide] == split]


def keep_folds_of(pairs: Collection[Pair], split: str, folds: int, fold: int, seed: int, root: Path) -> list[Pair]:
    """Those pairs whose slide is in fold number ``fold`` where ``split`` is "test", and all others where it is "train".

    Raises DataError, naming ``root``, where there are fewer slides than folds, and the file of a pair without a slide.
    """
    slides = _known_slides(pairs)
    try:
        fold_of = by_fold(Counter(slides), folds, seed)
    except DataError as error:
        raise DataError(f"{root}: {error}") from None
    wanted = split == "test"
    return [pair for pair, slide in zip(pairs, slides, strict=True) if (fold_of[slide] == fold) == wanted]


def all_folds(pairs: Collection[Pair], split: str, folds: int, root: Path) -> list[Pair]:
    """All pairs, where ``split`` is "test": each is in the test set of one fold.

    Raises DataError as ``keep_folds_of``, and NotHere where ``split`` is "train": each fold is trained on the others.
    """
    if split != "test":
        raise NotHere(f"{root}: fold=all has no training set of its own: train on each fold, fold=0 to {folds - 1}")
    keep_folds_of(pairs, split, folds, 0, 0, root)
    return list(pairs)


def split_digest(train: Iterable[Pair], test: Iterable[Pair]) -> str:
    """SHA-256 over which pairs are train and which are test, and their slides; not over images, order or place."""
    sides = {"train": train, "test": test}
    rows = sorted((split, pair.id, pair.slide or "") for split, pairs in sides.items() for pair in pairs)
    return digest(part for row in rows for part in row)


def read_list(path: Path) -> list[str]:
    """The stems in a UTF-8 text file, one a line, in Unicode form NFC; empty lines are passed over.

    Raises DataError, naming the file, where it is missing, empty or no text, or names a stem twice.
    """
    try:
        lines = read_text(path, LARGEST).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {said(error)}; a list holds one file stem a line") from None
    stems = [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]
    if not stems:
        raise DataError(f"{path}: an empty list; write one file stem a line")
    if doubled := [stem for stem, times in Counter(stems).items() if times > 1]:
        raise DataError(f"{path}: listed twice: {few(doubled)}; keep one line each")
    return stems


def by_lists(ids: Collection[str], lists: Mapping[str, Path]) -> dict[str, str]:
    """Pair id → split, from one list file per split; pairs in no list are left out.

    Raises DataError as ``read_list`` does, and where a stem is no pair's or is in two lists.
    """
    known = set(ids)
    split_of: dict[str, str] = {}
    for split, path in lists.items():
        stems = read_list(path)
        if unknown := [stem for stem in stems if stem not in known]:
            raise DataError(f"{path}: no pair of that name: {few(unknown)}; a list holds file stems, without .png")
        if shared := [stem for stem in stems if stem in split_of]:
            other = lists[split_of[shared[0]]]
            raise DataError(f"{path}: also in {other}: {few(shared)}; a pair belongs to one split")
        split_of.update(dict.fromkeys(stems, split))
    return split_of


def _shuffled(slides: Iterable[str], seed: int) -> list[str]:
    """Each slide once, in the order of SHA-256 over seed and name."""
    return sorted(set(slides), key=lambda slide: digest([str(seed), slide]))


def _known_slides(pairs: Iterable[Pair]) -> list[str]:
    """The slide of each pair. Raises DataError naming the file of the first whose slide is not known."""
    slides = []
    for pair in pairs:
        if pair.slide is None:
            raise DataError(
                f"{pair.he}: its slide is not known, so it can't be split by slide; keep the official split, or write "
                "lists of your own for split_by=lists"
            )
        slides.append(pair.slide)
    return slides
