"""Every planted fault is listed by name, and nothing else is."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.data import manifest
from vsbench.data.manifest import Manifest, Record
from vsbench.data.pairs import Pair, match
from vsbench.data.verify import Findings, verify
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig
from vsbench.errors import DataError
from vsbench.registry import load

N = {"train": 12, "test": 6}


class Toy(Dataset[DatasetConfig]):
    """Two stains, 16 × 16, names of the form t01."""

    card = DatasetCard(
        title="toy",
        citation="none",
        url="none",
        licence="none",
        pairing="none",
        split_unit="none",
        size=(16, 16),
        counts={(stain, split): n for stain in ("er", "pr") for split, n in N.items()},
    )
    stains = ("er", "pr")

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        for stem, he, ihc in match(root / stain / "he" / split, root / stain / "ihc" / split):
            if not stem.startswith("t"):
                raise DataError(f"{he}: not a name of toy")
            yield Pair(stem, he, ihc, slide=stem[:2], split=split)


def draw(path: Path, size: tuple[int, int] = (16, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(hashlib.sha256(str(path.name).encode()).digest()[:4], "big")
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "toy"
    for stain in Toy.stains:
        for split, n in N.items():
            for number in range(n):
                for side in ("he", "ihc"):
                    draw(root / stain / side / split / f"t{number:02}.png")
    return root


def messages(findings: Findings) -> list[str]:
    return [fault.message for fault in findings.faults]


def test_a_whole_set_has_no_fault(tree: Path) -> None:
    found = verify(Toy(), tree, Toy.stains)
    assert (found.faults, found.absent, found.images) == ([], {}, 72)
    assert [(c.stain, c.split, c.pairs, c.slides, c.expected) for c in found.counts] == [
        ("er", "train", 12, 2, 12), ("er", "test", 6, 1, 6), ("pr", "train", 12, 2, 12), ("pr", "test", 6, 1, 6),
    ]  # fmt: skip


def test_all_faults_are_found_at_once(tree: Path) -> None:
    he, ihc = tree / "er" / "he" / "train", tree / "er" / "ihc" / "train"
    (ihc / "t00.png").unlink()
    (he / "t01.png").unlink()
    draw(he / "t02.jpg")
    draw(he / "x03.png")
    draw(ihc / "x03.png")
    (he / "t04.png").write_bytes(b"")
    (ihc / "t05.png").write_bytes((ihc / "t05.png").read_bytes()[:-300])
    (ihc / "t06.png").write_bytes(b"<html>")
    Image.open(he / "t07.png").convert("L").save(he / "t07.png")
    Image.open(he / "t08.png").convert("L").convert("RGB").save(he / "t08.png")
    draw(ihc / "t09.png", (16, 15))
    for side in ("he", "ihc"):
        draw(tree / "pr" / side / "test" / "t03.png", (8, 8))
    for blank in (he / "t10.png", ihc / "t10.png"):  # no fault: glass is as it is
        Image.new("RGB", (16, 16), (241, 241, 241)).save(blank)
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}

    found = verify(Toy(), tree, Toy.stains)

    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before
    said = {(fault.kind, fault.files[0].name if fault.files else "") for fault in found.faults}
    assert said == {
        ("name", "t00.png"), ("name", "t01.png"), ("name", "t02.jpg"), ("name", "x03.png"),
        ("image", "t04.png"), ("image", "t05.png"), ("image", "t06.png"), ("image", "t07.png"), ("image", "t08.png"),
        ("size", "t09.png"), ("size", "t03.png"), ("count", ""),
    }  # fmt: skip
    assert len(found.faults) == 14  # t09: as a partner, and by the card; t03: both images
    for what in ("t00.png", "t01.png", "x03.png: not a name of toy", "t02.jpg has the same stem", "empty file",
                 "damaged image", "no image that can be read", "t07.png: grey image", "t08.png: grey in every pixel",
                 "t09.png: 16×15 pixels, but", "the card says 16×16", "er train: 9 pairs, the card"):  # fmt: skip
        assert any(what in message for message in messages(found)), what
    assert [count.pairs for count in found.counts] == [9, 6, 12, 6]


def test_many_missing_partners_are_all_named(tree: Path) -> None:
    """The reader's own error names three and counts the others."""
    for number in range(1, 9):
        (tree / "er" / "ihc" / "train" / f"t{number:02}.png").unlink()
    found = verify(Toy(), tree, ["er"])
    named = [fault.files[0].name for fault in found.faults if fault.kind == "name"]
    assert sorted(named) == [f"t{number:02}.png" for number in range(1, 9)]
    assert found.counts[0].pairs == 4


