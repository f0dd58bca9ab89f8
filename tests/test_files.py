"""Atomic writes, and output that never takes the place of somebody's own file."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vsbench.errors import RunError
from vsbench.files import (
    atomic,
    file_digest,
    has_first_line,
    only_ours,
    open_regular,
    read_json,
    require_replaceable,
    write_text,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from vsbench.files import atomic
with atomic(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writers_file_is_cleared_by_the_next_and_a_living_ones_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.json")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with atomic(tmp_path / "b.json") as living:
        write_text(tmp_path / "c.json", "")
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([living.name, "c.json"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_what_a_writer_makes_anew_has_the_rights_of_any_other_file(tmp_path: Path) -> None:
    """As safetensors does, for its owner alone: others of a group could not read a checkpoint."""
    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "weights") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o640


def test_threads_never_write_with_wider_rights_than_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: write_text(tmp_path / f"{n}.txt", "x"), range(400)))
            list(pool.map(lambda n: (tmp_path / f"plain-{n}").touch(), range(400)))
    finally:
        assert os.umask(before) == 0o077
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / f"{'x' * 250}.csv", "")
    assert len(list(tmp_path.iterdir())) == 1


def test_only_what_we_wrote_is_written_over(tmp_path: Path) -> None:
    theirs = tmp_path / "index.html"
    theirs.write_text("mine")
    (tmp_path / "tables").symlink_to(tmp_path)
    for _ in range(2):
        with only_ours(tmp_path, "--out"):
            write_text(tmp_path / "page" / "a.js", "ours")
            with pytest.raises(RunError, match="--out"):
                write_text(theirs, "ours")
            with pytest.raises(RunError, match="--out"):
                write_text(tmp_path / "tables", "ours")
    with pytest.raises(RunError, match="--out"), only_ours(tmp_path, "--out", ["a.csv", "index.html"]):
        pytest.fail("was let in")
    assert theirs.read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"file,widthx\n", b"file"])
def test_a_table_is_told_from_other_files_by_its_head(content: bytes, tmp_path: Path) -> None:
    ours = tmp_path / "ours.csv"
    ours.write_text("file,width\n1,2\n")
    require_replaceable(ours, has_first_line("file,width"), "--csv")
    require_replaceable(tmp_path / "none.csv", has_first_line("file,width"), "--csv")
    other = tmp_path / "other"
    other.write_bytes(content)
    for path in (other, tmp_path):
        with pytest.raises(RunError, match="not written by vsbench"):
            require_replaceable(path, has_first_line("file,width"), "--csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO without a writer would be waited for; a folder and a dangling link say so as ever."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    (tmp_path / "gone").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for name, reason in (
        ("fifo", "a FIFO, not a file"),
        ("link", "a FIFO, not a file"),
        ("socket", "a socket, not a file"),
        ("/dev/zero", "a device, not a file"),
        (".", "Is a directory"),
        ("gone", "No such file or directory"),
    ):
        for read in (open_regular, read_json, file_digest):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the reason is looked at below
                read(tmp_path / name)
            assert caught.value.strerror == reason


def test_a_fifo_put_in_a_files_place_meanwhile_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    seen = (tmp_path / "file").stat()
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(Path, "stat", lambda path: seen)
    with pytest.raises(OSError, match="a FIFO, not a file"):
        open_regular(tmp_path / "fifo")


def test_the_list_of_what_we_wrote_takes_any_bytes_and_is_a_file(tmp_path: Path) -> None:
    ledger = tmp_path / ".vsbench-files"
    odd = os.fsdecode(b"caf\xe9.csv")
    with only_ours(tmp_path, "--out"):
        write_text(tmp_path / odd, "1")
    with only_ours(tmp_path, "--out", [odd]):
        write_text(tmp_path / odd, "2")
    ledger.write_bytes(b"\xff\0" + os.fsencode(odd) + b"\0\xfe")
    with only_ours(tmp_path, "--out", [odd]):
        write_text(tmp_path / odd, "3")
    assert (tmp_path / odd).read_text() == "3"
    ledger.unlink()
    os.mkfifo(ledger)
    with pytest.raises(OSError, match="a FIFO, not a file"), only_ours(tmp_path, "--out"):
        pass


def test_a_file_of_terabytes_is_not_read_for_its_digest(tmp_path: Path) -> None:
    (tmp_path / "holes").touch()
    os.truncate(tmp_path / "holes", 1 << 40)
    with pytest.raises(OSError, match=r"1,099,511,627,776 bytes, where .* are the most") as caught:
        file_digest(tmp_path / "holes")
    assert caught.value.filename == str(tmp_path / "holes")
