"""Splits by slide, in folds and by list, and their digest."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from vsbench.data.pairs import NotHere, Pair
from vsbench.data.splits import (
    all_folds,
    by_fold,
    by_lists,
    by_slide,
    keep_folds_of,
    keep_slides_of,
    read_list,
    split_digest,
)
from vsbench.errors import DataError

SLIDES = [f"19M{i:07d}" for i in range(57)]
TILES = {slide: i % 13 + 1 for i, slide in enumerate(SLIDES)}


def pairs_of(tiles: dict[str, int]) -> list[Pair]:
    return [Pair(f"{s}_{i}", Path(f"{s}_{i}.png"), Path("ihc.png"), s, "") for s in tiles for i in range(tiles[s])]


def test_order_is_that_of_sha256_over_seed_and_slide() -> None:
    order = sorted(SLIDES, key=lambda slide: hashlib.sha256(f"7\0{slide}\0".encode()).hexdigest())
    sides = by_slide(reversed(SLIDES), ratio=0.8, seed=7)
    assert [slide for slide in order if sides[slide] == "train"] == order[:46]  # 45.6 of 57, rounded
    assert by_slide(SLIDES * 3, ratio=0.8, seed=7) == sides
    assert by_slide(SLIDES, ratio=0.8, seed=8) != sides


@pytest.mark.parametrize(("ratio", "n", "n_train"), [(0.5, 4, 2), (0.5, 5, 3), (0.01, 9, 1), (0.99, 9, 8), (0.8, 2, 1)])
def test_ratio_is_of_the_slides_and_neither_side_is_empty(ratio: float, n: int, n_train: int) -> None:
    assert list(by_slide(SLIDES[:n], ratio, seed=0).values()).count("train") == n_train


def test_one_slide_more_moves_at_most_one_other() -> None:
    for n in range(2, len(SLIDES)):
        before, after = by_slide(SLIDES[:n], 0.7, seed=0), by_slide(SLIDES[: n + 1], 0.7, seed=0)
        assert sum(before[slide] != after[slide] for slide in before) <= 1


def test_a_split_by_slide_needs_two_slides_that_are_known(tmp_path: Path) -> None:
    pairs = [Pair(f"t{i}", Path(f"t{i}.png"), Path("ihc.png"), "only", "test") for i in range(3)]
    with pytest.raises(DataError, match=r"needs two slides or more; found only") as caught:
        keep_slides_of(pairs, "test", 0.5, 0, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    unknown = Pair("u", Path("u.png"), Path("ihc.png"), None, "test")
    with pytest.raises(DataError, match=r"u\.png: its slide is not known"):
        keep_slides_of([*pairs, unknown], "test", 0.5, 0, tmp_path)


def test_the_two_sides_hold_every_pair_once_and_no_slide_twice(tmp_path: Path) -> None:
    pairs = [Pair(f"{s}_{i}", Path(f"{s}_{i}"), Path("ihc"), s, "") for s in SLIDES for i in range(int(s[-1]) % 4 + 1)]
    train, test = (keep_slides_of(pairs, split, 0.6, 3, tmp_path) for split in ("train", "test"))
    assert sorted(pair.id for pair in train + test) == sorted(pair.id for pair in pairs)
    assert {pair.slide for pair in train}.isdisjoint({pair.slide for pair in test})


@pytest.mark.parametrize("folds", [2, 5, 10, 57])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_slide_is_in_the_test_set_of_one_fold(folds: int, seed: int, tmp_path: Path) -> None:
    pairs = pairs_of(TILES)
    tested = []
    for fold in range(folds):
        train, test = (keep_folds_of(pairs, split, folds, fold, seed, tmp_path) for split in ("train", "test"))
        assert sorted(p.id for p in train + test) == sorted(p.id for p in pairs)
        assert {p.slide for p in train}.isdisjoint({p.slide for p in test})
        assert train
        assert test
        tested += sorted({str(p.slide) for p in test})
    assert sorted(tested) == sorted(TILES)


@pytest.mark.parametrize("folds", [2, 5, 10, 57])
def test_folds_are_as_large_as_one_slide_lets_them_be(folds: int) -> None:
    for seed in range(20):
        sizes = Counter[int]()
        for slide, fold in by_fold(TILES, folds, seed).items():
            sizes[fold] += TILES[slide]
        assert sizes.keys() == set(range(folds))
        assert max(sizes.values()) - min(sizes.values()) <= max(TILES.values())


def test_folds_are_the_same_everywhere_and_others_by_another_seed() -> None:
    """Worked out by hand: in the order of their digests, e has 5 tiles, a 3, f 9, d 1, g 2, c 4 and b 1."""
    tiles = dict(zip("abcdefg", (3, 1, 4, 1, 5, 9, 2), strict=True))
    folds = {"e": 0, "a": 1, "f": 2, "d": 1, "g": 1, "c": 0, "b": 1}
    assert by_fold(tiles, 3, seed=0) == folds
    assert by_fold(dict(reversed(tiles.items())), 3, seed=0) == folds
    assert by_fold(tiles, 3, seed=1) != folds


def test_folds_need_as_many_slides_that_are_known(tmp_path: Path) -> None:
    pairs = pairs_of({"a": 3, "b": 1})
    with pytest.raises(DataError, match="3 folds by slide need as many slides; found 2") as caught:
        keep_folds_of(pairs, "test", 3, 0, 0, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")
    with pytest.raises(DataError, match=r"a_0\.png: its slide is not known"):
        keep_folds_of([replace(pair, slide=None) for pair in pairs], "test", 2, 0, 0, tmp_path)


def test_all_folds_together_test_every_pair_and_train_on_none(tmp_path: Path) -> None:
    pairs = pairs_of({"a": 2, "b": 1})
    assert all_folds(pairs, "test", 2, tmp_path) == pairs
    with pytest.raises(NotHere, match=r"fold=all has no training set of its own: train on each fold, fold=0 to 1"):
        all_folds(pairs, "train", 2, tmp_path)
    with pytest.raises(DataError, match="3 folds by slide need as many slides"):
        all_folds(pairs, "test", 3, tmp_path)


def test_the_digest_of_a_split_tells_who_is_where_and_nothing_else() -> None:
    train, test = pairs_of({"a": 2, "b": 1}), pairs_of({"c": 2})
    digest = split_digest(train, test)
    elsewhere = [replace(pair, he=Path("/other") / pair.he, labels={"x": "1"}) for pair in reversed(train)]
    assert split_digest(elsewhere, test) == digest
    others = [
        split_digest(test, train),
        split_digest(train[1:], [*test, train[0]]),
        split_digest(train, test[1:]),
        split_digest([replace(pair, slide="a") for pair in train], test),
        split_digest([replace(pair, slide=None) for pair in train], test),
        split_digest([replace(train[0], id="other"), *train[1:]], test),
    ]
    assert len({digest, *others}) == 1 + len(others)


def test_lists_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes("\ufeffb 2+\r\n\r\n  a\r\nç".encode())
    assert read_list(path) == ["b 2+", "a", "ç"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\n  \n", "an empty list"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b"a\nb\na\nb\nc\n", "listed twice: a, b;"),
    ],
)
def test_bad_lists_are_named(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "test.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        read_list(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_lists_give_each_pair_one_split(tmp_path: Path) -> None:
    lists = {split: tmp_path / f"{split}.txt" for split in ("train", "test")}
    lists["train"].write_text("c\na\n")
    lists["test"].write_text("b\n")
    assert by_lists(["a", "b", "c", "spare"], lists) == {"a": "train", "b": "test", "c": "train"}
    with pytest.raises(DataError, match=r"train\.txt: no pair of that name: c; "):
        by_lists(["a", "b"], lists)
    lists["test"].write_text("b\na\n")
    with pytest.raises(DataError, match=r"test\.txt: also in .*train\.txt: a; "):
        by_lists(["a", "b", "c"], lists)
