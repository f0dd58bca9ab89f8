"""Finding folders below a root by their names."""

import os
from pathlib import Path

import pytest

from vsbench.data.search import DEPTH, find_aligned, find_folders, is_aligned, stain_in, stain_of, subfolders
from vsbench.errors import DataError


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)


@pytest.mark.parametrize(
    ("name", "stain"),
    [
        ("HER2", "her2"),
        ("her2", "her2"),
        ("Her2", "her2"),
        ("HER2-004", "her2"),
        ("MIST_HER2 (1)", "her2"),
        ("HER-2", "her2"),
        ("Ki67", "ki67"),
        ("KI67", "ki67"),
        ("Ki-67", "ki67"),
        ("ER", "er"),
        ("MIST-ER-003", "er"),
        ("PR", "pr"),
        ("PGR", "pr"),
        ("TrainValAB", None),
        ("HER", None),
        ("other", None),
        ("printer", None),
        ("HER20", None),
        ("ER_PR", None),  # two are as good as none
        ("", None),
    ],
)
def test_how_markers_are_spelled(name: str, stain: str | None) -> None:
    assert stain_in(name) == stain


def test_the_innermost_marker_counts() -> None:
    root = Path("/data/pr-lab")
    assert stain_of(root / "MIST" / "HER2" / "TrainValAB", root) == "her2"
    assert stain_of(root / "HER2" / "ER" / "TrainValAB", root) == "er"
    assert stain_of(root / "TrainValAB", root) == "pr"  # the root's own name, if nothing inside says otherwise
    assert stain_of(Path("/er/data/tiles"), Path("/er/data")) is None  # but no name above it
    assert stain_of(Path("/er/TrainValAB"), Path("/er/TrainValAB")) == "er"  # unless the root is the folder itself


def test_a_folder_may_be_the_root_or_lie_levels_below(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c/d/trainA", "a/b/c/e/f/trainA")
    assert find_folders(tmp_path, is_aligned, own="mist") == [tmp_path / "a/b/c/d"]  # at depth 4; f is deeper
    assert DEPTH == 4
    assert find_folders(tmp_path / "a/b/c/d", is_aligned, own="mist") == [tmp_path / "a/b/c/d"]
    assert find_folders(tmp_path / "a/b", is_aligned, own="mist") == [tmp_path / "a/b/c/d", tmp_path / "a/b/c/e/f"]


def test_own_folders_come_first_and_others_never(tmp_path: Path) -> None:
    make(tmp_path, "IHC4BC_data/HER2/trainA", "plain/HER2/trainA")
    assert find_folders(tmp_path, is_aligned, "mist", other="ihc4bc") == [tmp_path / "plain/HER2"]
    assert find_folders(tmp_path / "IHC4BC_data", is_aligned, "mist", other="ihc4bc") == []
    make(tmp_path, "IHC4BC_MIST/MIST/HER2/valA", "IHC4BC_MIST/IHC4BC/HER2/valA")
    assert find_folders(tmp_path, is_aligned, "mist", other="ihc4bc") == [tmp_path / "IHC4BC_MIST/MIST/HER2"]
    ours = [tmp_path / "IHC4BC_data/HER2", tmp_path / "IHC4BC_MIST/IHC4BC/HER2"]
    assert find_folders(tmp_path, is_aligned, "ihc4bc", other="mist") == ours


def test_two_candidates_are_both_named(tmp_path: Path) -> None:
    make(tmp_path, "MIST/HER2/TrainValAB/trainA", "MIST/HER2-004/TrainValAB/trainA", "MIST/ER/TrainValAB/valA")
    with pytest.raises(DataError) as caught:
        find_aligned(tmp_path, "her2", own="mist", other="ihc4bc")
    message = str(caught.value)
    assert str(tmp_path / "MIST/HER2/TrainValAB") in message
    assert str(tmp_path / "MIST/HER2-004/TrainValAB") in message
    assert find_aligned(tmp_path, "er", own="mist", other="ihc4bc") == tmp_path / "MIST/ER/TrainValAB"
    with pytest.raises(DataError, match="no folder of pr with trainA or valA"):
        find_aligned(tmp_path, "pr", own="mist", other="ihc4bc")


def test_nothing_is_searched_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither below a folder found, nor in a data set of another name, nor in hidden folders, nor too deep."""
    make(tmp_path, "MIST/HER2/trainA/x", "IHC4BC_Compressed/Images/HandE", ".cache/deep", "1/2/3/4/5/6")
    listed, scandir = [], os.scandir

    def recorded(path: Path) -> object:
        listed.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", recorded)
    find_folders(tmp_path, is_aligned, "mist", other="ihc4bc")
    assert sorted(listed) == [".", "1", "1/2", "1/2/3", "1/2/3/4", "MIST", "MIST/HER2"]


def test_missing_root_and_names_that_differ_by_case_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder"):
        find_folders(tmp_path / "none", is_aligned, own="mist")
    make(tmp_path, "HE", "ihc")
    assert subfolders(tmp_path) == {"he": tmp_path / "HE", "ihc": tmp_path / "ihc"}
    if not (tmp_path / "he").exists():  # a file system that tells the two apart
        make(tmp_path, "he")
        with pytest.raises(DataError, match="he: HE beside it differs by case alone"):
            subfolders(tmp_path)
