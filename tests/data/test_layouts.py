"""The data sets' layouts as they are met in the wild, and real images in them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.dataset import Dataset
from vsbench.errors import DataError, UsageError
from vsbench.registry import load

DataSet = Callable[..., Dataset[Any]]
Write = Callable[..., None]


def link(source: Path, target: Path, stems: Iterable[str]) -> None:
    target.mkdir(parents=True)
    for stem in stems:
        (target / f"{stem}.png").symlink_to(source / f"{stem}.png")


def ids(pairs: list[Pair]) -> list[str]:
    return [pair.id for pair in pairs]


@pytest.mark.parametrize(
    "home",
    ["MIST/HER2/TrainValAB", "MIST/HER2", "HER2/TrainValAB", "HER2-004/TrainValAB", "histology/mist/Her2/x", "HER2"],
)
def test_mist_levels_may_be_missing(home: str, tmp_path: Path, data_set: DataSet, write: Write) -> None:
    folder = tmp_path / home
    write(folder / "trainA", folder / "trainB", files=["1M2_3_4.jpg"])
    write(folder / "valA", folder / "valB", files=["1M2_3_5.jpg", "2M3_10_1.jpg"])
    for root in (tmp_path, folder):
        (train,) = data_set("mist").pairs(root, "her2", "train")
        assert (train.he, train.ihc) == (folder / "trainA/1M2_3_4.jpg", folder / "trainB/1M2_3_4.jpg")
        assert [pair.slide for pair in data_set("mist").pairs(root, "her2", "test")] == ["1M2", "2M3"]


def test_mist_names_must_tell_the_slide(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "ER/valA", tmp_path / "ER/valB", files=["a_1_2.jpg", "0001.jpg"])
    with pytest.raises(DataError, match=r"0001\.jpg: no slide in its name"):
        data_set("mist").pairs(tmp_path, "er", "test")


def test_mist_by_slides_pools_both_parts(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    home = tmp_path / "MIST/PR/TrainValAB"
    write(home / "trainA", home / "trainB", files=[f"s{i}_0_{j}.jpg" for i in range(10) for j in range(3)])
    write(home / "valA", home / "valB", files=[f"s{i}_1_0.jpg" for i in range(10)])
    mist = data_set("mist", "split_by=slides", "ratio=0.7", "seed=4")
    train, test = (mist.pairs(tmp_path, "pr", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (28, 12)
    assert {pair.slide for pair in train}.isdisjoint({pair.slide for pair in test})
    write(home / "valA", home / "valB", files=["s0_0_0.jpg"])
    with pytest.raises(DataError, match=r"s0_0_0\.jpg has the same name"):
        mist.pairs(tmp_path, "pr", "train")


def test_mist_and_ihc4bc_side_by_side(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    """The two look alike on disk; each must find its own below a common root."""
    mist, repack = tmp_path / "MIST/HER2/TrainValAB", tmp_path / "IHC4BC_data/HER2"
    write(mist / "valA", mist / "valB", files=["1M2_3_5.jpg"])
    write(repack / "valA", repack / "valB", files=["0_1010_1_2_3.jpg"])
    assert ids(data_set("mist").pairs(tmp_path, "her2", "test")) == ["1M2_3_5"]
    assert ids(data_set("ihc4bc").pairs(tmp_path, "her2", "test")) == ["0_1010_1_2_3"]
    with pytest.raises(DataError, match="no folder of her2"):
        data_set("mist").pairs(tmp_path / "IHC4BC_data", "her2", "test")


@pytest.mark.parametrize("images", ["IHC4BC_Compressed/Images", "Images", "."])
def test_ihc4bc_from_kaggle_is_split_by_patient(images: str, tmp_path: Path, data_set: DataSet, write: Write) -> None:
    home = tmp_path / images
    patients = [f"{i}_{1000 + i}" for i in range(20)]
    files = [f"Patient_{p}/Subregion_{r}/{p}_{r}_0_{c}.jpg" for p in patients for r in (1, 2) for c in range(2)]
    write(home / "HandE/Her2", home / "ihc/HER2", files=files)
    write(home / "HandE/ER", home / "ihc/ER", files=files[:4])
    train, test = (data_set("ihc4bc").pairs(tmp_path, "her2", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (64, 16)
    assert sorted(ids(train + test)) == sorted(Path(file).stem for file in files)
    assert {pair.slide for pair in train}.isdisjoint({pair.slide for pair in test})
    assert {pair.slide for pair in train + test} == {str(1000 + i) for i in range(20)}
    other = data_set("ihc4bc", "seed=1").pairs(tmp_path, "her2", "test")
    assert ids(other) != ids(test)
    assert data_set("ihc4bc", "split_by=slides").pairs(tmp_path, "her2", "test") == test
    folds = [data_set("ihc4bc", "split_by=folds", f"fold={i}").pairs(tmp_path, "her2", "test") for i in range(5)]
    assert sorted(pair.id for fold in folds for pair in fold) == sorted(ids(train + test))


def test_ihc4bc_faults_are_named(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    home = tmp_path / "Images"
    write(home / "HandE/ER", home / "IHC/ER", files=["Patient_0_1/Subregion_1/0_1_1_0_0.jpg", "Patient_0_2/x.jpg"])
    with pytest.raises(DataError, match=r"x\.jpg: no patient in its name"):
        data_set("ihc4bc").pairs(tmp_path, "er", "train")
    write(home / "HandE/PR", home / "IHC/PR", files=["Patient_0_1/0_1_1_0_0.jpg", "Patient_0_2/0_1_1_0_0.jpg"])
    with pytest.raises(DataError, match=r"0_1_1_0_0\.jpg has the same name"):
        data_set("ihc4bc").pairs(tmp_path, "pr", "train")
    write(home / "HandE/Ki67", home / "IHC/Ki67", home / "IHC/Ki-67", files=["Patient_0_1/0_1_1_0_0.jpg"])
    with pytest.raises(DataError, match=r"more than one folder of ki67: .*Ki-67 and .*Ki67"):
        data_set("ihc4bc").pairs(tmp_path, "ki67", "train")
    write(tmp_path / "IHC4BC_data/ER/trainA", tmp_path / "IHC4BC_data/ER/trainB", files=["0_1_1_0_0.jpg"])
    assert ids(data_set("ihc4bc").pairs(tmp_path / "IHC4BC_data", "er", "train")) == ["0_1_1_0_0"]


def test_ihc4bc_repacks_may_be_split_by_patient(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    """The repack's split is of tiles, which overlap: here patient 1 is on both sides of it."""
    home = tmp_path / "IHC4BC_data/ER"
    write(home / "trainA", home / "trainB", files=["0_1_1_0_0.jpg", "0_2_1_0_0.jpg", "0_3_1_0_0.jpg"])
    write(home / "valA", home / "valB", files=["0_1_1_0_1.jpg"])
    sides = [
        {pair.slide for pair in data_set("ihc4bc", "split_by=slides", "ratio=0.5").pairs(tmp_path, "er", split)}
        for split in ("train", "test")
    ]
    assert sides[0].isdisjoint(sides[1])
    assert sides[0] | sides[1] == {"1", "2", "3"}


