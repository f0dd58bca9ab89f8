"""The leaderboard shows what differs, in Chromium: whatever is the same in all rows is said above it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.report.page.write import write_page
from vsbench.report.published import load
from vsbench.report.tables import compare, load_results

FACTS = {"dataset": "mist", "stain": "ER", "n": "N = 6", "slides": "3 slides", "protocol": "protocol native"}
MAIN = {"ccc": 0.9, "iod_bias": -12.0, "r_p": 60.0, "iod_mae": 0.1, "r_c": 50.0, "ssim": 0.4, "psnr": 20.0}


@pytest.fixture
def show(browser: Any, tree: Any, tmp_path: Path) -> Callable[..., Any]:
    """The page of what the tree holds, opened."""

    def shown(width: int = 1400, papers: Any = ()) -> Any:
        out = tree.results / "report"
        write_page(out, compare(load_results(tree.results)), {}, {}, papers, lambda said: None)
        browser.problems.clear()
        browser.open(out / "index.html", width, 900)
        return browser

    return shown


def heads(browser: Any) -> list[str]:
    return browser.js("[...document.querySelectorAll('#board thead button')].map(b => b.firstChild.textContent)")  # type: ignore[no-any-return]


def texts(browser: Any, selector: str) -> list[str]:
    return browser.js(f"[...document.querySelectorAll('{selector}')].map(e => e.textContent)")  # type: ignore[no-any-return]


@pytest.mark.parametrize("same", ["ssim", "psnr", "fid", "r_c_undefined"])
@pytest.mark.parametrize("value", [7.0, 0.0, "inf", "weights missing (vsbench weights fetch X)"])
def test_a_value_that_is_the_same_in_all_rows_is_no_column(show: Any, tree: Any, same: str, value: Any) -> None:
    for i, row in enumerate(("asp", "cut", "src")):
        tree.add(row, {"r_p": 50.0 + i, same: value})
    browser = show()
    box = f"document.querySelector('#columns input[value={same}]')"
    browser.js(f"{box}.checked || {box}.click()")
    assert heads(browser) == ["Method", "R"]
    label = browser.js(f"plain(board.values.find(v => v.name === '{same}').label)")
    (said,) = [line for line in texts(browser, "#constants li") if label in line]
    assert {"inf": "∞"}.get(value, "weights missing" if isinstance(value, str) else "0" if value == 0 else "7") in said
    assert "vsbench weights fetch" not in said, "the mend is for those who point at it"


def test_what_all_rows_share_stands_above_and_what_differs_below_the_name(show: Any, tree: Any) -> None:
    tree.add("asp", {"r_p": 50.0})
    tree.add("cut", {"r_p": 60.0})
    browser = show()
    (line,) = [line for line in texts(browser, "#constants li") if line.startswith("All rows")]
    for words in FACTS.values():
        assert words in line
    assert texts(browser, "#board tbody th small") == []
    tree.add("src", {"r_p": 70.0}, stain="pr")
    tree.add("he", {"r_p": 70.0}, kind="reference")
    browser = show()
    assert texts(browser, "#board tbody th small") == [
        "ER · measured",
        "ER · measured",
        "ER · reference",
        "PR · measured",
    ]
    (line,) = [line for line in texts(browser, "#constants li") if line.startswith("All rows")]
    assert "ER" not in line
    assert "mist" in line


def test_many_methods_are_told_by_what_their_training_needs(show: Any, tree: Any) -> None:
    methods = {
        "usigan": "learn from weak pairs",
        "regression": "controls",
        "pix2pix": "learn from pairs",
    } | dict.fromkeys(("cut", "cyclegan", "monce", "qsattn", "src", "unsb"), "learn unpaired")
    for method in methods:
        file = tree.add(method, {"r_p": 50.0}) / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"method": method}))
    tree.add("he", {"r_p": 70.0}, kind="reference")
    browser = show()
    assert texts(browser, "#board tbody th small") == [
        *(
            "measured · " + methods[m]
            for m in ("pix2pix", "usigan", "cut", "cyclegan", "monce", "qsattn", "src", "unsb")
        ),
        "measured · controls",
        "reference",
    ]
    browser.js("(() => { find('filter-group').value = 'learn unpaired'; showBoard(); })()")
    assert len(texts(browser, "#board tbody th .cell")) == 6


def test_a_value_that_one_row_lacks_is_no_constant(show: Any, tree: Any) -> None:
    tree.add("asp", {"r_p": 50.0, "ssim": 0.5})
    tree.add("cut", {"r_p": 60.0, "ssim": "constant image"})
    assert "SSIM" in heads(show())


def test_the_legend_is_of_what_is_there(show: Any, tree: Any) -> None:
    legend = "['best', 'alike', 'spread', 'notes'].filter(name => find('legend-' + name).checkVisibility())"
    tree.add("asp", {"r_p": 50.0}, n_slides=12)
    assert show().js(legend) == []
    tree.add("cut", {"r_p": 60.0}, seed=0, n_slides=12)
    tree.add("cut", {"r_p": 62.0}, seed=1, n_slides=12)
    assert show().js(legend) == ["best", "spread"]
    tree.add("src", {"r_p": "blank"}, n_slides=12)
    assert show().js(legend) == ["best", "spread", "notes"]


def test_one_row_shows_its_values(show: Any, tree: Any) -> None:
    tree.add("asp", {"r_p": 50.0, "ssim": 0.5, "fid": "weights missing"})
    assert heads(show()) == ["Method", "R", "SSIM"]


def test_no_row_has_more_than_one_letter_and_no_sentence_comes_twice(show: Any, tree: Any) -> None:
    tree.add("asp", {"r_p": 50.0, "ssim": "blank", "psnr": "blank", "fid": 3.0}, warnings=["shared", "own of asp"])
    tree.add("cut", {"r_p": 60.0, "ssim": 0.5, "psnr": 9.0, "fid": "odd"}, warnings=["shared", "own of cut"])
    tree.add("src", {"r_p": 61.0, "ssim": 0.6, "psnr": 8.0, "fid": "odd"}, warnings=["shared", "own of cut"])
    tree.add("unsb", {"r_p": 62.0, "ssim": 0.7, "psnr": 7.0, "fid": 4.0}, warnings=["shared"])
    browser = show()
    marks = browser.js(
        "[...document.querySelectorAll('#board tbody tr')].map(r => [...r.querySelectorAll('sup')]"
        ".map(s => s.firstChild.textContent))"
    )
    assert marks == [["a"], ["b"], ["b"], []]
    assert texts(browser, "#notes li") == [
        "mist, ER: shared", "a own of asp; SSIM, PSNR: blank", "b own of cut; FID: odd",
    ]  # fmt: skip


def test_the_signed_dose_and_its_companions_are_in_sight_without_scrolling(show: Any, tree: Any) -> None:
    for i, row in enumerate(("asp", "cut_with_a_name_of_some_length", "src")):
        tree.add(
            row, {name: value * (1 + 0.01 * i) for name, value in MAIN.items()} | {"truth_mae": 0.1 + i, "fid": i + 9.0}
        )
    tree.add("cut", dict(MAIN), stain="pr")
    browser = show()
    assert heads(browser)[:3] == ["Method", "CCC", "IoD"]
    right = "map(c => [c.textContent, c.getBoundingClientRect().right])"
    cells = browser.js(f"[...document.querySelector('#board thead tr').cells].{right}")
    seen = [words for words, edge in cells if edge <= 1400]
    for words in ("CCC", "bias", "SSIM", "PSNR"):
        assert any(words in head for head in seen), words
    browser = show(390)
    edges = browser.js("[...document.querySelector('#board tbody tr').cells].map(c => c.getBoundingClientRect().right)")
    assert edges[3] <= 390, "the name and three values"


def test_the_reader_chooses_columns(show: Any, tree: Any) -> None:
    for i, row in enumerate(("asp", "cut")):
        tree.add(row, {"r_p": 50.0 + i, "iod": 1.0 + i})
    browser = show()
    assert heads(browser) == ["Method", "R"]
    browser.js("['iod', 'r_p'].forEach(name => document.querySelector(`#columns input[value=${name}]`).click())")
    assert heads(browser) == ["Method", "IoD"]


def test_printed_rows_of_other_data_wait_until_they_are_asked_for(show: Any, tree: Any, tmp_path: Path) -> None:
    tree.add("asp", {"r_p": 50.0})
    lines = [
        "table,dataset,stain,method,metric,value,flag,note",
        "II,mist,er,Here,r_p,41.5,,",
        "II,bci,her2,There,r_p,4,,",
    ]
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "p.yaml").write_text("source: A et al. 2020\n")
    browser = show(papers=[load(tmp_path / "p.csv")])
    names = "[...document.querySelectorAll('#board tbody th .cell')].map(c => c.firstChild.textContent)"
    assert browser.js(names) == ["asp", "Here"]
    assert "1 printed ones are of other data" in browser.js("find('count').textContent")
    browser.js("(() => { find('filter-dataset').value = 'bci'; showBoard(); })()")
    assert browser.js(names) == ["There"]


def test_menus_and_parts_without_content_are_not_there(show: Any, tree: Any) -> None:
    folder = tree.add("asp", {"r_p": 50.0})
    (folder / "evaluation" / "native" / "per_image.csv").unlink()
    browser = show()
    hidden = "['filter-dataset', 'filter-stain', 'filter-kind', 'chosen', 'figures', 'explorer']"
    assert browser.js(f"{hidden}.filter(id => find(id).checkVisibility())") == []
    links = "[...document.querySelectorAll('nav a')].filter(a => a.checkVisibility())"
    assert browser.js(f"{links}.map(a => a.textContent)") == ["Leaderboard", "Decision", "Methods and data"]
    assert (
        browser.js(
            "[...document.querySelectorAll('select')].filter(s => s.checkVisibility() && s.options.length < 2).length"
        )
        == 0
    )
