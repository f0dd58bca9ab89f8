"""Pairing by name, and the digest of a list of pairs."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vsbench.data.pairs import Pair, few, images_by_stem, in_order, match, pairs_digest
from vsbench.errors import DataError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_pairs_by_stem_in_the_order_of_names(tmp_path: Path) -> None:
    stems = [f"{i}_2+" for i in range(30)] + ["a.b", "[1,2]_patch", "B", "é"]
    shuffled = stems.copy()
    random.Random(3).shuffle(shuffled)
    he = write(tmp_path / "he", *(f"{stem}.jpg" for stem in shuffled))
    ihc = write(tmp_path / "ihc", *(f"{stem}.PNG" for stem in stems))
    write(he, "Thumbs.db", ".hidden.jpg", "notes.txt")
    (he / "folder.png").mkdir()
    assert list(match(he, ihc)) == [(s, he / f"{s}.jpg", ihc / f"{s}.PNG") for s in sorted(stems)]


def test_nested_folders_pair_by_the_path_below(tmp_path: Path) -> None:
    he = write(tmp_path / "he", "s1/r2/t.png", "s1/r10/t.png", "s2/t.png")
    ihc = write(tmp_path / "ihc", "s1/r2/t.jpg", "s1/r10/t.jpg", "s2/t.jpg")
    assert [name for name, *_ in match(he, ihc, nested=True)] == ["s1/r10/t", "s1/r2/t", "s2/t"]
    with pytest.raises(DataError, match="holds no image"):
        list(match(he, ihc))


def test_missing_partners_of_both_sides_stand_in_one_line(tmp_path: Path) -> None:
    he = write(tmp_path / "he", "both.png", *(f"h{i}.png" for i in range(1004)))
    ihc = write(tmp_path / "ihc", "both.png", "i1.tif")
    with pytest.raises(DataError) as caught:
        list(match(he, ihc))
    assert str(caught.value) == (
        f"{he}: no partner in {ihc} for h0.png, h1.png, h10.png and 1001 more; "
        f"{ihc}: no partner in {he} for i1.tif; add the partners or move these files away"
    )


def test_a_partner_that_differs_by_case_is_missing(tmp_path: Path) -> None:
    he, ihc = write(tmp_path / "he", "A.png"), write(tmp_path / "ihc", "a.png")
    with pytest.raises(DataError, match=r"for A\.png.*for a\.png"):
        list(match(he, ihc))


def test_doubled_stems_empty_and_missing_folders_are_named(tmp_path: Path) -> None:
    doubled = write(tmp_path / "doubled", "a.png", "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: a\.png has the same stem"):
        images_by_stem(doubled)
    empty = write(tmp_path / "empty", "notes.txt")
    with pytest.raises(DataError, match="empty: holds no image"):
        images_by_stem(empty)
    with pytest.raises(DataError, match="none: no such folder"):
        images_by_stem(tmp_path / "none")


def test_a_broken_link_is_listed(tmp_path: Path) -> None:
    """It must fail when it is read, by name, and not be left out in silence."""
    folder = write(tmp_path / "he", "a.png")
    (folder / "b.png").symlink_to(tmp_path / "moved.png")
    assert list(images_by_stem(folder)) == ["a", "b"]


def test_few_counts_the_rest() -> None:
    assert [few(list("abcd")[:n]) for n in range(5)] == ["", "a", "a, b", "a, b, c", "a, b, c and 1 more"]


def test_ids_in_order_and_of_one_pair_each() -> None:
    pairs = [Pair(name, Path("he") / name, Path("ihc") / name, None, "train") for name in ("b", "c", "a")]
    assert [pair.id for pair in in_order(pairs)] == ["a", "b", "c"]
    twin = replace(pairs[2], he=Path("other/a"))
    with pytest.raises(DataError, match=r"other/a: he/a has the same name"):
        in_order([*pairs, twin])


def test_digest_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    here = write(tmp_path / "here", "he/a.png", "ihc/a.png", "he/b.png", "ihc/b.png")
    shutil.copytree(here, tmp_path / "there")

    def pairs(root: Path) -> list[Pair]:
        return [Pair(stem, he, ihc, None, "test") for stem, he, ihc in match(root / "he", root / "ihc")]

    first, second = pairs(here)
    digest = pairs_digest([first, second])
    assert pairs_digest(pairs(tmp_path / "there")) == digest
    swapped = replace(first, he=first.ihc, ihc=first.he)
    for other in ([second, first], [first], [swapped, second], [replace(first, slide="s"), second]):
        assert pairs_digest(other) != digest
    (here / "ihc" / "b.png").write_bytes(b"another image")
    assert pairs_digest([first, second]) != digest
