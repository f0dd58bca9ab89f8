"""Archives are looked through before anything is unpacked, and what they claim is not believed while they are read."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vsbench.data import archive
from vsbench.data.archive import opened, stem_of
from vsbench.errors import DataError

NOISE = os.urandom(4096)


def zipped(path: Path, files: dict[str, bytes], change: Callable[[zipfile.ZipFile], None] = lambda file: None) -> Path:
    """A zip; ``change`` is made to its directory before it is written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            info = zipfile.ZipInfo("x", (2024, 1, 1, 0, 0, 0))
            info.filename = name  # as it is: the constructor would mend some
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
        change(file)
    return path


def tarred(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.name, info.size = name, len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def contents(path: Path) -> dict[str, bytes]:
    with opened(path) as found:
        return {name: b"".join(found.blocks(name)) for name in found.entries}


@pytest.mark.parametrize("make", [zipped, tarred])
def test_files_come_out_as_they_went_in(make: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    files = {"./b/2.png": NOISE, "b/1.png": b"", "a.txt": os.urandom(3_000_000), "__MACOSX/b/._1.png": b"shadow"}
    assert contents(make(tmp_path / "x", files)) == {"b/2.png": NOISE, "b/1.png": b"", "a.txt": files["a.txt"]}


LEAVING = ["../x.png", "a/../../x.png", "/x.png", "C:/x.png", "C:x.png"]
DOUBLED = [("a/x.png", "a/x.png"), ("a/x.png", "A/X.png"), ("a", "a/x.png"), ("a/x.png", "a")]


@pytest.mark.parametrize("name", [*LEAVING, "..\\x.png", "a\\..\\..\\x.png", "\\x.png"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_leave_a_zip_are_refused(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"good.png": NOISE, name: NOISE})
    with pytest.raises(DataError, match=r"x\.png': it would leave the destination; nothing is unpacked"), opened(path):
        pass


@pytest.mark.parametrize("name", LEAVING)
def test_names_that_leave_a_tar_are_refused(name: str, tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar.gz", {"good.png": NOISE, name: NOISE})
    with pytest.raises(DataError, match=r"x\.png': it would leave the destination; nothing is unpacked"), opened(path):
        pass


@pytest.mark.parametrize("names", DOUBLED)
def test_doubled_names_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    def rename(file: zipfile.ZipFile) -> None:
        file.filelist[1].filename = file.filelist[1].orig_filename = names[1]

    path = zipped(tmp_path / "x.zip", {names[0]: NOISE, "other": NOISE}, rename)
    with pytest.raises(DataError, match=r"has the same name|is a file and a folder"), opened(path):
        pass


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK):

        def change(file: zipfile.ZipFile, kind: int = kind) -> None:
            file.filelist[0].create_system, file.filelist[0].external_attr = 3, (kind | 0o777) << 16

        with (
            pytest.raises(DataError, match=r"'a\.png': a link or a device"),
            opened(zipped(tmp_path / "x", {"a.png": b"/etc"}, change)),
        ):
            pass
    for type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        member = tarfile.TarInfo()
        member.type, member.linkname = type_, "/etc/passwd"
        with (
            pytest.raises(DataError, match=r"'a\.png': a link or a device"),
            opened(tarred(tmp_path / "x", {"a.png": member})),
        ):
            pass


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    def encrypt(file: zipfile.ZipFile) -> None:
        file.filelist[0].flag_bits |= 1

    with (
        pytest.raises(DataError, match=r"'a\.png': encrypted"),
        opened(zipped(tmp_path / "x", {"a.png": NOISE}, encrypt)),
    ):
        pass


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(5_000_000)
    for path in (zipped(tmp_path / "x.zip", {"a.png": zeros}), tarred(tmp_path / "x.tar.gz", {"a.png": zeros})):
        with pytest.raises(DataError, match="over 100 times the archive: a decompression bomb"), opened(path):
            pass
    monkeypatch.setattr(archive, "MAX_ENTRY", 4095)
    for path in (zipped(tmp_path / "x.zip", {"a.png": NOISE}), tarred(tmp_path / "x.tar.gz", {"a.png": NOISE})):
        with pytest.raises(DataError, match=r"'a\.png': 4,096 bytes unpacked, more than 4,095"), opened(path):
            pass
    monkeypatch.setattr(archive, "MAX_ENTRIES", 1)
    with (
        pytest.raises(DataError, match="more than 1 entries"),
        opened(zipped(tmp_path / "x.zip", {"a": b"", "b": b""})),
    ):
        pass


def test_entries_that_overlap_are_refused(tmp_path: Path) -> None:
    def repeat(file: zipfile.ZipFile) -> None:
        first = file.filelist[0]
        for number in range(30):  # each within the limits, all of the same bytes
            other = zipfile.ZipInfo(f"{number}.png", first.date_time)
            for field in ("compress_type", "flag_bits", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(other, field, getattr(first, field))
            file.filelist.append(other)

    with pytest.raises(DataError, match="entries overlap"), opened(zipped(tmp_path / "x", {"a.png": NOISE}, repeat)):
        pass


@pytest.mark.parametrize("claimed", [10, 4095, 4097, 100_000])
def test_a_size_that_is_not_so_is_noticed(claimed: int, tmp_path: Path) -> None:
    def lie(file: zipfile.ZipFile) -> None:
        file.filelist[0].file_size = claimed

    with opened(zipped(tmp_path / "x", {"a.png": NOISE}, lie)) as found:
        written: list[bytes] = []
        with pytest.raises(DataError, match=r"a\.png is (damaged|not of the)"):
            written.extend(found.blocks("a.png"))
        assert len(b"".join(written)) <= claimed


def test_damage_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.png": NOISE, "b.png": NOISE[::-1]})
    content = bytearray(path.read_bytes())
    content[200] ^= 1  # within a.png
    path.write_bytes(content)
    with opened(path) as found:
        assert b"".join(found.blocks("b.png")) == NOISE[::-1]
        with pytest.raises(DataError, match=r"a\.png is damaged"):
            list(found.blocks("a.png"))
    for broken in (content[:3000], b"<html>", b""):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"x\.zip: no zip .* fetch it again"), opened(path):
            pass


def test_a_cut_tar_is_named(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar.gz", {"a.png": NOISE, "b.png": NOISE})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"x\.tar\.gz: .* fetch it again"):
        contents(path)


def test_the_ending_of_an_archive_is_no_part_of_its_name() -> None:
    names = ["HER2-004.zip", "HER2-004.TAR.GZ", "HER2-004", "HER2-004.tgz"]
    assert {stem_of(Path("x", name)) for name in names} == {"HER2-004"}
