"""What is written: all data as text, nothing that an HTML parser or a browser could take for more."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from vsbench.report.notation import markup
from vsbench.report.page.choice import BEST, MEDIAN, WORST, choose
from vsbench.report.page.explorer import SIDE
from vsbench.report.page.texts import address, embedded
from vsbench.report.page.write import write_page
from vsbench.report.published import load
from vsbench.report.tables import compare, load_results

HOSTILE = '</script><img src=x onerror="document.title=1">\u2028<!-- $\\ & 50%_a'


def block(page: Path, name: str) -> Any:
    """The JSON that a browser finds in the page."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf'<script type="application/json" id="data-{name}">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def write(tree: Any, papers: Any = (), warn: Callable[[str], None] = pytest.fail) -> Path:
    out = tree.results / "report"
    index, *_ = write_page(out, compare(load_results(tree.results)), {}, {}, papers, warn)
    return index


def add_column(folder: Path, column: str, numbers: list[float]) -> None:
    """A number of each image, as metrics leave it in the per-image table."""
    path = folder / "evaluation" / "native" / "per_image.csv"
    pd.read_csv(path, dtype={"id": str}).assign(**{column: numbers}).to_csv(path, index=False)


def drop_densities(folder: Path) -> None:
    """A table without the columns that the error in stain follows from: its images are chosen by other numbers."""
    path = folder / "evaluation" / "native" / "per_image.csv"
    pd.read_csv(path, dtype={"id": str}).drop(columns=["intden", "intden_real"]).to_csv(path, index=False)


