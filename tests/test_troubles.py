"""Troubles of the machine: each is one line with its reason and its mend, and what was written stays readable."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.cli.troubles import MENDS, trouble
from vsbench.files import TEMPORARY, atomic, write_text

Command = Callable[..., "subprocess.CompletedProcess[str]"]
MAIN = "from vsbench.cli.app import main; main()"
QUICK = ("--preset", "cpu", "--set", "steps=1", "--set", "crop_size=64", "--set", "batch_size=1", "--set", "width=8",
         "--workers", "0", "--device", "cpu")  # fmt: skip
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other limits and names")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("troubles") / "pairs", np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            (root / side / split).mkdir(parents=True)
            for name in ("s1_0", "s2_0", "s3_0"):
                pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / side / split / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def results(pairs: Path, warm: Any) -> Path:
    """Results of a training, evaluated."""
    where = ["--dataset", "folder", "--stain", "er", "--data-root", str(pairs)]
    for command in (["train", "pix2pix", *where, *QUICK], ["evaluate", "--all", "--device", "cpu"]):
        done = warm.run(command, pairs.parent, dict(os.environ))
        assert done.returncode == 0, done.stderr
    return pairs.parent / "results"


def assert_one_line(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    errors = [line for line in done.stderr.splitlines() if not line.startswith(("warning: ", "usage", "Usage", "Try "))]
    assert done.returncode in (1, 2), done.stdout
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    assert "fault of vsbench" not in errors[0]
    for word in words:
        assert word in errors[0], errors[0]


@pytest.mark.parametrize("name", sorted(MENDS))
def test_each_trouble_names_the_file_the_reason_and_the_mend(name: str) -> None:
    number = getattr(errno, name)
    found = trouble(OSError(number, os.strerror(number), "results/table.csv"))
    assert found == f"results/table.csv: {os.strerror(number)}; {MENDS[name]}"


@pytest.mark.parametrize("name", ["ENOSPC", "EFBIG", "EIO", "EDQUOT", "EROFS"])
def test_writing_that_fails_names_the_file_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The system's error of writing names no file, and one of opening the temporary one; the old file stays."""
    target, number = tmp_path / "table.csv", getattr(errno, name)
    write_text(target, "before\n")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"table\.csv") as error:
        write_text(target, "after\n")
    assert trouble(error.value) == f"{target}: {os.strerror(number)}; {MENDS[name]}"
    with pytest.raises(OSError, match=r"table\.csv") as error, atomic(target) as temporary:
        raise OSError(number, os.strerror(number), str(temporary))
    assert error.value.filename == str(target)
    assert target.read_text() == "before\n"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_an_error_of_somebody_else_s_writer_after_a_full_disk_is_the_disk_s() -> None:
    def write() -> None:
        try:
            raise OSError(errno.EFBIG, "File too large", "figure.pdf")
        finally:
            object().pos  # type: ignore[attr-defined]  # noqa: B018

    with pytest.raises(AttributeError) as error:
        write()
    assert trouble(error.value) == f"figure.pdf: File too large; {MENDS['EFBIG']}"


def test_an_error_of_ours_after_a_look_for_a_file_is_ours() -> None:
    def look() -> None:
        try:
            raise FileNotFoundError(errno.ENOENT, "No such file", "looked.for")
        except FileNotFoundError:
            object().pos  # type: ignore[attr-defined]  # noqa: B018

    with pytest.raises(AttributeError) as error:
        look()
    assert trouble(error.value) is None


