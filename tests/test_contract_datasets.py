"""Every registered data set under every check, on tiny trees in the data sets' own layouts."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.checks.datasets import LAYOUT_CHECKS, Check, Make, Tree, dataset_checks
from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
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


def mist_by_folds(folder: Path) -> Tree:
    return Tree(
        load(GROUP, "mist").from_options({"split_by": "folds", "folds": 4, "fold": 3}), mist(folder).root, "ki67"
    )


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


def ihc4bc_mixed(folder: Path) -> Tree:
    home = folder / "IHC4BC_data"
    for part, patient in (("train", 1010), ("val", 1011)):
        stems = [f"0_{patient}_1_2_{column}_{marker}" for column in (3, 10) for marker in ("HER2", "ER")]
        write(home / f"{part}A", home / f"{part}B", files=[f"{stem}.jpg" for stem in stems])
    return Tree(load(GROUP, "ihc4bc")(), folder, "er")


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


def bci_by_lists(folder: Path) -> Tree:
    bci(folder)
    (folder / "train.txt").write_text("00000_test_0\n00001_train_3+\n")
    (folder / "test.txt").write_text("00003_test_2+\n00000_train_1+\n")
    return Tree(load(GROUP, "bci").from_options({"split_by": "lists"}), folder, "her2")


def her2match(folder: Path) -> Tree:
    home = folder / "HER2match"
    for split in ("train", "val", "test"):
        write(home / "HE" / split, home / "IHC" / split, files=[f"{split}_0001.jpg", f"{split}_0002.jpg"])
    return Tree(load(GROUP, "her2match")(), folder, "her2")


def her2match_by_split(folder: Path) -> Tree:
    for split in ("train", "val", "test"):
        write(folder / split / "he", folder / split / "ihc", files=[f"{split}_0001.jpg", f"{split}_0002.jpg"])
    return Tree(load(GROUP, "her2match")(), folder, "her2")


def hemit(folder: Path) -> Tree:
    home = folder / "HEMIT"
    for split, region in (("train", "[8960,47104]"), ("val", "[512,1024]"), ("test", "[40960,8192]")):
        names = [f"{region}_patch_{row}_10.tif" for row in (9, 10)]
        write(home / split / "input", home / split / "label", files=names)
    return Tree(load(GROUP, "hemit")(), folder, "mihc")


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


def folder_by_folds(folder: Path) -> Tree:
    for split, slides in (("train", "ab"), ("test", "cd")):
        write(
            folder / f"{split}A", folder / f"{split}B", files=[f"{slide}_{i}.png" for slide in slides for i in (9, 10)]
        )
    options = {"split_by": "folds", "folds": 2, "slide": "^.", "he": "{split}A", "ihc": "{split}B"}
    return Tree(load(GROUP, "folder").from_options(options), folder, "cd8")


def phantom(folder: Path) -> Tree:
    options = {"slides_train": 1, "slides_test": 1, "tiles_per_slide": 2, "size": 64}
    return Tree(load(GROUP, "phantom").from_options(options), folder, "ki67")


MAKERS: dict[str, tuple[Make, ...]] = {
    "mist": (mist, mist_by_slides, mist_by_folds),
    "ihc4bc": (ihc4bc_kaggle, ihc4bc_repack, ihc4bc_mixed),
    "bci": (bci, bci_challenge, bci_by_lists),
    "her2match": (her2match, her2match_by_split),
    "hemit": (hemit,),
    "folder": (folder_by_folders, folder_by_lists, folder_by_slides, folder_by_folds),
    "phantom": (phantom,),
}
CASES = [(name, make) for name in names(GROUP) for make in MAKERS.get(name, ())]


@pytest.mark.parametrize("check", dataset_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize(("name", "make"), CASES, ids=[make.__name__ for _, make in CASES])
def test_data_set(name: str, make: Make, check: Check) -> None:
    if check in LAYOUT_CHECKS and not load(GROUP, name).needs_root:
        pytest.skip("makes its own images: there is no layout to damage")
    check(make)


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF"}
SIDE = 16


@pytest.fixture(scope="module")
def tissue(shared: Path) -> NDArray[np.uint8]:
    """A real tile."""
    return read_rgb(sorted((shared / "data" / "cima" / "he").glob("*.png"))[0])


@pytest.mark.parametrize(
    "make", [make for name, make in CASES if load(GROUP, name).needs_root], ids=lambda make: make.__name__
)
def test_bad_images_of_a_layout_are_found_by_name(make: Make, tissue: NDArray[np.uint8], tmp_path: Path) -> None:
    """Pieces of real tissue in every layout: listed whatever is in them, and read, or refused by name."""
    tree = make(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.suffix in FORMATS)
    bci = load(GROUP, "bci").card.title == tree.dataset.card.title
    for number, file in enumerate(files):
        piece = tissue[number : number + SIDE, number : number + SIDE]
        Image.fromarray(piece).save(file, format="JPEG" if bci else FORMATS[file.suffix])  # BCI's names say .png
    pairs = [pair for split in tree.dataset.splits for pair in tree.dataset.pairs(tmp_path, tree.stain, split)]
    for pair in pairs:
        read(pair)
    truncated, empty, foreign, small = (pair.ihc for pair in pairs[:4])
    truncated.write_bytes(truncated.read_bytes()[:-60])
    empty.write_bytes(b"")
    foreign.write_bytes(b"a text by the name of an image")
    Image.fromarray(tissue[:SIDE, : SIDE - 1]).save(small)
    again = [pair for split in tree.dataset.splits for pair in tree.dataset.pairs(tmp_path, tree.stain, split)]
    assert again == pairs
    for pair, reason in zip(pairs, ("damaged", "empty file", "no image", "one size"), strict=False):
        with pytest.raises(DataError, match=reason) as caught:
            read(pair)
        assert str(pair.ihc) in str(caught.value)


def read(pair: Pair) -> None:
    require_equal_sizes({path: read_rgb(path) for path in (pair.he, pair.ihc)})


def test_every_data_set_has_a_tiny_tree() -> None:
    """Being registered is being tested: a data set without a maker above is in none of the checks."""
    assert sorted(names(GROUP)) == sorted(MAKERS)