def test_names_are_never_html(tree: Any) -> None:
    tree.add("cut", {"r_p": 50.0, "fid": HOSTILE}, title=HOSTILE, warnings=[HOSTILE])
    index = write(tree)

    class Elements(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found.append(tag)

    parser = Elements()
    parser.feed(index.read_text(encoding="utf-8"))
    assert parser.found.count("script") == 5 + 1, "five blocks of data and one script"
    assert "img" not in parser.found
    board = block(index, "board")
    assert board["rows"][0]["method"] == HOSTILE
    assert " ".join(HOSTILE.split()) in board["texts"]


def test_embedded_json_holds_no_markup_and_no_nan() -> None:
    assert not set("<>&\u2028") & set(embedded([HOSTILE]))
    assert json.loads(embedded([HOSTILE])) == [HOSTILE]
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(float("nan"))


def test_scripts_make_elements_of_text_only(tree: Any) -> None:
    tree.add("cut", {"r_p": 50.0})
    text = write(tree).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|outerHTML|eval\(|setTimeout\(['\"]", text)
    assert not re.search(r"fetch\(|XMLHttpRequest|@import|WebSocket", text)
    assert "default-src 'none'" in text


def test_infinite_and_absent_values_have_words(tree: Any) -> None:
    tree.add("cut", {"psnr": "inf", "fid": "weights missing"}, seed=0)
    tree.add("cut", {"psnr": "inf", "fid": "weights missing"}, seed=1)
    board = block(write(tree), "board")
    cells = board["rows"][0]["cells"]
    assert (cells["psnr"]["mean"], cells["psnr"]["text"]) == ("Infinity", "∞")
    assert (cells["fid"]["mean"], cells["fid"]["text"]) == (None, "n/a")
    assert [board["texts"][note] for note in cells["fid"]["notes"]] == ["weights missing"]


def test_each_seed_and_file_stands_behind_a_number(tree: Any) -> None:
    for seed, value in enumerate((50.0, 60.0)):
        folder = tree.add("cut", {"r_p": value}, seed=seed)
    index = write(tree)
    board = block(index, "board")
    row = board["rows"][0]
    assert row["cells"]["r_p"]["text"] == "55.00 ± 7.07"
    assert [seed[:2] for seed in row["cells"]["r_p"]["seeds"]] == [["seed 0", "50.000"], ["seed 1", "60.000"]]
    files = board["runs"][row["runs"][1]]["files"]
    assert [(index.parent / href).resolve() for _, href in files[:2]] == [
        (folder / "evaluation" / "native" / name).resolve() for name in ("summary.json", "per_image.csv")
    ]


def test_a_row_on_other_images_and_a_reference_ahead_say_so(tree: Any) -> None:
    tree.add("cut", {"r_p": 50.0})
    tree.add("asp", {"r_p": 55.0})
    tree.add("usigan", {"r_p": 60.0}, data_digest="f" * 64)
    tree.add("he", {"r_p": 70.0}, kind="reference")
    board = block(write(tree), "board")
    said = {
        row["method"]: [board["texts"][note] for note in row["cells"]["r_p"].get("notes", [])] for row in board["rows"]
    }
    assert said["usigan"] == ["measured on other images (N = 6, data ffffffffffff): not ranked"]
    assert said["he"] == ["a reference, and better than every method: mind what this value rewards"]
    # of three slides none is marked as best
    assert not [row["method"] for row in board["rows"] if row["cells"]["r_p"].get("mark")]


def test_printed_numbers_are_rows_of_their_own_with_their_doubts(tree: Any, tmp_path: Path) -> None:
    tree.add("cut", {"fid": 40.0})
    lines = [
        "table,dataset,stain,method,metric,value,flag,note",
        "II,mist,er,CUT,fid,41.5,,",
        "II,mist,er,CUT,ssim,4,,",
    ]
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "p.yaml").write_text("source: A et al. 2020\n")
    board = block(write(tree, [load(tmp_path / "p.csv")]), "board")
    printed = [row for row in board["rows"] if row["kind"] == "printed"]
    assert [(row["method"], row["cells"]["fid"]["text"]) for row in printed] == [("CUT", "41.5")]
    notes = [board["texts"][note] for note in printed[0]["cells"]["ssim"]["notes"]]
    assert len(notes) == 1
    assert "outside the metric's range" in notes[0]
    assert "notes" not in printed[0]["cells"]["fid"]


def test_choice_is_worst_median_best_and_ties_go_by_id() -> None:
    table = pd.DataFrame({"id": [f"{i:02d}" for i in range(30)], "x": [float(i) for i in range(29)] + [None]})
    low, high = choose(table, "x", "low"), choose(table, "x", "high")
    assert [number for number, _ in low.worst] == [28, 27, 26, 25]
    assert [number for number, _ in low.best] == [0, 1, 2, 3] == [number for number, _ in high.worst]
    assert [number for number, _ in low.median] == [13, 14, 15]
    table["x"] -= 20  # -20 … 8
    assert [number for number, _ in choose(table, "x", "zero").best] == [20, 19, 21, 18]
    same = choose(pd.DataFrame({"id": list("dcba"), "x": [1.0] * 4}), "x", "high")
    assert ([n for n, _ in same.best], [n for n, _ in same.worst]) == ([3, 2], [0, 1])


@pytest.mark.parametrize("n", [1, 2, 5, 11, 12])
def test_no_image_is_in_two_groups(n: int) -> None:
    chosen = list(choose(pd.DataFrame({"id": [str(i) for i in range(n)], "x": range(n)}), "x", "low").pairs())
    assert len(chosen) == len(set(chosen)) == min(n, WORST + MEDIAN + BEST)


def test_small_pictures_only_of_images_that_are_shown(make_tree: Callable[..., Any]) -> None:
    tree = make_tree(n=12)
    folder = tree.add("cut", {"ssim": 0.5})
    add_column(folder, "ssim", [i / 20 for i in range(12)])
    drop_densities(folder)
    Image.new("RGB", (2 * SIDE, SIDE)).save(folder / "images" / "test" / "000.png")
    small = write(tree).parent / "page" / "mist-er"
    chosen = [number for number in range(12) if number != 4]
    parts = ("0", "he", "ihc", "truth")
    assert {path.name for path in small.glob("*.jpg")} == {
        f"{part}-{n}{of}.jpg" for part in parts for n in chosen for of in ("", "-zoom")
    }
    assert {path.name for path in small.glob("full-*")} == {
        f"full-{part}-{n}.png" for part in parts[1:] for n in chosen
    }
    assert all(path.is_symlink() for path in small.glob("full-*"))  # of what lies outside of the results
    sizes = {}
    for name in ("0-0.jpg", "he-0.jpg", "he-0-zoom.jpg", "0-0-zoom.jpg"):
        with Image.open(small / name) as image:
            sizes[name] = (image.format, image.size)
    assert sizes == {
        "0-0.jpg": ("JPEG", (SIDE, SIDE // 2)),
        "0-0-zoom.jpg": ("JPEG", (SIDE // 2, SIDE // 4)),  # of a larger image the same part
        "he-0.jpg": ("JPEG", (32, 32)),
        "he-0-zoom.jpg": ("JPEG", (8, 8)),
    }


def test_a_table_or_image_that_is_missing_is_told_and_stops_nothing(tree: Any) -> None:
    add_column(tree.add("cut", {"ssim": 0.5}), "ssim", [0.1] * 6)
    (tree.add("asp", {"ssim": 0.6}) / "evaluation" / "native" / "per_image.csv").unlink()
    (tree.results / "runs" / "mist-er" / "cut" / "seed-0" / "images" / "test" / "000.png").write_bytes(b"no image")
    told: list[str] = []
    index = write(tree, warn=told.append)
    assert [method["title"] for method in block(index, "details")[0]["explorer"]["methods"]] == ["cut"]
    assert len(told) == 2
    assert "no failure explorer of asp" in told[0]
    assert "1 images" in told[1]


def test_same_input_gives_same_bytes(tree: Any) -> None:
    add_column(tree.add("cut", {"ssim": 0.5}), "ssim", [0.1] * 6)
    first = {path: path.read_bytes() for path in write(tree).parent.rglob("*") if path.is_file()}
    assert first == {path: path.read_bytes() for path in write(tree).parent.rglob("*") if path.is_file()}


def test_addresses_are_relative_and_quoted(tmp_path: Path) -> None:
    assert (
        address(tmp_path / "runs" / "50% #1?" / "a b.png", tmp_path / "report") == "../runs/50%25%20%231%3F/a%20b.png"
    )


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("$R_p$", [("i", "R"), ("sub", "p")]),
        (r"IoD$_\mathrm{MAE}$", [("", "IoD"), ("sub", "MAE")]),
        (r"$R_\mathrm{block,4}^\mathrm{best}$", [("i", "R"), ("sub", "block,4"), ("sup", "best")]),
        (r"PSNR $= \infty$", [("", "PSNR "), ("", "= ∞")]),
        (r"$\mathrm{PHV}_\mathrm{avg}$", [("", "PHV"), ("sub", "avg")]),
        ("$\\def\\x{}$ <b>", [("", "$\\def\\x{}$ <b>")]),
        ("costs $5", [("", "costs $5")]),
    ],
)
def test_labels_are_symbols_where_they_are_plain_ones(label: str, parts: list[tuple[str, str]]) -> None:
    assert markup(label) == parts


def test_one_method_without_slides_seeds_or_numbers_is_no_trouble(tree: Any) -> None:
    tree.add("me", {"r_p": "one image has no correlation"}, kind="external", n_slides=None)
    board = block(write(tree), "board")
    row = board["rows"][0]
    assert (row["kind"], row["seeds"], row["slides"], row["cells"]["r_p"]["text"]) == ("external", None, None, "n/a")
