"""A prepared tree holds the download's pairs, byte for byte; the download stays as it was; nothing is there by half."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.config import parse_settings
from vsbench.data import prepare as module
from vsbench.data.manifest import NAME, Manifest
from vsbench.data.prepare import prepare
from vsbench.dataset import Dataset
from vsbench.errors import DataError, UsageError
from vsbench.files import file_digest, read_json, write_json
from vsbench.registry import load

SPLITS = ("train", "test")


def data_set(name: str, *options: str) -> Dataset[Any]:
    return load("vsbench.datasets", name).from_options(parse_settings(list(options)))


def write(folder: Path, *files: str) -> None:
    """Files of different bytes each; listing opens none of them."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"{name} ".encode() * 50)


def mist(folder: Path, stains: tuple[str, ...] = ("HER2-004", "Ki67")) -> Path:
    for stain in stains:
        for part in ("trainA", "trainB"):
            write(folder / stain / "TrainValAB" / part, *(f"{i}M2_{i}_1.jpg" for i in range(5)))
        for part in ("valA", "valB"):
            write(folder / stain / "TrainValAB" / part, "1M2_8_1.jpg", "2M2_8_1.jpg")
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def pairs(dataset: Dataset[Any], root: Path, stain: str) -> dict[tuple[str, str], tuple[bytes, bytes, str | None]]:
    found = [pair for split in dataset.splits for pair in dataset.pairs(root, stain, split)]
    return {(pair.split, pair.id): (pair.he.read_bytes(), pair.ihc.read_bytes(), pair.slide) for pair in found}


def as_zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, (_, content) in snapshot(folder).items():
            file.writestr(name, content)
    return path


def as_tar(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, ".")
    return path


