"""Archives are looked through before anything is unpacked, and what they claim is not believed while they are read."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.data import archive, member_names
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
    monkeypatch.setattr(member_names, "MAX_ENTRIES", 1)
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
    for broken in (content[:3000], b"PK\3\4", b"no archive"):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"x\.zip: no zip .* fetch it again"), opened(path):
            pass


def test_a_header_that_takes_the_file_for_its_name_is_told_in_a_line(tmp_path: Path) -> None:
    """zipfile quotes the name that it read, all 64 kB of it."""
    path = zipped(tmp_path / "x.zip", {"a.png": NOISE * 20})
    content = bytearray(path.read_bytes())
    content[26:28] = b"\xff\xff"  # the length of the name, before the entry itself
    path.write_bytes(content)
    with opened(path) as found, pytest.raises(DataError, match=r"a\.png is damaged") as caught:
        list(found.blocks("a.png"))
    assert len(str(caught.value)) < 500


def test_a_cut_tar_is_named(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar.gz", {"a.png": NOISE, "b.png": NOISE})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"x\.tar\.gz: .* fetch it again"):
        contents(path)


def test_the_ending_of_an_archive_is_no_part_of_its_name() -> None:
    names = ["HER2-004.zip", "HER2-004.TAR.GZ", "HER2-004", "HER2-004.tgz"]
    assert {stem_of(Path("x", name)) for name in names} == {"HER2-004"}


def tar_bytes(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT, **records: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as file:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(content), records
            file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def refusal(path: Path, content: bytes | bytearray) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        contents(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize(("pack", "trailer"), [(gzip.compress, -8), (bz2.compress, -6), (lzma.compress, -30)])
def test_a_wrong_checksum_is_noticed(pack: Callable[[bytes], bytes], trailer: int, tmp_path: Path) -> None:
    content = bytearray(pack(tar_bytes({"a.png": NOISE})))
    content[trailer] ^= 1
    assert "a damaged tar file" in refusal(tmp_path / "x.tar", content)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_tar_cut_anywhere_is_noticed(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    whole = pack(tar_bytes({"a.png": NOISE, "b.png": NOISE}))
    for length in range(20, 10_240 if pack is bytes else len(whole), 256):
        assert "fetch it again" in refusal(tmp_path / "x.tar", whole[:length][: 2 * 512 + 2 * 4096])


def test_a_damaged_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    content = bytearray(tar_bytes({"a.png": NOISE, "b.png": NOISE}))
    content[512 + 4096 + 3] ^= 1
    assert "a damaged header" in refusal(tmp_path / "x.tar", content)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_headers_are_bounded_before_they_are_read(kind: bytes, tmp_path: Path) -> None:
    for size in (archive.MAX_HEADER + 1, 8 << 30, -512):
        member = tarfile.TarInfo("x")
        member.type, member.size = kind, size
        assert f"{size:,}" in refusal(tmp_path / "x.tar", member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    chain = b"".join(tarfile.TarInfo.create_pax_global_header({"a": "b"}) for _ in range(2000))
    if kind == tarfile.GNUTYPE_LONGNAME:
        member = tarfile.TarInfo("x")
        member.type, member.size = kind, 512
        chain = 2000 * (member.tobuf(tarfile.GNU_FORMAT) + b"a" * 512)
    refusal(tmp_path / "x.tar", chain + bytes(1024))


def test_sizes_in_pax_records_are_not_believed(tmp_path: Path) -> None:
    for records in (
        {"size": "-4096"},
        {"GNU.sparse.realsize": "9" * 20},
        {"GNU.sparse.major": "1"},
        {"size": "9" * 30},
    ):
        refusal(tmp_path / "x.tar", tar_bytes({"a.png": NOISE}, **records))
    member = tarfile.TarInfo("a.png")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 1 << 40
    assert "sparse" in refusal(tmp_path / "x.tar", member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))


@pytest.mark.parametrize("name", ["d/" * 2000 + "a.png", "a" * 300 + ".png", "ä" * 140 + ".png", "\udce4.png"])
def test_names_that_can_not_be_written_are_refused(name: str, tmp_path: Path) -> None:
    refusal(tmp_path / "x.tar", tar_bytes({name: NOISE}, format=tarfile.GNU_FORMAT))
    if name.isprintable():
        path = zipped(tmp_path / "made", {name: NOISE})
        refusal(tmp_path / "x.zip", path.read_bytes())


def test_unicode_forms_of_one_name_are_one(tmp_path: Path) -> None:
    files = {unicodedata.normalize(form, "Blöcke.png"): NOISE for form in ("NFC", "NFD")}
    assert "has the same name" in refusal(tmp_path / "x.tar", tar_bytes(files))
    assert "has the same name" in refusal(tmp_path / "x.zip", zipped(tmp_path / "made", files).read_bytes())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7z"),
        (b"Rar!\x1a\x07\x01\0" + bytes(100), "RAR"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "Zstandard"),
        (b"\xef\xbb\xbf\n <HTML><title>Sign in</title>", "a web page"),
        (b'{"error": "quota"}', "a server's answer"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"", "an empty file"),
    ],
)
def test_what_is_no_archive_is_named(content: bytes, what: str, tmp_path: Path) -> None:
    for name in ("x.zip", "x.tar.gz", "x"):
        assert what in refusal(tmp_path / name, content)


@pytest.mark.parametrize("name", ["x.zip.001", "x.zip.002", "x.z01", "x.7z.001", "x.part1.rar", "x.tar.gz.aa"])
def test_parts_of_a_split_archive_are_named(name: str, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole", {"a.png": NOISE}).read_bytes()
    for part in (whole[:2000], whole[2000:]):
        assert "a part of a split archive" in refusal(tmp_path / name, part)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    with pytest.raises(DataError, match="neither a folder nor a regular file"), opened(tmp_path / "x.zip"):
        pass


@pytest.mark.parametrize("make", [tarred, zipped, lambda path, files: path.write_bytes(bytes(512)) and path])
@pytest.mark.parametrize("pack", [None, gzip.open, bz2.open, lzma.open])
def test_zeros_behind_the_end_are_not_read_for_hours(
    make: Callable[[Path, dict[str, bytes]], Path], pack: Callable[..., Any] | None, tmp_path: Path
) -> None:
    """A file made in its full size before it is fetched; most of it is nowhere on the disk."""
    path = make(tmp_path / "x", {"a.png": NOISE})
    if pack is not None:
        with pack(tmp_path / "y", "wb") as packed:
            packed.write(path.read_bytes())
        path = tmp_path / "y"
    os.truncate(path, 1 << 40)
    with pytest.raises(DataError, match=path.name):
        contents(path)
