"""Whatever a report writes names neither where the results lie, nor the data, nor anything else of this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vsbench.report.build import build_report
from vsbench.report.page.links import reach
from vsbench.report.provenance.places import Places
from vsbench.report.tables import load_results

MARK = "zq17mark"  # in every folder of the machine's
VALUES: dict[str, Any] = {"r_p": 60.0, "iod": 1.0, "ssim": 0.2}


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_no_output_names_a_folder_of_the_machine(
    make_tree: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool, relative: bool
) -> None:
    tree, home = make_tree(n=5), tmp_path / f"ada {MARK}"
    tree.images, tree.results = home / f"data_{MARK}", home / f"results-{MARK}"
    root = tree.images
    failing = f"measure failed: OSError: {root}/he/x y.png and /mnt/{MARK}/other/file.pth"
    where = {
        "warnings": [
            f"no training split here ({root}/he/train: no such folder; check it)",
            f"{tree.results}/runs/mist-er/cut/seed-0: odd",
            f"/srv/{MARK}/with blank {MARK}/x.png: cannot be read",
        ],
        "provenance": {"weights": f"/opt/{MARK}/weights.pth"},
    }
    tree.add("cut", {**VALUES, "fid": failing}, **where)
    tree.add("cyclegan", {**VALUES, "r_p": 50.0}, **where)
    tree.add("he", VALUES, kind="reference", seed=None, **where)
    (next(root.glob("er-he/*"))).write_bytes(b"")  # a sheet that can't be drawn names its file
    monkeypatch.chdir(home)
    results = tree.results.relative_to(home) if relative else tree.results
    out = results / "report" if inside else tmp_path / "out"
    told: list[str] = []
    build_report(results, out, latex=True, bundle=tmp_path / "bundle.zip", warn=told.append)
    assert len(files(out)) > 10
    named = [path.relative_to(out).as_posix() for path in files(out) if MARK.encode() in path.read_bytes()]
    assert not named
    assert not [path for path in out.rglob("*") if MARK in path.relative_to(out).as_posix()]
    page = (out / "index.html").read_text()
    assert "no training split here" in page  # what was to be said, still is
    assert all(link.resolve().is_file() for link in out.rglob("full-he-*"))


def test_a_sentence_keeps_what_it_says() -> None:
    places = Places(Path("/home/ada/results"), ["/mnt/my data"])
    for said, expected in (
        ("/mnt/my data/he/a b.png: cut short; fetch it again", "<data>/he/a b.png: cut short; fetch it again"),
        ("/srv/x y/a b.png: cut short (1/2 of it)", "<elsewhere>/a b.png: cut short (1/2 of it)"),
        ("/home/ada/results/runs/a/b: no/yes", "runs/a/b: no/yes"),
        ("5 % of test/train slides", "5 % of test/train slides"),
        ("https://a.org/b/c is the page: look", "https://a.org/b/c is the page: look"),
    ):
        assert places.sentence(said) == expected


def test_an_image_elsewhere_is_reached_by_a_link_and_one_beside_it_by_its_own_address(tmp_path: Path) -> None:
    results, data = tmp_path / "results", tmp_path / "data"
    page = results / "report"
    for folder in (data, results / "runs", page):
        folder.mkdir(parents=True, exist_ok=True)
    for image in (data / "a.png", results / "runs" / "b.png"):
        Image.new("RGB", (4, 4)).save(image)
    link = page / "page" / "x.png"
    assert reach(results / "runs" / "b.png", link, page, results) == "../runs/b.png"
    assert not link.exists()
    for _ in range(2):  # a report is made again
        assert reach(data / "a.png", link, page, results) == "page/x.png"
        assert link.read_bytes() == (data / "a.png").read_bytes()
    assert reach(data / "gone.png", link, page, results) == "page/x.png"
    assert not link.exists()


def test_where_no_links_are_made_it_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refused)
    (tmp_path / "a.png").write_bytes(b"pixels")
    link = tmp_path / "results" / "report" / "x.png"
    assert reach(tmp_path / "a.png", link, link.parent, tmp_path / "results") == "x.png"
    assert not link.is_symlink()
    assert link.read_bytes() == b"pixels"


def test_runs_know_as_before_where_their_images_lie(make_tree: Callable[..., Any]) -> None:
    tree = make_tree()
    tree.add("cut", {**VALUES, "fid": f"{tree.images}/x: gone"}, warnings=[f"{tree.images}/y: odd"])
    (run,) = load_results(tree.results)
    (cleared,) = Places.of([run]).cleared([run])
    assert cleared.pairs == run.pairs
    assert cleared.folder == run.folder
    assert str(tree.images) not in json.dumps([cleared.warnings, cleared.values["fid"].reason])
