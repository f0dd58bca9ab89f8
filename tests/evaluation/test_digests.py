"""Digests kept between runs: nothing is read twice, and no change of content goes unseen."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from vsbench.errors import DataError
from vsbench.evaluation import digests as module
from vsbench.evaluation.digests import YOUNG, Digests
from vsbench.files import file_digest


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets the name of each file that is read."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(module, "file_digest", counted)
    return names


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Five files of one size, which are old as the clock stands: nobody waits for them to age."""
    made = [tmp_path / f"{n}.png" for n in range(5)]
    for path in made:
        path.write_text(f"content {path.stem}")
    clock = module.time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: clock() + 2 * YOUNG)
    return made


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def taken(store: Path, files: list[Path]) -> dict[Path, str]:
    """The digests as a run of the program finds them."""
    digests = Digests(store)
    digests.add(files)
    digests.save()
    return {path: digests.of(path) for path in files}


def test_unchanged_files_are_not_read_again(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    store = tmp_path / "results" / "digests.json"
    first = taken(store, [*files, *files])
    assert first == {path: sha256(f"content {path.stem}") for path in files}
    assert sorted(read) == [path.name for path in files]
    read.clear()
    assert taken(store, files) == first
    assert Digests(store).of(files[3]) == first[files[3]]
    assert read == []


def test_paths_are_the_same_from_every_folder(
    files: list[Path], tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(tmp_path / "digests.json", files)
    read.clear()
    monkeypatch.chdir(tmp_path)
    assert Digests(Path("digests.json")).of(Path("1.png")) == sha256("content 1")
    assert read == []


def test_other_content_of_the_same_size_and_date_is_noticed(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    store, status = tmp_path / "digests.json", files[2].stat()
    taken(store, files)
    read.clear()
    files[2].write_text("CONTENT 2")
    os.utime(files[2], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (files[2].stat().st_size, files[2].stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert taken(store, files)[files[2]] == sha256("CONTENT 2")
    assert read == ["2.png"]


def test_a_file_put_in_place_of_another_is_noticed(files: list[Path], tmp_path: Path) -> None:
    """Renaming keeps date and size, as `mv` and `cp -p` do."""
    store = tmp_path / "digests.json"
    taken(store, files)
    files[4].replace(files[0])
    assert taken(store, files[:4])[files[0]] == sha256("content 4")


def test_a_touched_file_is_read_and_kept(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    store = tmp_path / "digests.json"
    first = taken(store, files)
    read.clear()
    files[1].touch()
    assert taken(store, files) == first
    assert taken(store, files) == first
    assert read == ["1.png"]


def test_a_young_file_is_read_again(tmp_path: Path, read: list[str]) -> None:
    """Two changes within one tick of the clock would leave equal stamps."""
    path = tmp_path / "young.png"
    path.write_text("a")
    taken(tmp_path / "digests.json", [path])
    taken(tmp_path / "digests.json", [path])
    assert read == ["young.png"] * 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> str:
        digest = file_digest(path)
        path.write_text("other content")
        return digest

    monkeypatch.setattr(module, "file_digest", interrupted)
    taken(tmp_path / "digests.json", files[:1])
    monkeypatch.setattr(module, "file_digest", file_digest)
    assert taken(tmp_path / "digests.json", files[:1])[files[0]] == sha256("other content")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"schema": 0, "files": {}}', b'{"schema": 1, "files": {"a": [1]}}', b"\xff\xfe"],
)
def test_a_damaged_store_is_written_anew(content: bytes, files: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "digests.json"
    store.write_bytes(content)
    assert taken(store, files)[files[0]] == sha256("content 0")
    assert len(json.loads(store.read_text())["files"]) == 5


def test_files_that_are_gone_are_forgotten(files: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "digests.json"
    taken(store, files[:4])
    files[0].unlink()
    taken(store, files[1:])
    assert sorted(json.loads(store.read_text())["files"]) == [str(path) for path in files[1:]]


def test_nothing_new_writes_nothing(files: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "digests.json"
    taken(store, files)
    inode = store.stat().st_ino
    taken(store, files)
    assert store.stat().st_ino == inode


def test_one_run_sees_one_content_until_it_looks_again(files: list[Path], tmp_path: Path, read: list[str]) -> None:
    digests = Digests(tmp_path / "digests.json")
    assert digests.of(files[0]) == sha256("content 0")
    files[0].write_text("other content")
    assert digests.of(files[0]) == sha256("content 0")
    digests.add(files[:1])
    assert digests.of(files[0]) == sha256("other content")
    assert read == ["0.png"] * 2


def test_an_unreadable_file_is_named(files: list[Path], tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.png", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(DataError) as caught:
            Digests(tmp_path / "digests.json").add([*files, path])
        assert str(caught.value).startswith(f"{path}: {reason}")