def test_headers_tell_sizes_and_what_is_cut_short_but_not_what_is_in_the_bytes(tree: Path) -> None:
    folder = tree / "er" / "he" / "train"
    cut, changed = folder / "t05.png", folder / "t07.png"
    cut.write_bytes(cut.read_bytes()[:-300])
    content = bytearray(changed.read_bytes())
    content[-30] ^= 1  # in the pixels, whose checksum no longer holds
    changed.write_bytes(content)
    draw(folder / "t06.png", (8, 16))
    for fast, images in ((True, {cut}), (False, {cut, changed})):
        faults = verify(Toy(), tree, ["er"], fast=fast).faults
        assert {fault.kind for fault in faults} == {"size", "image"}
        assert {fault.files[0] for fault in faults if fault.kind == "image"} == images


def test_a_resized_set_is_one_fault(tree: Path) -> None:
    for path in list((tree / "er").rglob("*.png")):
        draw(path, (8, 8))
    (fault,) = verify(Toy(), tree, ["er"]).faults
    assert "and all others: 8×8 pixels, the card says 16×16" in fault.message


def test_a_stain_nobody_asked_for_may_be_absent(tree: Path) -> None:
    (tree / "pr").rename(tree / "elsewhere")
    found = verify(Toy(), tree, Toy.stains, optional=True)
    assert (found.faults, list(found.absent)) == ([], ["pr"])
    assert verify(Toy(), tree, ["pr"], optional=False).faults
    assert verify(Toy(), tree, ["pr"], optional=True).faults, "nothing at all is a fault, asked for or not"


def test_test_images_alone_are_no_fault(tree: Path) -> None:
    for side in ("he", "ihc"):
        shutil.rmtree(tree / "er" / side / "train")
    found = verify(Toy(), tree, ["er"])
    assert found.faults == []
    assert [(count.split, count.pairs) for count in found.counts] == [("test", 6)]
    assert list(found.absent) == ["er train"]
    shutil.rmtree(tree / "er" / "ihc" / "test")
    assert {fault.kind for fault in verify(Toy(), tree, ["er"]).faults} == {"name"}, "nothing is left to evaluate"


def test_one_missing_side_of_the_training_split_is_a_fault(tree: Path) -> None:
    shutil.rmtree(tree / "er" / "ihc" / "train")
    assert verify(Toy(), tree, ["er"]).faults


def test_what_is_not_read_is_named(tree: Path) -> None:
    """A file that viewers show, which is in no pair: the numbers are of less data than there seems to be."""
    file = tree / "er" / "he" / "train" / "t77.gif"
    Image.new("P", (16, 16)).save(file)
    found = verify(Toy(), tree, Toy.stains)
    assert (found.faults, found.passed_over) == ([], [file])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_no_file_is_named_and_not_waited_for(tree: Path, fast: bool) -> None:
    fifo, loop = (tree / "er" / "he" / "train" / name for name in ("t01.png", "t02.png"))
    fifo.unlink()
    os.mkfifo(fifo)
    loop.unlink()
    loop.symlink_to(loop.name)
    faults = verify(Toy(), tree, ["er"], fast=fast).faults
    assert [(fault.kind, *fault.files) for fault in faults] == [("image", fifo), ("image", loop)]
    assert ["a fifo, not a file" in faults[0].message, "symbolic links" in faults[1].message] == [True, True]