def test_ihc4bc_repacks_with_other_names_have_no_slides(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    home = tmp_path / "IHC4BC_data/PR"
    write(home / "trainA", home / "trainB", files=["00001.jpg", "00002.jpg"])
    assert [pair.slide for pair in data_set("ihc4bc").pairs(tmp_path, "pr", "train")] == [None, None]
    write(home / "trainA", home / "trainB", files=["0_1010_1_2_3.jpg"])
    with pytest.raises(DataError, match=r"00001\.jpg: no patient in its name"):
        data_set("ihc4bc").pairs(tmp_path, "pr", "train")


@pytest.mark.parametrize("name", ["0820_test_2+.png", "00820_train_2+.png", "00820_test_4+.png", "00820_test_2.png"])
def test_bci_refuses_other_names(name: str, tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "HE/test", tmp_path / "IHC/test", files=[name])
    with pytest.raises(DataError, match="not a BCI test name"):
        data_set("bci").pairs(tmp_path, "her2", "test")


def test_bci_counts_the_challenges_val_as_train(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    for part, name in (("train", "00002_train_0"), ("val", "00001_train_1+"), ("test", "00001_test_1+")):
        write(tmp_path / "BCI" / part / "HE", tmp_path / "BCI" / part / "IHC", files=[f"{name}.png"])
    write(tmp_path / "mine/he", tmp_path / "mine/ihc", files=["a.png"])
    assert ids(data_set("bci").pairs(tmp_path, "her2", "train")) == ["00001_train_1+", "00002_train_0"]
    assert ids(data_set("bci").pairs(tmp_path, "her2", "test")) == ["00001_test_1+"]


def test_bci_without_a_split_or_a_side_says_so(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "HE/test", tmp_path / "IHC/test", files=["00820_test_2+.png"])
    with pytest.raises(DataError, match="no train images; expected them in HE/train"):
        data_set("bci").pairs(tmp_path, "her2", "train")
    write(tmp_path / "HE/train", files=["00820_train_2+.png"])
    with pytest.raises(DataError, match="IHC/train: no such folder"):
        data_set("bci").pairs(tmp_path, "her2", "train")


def test_bci_by_the_challenge_in_any_case(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    write(tmp_path / "Train/he", tmp_path / "Train/Ihc", files=["00002_train_0.png"])
    (pair,) = data_set("bci").pairs(tmp_path, "her2", "train")
    assert (pair.he.parent, pair.ihc.parent) == (tmp_path / "Train/he", tmp_path / "Train/Ihc")
    (tmp_path / "Train/Ihc").rename(tmp_path / "groundtruth")  # as one copy has it: not guessed
    with pytest.raises(DataError, match="no folder with HE and IHC"):
        data_set("bci").pairs(tmp_path, "her2", "train")


def test_bci_and_her2match_side_by_side(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    """The two look alike on disk; each must find its own below a common root."""
    bci, same = tmp_path / "BCI_dataset", tmp_path / "HER2match-002"
    write(bci / "HE/test", bci / "IHC/test", files=["00820_test_2+.png"])
    write(same / "HE/test", same / "IHC/test", files=["a.jpg"])
    assert ids(data_set("bci").pairs(tmp_path, "her2", "test")) == ["00820_test_2+"]
    assert ids(data_set("her2match").pairs(tmp_path, "her2", "test")) == ["a"]
    for name, home in (("her2match", bci), ("bci", same)):
        with pytest.raises(DataError, match="no folder with HE and IHC"):
            data_set(name).pairs(home, "her2", "test")


def test_her2match_has_its_own_validation_set_unless_split_anew(
    tmp_path: Path, data_set: DataSet, write: Write
) -> None:
    for split in ("train", "val", "test"):
        write(tmp_path / split / "HE", tmp_path / split / "IHC", files=[f"{split}.jpg"])
    assert ids(data_set("her2match").pairs(tmp_path, "her2", "val")) == ["val"]
    (tmp_path / "train.txt").write_text("val\ntrain\n")
    anew = data_set("her2match", "split_by=lists")
    assert [(pair.id, pair.split) for pair in anew.pairs(tmp_path, "her2", "train")] == [
        ("train", "train"),
        ("val", "train"),
    ]
    with pytest.raises(UsageError, match=r"unknown split 'val': HER2match has train, test"):
        anew.pairs(tmp_path, "her2", "val")


def test_hemit_groups_by_the_region_in_brackets(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    names = ["[512,1024]_patch_0_1.tif", "[512,1024]_patch_0_10.tif", "[9, 40960]_patch_3_1.tif"]
    write(tmp_path / "input/train", tmp_path / "label/train", files=names)
    write(tmp_path / "input/test", tmp_path / "label/test", files=["patch_3_1.tif"])
    pairs = data_set("hemit").pairs(tmp_path, "mihc", "train")
    assert [(pair.id, pair.slide) for pair in pairs] == [
        ("[512,1024]_patch_0_1", "512,1024"),
        ("[512,1024]_patch_0_10", "512,1024"),
        ("[9, 40960]_patch_3_1", "9,40960"),
    ]
    with pytest.raises(DataError, match=r"patch_3_1\.tif: no region in its name"):
        data_set("hemit").pairs(tmp_path, "mihc", "test")
    with pytest.raises(UsageError, match="unknown stain 'cd3': HEMIT has mihc"):
        data_set("hemit").pairs(tmp_path, "cd3", "train")


def test_ihc4bc_with_all_markers_in_one_folder(tmp_path: Path, data_set: DataSet, write: Write) -> None:
    home = tmp_path / "IHC4BC_data"
    files = [f"0_{patient}_11_1_2_{marker}.jpg" for patient in (1010, 1011) for marker in ("HER2", "Ki67", "PGR")]
    write(home / "trainA", home / "trainB", files=files)
    (home / "Labels").mkdir()
    (home / "Labels/ki67.csv").write_text("0_1010_11_1_2.png,0,3\n")
    pairs = data_set("ihc4bc").pairs(tmp_path, "ki67", "train")
    assert [(pair.id, pair.slide) for pair in pairs] == [
        ("0_1010_11_1_2_Ki67", "1010"),
        ("0_1011_11_1_2_Ki67", "1011"),
    ]
    assert [pair.labels.get("positive_fraction") for pair in pairs] == ["0", None]
    assert ids(data_set("ihc4bc").pairs(tmp_path, "pr", "train"))[0] == "0_1010_11_1_2_PGR"
    with pytest.raises(DataError, match="trainA: no image of er"):
        data_set("ihc4bc").pairs(tmp_path, "er", "train")
    write(home / "trainA", home / "trainB", files=["0_1012_11_1_2.jpg"])
    with pytest.raises(DataError, match=r"0_1012_11_1_2\.jpg: no marker at the end of its name"):
        data_set("ihc4bc").pairs(tmp_path, "ki67", "train")


def test_real_tissue_as_one_would_lay_it_out(shared: Path, tmp_path: Path, data_set: DataSet) -> None:
    """Sections of rat kidney (PanCK) and mouse lesions, as one's own folders and in the shape of MIST."""
    cima = shared / "data" / "cima"
    folder = data_set("folder", "slide=^([^_]+)_", "split_by=slides", "ratio=0.7")
    sides = {split: folder.pairs(cima, "mixed", split) for split in ("train", "test")}
    assert len(sides["train"]) + len(sides["test"]) == 34
    slides = [{pair.slide for pair in pairs} for pairs in sides.values()]
    assert slides[0].isdisjoint(slides[1])
    assert slides[0] | slides[1] == {"birl-ratkidney", "birl-lesions", "cima-lesion3"}

    stems = sorted(path.stem for path in (cima / "he").glob("*.png"))
    home = tmp_path / "MIST" / "HER2" / "TrainValAB"
    for part, chosen in (("train", stems[:20]), ("val", stems[20:])):
        link(cima / "he", home / f"{part}A", chosen)
        link(cima / "ihc", home / f"{part}B", chosen)
    train = data_set("mist").pairs(tmp_path, "her2", "train")
    assert ids(train) == stems[:20]
    kidney = [pair for pair in train if "PanCK" in pair.id]
    assert {pair.slide for pair in kidney} == {"birl-ratkidney"}
    for pair in kidney[:2]:
        assert read_rgb(pair.he).shape == read_rgb(pair.ihc).shape == (256, 256, 3)


def test_real_bci(shared: Path, data_set: DataSet) -> None:
    pairs = data_set("bci").pairs(shared / "data", "her2", "test")
    assert ids(pairs) == ["00345_test_0", "00820_test_2+", "00901_test_1+"]
    assert [pair.labels for pair in pairs] == [
        {"her2_of_slide": level, "grade": level[0]} for level in ("0", "2+", "1+")
    ]
    for image in (pairs[0].he, pairs[0].ihc):
        assert read_rgb(image).shape == (*load("vsbench.datasets", "bci").card.size, 3)
