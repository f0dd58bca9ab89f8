"""The page as a reader uses it, in Chromium."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.figures.drawn import Drawn
from vsbench.report.page.write import write_page
from vsbench.report.published import load
from vsbench.report.tables import Comparison, compare, load_results

HOSTILE = '<img src=x onerror="window.hacked=1"></script><b>'
LONG = "method_of_sixty_characters_" + 33 * "x"


def decision(comparison: Comparison) -> Decision:
    """CUT is best in R_p, pix2pix can't be told from it."""
    one = ValueDecision("r_p", "cut", {"asp": 0.01, "pix2pix": 0.4}, {"cut": (40.0, 60.0)}, {}, 12, "mind this")
    ranks = {"cut": (0.7, 0.3, 0.0), "pix2pix": (0.3, 0.65, 0.05), "asp": (0.0, 0.05, 0.95)}
    return Decision(comparison, {"r_p": replace(one, ranks=ranks)}, {"fid": "too few images"})


def add_numbers(folder: Path, **columns: list[float]) -> None:
    path = folder / "evaluation" / "native" / "per_image.csv"
    pd.read_csv(path, dtype={"id": str}).assign(**columns).to_csv(path, index=False)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, tree_class: Any) -> Path:
    """Three methods and a reference on ER, one method of a bad name on PR, and a paper."""
    root = tmp_path_factory.mktemp("page")
    tree = tree_class(root, n=12, size=48)
    rising, falling = [i / 10 for i in range(12)], [1 - i / 12 for i in range(12)]
    for seed in (0, 1):
        folder = tree.add("cut", {"r_p": 50.0 + seed, "fid": 40.0, "psnr": "inf"}, title="CUT", seed=seed)
        add_numbers(folder, ssim=rising, iod_mae=falling)
    add_numbers(tree.add("asp", {"r_p": 9.0, "fid": 100.5, "psnr": 20.0}, title=LONG), ssim=falling)
    tree.add("pix2pix", {"r_p": 49.0, "fid": "weights inception missing", "psnr": 30.0}, title="Pix2Pix")
    tree.add("he", {"r_p": -3.0, "fid": 7.0, "psnr": 10.0}, kind="reference", title="H&E unchanged")
    bad = tree.add("bad", {"r_p": 1.0}, stain="pr", title=HOSTILE, warnings=[HOSTILE])
    add_numbers(bad, ssim=rising)
    (root / "p.csv").write_text("table,dataset,stain,method,metric,value,flag,note\nII,mist,er,USI-GAN,fid,36.9,,\n")
    (root / "p.yaml").write_text("source: A et al. 2020\n")
    comparisons = compare(load_results(tree.results))
    stem = root / "results" / "report" / "figures" / "scatter"
    stem.parent.mkdir(parents=True)
    Image.new("RGB", (400, 300), "white").save(stem.with_suffix(".png"))
    write_page(
        root / "results" / "report", comparisons, {"mist-er": decision(comparisons[0])},
        {"mist-er": [Drawn(stem, "$R_p$ over $R_c$.", ("a point",))]}, [load(root / "p.csv")], pytest.fail,
    )  # fmt: skip
    return root / "results" / "report" / "index.html"


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """The page, fresh; nothing may have gone wrong in it at the end."""
    browser.problems.clear()
    browser.open(page)
    browser.wait("document.querySelectorAll('.strip').length")
    yield browser
    assert browser.problems == []
    assert browser.js("window.hacked") is None


def methods(browser: Any) -> list[str]:
    """The names in the leaderboard, without the letters of their notes."""
    return browser.js("[...document.querySelectorAll('#board tbody th .cell')].map(c => c.firstChild.textContent)")  # type: ignore[no-any-return]


def cell(browser: Any, method: str, value: str) -> str:
    """What stands in a cell, with what is only spoken."""
    label = browser.js(f"plain(board.values.find(v => v.name === '{value}').label)")
    index = heads(browser).index(label)
    row = methods(browser).index(method)
    return browser.js(f"find('board').tBodies[0].rows[{row}].cells[{index}].textContent")  # type: ignore[no-any-return]