def test_a_split_of_ones_own_needs_only_the_sum(tree: Path) -> None:
    for side in ("he", "ihc"):
        (tree / "er" / side / "test" / "t05.png").rename(tree / "er" / side / "train" / "t99.png")
    assert verify(Toy(), tree, ["er"]).faults == []
    (tree / "er" / "he" / "train" / "t99.png").unlink()
    (tree / "er" / "ihc" / "train" / "t99.png").unlink()
    assert [fault.kind for fault in verify(Toy(), tree, ["er"]).faults] == ["count"]


def test_what_changed_since_it_was_prepared_is_found(tree: Path) -> None:
    prepared = Manifest(tree)
    for path in (tree / "er").rglob("*.png"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        prepared.files[path.relative_to(tree).as_posix()] = Record(path.stat().st_size, digest, "somewhere")
    prepared.save()
    assert verify(Toy(), tree, Toy.stains).faults == []
    changed = tree / "er" / "he" / "train" / "t00.png"
    Image.open(changed).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed)
    for side in ("he", "ihc"):
        (tree / "er" / side / "train" / "t01.png").unlink()
    faults = verify(Toy(), tree, Toy.stains).faults
    assert {fault.files[0].name for fault in faults if fault.kind == "digest"} == {"t00.png", "t01.png"}
    for broken in ("", "{}", '{"schema": 1, "files": {"a": {"size": 1}}}'):
        (tree / manifest.NAME).write_text(broken)
        with pytest.raises(DataError, match="no manifest that can be read"):
            verify(Toy(), tree, ["er"])


def test_a_missing_side_is_told_in_the_readers_words(tree: Path) -> None:
    (tree / "er" / "ihc").rename(tree / "er" / "ICH")
    faults = verify(Toy(), tree, ["er"]).faults
    assert [fault.message.partition(": ")[2][:14] for fault in faults] == ["no such folder"] * 2


@pytest.mark.parametrize(
    "options", [{"split_by": "slides", "slide": "^(..)", "he": "er/he/train", "ihc": "er/ihc/train"}]
)
def test_faults_are_found_where_the_reader_needs_slides(tree: Path, options: dict[str, str]) -> None:
    (tree / "er" / "ihc" / "train" / "t07.png").unlink()
    found = verify(load("vsbench.datasets", "folder").from_options(options), tree, ["er"])
    assert [fault.files[0].name for fault in found.faults] == ["t07.png"]
    assert sum(count.pairs for count in found.counts) == 11


def test_faults_are_found_where_only_the_parents_name_tells_the_stain(tmp_path: Path) -> None:
    root = tmp_path / "PR" / "TrainValAB"
    for part in ("trainA", "trainB", "valA", "valB"):
        for number in range(3):
            draw(root / part / f"1M2_{number}_1.jpg")
    (root / "trainB" / "1M2_1_1.jpg").unlink()
    found = verify(load("vsbench.datasets", "mist")(), root, ["pr"])
    assert [fault.files for fault in found.faults if fault.kind == "name"] == [(root / "trainA" / "1M2_1_1.jpg",)]
    assert [count.pairs for count in found.counts] == [2, 3]


class Picky(Toy):
    """Refuses two names that may each be there without the other."""

    def find(self, root: Path, stain: str, split: str) -> Iterator[Pair]:
        found = {pair.id: pair for pair in super().find(root, stain, split)}
        if {"t07", "t09"} <= found.keys():
            raise DataError(f"{root}: t07 and t09 exclude each other")
        yield from found.values()


def test_names_that_are_at_fault_together_are_one_fault(tree: Path) -> None:
    """The reader's own words are kept where no single name is to blame."""
    found = verify(Picky(), tree, ["er"])
    assert [fault.message for fault in found.faults if fault.kind == "name"] == [
        f"{tree}: t07 and t09 exclude each other"
    ]
    assert [count.pairs for count in found.counts] == [0, 6]