@pytest.mark.parametrize("pack", [lambda folder, path: folder, as_zip, as_tar])
def test_files_of_kinds_that_are_not_read_are_named(pack: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    download = tmp_path / "download"
    for side in ("he", "ihc"):
        for split in SPLITS:
            write(download / side / split, "a.png", "b.gif", ".hidden.gif")
    write(download, "lists.txt", NAME)
    done = prepare(data_set("folder"), "folder", pack(download, tmp_path / "packed"), tmp_path / "to", ["er"])
    assert sorted(done.others) == [f"{side}/{split}/b.gif" for side in ("he", "ihc") for split in ("test", "train")]
    assert not done.spare


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file_is_named_and_not_linked(tmp_path: Path) -> None:
    download = tmp_path / "download"
    for side in ("he", "ihc"):
        for split in SPLITS:
            write(download / side / split, "a.png", "b.png")
    fifo, loop = download / "he/train/b.png", download / "ihc/train/b.png"
    for bad, make, reason in (
        (fifo, lambda: os.mkfifo(fifo), "a fifo, not a file"),
        (loop, lambda: loop.symlink_to(loop.name), "symbolic links"),
    ):
        kept = bad.read_bytes()
        bad.unlink()
        make()
        to = tmp_path / reason.split()[0]
        with pytest.raises(DataError, match=reason) as caught:
            prepare(data_set("folder"), "folder", download, to, ["er"])
        assert str(bad) in str(caught.value)
        assert not os.path.lexists(to / "folder" / bad.relative_to(download))
        bad.unlink()
        bad.write_bytes(kept)
        assert prepare(data_set("folder"), "folder", download, to, ["er"]).pairs["er", "train"] == 2


def test_a_folder_is_linked_and_stays_as_it_was(tmp_path: Path) -> None:
    source = mist(tmp_path / "download")
    write(source, "notes.pdf", "README.txt", ".DS_Store")
    before = snapshot(source)
    done = prepare(data_set("mist"), "mist", source, tmp_path / "data", ("her2", "ki67", "er"), optional=True)
    assert snapshot(source) == before
    assert done.pairs == {(stain, split): n for stain in ("her2", "ki67") for split, n in (("train", 5), ("test", 2))}
    assert (done.files, list(done.absent), done.refused) == ({"linked": 29, "copied": 0, "kept": 0}, ["er"], [])
    for stain in ("her2", "ki67"):
        assert pairs(data_set("mist"), tmp_path / "data", stain) == pairs(data_set("mist"), source, stain)
    file = "TrainValAB/trainA/0M2_0_1.jpg"
    assert (tmp_path / "data" / "mist" / "HER2" / file).samefile(source / "HER2-004" / file)
    named = {name.replace("HER2-004", "HER2") for name in before}
    assert snapshot(tmp_path / "data" / "mist").keys() == named - {"notes.pdf", ".DS_Store"} | {NAME}


def test_the_manifest_tells_size_digest_and_source(tmp_path: Path) -> None:
    source = mist(tmp_path / "download")
    prepare(data_set("mist"), "mist", source, tmp_path / "data", ["her2"])
    files = Manifest(tmp_path / "data" / "mist").files
    assert len(files) == 14
    for name, record in files.items():
        path = tmp_path / "data" / "mist" / name
        assert (record.size, record.sha256) == (path.stat().st_size, file_digest(path))
        assert record.source == str((source / name.replace("HER2", "HER2-004")).resolve())


def test_copies_share_nothing_with_the_source(tmp_path: Path) -> None:
    source = mist(tmp_path / "download")
    for copy in (False, True, True):
        done = prepare(data_set("mist"), "mist", source, tmp_path / "data", ["her2"], copy=copy)
    assert done.files == {"linked": 0, "copied": 0, "kept": 14}
    file = "TrainValAB/trainA/0M2_0_1.jpg"
    here, there = tmp_path / "data" / "mist" / "HER2" / file, source / "HER2-004" / file
    assert not here.samefile(there)
    assert here.read_bytes() == there.read_bytes()


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    done = prepare(data_set("mist"), "mist", mist(tmp_path / "download"), tmp_path / "data", ["her2"])
    assert done.files == {"linked": 0, "copied": 14, "kept": 0}


def test_symbolic_links_of_the_source_become_files(tmp_path: Path) -> None:
    source = mist(tmp_path / "download", ("HER2",))
    image = source / "HER2/TrainValAB/trainA/0M2_0_1.jpg"
    image.rename(tmp_path / "image.jpg")
    image.symlink_to(tmp_path / "image.jpg")
    prepare(data_set("mist"), "mist", source, tmp_path / "data", ["her2"])
    placed = tmp_path / "data/mist/HER2/TrainValAB/trainA/0M2_0_1.jpg"
    assert placed.samefile(image)
    assert not placed.is_symlink()


@pytest.mark.parametrize("pack", [None, as_zip, as_tar])
def test_an_interrupted_one_goes_on(pack: Callable[[Path, Path], Path] | None, tmp_path: Path) -> None:
    source = mist(tmp_path / "download", ("HER2",))
    packed = pack(source, tmp_path / "x.zip") if pack else source

    def stop(done: int, _: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(data_set("mist"), "mist", packed, tmp_path / "data", ["her2"], progress=stop)
    home = tmp_path / "data" / "mist"
    whole = snapshot(source)
    there = snapshot(home)
    assert len(there) >= 7
    assert all(there[name][1] == whole[name][1] for name in there if name != NAME)
    (home / NAME).unlink()  # as after a crash
    done = prepare(data_set("mist"), "mist", packed, tmp_path / "data", ["her2"])
    assert done.files["kept"] == len(there) - 1
    again = snapshot(home)
    assert {name: content for name, (_, content) in again.items() if name != NAME} == {
        n: c for n, (_, c) in whole.items()
    }
    assert all(again[name] == there[name] for name in there if name != NAME)
    assert len(Manifest(home).files) == 14


@pytest.mark.parametrize("pack", [None, as_zip, as_tar])
def test_what_is_damaged_is_replaced_and_what_is_foreign_is_left(
    pack: Callable[[Path, Path], Path] | None, tmp_path: Path
) -> None:
    source = mist(tmp_path / "download", ("HER2",))
    packed = pack(source, tmp_path / "x.zip") if pack else source
    place = lambda: prepare(data_set("mist"), "mist", packed, tmp_path / "data", ["her2"], copy=True)  # noqa: E731
    place()
    file = tmp_path / "data/mist/HER2/TrainValAB/trainA/0M2_0_1.jpg"
    right = file.read_bytes()
    for wrong in (b"", right[:-1] + b"!"):
        file.write_bytes(wrong)
        assert place().files == {"linked": 0, "copied": 1, "kept": 13}
        assert file.read_bytes() == right
    (tmp_path / "data" / "mist" / NAME).unlink()
    file.write_bytes(b"someone's own")
    with pytest.raises(DataError, match=r"0M2_0_1\.jpg: there already, with other content than .*HER2/TrainValAB"):
        place()
    assert file.read_bytes() == b"someone's own"


@pytest.mark.parametrize("pack", [as_zip, as_tar])
def test_an_archive_is_as_good_as_its_folder(pack: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    source = mist(tmp_path / "download")
    write(source, "__MACOSX/HER2-004/TrainValAB/trainA/._0M2_0_1.jpg", "README.txt")
    done = prepare(data_set("mist"), "mist", pack(source, tmp_path / "x.zip"), tmp_path / "data", ["her2", "ki67"])
    assert done.files == {"linked": 0, "copied": 29, "kept": 0}
    shutil.rmtree(source / "__MACOSX")
    assert pairs(data_set("mist"), tmp_path / "data", "her2") == pairs(data_set("mist"), source, "her2")
    found = snapshot(tmp_path / "data" / "mist")
    assert {name: content for name, (_, content) in found.items() if name != NAME} == {
        name.replace("HER2-004", "HER2"): content for name, (_, content) in snapshot(source).items()
    }


def test_a_stain_that_only_the_archives_name_tells(tmp_path: Path) -> None:
    """Twice, and with another stain's archive beside it: each finds its own place again."""
    for stain in ("HER2-004", "Ki67-001"):
        inner = mist(tmp_path / "download", (stain,)) / stain
        path = as_zip(inner, tmp_path / f"{stain}.zip")
        name = {"HER2-004": "her2", "Ki67-001": "ki67"}[stain]
        for files in ({"linked": 0, "copied": 14, "kept": 0}, {"linked": 0, "copied": 0, "kept": 14}):
            assert prepare(data_set("mist"), "mist", path, tmp_path / "data", [name]).files == files
        assert (tmp_path / "data/mist" / stain[:4] / "TrainValAB/valA").is_dir()
    inner = mist(tmp_path / "more/PR", ("x",)) / "x" / "TrainValAB"
    (tmp_path / "more/PR/TrainValAB").parent.mkdir(exist_ok=True)
    inner.rename(tmp_path / "more/PR/TrainValAB")
    prepare(data_set("mist"), "mist", tmp_path / "more/PR/TrainValAB", tmp_path / "data", ["pr"])
    assert len(pairs(data_set("mist"), tmp_path / "data", "pr")) == 7


def test_other_images_of_the_same_names_are_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    prepare(data_set("mist"), "mist", mist(tmp_path / "one", ("HER2",)), tmp_path / "data", ["her2"])
    before = snapshot(tmp_path / "data/mist/HER2")
    two = mist(tmp_path / "two", ("HER2-004",))
    (two / "HER2-004/TrainValAB/trainA/3M2_3_1.jpg").write_bytes(b"another")
    with pytest.raises(DataError, match=r"3M2_3_1\.jpg: there already, with other content"):
        prepare(data_set("mist"), "mist", two, tmp_path / "data", ["her2"])
    assert snapshot(tmp_path / "data/mist/HER2") == before


@pytest.mark.parametrize("name", ["../evil.jpg", "/evil.jpg", "HER2/TrainValAB/trainA/0M2_0_1.jpg"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_archive_writes_nothing(name: str, tmp_path: Path) -> None:
    path = as_zip(mist(tmp_path / "download", ("HER2",)), tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, b"evil")
    with pytest.raises(DataError, match="nothing is unpacked"):
        prepare(data_set("mist"), "mist", path, tmp_path / "in" / "data", ["her2"])
    assert not (tmp_path / "in").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_damage_in_an_archive_is_found_before_anything_is_written(tmp_path: Path) -> None:
    path = as_zip(mist(tmp_path / "download", ("HER2",)), tmp_path / "HER2.zip")
    with zipfile.ZipFile(path) as file:
        offset = next(info.header_offset for info in file.infolist() if "valA/2M2" in info.filename)
    content = bytearray(path.read_bytes())
    content[offset + 75] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"HER2\.zip: HER2/TrainValAB/valA/2M2_8_1\.jpg is damaged"):
        prepare(data_set("mist"), "mist", path, tmp_path / "data", ["her2"])
    assert not (tmp_path / "data").exists()


def test_errors_speak_of_the_archive_not_of_a_temporary_folder(tmp_path: Path) -> None:
    source = mist(tmp_path / "download", ("HER2",))
    (source / "HER2/TrainValAB/trainB/0M2_0_1.jpg").unlink()
    path = as_zip(source, tmp_path / "x.zip")
    done = prepare(data_set("mist"), "mist", path, tmp_path / "data", ["her2"])
    assert done.pairs == {("her2", "test"): 2}
    (reason,) = done.refused
    assert reason.startswith(f"{path}/HER2/TrainValAB/trainA: no partner in {path}/HER2")


def test_where_nothing_is_found_the_reason_is_given(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no folder of her2"):
        prepare(data_set("mist"), "mist", tmp_path / "empty", tmp_path / "data", ["her2"], optional=True)
    assert not (tmp_path / "data").exists()


def test_source_and_destination_are_kept_apart(tmp_path: Path) -> None:
    source = mist(tmp_path / "download")
    for dest in (source, source / "data", tmp_path / "download/../download/x"):
        with pytest.raises(UsageError, match="where nothing is written"):
            prepare(data_set("mist"), "mist", source, dest, ["her2"])
    (tmp_path / "mist").mkdir()
    with pytest.raises(UsageError, match="where the prepared files go"):
        prepare(data_set("mist"), "mist", mist(tmp_path / "mist/raw"), tmp_path, ["her2"])
    with pytest.raises(UsageError, match="no such file or folder"):
        prepare(data_set("mist"), "mist", tmp_path / "nothing", tmp_path, ["her2"])


def test_a_full_disk_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="bytes are needed, 10 are free"):
        prepare(data_set("mist"), "mist", mist(tmp_path / "download"), tmp_path / "data", ["her2"], copy=True)
    assert snapshot(tmp_path / "data" / "mist").keys() <= {NAME}
    assert prepare(data_set("mist"), "mist", tmp_path / "download", tmp_path / "data", ["her2"]).files["linked"] == 14


def test_lists_come_along(tmp_path: Path) -> None:
    """Readers read some text files; without them these pairs would be split otherwise."""
    source = tmp_path / "download"
    write(source, *(f"{side}/{name}.png" for side in ("he", "ihc") for name in "abc"))
    (source / "train.txt").write_text("b\n")
    (source / "test.txt").write_text("a\nc\n")
    folder = data_set("folder", "split_by=lists")
    for path in (source, as_zip(source, tmp_path / "x.zip")):
        dest = tmp_path / f"data-{path.suffix}"
        prepare(folder, "folder", path, dest, ["er"])
        assert pairs(folder, dest / "folder", "er") == pairs(folder, source, "er")


def test_labels_come_along(tmp_path: Path) -> None:
    source = tmp_path / "download" / "IHC4BC_Compressed"
    names = [f"Patient_0_{p}/Subregion_1/0_{p}_1_0_0.jpg" for p in (1010, 1011, 1012)]
    for side in ("HandE", "IHC"):
        write(source / "Images" / side / "ER", *names)
    (source / "Labels").mkdir()
    (source / "Labels" / "ER.csv").write_text("".join(f"0_{p}_1_0_0.png,a,10,0.2,0.3\n" for p in (1010, 1011, 1012)))
    dataset = data_set("ihc4bc", "label_cutoff=0.25")
    prepare(dataset, "ihc4bc", as_zip(tmp_path / "download", tmp_path / "x.zip"), tmp_path / "data", ["er"])
    found, expected = (
        {pair.id: pair.labels for split in SPLITS for pair in dataset.pairs(root, "er", split)}
        for root in (tmp_path / "data", tmp_path / "download")
    )
    assert found == expected
    assert all(found.values())


def test_stains_may_share_their_he(tmp_path: Path) -> None:
    source = tmp_path / "download"
    write(source, *(f"{side}/{split}/x.png" for side in ("he", "er", "pr", "spare") for split in SPLITS))
    folder = load("vsbench.datasets", "folder").from_options({"ihc": "{stain}"})
    done = prepare(folder, "folder", source, tmp_path / "data", ["er", "pr"])
    assert done.files == {"linked": 6, "copied": 0, "kept": 0}
    assert done.spare == ["spare/test/x.png", "spare/train/x.png"]
    for stain in ("er", "pr"):
        assert pairs(folder, tmp_path / "data/folder", stain) == pairs(folder, source, stain)


def test_a_data_set_may_arrange_its_files(tmp_path: Path) -> None:
    source = tmp_path / "BCI"
    for side in ("HE", "IHC"):
        write(
            source, f"train/{side}/00002_train_0.png", f"val/{side}/00001_train_1+.png", f"test/{side}/00001_test_0.png"
        )
    prepare(data_set("bci"), "bci", source, tmp_path / "data", ["her2"])
    assert sorted(p.name for p in (tmp_path / "data/bci/HE/train").iterdir()) == [
        "00001_train_1+.png",
        "00002_train_0.png",
    ]
    assert pairs(data_set("bci"), tmp_path / "data", "her2") == pairs(data_set("bci"), source, "her2")


def test_the_manifest_is_saved_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY", 0.0)
    seen = []

    def look(done: int, _: int) -> None:
        if done > 1:
            seen.append(len(Manifest(tmp_path / "data" / "mist").files) >= done - 1)

    prepare(data_set("mist"), "mist", mist(tmp_path / "download"), tmp_path / "data", ["her2"], progress=look)
    assert seen
    assert all(seen)


def own(folder: Path) -> Path:
    for split, n in (("train", 3), ("test", 2)):
        write(folder, *(f"{side}/{split}/{i}.png" for side in ("he", "ihc") for i in range(n)))
    return folder


@pytest.mark.parametrize("pack", [as_zip, as_tar, None])
def test_a_top_folder_is_entered(pack: Callable[[Path, Path], Path] | None, tmp_path: Path) -> None:
    own(tmp_path / "download" / "My data" / "v1 (final)")
    write(tmp_path / "download", "README.txt", ".DS_Store", "My data/.DS_Store", "My data/._v1 (final)")
    source = tmp_path / "download" if pack is None else pack(tmp_path / "download", tmp_path / "download.x")
    done = prepare(data_set("folder"), "folder", source, tmp_path / "data", ["ki67"])
    assert done.pairs == {("ki67", "train"): 3, ("ki67", "test"): 2}
    there = pairs(data_set("folder"), tmp_path / "data" / "folder", "ki67")
    assert there == pairs(data_set("folder"), tmp_path / "download/My data/v1 (final)", "ki67")
    records = Manifest(tmp_path / "data" / "folder").files
    assert "My data/v1 (final)/he/test/0.png" in records["he/test/0.png"].source
    again = prepare(data_set("folder"), "folder", source, tmp_path / "data", ["ki67"])
    assert again.files["kept"] == 10


def test_of_several_top_folders_none_is_chosen(tmp_path: Path) -> None:
    for name in "AB":
        own(tmp_path / "download" / name)
    with pytest.raises(DataError, match="no such folder"):
        prepare(data_set("folder"), "folder", tmp_path / "download", tmp_path / "data", ["ki67"])
    assert not (tmp_path / "data").exists()


def test_names_of_a_folder_that_can_not_be_recorded_are_refused(tmp_path: Path) -> None:
    source = own(tmp_path / "download")
    for side in ("he", "ihc"):
        Path(os.fsdecode(os.fsencode(source / side / "train") + b"/\xe4.png")).write_bytes(b"x")
    with pytest.raises(DataError, match=r"download: 'he/train/\\udce4.png': its name is not in UTF-8; rename it"):
        prepare(data_set("folder"), "folder", source, tmp_path / "data", ["ki67"])
    assert not (tmp_path / "data").exists()


def test_a_copy_that_can_not_be_written_blames_the_destination(tmp_path: Path) -> None:
    source = own(tmp_path / "download")
    (source / "he/train/0.png").write_bytes(bytes(100_000))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from vsbench.cli.app import main; main()"
    )
    command = ["data", "prepare", "folder", str(source), str(tmp_path / "data"), "--stain", "ki67", "--copy"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    home = tmp_path / "data" / "folder"
    assert (done.returncode, done.stderr) == (
        1,
        f"error: {home}/he/train/0.png: file too large; mend that, and run the same again\n",
    )
    there = snapshot(home).keys() - {NAME}
    assert "he/train/0.png" not in there
    assert all((home / name).read_bytes() == (source / name).read_bytes() for name in there)  # whole, whatever is there
    assert set(Manifest(home).files) <= there


@pytest.mark.parametrize(
    "name", ["../../../../planted.png", "/planted.png", "a/../../planted.png", "d/" * 100 + "x.png"]
)
def test_a_manifest_that_points_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    source, home = own(tmp_path / "download"), tmp_path / "data" / "folder"
    prepare(data_set("folder"), "folder", source, tmp_path / "data", ["ki67"])
    content = read_json(home / NAME)
    for entry in ({"size": 1, "sha256": "0", "source": "x"}, {"size": "1", "sha256": None, "source": "x"}):
        write_json(home / NAME, content | {"files": content["files"] | {name: entry}})
        with pytest.raises(DataError, match=r"vsbench-manifest\.json: no manifest that can be read"):
            prepare(data_set("folder"), "folder", source, tmp_path / "data", ["ki67"])
