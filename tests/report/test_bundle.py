"""The supplement: same report, same bytes; nothing in it tells of the machine; no image of a data set."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.errors import RunError, UsageError
from vsbench.files import write_text
from vsbench.report.build import build_report
from vsbench.report.figures.style import new_figure, save
from vsbench.report.latex.document import Figure, document, figures_in_rows
from vsbench.report.notation import prose
from vsbench.report.provenance.bundle import write_bundle
from vsbench.report.tables import compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here
Bundle = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user, with a blank in its name; everything lies below it."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def place(home: Path, make_tree: Callable[..., Tree]) -> Tree:
    """Runs whose records and warnings are full of paths, on a data set below the home folder."""
    tree = make_tree()
    for seed in (0, 1):
        values = {"r_p": 50.0 + seed, "r_c": 40.0, "r_avg": 45.0, "fid": f"no weights in {home}/cache/weights"}
        warnings = [f"no training split here ({home}/images/train: no such folder)", "/opt/secret/50%_a&b is not there"]
        folder = tree.add("cut", values, seed=seed, title="CUT <b>x</b> 50%_a&b", warnings=warnings)
        record_too(folder, data_root=f"{home}/images")
        made = {"weights": "a" * 64, "he": "b" * 64, "seconds": 1.0, "images": 2, "device": "cpu"}
        (folder / "images/test.json").write_text(json.dumps(made), encoding="utf-8")
    folder = tree.add("theirs", {"r_p": 30.0, "r_c": 20.0, "r_avg": 25.0}, kind="external")
    record_too(folder, images=f"{home}/secret plans/fakes", suffix=None, resize=None)
    tree.add("he", {"r_p": 10.0, "r_c": 20.0, "r_avg": 15.0}, kind="reference", title="H&E unchanged")
    return tree


def record_too(folder: Path, **more: Any) -> None:
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps(record | more), encoding="utf-8")


@pytest.fixture
def bundle(place: Tree) -> Bundle:
    """``bundle("b.zip")``: a report of the runs as small as it can be, bundled beside the results."""
    out = place.results / "report"
    image = place.images / "er-he/000.png"
    warning = prose(f"no training split here ({image.parent}: no such folder)")
    files = {
        "summary.csv": f'path,reason\n"{image}","no {image}, {place.results}/runs"\n',
        "tables/all.tex": f"\\textbf{{Warning}}: {warning}.\\\\\n",
        "main.tex": document("Results", [
            r"\input{tables/all.tex}",
            *figures_in_rows([
                Figure("figures/images.pdf", "Images.", "fig:a", 7.0),
                Figure("figures/scatter.pdf", "Scatter.", "fig:b", 3.5),
            ]),
        ]),
        "figures/images.csv": f"path\n{image}\n",
        "notes.md": f"see {image}\n",
    }  # fmt: skip
    for name, text in files.items():
        write_text(out / name, text)
    drawn = new_figure(1, 1)
    drawn.add_subplot().plot([1, 2])
    pictures = new_figure(1, 1)
    pictures.add_subplot().imshow([[1, 2]])
    for stem, what in (("scatter", drawn), ("images", pictures)):
        for suffix in ("pdf", "png"):
            files[f"figures/{stem}.{suffix}"] = ""
            save(what, out / f"figures/{stem}.{suffix}")

    def make(name: str = "b.zip", *more: Path) -> Path:
        report = [*(out / name for name in files), *more]
        return write_bundle(
            place.results.parent / name, report, compare(load_results(place.results)), place.results, out
        )

    return make


@pytest.fixture
def built(place: Tree) -> Path:
    """A real report, bundled."""
    out = place.results / "report"
    files = build_report(place.results, out, latex=True, warn=lambda text: None)
    return write_bundle(place.results.parent / "b.zip", files, compare(load_results(place.results)), place.results, out)


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def test_everything_behind_the_numbers_is_there(bundle: Bundle, place: Tree) -> None:
    found = contents(bundle())
    run = "runs/mist-er/cut/seed-1"
    assert {
        "README.txt", "MANIFEST", "report/main.tex", "report/summary.csv", "report/provenance.json",
        "report/provenance.csv", "report/tables/all.tex", "report/figures/scatter.pdf",
        "report/figures/scatter.png", "report/figures/images.csv", f"{run}/run.json",
        f"{run}/images/test.json", f"{run}/evaluation/native/summary.json", f"{run}/evaluation/native/per_image.csv",
        "runs/mist-er/theirs/external/run.json", "runs/mist-er/he/reference/evaluation/native/per_image.csv",
    } <= found.keys()  # fmt: skip
    table = f"{run}/evaluation/native/per_image.csv"
    assert found[table] == (place.results / table).read_bytes()  # what holds no path is the same to the bit
    assert [record["seed"] for record in json.loads(found["report/provenance.json"]) if record["row"] == "cut"] == [
        0,
        1,
    ]


def test_the_manifest_is_what_sha256sum_checks(bundle: Bundle, tmp_path: Path) -> None:
    found = contents(bundle())
    lines = [line.split("  ", 1) for line in found.pop("MANIFEST").decode().splitlines()]
    assert {name: digest for digest, name in lines} == {n: hashlib.sha256(c).hexdigest() for n, c in found.items()}
    assert [name for _, name in lines] == sorted(found)


def test_the_same_report_is_the_same_file(bundle: Bundle) -> None:
    first = bundle().read_bytes()
    assert bundle("c.zip").read_bytes() == first
    with zipfile.ZipFile(bundle()) as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def assert_silent(found: dict[str, bytes], home: Path) -> None:
    """That no text names a folder of the machine, however LaTeX, JSON or CSV write it."""
    for name, content in found.items():
        text = content.replace(rb"\allowbreak{}", b"").replace(rb"\_", b"_").replace(rb"\/", b"/")
        for word in (str(home), str(Path(__file__).parents[2]), home.name, "secret"):
            assert word.encode() not in text, (name, word)


def test_nothing_tells_of_the_machine(bundle: Bundle, place: Tree, home: Path) -> None:
    found = contents(bundle())
    assert_silent(found, home)
    summary = json.loads(found["runs/mist-er/cut/seed-0/evaluation/native/summary.json"])
    assert summary["pairs"][0]["he"] == "<data>/er-he/000.png"
    assert summary["pairs"][0]["fake"] == "images/test/000.png"
    assert summary["warnings"][1] == "<elsewhere>/50%_a&b is not there"
    assert json.loads(found["runs/mist-er/cut/seed-0/run.json"])["data_root"] == "<data>"
    assert json.loads(found["runs/mist-er/theirs/external/run.json"])["images"] == "<elsewhere>/fakes"
    assert found["report/summary.csv"].decode().splitlines()[1] == (
        '<data>/er-he/000.png,"no <data>/er-he/000.png, runs"'
    )
    assert found["report/notes.md"] == b"see <data>/er-he/000.png\n"
    assert rb"(\textless{}data\textgreater{}/er-" in found["report/tables/all.tex"]
    assert b"<elsewhere>/name" in found["README.txt"]  # the rule is stated


def test_a_real_report_tells_nothing_and_compiles(built: Path, place: Tree, home: Path, tmp_path: Path) -> None:
    found = contents(built)
    before = "".join(file.read_text() for file in (place.results / "runs").rglob("*.json"))
    assert "secret" in before  # there is something to find
    assert_silent(found, home)
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    with zipfile.ZipFile(built) as file:
        file.extractall(tmp_path / "x")
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
            cwd=tmp_path / "x/report", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-1000:]
    assert "Warning" not in (tmp_path / "x/report/main.log").read_text(errors="replace")


def test_no_image_of_a_data_set_is_in_it(bundle: Bundle, place: Tree) -> None:
    path = bundle()
    found = contents(path)
    assert {Path(name).suffix for name in found} == {"", ".txt", ".md", ".tex", ".csv", ".json", ".pdf", ".png"}
    assert {name for name in found if name.endswith((".pdf", ".png"))} == {
        "report/figures/scatter.pdf", "report/figures/scatter.png"
    }  # fmt: skip
    readme = found["README.txt"].decode()
    assert "figures/images.pdf\nfigures/images.png\n" in readme
    assert "mist: " in readme  # its licence
    assert b"images of a data set, which is left out here" in found["report/main.tex"]


def test_pages_and_pictures_without_a_vector_twin_stay_out(bundle: Bundle, place: Tree) -> None:
    extra = [place.results / "report" / name for name in ("index.html", "thumbs/a.jpg", "figures/lonely.png")]
    for file in extra:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"\xff\xd8 an image, perhaps")
    found = contents(bundle("d.zip", *extra))
    for name in ("index.html", "thumbs/a.jpg", "figures/lonely.png"):
        assert f"report/{name}" not in found
        assert f"{name}\n" in found["README.txt"].decode()
    many = [place.results / f"report/page/{i}.jpg" for i in range(500)]
    many[0].parent.mkdir()
    for file in many:
        file.touch()
    assert "page/ (500 files)\n" in contents(bundle("e.zip", *many))["README.txt"].decode()


def test_only_a_bundle_is_replaced(bundle: Bundle, place: Tree) -> None:
    first = bundle()
    assert bundle() == first
    for name, content in (("mine.zip", b"not a zip"), ("other.zip", None)):
        path = place.results.parent / name
        if content is None:
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("precious", "data")
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        with pytest.raises(RunError, match="not written by vsbench; remove it"):
            bundle(name)
        assert path.read_bytes() == before
    (place.results.parent / "folder.zip").mkdir()
    with pytest.raises(RunError, match=r"folder\.zip"):
        bundle("folder.zip")
    if hasattr(os, "mkfifo"):
        os.mkfifo(place.results.parent / "fifo.zip")  # opened, it would be waited for
        with pytest.raises(RunError, match=r"fifo\.zip"):
            bundle("fifo.zip")
    with pytest.raises(UsageError, match=r"\.zip"):
        bundle("b.tar")


@pytest.mark.parametrize("name", ["per_image.csv", "run.json"])
def test_a_damaged_file_of_a_run_is_named_and_the_old_bundle_stays(bundle: Bundle, place: Tree, name: str) -> None:
    path = bundle()
    before = path.read_bytes()
    file = next(place.results.rglob(name))
    whole = file.read_bytes()
    for content in (b"\xff" + whole, whole + b'\x84"/'):
        file.write_bytes(content)
        with pytest.raises(RunError, match=rf"{name}: damaged .*no --bundle"):
            bundle()
    os.truncate(file, 1 << 40)
    with pytest.raises(RunError, match=rf"{name}: damaged \(1,099,511,627,776 bytes"):
        bundle()
    file.unlink()
    file.mkdir()
    with pytest.raises(RunError, match=rf"{name}: damaged \(Is a directory"):
        bundle()
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_old_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle()
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(RunError, match=r"b\.zip: cannot be written \(No space left"):
        bundle()
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("*.zip")] + [f.name for f in path.parent.glob(".*")] == ["b.zip"]