@pytest.fixture
def limited(warm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``limited(20, ["measure", …])``: a command whose files may have so many kB."""
    monkeypatch.chdir(tmp_path)

    def run(kilobytes: int, arguments: list[Any]) -> "subprocess.CompletedProcess[str]":
        said, ends = [], [os.pipe(), os.pipe()]  # which have no size
        process = warm.start([*map(str, arguments)], ends[0][1], ends[1][1], 1024 * kilobytes)
        for reader, writer in ends:
            os.close(writer)
            with os.fdopen(reader) as stream:
                said.append(stream.read())
        return subprocess.CompletedProcess(arguments, process.wait(), *said)

    return run


@posix
def test_a_report_at_the_limit_of_a_file_s_size(limited: Command, results: Path, tmp_path: Path) -> None:
    """What is there then is in nobody's way."""
    report = ["report", "--latex", "--results", results, "--out", tmp_path / "out"]
    for kilobytes in (1, 20, 100):
        assert_one_line(limited(kilobytes, report), str(tmp_path / "out"), "File too large", "ulimit -f")
        assert not [file for file in tmp_path.rglob(".*") if TEMPORARY.fullmatch(file.name)]
    done = limited(10**6, report)
    assert done.returncode == 0, done.stderr


@posix
def test_other_commands_at_the_limit_of_a_file_s_size(
    limited: Command, pairs: Path, results: Path, tmp_path: Path
) -> None:
    where = ["--dataset", "folder", "--stain", "er", "--data-root", pairs]
    he = pairs / "he/test/s1_0.png"
    prepare = ["data", "prepare", "folder", pairs, tmp_path / "d", "--stain", "er", "--copy"]
    assert_one_line(limited(8, prepare), str(tmp_path / "d"), "ile too large")
    assert_one_line(limited(1, ["train", "pix2pix", *where, *QUICK]), "results", "ile too large")
    assert_one_line(limited(0, ["measure", "--csv", tmp_path / "m.csv", he]), "m.csv", "ile too large")
    run = next(results.glob("runs/*/pix2pix+cpu/seed-0"))
    assert_one_line(limited(1, ["translate", run, he, tmp_path / "o.png", "--device", "cpu"]),
                    "o.png", "ile too large")  # fmt: skip
    assert not [file for file in tmp_path.rglob(".*") if TEMPORARY.fullmatch(file.name)]


@posix
def test_a_full_standard_output_is_named(vsbench: Command) -> None:
    for command in (["methods"], ["methods", "--json"], ["weights", "list"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-c", MAIN, *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.stderr == f"error: standard output: No space left on device; {MENDS['ENOSPC']}\n"
        assert done.returncode == 1


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no such name")
def test_names_that_are_no_text_are_refused_by_name(vsbench: Command, pairs: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"s4_\xff.png")
    own, generated, folder = tmp_path / "own", tmp_path / "generated", tmp_path / os.fsdecode(b"data\xff")
    for source in pairs.rglob("*.png"):
        for root in (own, folder):
            target = root / source.relative_to(pairs)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    image = (pairs / "he/test/s1_0.png").read_bytes()
    for part in ("he/train", "ihc/train", "he/test", "ihc/test"):
        (own / part / odd).write_bytes(image)
    generated.mkdir()
    (generated / odd).write_bytes(image)
    where = ("--dataset", "folder", "--stain", "er", "--data-root")
    measure = ("measure", "--csv", "table.csv", generated / odd)
    for command in (
        ("train", "pix2pix", *where, own, *QUICK),
        ("evaluate", "--references", *where, own, "--device", "cpu"),
        ("evaluate", "--images", generated, "--name", "x", *where, pairs, "--device", "cpu"),
        measure,
    ):
        assert_one_line(vsbench(*command), "s4_\\udcff", "not in UTF-8", "rename it")
    assert_one_line(vsbench(*measure, LC_ALL="C"), "s4_\\udcff", "not in UTF-8", "rename it")
    done = vsbench("train", "pix2pix", *where, folder, *QUICK)
    assert_one_line(done, "data\\udcff", "not in UTF-8", "rename it")
    assert not list((tmp_path / "results").rglob("run.json"))


@posix
def test_links_that_lead_nowhere_or_round(vsbench: Command, pairs: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    where = ("--dataset", "folder", "--stain", "er", "--data-root")
    he = pairs / "he/test/s1_0.png"
    for link in ("loop", "dangling"):
        for command in (
            ("report", "--results", results, "--out", link),
            ("report", "--results", link),
            ("train", "pix2pix", *where, link, *QUICK),
            ("train", "pix2pix", *where, pairs, *QUICK, "--results", link),
            ("translate", link, he, "out.png"),
            ("measure", link),
            ("measure", "--csv", link, he),
            ("data", "prepare", "folder", pairs, link, "--stain", "er"),
            ("data", "prepare", "folder", link, "out", "--stain", "er"),
        ):
            assert_one_line(vsbench(*command), link)


def test_a_file_where_a_folder_must_be(vsbench: Command, pairs: Path, results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine\n")
    where = ("--dataset", "folder", "--stain", "er", "--data-root", pairs)
    for command in (
        ("report", "--results", results, "--out", "file"),
        ("report", "--results", "file"),
        ("train", "pix2pix", *where, *QUICK, "--results", "file"),
        ("train", "pix2pix", *where, *QUICK, "--results", "file/below"),
        ("evaluate", "--references", *where, "--results", "file"),
        ("data", "prepare", "folder", pairs, "file", "--stain", "er"),
    ):
        assert_one_line(vsbench(*command), "file")
    assert (tmp_path / "file").read_text() == "mine\n"


def frozen(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files, with when they were written, but for digests, which are kept once a file is not too young for it."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file() and file.name != "digests.json"
    }


def test_finished_results_are_evaluated_and_reported_elsewhere(
    vsbench: Command, pairs: Path, results: Path, tmp_path: Path
) -> None:
    """They may lie where nothing can be written: what is there is left alone, to the moment of its writing."""
    before = frozen(results)
    for _ in range(2):
        done = vsbench("evaluate", "--all", "--results", results, "--out", "mine", "--device", "cpu")
        assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stdout
    done = vsbench("report", "--results", "mine", "--no-figures", "--no-html")
    assert done.returncode == 0, done.stderr
    assert "pix2pix" in (tmp_path / "mine/report/summary.csv").read_text()
    done = vsbench("evaluate", "--all", "--results", results, "--device", "cpu")  # nothing changed: nothing written
    assert done.returncode == 0, done.stderr
    assert frozen(results) == before
    made, own = (next(r.glob("runs/*/pix2pix+cpu/seed-0")) for r in (tmp_path / "mine", results))
    assert (made / "run.json").read_bytes() == (own / "run.json").read_bytes()
    table = "evaluation/native/per_image.csv"
    assert (made / table).read_bytes() == (own / table).read_bytes()
    record = (made / "run.json").read_text()
    (made / "run.json").write_text(record.replace('"seed": 0', '"seed": 7'))
    done = vsbench("evaluate", "--all", "--results", results, "--out", "mine", "--device", "cpu")
    assert_one_line(done, "mine", "holds another run", "--out")
