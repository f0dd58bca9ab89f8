"""Weights are found by name, proven by digest, and never taken for granted."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vsbench import weights
from vsbench.weights import MANIFEST, WeightsError

NAME = "resnet50-imagenet1k-v1"
FILE = MANIFEST[NAME].files[0]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three places searched, in order, all empty."""
    found = {name: tmp_path / name for name in ("supplied", "cache", "hub/hub/checkpoints")}
    for folder in found.values():
        folder.mkdir(parents=True)
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(found["supplied"]))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "cache_folder", lambda: found["cache"])
    return found


def known(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make the manifest expect these bytes."""
    entry = replace(MANIFEST[NAME], size=len(content), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(MANIFEST, NAME, entry)


def test_manifest_names_and_digests_agree() -> None:
    """The eight hexadecimal digits in a published file name are the first of its SHA-256."""
    for name, entry in MANIFEST.items():
        assert name == entry.name
        assert len(entry.sha256) == 64
        for file in entry.files:
            assert file.removesuffix(".pth").rpartition("-")[2] == entry.sha256[:8]


def test_missing_weights_say_what_to_get_and_where_to_put_it(folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.find(NAME)
    entry = MANIFEST[NAME]
    for needed in (FILE, f"{entry.size:,}", entry.sha256, entry.published, "$VSBENCH_WEIGHTS", str(folders["cache"])):
        assert needed in str(caught.value)
    assert weights.absence(NAME) == f"weights {NAME} missing (put {FILE} into $VSBENCH_WEIGHTS)"


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
    digest = weights.file_digest

    def counted(path: Path) -> str:
        reads.append(path)
        return digest(path)

    monkeypatch.setattr(weights, "file_digest", counted)
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