def heads(browser: Any) -> list[str]:
    """The names of the columns, without their arrows."""
    names = "[...document.querySelectorAll('#board thead button')].map(h => h.childNodes[0].textContent + "
    within = (
        "[...h.childNodes].slice(1).filter(n => ['SUB', 'SUP'].includes(n.nodeName)).map(n => n.textContent).join(''))"
    )
    return browser.js(names + within)  # type: ignore[no-any-return]


def sort_by(browser: Any, words: str) -> str | None:
    """A click on a head; how the column is sorted then."""
    find = f"[...document.querySelectorAll('#board thead th')].find(h => h.textContent.startsWith({json.dumps(words)}))"
    browser.js(f"{find}.id = 'sorted-here'")
    browser.click("#sorted-here button")
    return browser.js(f"{find}.getAttribute('aria-sort')")  # type: ignore[no-any-return]


def test_numbers_sort_as_numbers_and_absent_ones_last_both_ways(opened: Any) -> None:
    assert sort_by(opened, "FID") == "ascending"
    assert methods(opened)[:4] == ["H&E unchanged", "USI-GAN", "CUT", LONG]
    assert set(methods(opened)[4:]) == {"Pix2Pix", HOSTILE}
    assert sort_by(opened, "FID") == "descending"
    assert methods(opened)[:4] == [LONG, "CUT", "USI-GAN", "H&E unchanged"]
    assert sort_by(opened, "Rp") == "descending", "the best first, where higher is better"
    assert methods(opened)[0] == "CUT"
    assert opened.js("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


def test_infinity_is_the_largest_number(opened: Any) -> None:
    sort_by(opened, "PSNR")
    assert methods(opened)[:2] == ["CUT", "Pix2Pix"]
    assert cell(opened, "CUT", "psnr") == "∞"


def test_filters_leave_what_they_say(opened: Any) -> None:
    choose = "(() => {{ const s = find('filter-{}'); s.value = '{}'; s.dispatchEvent(new Event('change')); }})()"
    opened.js(choose.format("kind", "printed"))
    assert methods(opened) == ["USI-GAN"]
    assert heads(opened) == ["Method", "FID"], "of values only those that a row has"
    opened.js(choose.format("kind", ""))
    opened.js(choose.format("stain", "PR"))
    assert methods(opened) == [HOSTILE]
    opened.click("#filters button[type=reset]")
    opened.wait("find('count').textContent.startsWith('6 of 6')")
    opened.js("find('filter-text').focus()")
    opened.call("Input.insertText", text="sixty er")
    assert methods(opened) == [LONG]


def test_best_and_alike_are_marked_and_spoken_with_the_interval(opened: Any) -> None:
    assert cell(opened, "CUT", "r_p") == "★ 50.50 ± 0.71, 95 % interval 40.00 to 60.00, best"
    assert cell(opened, "Pix2Pix", "r_p") == "≈ 49.00, not distinguishable from the best"
    assert cell(opened, LONG, "r_p") == "9.00"


def test_a_long_name_stays_in_its_cell(opened: Any) -> None:
    right = "getBoundingClientRect().right"
    over = f"b.scrollWidth > b.clientWidth || b.{right} > b.closest('th').{right}"
    assert opened.js(f"[...document.querySelectorAll('#board tbody th .cell')].filter(b => {over}).length") == 0


def test_notes_stand_under_the_table_where_something_is_absent(opened: Any) -> None:
    assert cell(opened, "Pix2Pix", "fid") == "n/a"
    row = "[...document.querySelectorAll('#board tbody th')].find(h => h.textContent.startsWith('Pix2Pix'))"
    letter = opened.js(f"{row}.querySelector('sup').firstChild.textContent")
    notes = opened.js("[...document.querySelectorAll('#notes li')].map(n => n.textContent)")
    assert any(note.startswith(f"{letter} ") and "FID: weights inception missing" in note for note in notes)
    assert any("slides are shared by train and test" in note for note in notes)
    opened.js("(() => { find('filter-kind').value = 'printed'; showBoard(); })()")
    assert opened.js("document.querySelectorAll('#notes li').length") == 1


def test_a_number_opens_its_provenance_by_mouse_and_keys(opened: Any) -> None:
    sort_by(opened, "Rp")
    opened.click("#board tbody tr td .cell")
    assert opened.js("find('panel').open")
    said = opened.js("find('panel').innerText")
    for words in ("CUT: Rp", "40.00 to 60.00", "r_p/iod-fiji", "seed 1", "51.000", "mind this", "N = 12, 3 slides"):
        assert words in said
    opened.js("document.querySelectorAll('#panel details').forEach(d => { d.open = true; })")
    assert "test images" in opened.js("find('panel').innerText")
    assert opened.js("document.querySelector('#panel a').href").endswith("cut/seed-0/evaluation/native/summary.json")
    opened.press("Escape")
    assert not opened.js("find('panel').open")
    assert opened.js("document.activeElement.classList.contains('cell')"), "the focus goes back to the number"
    opened.press("ArrowDown", "Enter")
    assert opened.js("find('panel-title').textContent") == "Pix2Pix: Rp"
    opened.press("Escape", "ArrowRight", " ")
    assert opened.js("find('panel-title').textContent") == "Pix2Pix: PSNR"
    opened.press("Escape", "ArrowUp", "ArrowRight", "Enter")
    assert "no decision, the best by its mean alone: too few images" in opened.js("find('panel').innerText")
    opened.press("Escape")


def test_the_table_is_one_stop_of_the_tab_key(opened: Any) -> None:
    assert opened.js("document.querySelectorAll('#board tbody .cell[tabindex=\"0\"]').length") == 1
    opened.press("Tab")
    assert opened.js("document.activeElement.textContent") == "Skip to the leaderboard"


def test_explorer_shows_worst_first_and_follows_its_choices(opened: Any) -> None:
    first = "document.querySelector('.strip b').textContent"
    choose = "(() => {{ const s = find('explorer-{}'); s.value = '{}'; s.dispatchEvent(new Event('change')); }})()"
    opened.js(choose.format("column", "ssim"))
    assert opened.js(first) == "000, slide slide 0"
    opened.js(choose.format("column", "iod_mae"))
    assert opened.js(first) == "000, slide slide 0", "the largest error is the worst"
    assert opened.js("document.querySelector('.strip p').textContent") == "000, slide slide 0: IoDMAE 1 OD"
    opened.js(choose.format("column", "ssim"))
    opened.js(choose.format("method", "1"))
    assert opened.js(first) == "011, slide slide 2"
    images = "[...document.querySelector('.strip').querySelectorAll('img')]"
    assert opened.js(f"{images}.length") == 4 + 4 + 3, "tiles, their windows, maps of those that are stained"
    assert opened.js("document.querySelectorAll('.strip .whole img')[1].src").endswith("report/page/mist-er/1-11.jpg")
    opened.click("#explorer-dab")
    assert opened.js(f"{images}.length") == 4 + 4
    loaded = "[...document.querySelector('.strip').querySelectorAll('img')].every(i => i.complete && i.naturalWidth)"
    opened.js("document.querySelector('.strip').scrollIntoView()")
    opened.wait(loaded)


def test_another_seed_shows_its_own_full_images(opened: Any) -> None:
    opened.js("(() => { const s = find('explorer-method'); s.value = '0'; s.dispatchEvent(new Event('change')); })()")
    opened.js("(() => { const s = find('explorer-seed'); s.value = '1'; s.dispatchEvent(new Event('change')); })()")
    assert "cut/seed-1/images/test/" in opened.js("document.querySelectorAll('.strip .whole img')[1].src")


def test_viewer_moves_all_images_as_one(opened: Any) -> None:
    opened.click(".picture")
    opened.wait("[...find('panes').querySelectorAll('img')].every(i => i.complete && i.naturalWidth === 48)")
    opened.press("+", "+", "ArrowRight")
    moved = opened.js("[...find('panes').querySelectorAll('img')].map(i => i.style.transform)")
    assert len(moved) == 4
    assert len(set(moved)) == 1
    assert "scale(1.5625)" in moved[0]
    opened.press("d")
    assert opened.js("[...find('panes').querySelectorAll('img')].map(i => getComputedStyle(i).filter)") == [
        "none", *3 * ['url("#dab")'],
    ]  # fmt: skip
    opened.press("0", "Escape")
    assert not opened.js("find('viewer').open")


def test_an_image_that_is_gone_is_named(browser: Any, page: Path) -> None:
    gone = page.parents[2] / "images" / "er-he"
    gone.rename(gone.with_name("moved"))
    try:
        browser.open(page)
        browser.wait("document.querySelectorAll('.strip').length")
        browser.click(".picture")
        browser.wait("find('panes').textContent.includes('not there: page/mist-er/full-he-')")
        assert browser.js("document.querySelectorAll('#panes img').length") == 3
    finally:
        gone.with_name("moved").rename(gone)


def test_without_its_folder_the_page_says_what_is_missing(browser: Any, page: Path, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(page.read_bytes())
    browser.open(tmp_path / "index.html")
    browser.wait("find('explorer-says').textContent.includes('The folder page/ is not beside this file')")
    assert len(methods(browser)) == 6


def test_decision_and_figures_follow_the_data_set(opened: Any) -> None:
    said = opened.js("find('decision').innerText")
    for words in ("CUT has the best mean and is first in 70 % of resamples", "mind this", "1st 70 %, 2nd 30 %"):
        assert words in said
    unmarked = "rankRow({method: 'A', shares: [], said: '', mark: '', p: ''}, false, %s).textContent"
    assert opened.js(unmarked % "true") == "Abest mean", "where nothing can be shown"
    assert opened.js(unmarked % "false") == "Ano other to compare with"
    assert opened.js("document.querySelector('#figures img').naturalWidth") == 400
    assert opened.js("document.querySelector('#figures figcaption').textContent").startswith(
        "Rp over Rc. Without a point."
    )
    opened.js("(() => { const s = find('comparison'); s.value = '1'; s.dispatchEvent(new Event('change')); })()")
    assert "No decision was made" in opened.js("find('decision').innerText")
    opened.wait("find('explorer-method').selectedOptions[0].textContent.startsWith('<img')")
    assert opened.js("find('warnings').textContent") == HOSTILE


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_only_the_table_scrolls_sideways(browser: Any, page: Path, dark: bool) -> None:
    browser.open(page, 390, 800, dark=dark)
    browser.wait("document.querySelectorAll('.strip').length")
    assert browser.js("document.documentElement.scrollWidth") == 390
    browser.js("document.querySelectorAll('#columns input').forEach(box => { if (!box.checked) box.click(); })")
    seen = "[...document.querySelector('#board tbody tr').cells].slice(0, 4).map(c => c.getBoundingClientRect().right)"
    assert max(browser.js(seen)) <= 390, "the name and the first three values need no scrolling"
    browser.click("#board tbody td .cell")
    assert browser.js("find('panel').getBoundingClientRect().right") <= 390
    assert browser.js("find('panel').scrollWidth <= find('panel').clientWidth")


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(browser: Any, page: Path, dark: bool) -> None:
    browser.open(page, dark=dark)
    names = ["--ink", "--soft", "--link", "--best", "--alike", "--caution", "--ground", "--raised"]
    style = "getComputedStyle(document.documentElement)"
    read = f"{json.dumps(names)}.map(name => {style}.getPropertyValue(name).trim())"
    *texts, ground, raised = browser.js(read)
    for text in texts:
        for back in (ground, raised):
            first, second = sorted((luminance(text), luminance(back)), reverse=True)
            assert (first + 0.05) / (second + 0.05) >= 4.5, (text, back)


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
