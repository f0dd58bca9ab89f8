"""The strips of the failure explorer, in Chromium: large tiles over the whole width, and what tells what is seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.report.figures.inset import choose_window
from vsbench.report.page.write import write_page
from vsbench.report.tables import compare, load_results
from vsbench.stain.dab import read_levels

BOX = "(e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"


@pytest.fixture
def show(browser: Any, make_tree: Callable[..., Any]) -> Callable[..., Any]:
    """The page of one method on ER, with or without the true IHC, opened in a window of a width."""

    def shown(width: int, truth: bool, stain: str = "her2", rows: tuple[str, ...] = ("cut",)) -> Any:
        tree = make_tree(n=12, size=64)
        for row in rows:
            folder = tree.add(row, {"r_p": 50.0, "ssim": 0.5}, stain=stain, title=row.upper())
            if not truth:
                path = folder / "evaluation" / "native" / "summary.json"
                path.write_text(
                    pd.Series([path.read_text()]).str.replace(r'"truth": "[^"]*"', '"truth": null', regex=True)[0]
                )
        out = tree.results / "report"
        write_page(out, compare(load_results(tree.results)), {}, {}, (), pytest.fail)
        browser.problems.clear()
        browser.open(out / "index.html", width, 900)
        browser.wait("document.querySelectorAll('.strip').length")
        return browser

    return shown


def boxes(browser: Any, selector: str) -> list[list[float]]:
    return browser.js(f"[...document.querySelector('.strip').querySelectorAll('{selector}')].map({BOX})")  # type: ignore[no-any-return]


@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("width", [1400, 1000, 390])
def test_tiles_are_large_and_take_the_whole_width(show: Any, width: int, truth: bool) -> None:
    browser = show(width, truth)
    tiles = boxes(browser, ".whole")
    assert len(tiles) == 3 + truth
    assert min(right - left for left, _, right, _ in tiles) >= 250
    left, _, right, _ = boxes(browser, ".pictures")[0]
    figures = boxes(browser, ".tile")
    assert min(box[0] for box in figures) == pytest.approx(left, abs=1)
    assert max(box[2] for box in figures) == pytest.approx(right, abs=1)
    assert browser.js("document.documentElement.scrollWidth") == width
    assert browser.problems == []


@pytest.mark.parametrize("width", [1400, 390])
def test_the_enlarged_part_and_the_map_cover_nothing_of_a_tile(show: Any, width: int) -> None:
    browser = show(width, truth=True)
    for tile in boxes(browser, ".whole"):
        for other in (*boxes(browser, ".zoom"), *boxes(browser, ".map")):
            apart = other[0] >= tile[2] or other[2] <= tile[0] or other[1] >= tile[3] or other[3] <= tile[1]
            assert apart, (tile, other)
    assert len(boxes(browser, ".zoom")) == 4
    assert len(boxes(browser, ".map")) == 3


def test_the_frame_is_where_the_stain_is(show: Any) -> None:
    browser = show(1400, truth=False)
    number = browser.js("document.querySelector('.strip .whole img').src").rpartition("-")[2].removesuffix(".jpg")
    pair = f"explorerLoaded.get(explorerNow.name).pairs[{number}]"
    real = browser.js(f"decodeURI(new URL({pair}.ihc, document.baseURI).pathname)")
    with Image.open(real) as image:
        window = choose_window(read_levels(np.asarray(image.convert("RGB"))).levels)
    shares = browser.js(f"{pair}.window")
    assert [round(64 * share) for share in shares] == [window.left, window.top, window.width, window.height]


def test_marker_tile_densities_and_a_scale_bar_are_with_each_tile(show: Any) -> None:
    browser = show(1400, truth=True)
    said = browser.js(
        "[...document.querySelector('.strip').querySelectorAll('figcaption')].map(c => c.innerText.split('\\n'))"
    )
    title = browser.js("document.querySelector('.strip b').textContent").split(",")[0]
    assert [lines[0] for lines in said] == ["H&E", "CUT", "Real IHC (adjacent)", "True IHC"]
    assert all(lines[1] == f"HER2, {title}" for lines in said)
    assert said[1][2].startswith("DAB ")
    assert " OD: " in said[1][2]
    assert said[2][2].startswith("DAB ")
    bars = browser.js(
        "[...document.querySelector('.strip').querySelectorAll('.whole .bar-of-length')].map(b => b.textContent)"
    )
    assert len(bars) == 4
    assert all(text.endswith(" µm") for text in bars)  # MIST says how large a pixel is
    tile, bar = boxes(browser, ".whole")[0], boxes(browser, ".whole .bar-of-length")[0]
    length = (bar[2] - bar[0]) / (tile[2] - tile[0]) * 64 * 0.4661
    assert length == pytest.approx(float(bars[0].split()[0]), rel=0.02)


def test_a_bar_tells_the_scale_and_the_threshold(show: Any) -> None:
    browser = show(1400, truth=False)
    (words, *_) = browser.js("[...document.querySelectorAll('.scale')].map(s => s.textContent)")
    assert "0.41" in words
    assert browser.js("find('viewer').querySelector('.scale').textContent.length") > 0


def test_failures_are_sorted_by_the_error_in_stain_first(show: Any) -> None:
    browser = show(1400, truth=False)
    assert browser.js("find('explorer-column').value") == "dose_error"
    heads = browser.js("[...document.querySelectorAll('#explorer-images h3')].map(h => h.textContent)")
    assert set(heads) <= {"Too little stain", "Too much stain", "Nearest to the real IHC"}
    texts = browser.js("[...document.querySelectorAll('.strip > p')].map(p => p.textContent)")
    errors = [float(text.partition("density ")[2].removesuffix(" OD").replace("−", "-")) for text in texts]
    ends = {"Too little stain": min, "Too much stain": max}
    assert errors[0] == ends[heads[0]](errors)
