"""Every registered data set under every check, on tiny trees in the data sets' own layouts."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from vsbench.checks.datasets import LAYOUT_CHECKS, Check, Make, Tree, dataset_checks
from vsbench.registry import load, names

GROUP = "vsbench.datasets"
SLIDES = ("1M2100001", "2M2100002", "3M2100003", "4M2100004")


def write(*folders: Path, files: Iterable[str]) -> None:
    """The same file names in each of the folders; listing opens no image, so a few bytes will do."""
    for name in files:
        for folder in folders:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"tile")


def mist(folder: Path) -> Tree:
    home = folder / "MIST" / "Ki67" / "TrainValAB"
    write(home / "trainA", home / "trainB", files=[f"{s}_{i}_10.jpg" for s in SLIDES for i in (9, 10)])
    write(home / "valA", home / "valB", files=[f"{s}_{i}_11.jpg" for s in SLIDES for i in (9, 10)])
    return Tree(load(GROUP, "mist")(), folder, "ki67")


def mist_by_slides(folder: Path) -> Tree:
    return Tree(load(GROUP, "mist").from_options({"split_by": "slides", "ratio": 0.5}), mist(folder).root, "ki67")


def ihc4bc_kaggle(folder: Path) -> Tree:
    images = folder / "IHC4BC_Compressed" / "Images"
    files = [
        f"Patient_0_{patient}/Subregion_{region}/0_{patient}_{region}_1_2.jpg"
        for patient in (1010, 1011, 1012)
        for region in (2, 10)
    ]
    write(images / "HandE" / "Her2", images / "IHC" / "Her2", files=files)
    return Tree(load(GROUP, "ihc4bc").from_options({"ratio": 0.5}), folder, "her2")


def ihc4bc_repack(folder: Path) -> Tree:
    home = folder / "IHC4BC_data" / "HER2"
    write(home / "trainA", home / "trainB", files=["0_1010_1_2_3.jpg", "0_1010_1_2_10.jpg"])
    write(home / "valA", home / "valB", files=["0_1011_1_2_3.jpg", "0_1011_1_2_10.jpg"])
    return Tree(load(GROUP, "ihc4bc")(), folder, "her2")


def bci(folder: Path) -> Tree:
    home = folder / "BCI_dataset"
    write(home / "HE" / "train", home / "IHC" / "train", files=["00000_train_1+.png", "00001_train_3+.png"])
    write(home / "HE" / "test", home / "IHC" / "test", files=["00000_test_0.png", "00003_test_2+.png"])
    return Tree(load(GROUP, "bci")(), folder, "her2")


def bci_challenge(folder: Path) -> Tree:
    home = folder / "BCI"
    write(home / "train" / "HE", home / "train" / "IHC", files=["00000_train_1+.png", "00002_train_3+.png"])
    write(home / "val" / "HE", home / "val" / "IHC", files=["00001_train_2+.png"])
    write(home / "test" / "HE", home / "test" / "IHC", files=["00000_test_0.png", "00003_test_2+.png"])
    return Tree(load(GROUP, "bci")(), folder, "her2")


def folder_by_folders(folder: Path) -> Tree:
    write(folder / "he" / "train", folder / "ihc" / "train", files=["a_1.tif", "a_2.tif"])
    write(folder / "he" / "test", folder / "ihc" / "test", files=["b_1.tif", "b_2.tif"])
    return Tree(load(GROUP, "folder")(), folder, "cd8")


def folder_by_lists(folder: Path) -> Tree:
    write(folder / "he", folder / "ihc", files=["a_1.tif", "a_2.tif", "b_1.tif", "b_2.tif", "spare.tif"])
    (folder / "train.txt").write_text("a_2\na_1\n")
    (folder / "test.txt").write_text("b_1\n\nb_2\n")
    return Tree(load(GROUP, "folder").from_options({"split_by": "lists"}), folder, "cd8")


def folder_by_slides(folder: Path) -> Tree:
    write(folder / "HE", folder / "cd8", files=[f"{slide}_{i}.png" for slide in "abcd" for i in (9, 10)])
    options = {"split_by": "slides", "slide": "^([^_]+)_", "he": "HE", "ihc": "{stain}", "ratio": 0.5}
    return Tree(load(GROUP, "folder").from_options(options), folder, "cd8")


def phantom(folder: Path) -> Tree:
    options = {"slides_train": 1, "slides_test": 1, "tiles_per_slide": 2, "size": 64}
    return Tree(load(GROUP, "phantom").from_options(options), folder, "ki67")


MAKERS: dict[str, tuple[Make, ...]] = {
    "mist": (mist, mist_by_slides),
    "ihc4bc": (ihc4bc_kaggle, ihc4bc_repack),
    "bci": (bci, bci_challenge),
    "folder": (folder_by_folders, folder_by_lists, folder_by_slides),
    "phantom": (phantom,),
}
CASES = [(name, make) for name in names(GROUP) for make in MAKERS.get(name, ())]


@pytest.mark.parametrize("check", dataset_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "make"), CASES, ids=[make.__name__ for _, make in CASES])
def test_data_set(name: str, make: Make, check: Check) -> None:
    if check in LAYOUT_CHECKS and not load(GROUP, name).needs_root:
        pytest.skip("makes its own images: there is no layout to damage")
    check(make)


def test_every_data_set_has_a_tiny_tree() -> None:
    """Being registered is being tested: a data set without a maker above is in none of the checks."""
    assert sorted(names(GROUP)) == sorted(MAKERS)
