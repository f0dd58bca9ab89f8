"""Double images, H&E and IHC in one file, become two files: the pixels as they were, the order as the user says."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.prepare import prepare
from vsbench.dataset import Dataset
from vsbench.errors import DataError, UsageError
from vsbench.registry import load

SPLITS = ("train", "test")


def data_set(name: str) -> Dataset[Any]:
    return load("vsbench.datasets", name)()


def as_zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for image in folder.rglob("*.*"):
            file.write(image, image.relative_to(folder))
    return path


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.*")}


def double(path: Path, width: int = 24) -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(len(path.name)).integers(0, 256, (10, width, 3), np.uint8)
    Image.fromarray(image).save(path)
    return read_rgb(path)


@pytest.mark.parametrize(("left", "right"), [("he", "ihc"), ("ihc", "he")])
@pytest.mark.parametrize("pack", [None, as_zip])
def test_double_images_are_cut_without_loss(
    left: Any, right: str, pack: Callable[[Path, Path], Path] | None, tmp_path: Path
) -> None:
    source = tmp_path / "download"
    images = {split: double(source / "pix2pix" / split / f"{split}.jpg") for split in SPLITS}
    before = snapshot(source)
    packed = pack(source, tmp_path / "x.zip") if pack else source
    for how in ("copied", "kept"):
        done = prepare(data_set("folder"), "folder", packed, tmp_path / "data", ["er"], left=left)
        assert done.files[how] == 4
    assert snapshot(source) == before
    for split in SPLITS:
        (pair,) = data_set("folder").pairs(tmp_path / "data" / "folder", "er", split)
        halves = {left: images[split][:, :12], right: images[split][:, 12:]}
        assert np.array_equal(read_rgb(pair.he), halves["he"])
        assert np.array_equal(read_rgb(pair.ihc), halves["ihc"])


def test_double_images_of_bci_are_read_as_bci(tmp_path: Path) -> None:
    for split in SPLITS:
        double(tmp_path / "download" / "BCI" / split / f"00820_{split}_2+.png")
    prepare(data_set("bci"), "bci", tmp_path / "download", tmp_path / "data", ["her2"], left="he")
    assert [pair.id for pair in data_set("bci").pairs(tmp_path / "data", "her2", "test")] == ["00820_test_2+"]


def test_double_images_that_cannot_be_are_named(tmp_path: Path) -> None:
    for split in SPLITS:
        double(tmp_path / "odd" / split / "x.png", width=25)
    with pytest.raises(DataError, match=r"x\.png: 10×25 pixels: no two halves"):
        prepare(data_set("folder"), "folder", tmp_path / "odd", tmp_path / "data", ["er"], left="he")
    with pytest.raises(UsageError, match="give one --stain"):
        prepare(data_set("bci"), "bci", tmp_path / "odd", tmp_path / "data", ["a", "b"], left="he")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no folder with double images in train or test"):
        prepare(data_set("folder"), "folder", tmp_path / "none", tmp_path / "data", ["er"], left="he")
