"""What must be said beside every number on some test pairs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.evaluation.group import Group


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            folder = tmp_path / "data" / side / split
            folder.mkdir(parents=True)
            Image.fromarray(np.full((8, 8, 3), len(side), np.uint8)).save(folder / f"{split}.png")
    return tmp_path / "data"


def warnings(root: Path) -> list[str]:
    return Group("folder", {}, "er", root, root.parent / "results").warnings


def test_what_lies_beside_the_images_and_is_not_read_is_said(root: Path) -> None:
    assert not [line for line in warnings(root) if "not read" in line]
    for split in ("train", "test"):
        Image.new("P", (8, 8)).save(root / "he" / split / "x.gif")
    assert "not read, though beside the images: .gif (2): he/test/x.gif, he/train/x.gif" in warnings(root)


def test_another_size_of_a_pixel_is_another_measurement_of_the_same_images(root: Path) -> None:
    groups = [Group("folder", options, "er", root, root.parent / "results") for options in ({}, {"pixel_size": 0.5})]
    assert [group.pairs[0].pixel_size for group in groups] == [None, 0.5]
    assert groups[0].labels_digest != groups[1].labels_digest
    assert groups[0].data_digest == groups[1].data_digest


def test_a_split_that_is_not_there_is_said_without_a_path_of_the_machine(root: Path) -> None:
    for side in ("he", "ihc"):
        (root / side / "train").rename(root / f"{side}-elsewhere")
    said = warnings(root)
    assert "no training split here, so no rows made from it and no look for shared slides" in said
    assert not [line for line in said if str(root) in line]


def test_test_images_that_are_training_images_too_are_named(root: Path) -> None:
    for side in ("he", "ihc"):
        for split, level in (("train", 10), ("test", 20)):
            Image.new("RGB", (8, 8), (level, len(side), 0)).save(root / side / split / f"{split}.png")
    assert not [line for line in warnings(root) if "training set" in line]
    (root / "he/test/again.png").write_bytes((root / "he/train/train.png").read_bytes())
    Image.new("RGB", (8, 8)).save(root / "ihc/test/again.png")
    assert "1 of 2 test pairs have an image of the training set: again" in warnings(root)
