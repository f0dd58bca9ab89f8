"""Pairing by name, and the digest of a list of pairs."""

import random
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from vsbench.data.pairs import (
    NotHere,
    Pair,
    few,
    images_by_stem,
    in_order,
    match,
    not_read,
    pairs_digest,
    passed_over,
)
from vsbench.data.splits import by_lists
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


def test_links_that_lead_back_to_themselves_are_no_folders_and_entered_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "he", "s1/a.png", "b.png")
    (folder / "loop").symlink_to("loop")
    (folder / "c.png").symlink_to("c.png")
    (folder / "s1" / "up").symlink_to(folder)
    (folder / "again").symlink_to("s1")
    assert list(images_by_stem(folder, nested=True)) == ["again/a", "b", "c", "s1/a"]
    assert list(images_by_stem(folder)) == ["b", "c"]


def test_every_ending_of_a_jpeg_is_an_image(tmp_path: Path) -> None:
    folder = write(tmp_path / "he", "a.jpg", "b.JPEG", "c.jfif", "d.jpe", "e.JFIF")
    assert list(images_by_stem(folder)) == list("abcde")


def test_what_lies_beside_images_and_is_not_read_is_counted_and_named(tmp_path: Path) -> None:
    he = write(tmp_path / "he" / "test", "a.png", "b.jp2", "c.gif", "notes", "labels.csv", ".hidden.gif", "more/d.png")
    ihc = write(tmp_path / "ihc" / "test", "a.png", "slides/e.png", "slides/f.svs")
    images = [he / "a.png", ihc / "a.png", ihc / "slides" / "e.png"]
    assert passed_over(images) == [
        *(he / name for name in ("b.jp2", "c.gif", "more", "notes")),
        ihc / "slides" / "f.svs",
    ]
    (line,) = not_read(images)
    assert line == (
        "not read, though beside the images: .gif (1), .jp2 (1), .svs (1), folders (1), without ending (1): "
        "he/test/b.jp2, he/test/c.gif, he/test/more and 2 more"
    )
    assert not_read([ihc / "slides" / "e.png"]) == ["not read, though beside the images: .svs (1): test/slides/f.svs"]
    assert not_read([]) == []


def test_what_systems_leave_for_themselves_is_passed_over_in_silence(tmp_path: Path) -> None:
    left = ("Thumbs.db", "THUMBS.DB", "ehthumbs.db", "desktop.ini", "Desktop.ini", ".DS_Store", "__MACOSX/._a.png")
    folder = write(tmp_path / "he", "a.png", "thumbs.gif", *left)
    assert passed_over([folder / "a.png"]) == [folder / "thumbs.gif"]
    with pytest.raises(DataError, match=r"holds no image \([^)]*\)$"):
        images_by_stem(write(tmp_path / "empty", *left))


@pytest.mark.parametrize(
    ("read", "beside", "named"),
    [
        (["he/train", "ihc/train", "he/test", "ihc/test"], ["he/val", "ihc/Valid"], ["he/val", "ihc/Valid"]),
        (["trainA", "trainB"], ["valA", "valB", "testA", "colour-A", "evaluated"], ["valA", "valB"]),
        (["train/he", "test/he"], ["validation/he", "notes/he"], ["validation"]),
        (["he/train/s1", "he/test/s2"], ["he/dev/s3"], ["he/dev"]),
        (["he/test"], ["val", "he/val"], []),  # a folder of images alone: what is above it was not asked about
        (["he/train", "he/val", "he/test"], [], []),
    ],
)
def test_the_folders_of_a_split_that_is_not_there_are_named(
    tmp_path: Path, read: list[str], beside: list[str], named: list[str]
) -> None:
    images = [write(tmp_path / folder, "a.png") / "a.png" for folder in read]
    for folder in beside:
        write(tmp_path / folder, "a.png")
    assert passed_over(images) == [tmp_path / folder for folder in named]
    assert passed_over(images, ("train", "test", "val", "valid", "validation", "dev")) == []


def test_a_folder_of_other_kinds_alone_and_a_partner_of_one_say_so(tmp_path: Path) -> None:
    he, ihc = write(tmp_path / "he", "a.png", "b.png"), write(tmp_path / "ihc", "a.png", "b.jp2")
    with pytest.raises(DataError, match=r"for b\.png \(b\.jp2 there is no image that is read\); add"):
        list(match(he, ihc))
    (ihc / "a.png").unlink()
    with pytest.raises(DataError, match=r"ihc: holds no image \(.*\), but 1 of other kinds: b\.jp2"):
        list(match(he, ihc))


def test_names_that_differ_in_unicode_form_alone_are_one(tmp_path: Path) -> None:
    """As after copying from a Mac: nobody can see it."""
    composed, apart = (unicodedata.normalize(form, "Bl\u00f6cke-\u00e9") for form in ("NFC", "NFD"))
    he, ihc = write(tmp_path / "he", f"{composed}.png"), write(tmp_path / "ihc", f"{apart}.png")
    for first, second in ((he, ihc), (ihc, he)):
        ((name, *files),) = match(first, second)
        assert name == composed
        assert {file.parent for file in files} == {he, ihc}
    (tmp_path / "test.txt").write_text(apart, encoding="utf-8")
    assert by_lists([composed], {"test": tmp_path / "test.txt"}) == {composed: "test"}
    write(ihc, f"{composed}.png")
    if len(list(ihc.iterdir())) == 2:  # some file systems take both for one
        with pytest.raises(DataError, match="has the same stem and differs in Unicode form alone; keep one"):
            images_by_stem(ihc)


def test_two_missing_folders_are_another_fault_than_one(tmp_path: Path) -> None:
    he = write(tmp_path / "he", "a.png")
    with pytest.raises(NotHere, match="none: no such folder"):
        list(match(tmp_path / "none", tmp_path / "nowhere"))
    for sides in ((he, tmp_path / "none"), (tmp_path / "none", he)):
        with pytest.raises(DataError, match="none: no such folder") as caught:
            list(match(*sides))
        assert not isinstance(caught.value, NotHere)


def test_where_no_name_agrees_that_is_what_is_to_mend(tmp_path: Path) -> None:
    he, ihc = write(tmp_path / "he", "a_HE.png", "b.png"), write(tmp_path / "ihc", "a_IHC.png")
    with pytest.raises(DataError, match=r"a_IHC\.png; give the two files of a pair one name; the endings may differ$"):
        list(match(he, ihc))
    write(ihc, "b.png")
    with pytest.raises(DataError, match=r"a_IHC\.png; add the partners or move these files away$"):
        list(match(he, ihc))


def test_a_file_is_no_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: a file, where a folder"):
        images_by_stem(write(tmp_path, "a.png") / "a.png")


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
