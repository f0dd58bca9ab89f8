"""One's own folders, images of several panels, and the options of splits that every data set has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vsbench.data.pairs import NotHere, Pair
from vsbench.dataset import Dataset
from vsbench.errors import DataError, UsageError

DataSet = Callable[..., Dataset[Any]]
Write = Callable[..., None]


def ids(pairs: list[Pair]) -> list[str]:
    return [pair.id for pair in pairs]


@pytest.mark.parametrize("name", ["folder", "bci"])
@pytest.mark.parametrize(
    ("width", "reason"),
    [
        (16, "is 2 square panels in a row: .* vsbench data prepare"),
        (48, "is 6 square panels in a row, as DeepLIIF has them: .* none is H&E"),
        (24, "is 3 square panels in a row: save its H&E and its IHC as files of their own"),
    ],
)
def test_side_by_side_images_are_known_for_what_they_are(
    name: str, width: int, reason: str, tmp_path: Path, data_set: DataSet
) -> None:
    """As pix2pix-style downloads, BCI's combined ones and DeepLIIF's have them: <root>/train/<name>.png."""
    image = tmp_path / "sets/train/00000_train_1+.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", (width, 8)).save(image)
    root = image.parents[1] if name == "folder" else tmp_path
    with pytest.raises(DataError, match=reason) as caught:
        data_set(name).pairs(root, "her2", "train")
    assert str(image) in str(caught.value)
    for other in (Image.new("RGB", (8, 8)), Image.new("RGB", (20, 8)), None):
        if other is not None:
            other.save(image)
        else:
            image.write_bytes(b"no image")
        with pytest.raises(DataError) as caught:
            data_set(name).pairs(root, "her2", "train")
        assert "panels" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "mend"),
    [
        (["HE/train/a.png", "IHC/train/a.png"], r"holds HE, IHC: name the folders .* --data he=… and --data ihc=…$"),
        (["trainA/a.png", "trainB/a.png"], r"holds trainA, trainB: name the folders"),
        (
            ["he/a.png", "ihc/a.png"],
            r"he holds images itself: tell the split by --data split_by=slides, folds or lists$",
        ),
        (["he/test/a.png", "ihc/test/a.png"], r"no such folder; check the data root and the data set's layout$"),
    ],
)
def test_what_is_laid_otherwise_is_told_how_to_read_it(
    files: list[str], mend: str, tmp_path: Path, data_set: DataSet, write: Write
) -> None:
    write(tmp_path, files=files)
    with pytest.raises(NotHere, match=mend) as caught:
        data_set("folder").pairs(tmp_path, "her2", "train")
    assert str(caught.value).startswith(str(tmp_path / "he/train: no such folder; "))


@pytest.mark.parametrize("name", ["mist", "ihc4bc", "folder"])
def test_the_seed_of_a_split_by_its_old_name(name: str, data_set: DataSet) -> None:
    assert data_set(name, "seed=4").config == data_set(name, "split_seed=4").config
    with pytest.raises(UsageError, match="unknown option 'seed'"):
        data_set(name, "seed=4", "split_seed=4")


def test_split_options_that_cannot_be(data_set: DataSet) -> None:
    for options, reason in (
        (["split_by=folds", "folds=3", "fold=3"], "fold=3: the 3 folds are counted from 0 to 2"),
        (["fold=1"], "fold=1 needs split_by=folds"),
        (["folds=5", "split_by=slides"], "folds=5 needs split_by=folds"),
        (["lists=a.txt"], "lists=a.txt needs split_by=lists"),
        (["split_by=tiles"], "split_by: "),
        (["split_by=folds", "folds=1"], "folds: "),
        (["ratio=1"], "ratio: "),
    ):
        with pytest.raises(UsageError, match=reason):
            data_set("mist", *options)


def test_slides_must_be_known_to_split_by_them(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    for split in ("train", "test"):
        write(tmp_path / "HE" / split, tmp_path / "IHC" / split, files=[f"00000_{split}_0.png"])
    for how in ("slides", "folds"):
        with pytest.raises(DataError, match=r"00000_test_0\.png: its slide is not known, .* split_by=lists"):
            data_set("bci", f"split_by={how}").pairs(tmp_path, "her2", "test")


def test_how_the_phantom_is_split_renders_nothing_anew(tmp_path: Path, data_set: DataSet) -> None:
    folders = {data_set("phantom", *options).folder(tmp_path) for options in ([], ["split_by=folds", "fold=1"])}
    assert len(folders) == 1
    assert data_set("phantom", "seed=1").folder(tmp_path) not in folders
    assert data_set("phantom", "seed=1").config.split_seed == 0


def test_folders_by_any_name(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "trainA", tmp_path / "trainB", files=["x.png"])
    write(tmp_path / "testA", tmp_path / "testB", files=["y.png"])
    assert ids(data_set("folder", "he={split}A", "ihc={split}B").pairs(tmp_path, "cd3", "test")) == ["y"]
    write(tmp_path / "test/H&E", tmp_path / "test/cd3", tmp_path / "test/cd8", files=["z.png"])
    (pair,) = data_set("folder", "he={split}/H&E", "ihc={split}/{stain}").pairs(tmp_path, "cd8", "test")
    assert pair == Pair("z", tmp_path / "test/H&E/z.png", tmp_path / "test/cd8/z.png", None, "test")


def test_folder_reads_the_slide_by_pattern(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "he/test", tmp_path / "ihc/test", files=["S12-B3_004.png", "S7-B1_001.png"])
    for pattern, slides in (("^S(\\d+)", ["12", "7"]), ("S\\d+-B\\d", ["S12-B3", "S7-B1"])):
        pairs = data_set("folder", f"slide={pattern}").pairs(tmp_path, "er", "test")
        assert [pair.slide for pair in pairs] == slides
    for pattern in ("^S(\\d\\d)", "()S", "(S7)?"):
        with pytest.raises(DataError, match=r"he/test/S(12-B3_004|7-B1_001)\.png: .* finds no slide"):
            data_set("folder", f"slide={pattern}").pairs(tmp_path, "er", "test")


def test_folder_options_that_cannot_be(tmp_path: Path, data_set: DataSet) -> None:
    for options, reason in (
        (["slide=(a"], "slide: .*no regular expression"),
        (["slide=a{99999999999999999999}"], "slide: .*no regular expression"),
        ([f"slide={chr(40) * 900}"], "slide: .*no regular expression"),
        (["slide=" + "a" * 2000], "slide: .*at most 1000 characters"),
        (["split_by=slides"], "split_by=slides needs slide=PATTERN"),
        (["split_by=folds"], "split_by=folds needs slide=PATTERN"),
        (["split_by=slide"], "split_by: "),
        (["ratio=1"], "ratio: "),
        (["ratoi=0.5"], "did you mean 'ratio'"),
    ):
        with pytest.raises(UsageError, match=reason):
            data_set("folder", *options)


def test_folders_split_on_disk_may_be_split_anew(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    for split, slides in (("train", "abc"), ("test", "de")):
        write(tmp_path / "he" / split, tmp_path / "ihc" / split, files=[f"{slide}_1.png" for slide in slides])
    options = ["he=he/{split}", "ihc=ihc/{split}", "slide=^.", "split_by=folds"]
    tested = [data_set("folder", *options, f"fold={fold}").pairs(tmp_path, "er", "test") for fold in range(5)]
    assert sorted(pair.id for (pair,) in tested) == ["a_1", "b_1", "c_1", "d_1", "e_1"]
    assert data_set("folder", "split_by=folders").pairs(tmp_path, "er", "test") == data_set("folder").pairs(
        tmp_path, "er", "test"
    )


def test_folders_of_no_pairs(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    """Every training image of both sides, in unequal numbers and under other names; test images are pairs as ever."""
    write(tmp_path / "he/train", files=["a.png", "b.png"])
    write(tmp_path / "ihc/train", files=[f"{i}.png" for i in range(5)])
    write(tmp_path / "he/test", tmp_path / "ihc/test", files=["y.png"])
    folder = data_set("folder", "paired=false")
    train = folder.pairs(tmp_path, "er", "train")
    assert ids(train) == ["a", "a~2", "a~3", "b", "b~2"]
    assert {pair.ihc.stem for pair in train} == set("01234")
    assert [pair.he.stem for pair in train] == ["a", "a", "a", "b", "b"]
    assert not folder.paired
    assert data_set("folder").paired
    assert ids(folder.pairs(tmp_path, "er", "test")) == ["y"]
    write(tmp_path / "he/test", files=["z.png"])
    with pytest.raises(DataError, match=r"no partner in .* for z\.png"):
        folder.pairs(tmp_path, "er", "test")
    with pytest.raises(UsageError, match="paired=false needs split_by=folders"):
        data_set("folder", "paired=false", "split_by=lists")


def test_folder_lists_may_not_share_a_pair(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "he", tmp_path / "ihc", files=["a.png", "b.png"])
    (tmp_path / "test.txt").write_text("a\nb\n")
    folder = data_set("folder", "split_by=lists")
    assert ids(folder.pairs(tmp_path, "er", "test")) == ["a", "b"]
    with pytest.raises(DataError, match=r"train\.txt: No such file"):
        folder.pairs(tmp_path, "er", "train")
    (tmp_path / "train.txt").write_text("b\n")
    with pytest.raises(DataError, match=r"test\.txt: also in .*train\.txt: b;"):
        folder.pairs(tmp_path, "er", "test")
