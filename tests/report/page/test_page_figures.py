"""Figures on the page, in Chromium: a sheet keeps its tiles large, and one caption is said once."""

from typing import Any

import pytest
from PIL import Image

from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.sheets import image_sheets
from vsbench.report.page.write import write_page
from vsbench.report.tables import compare, load_results


@pytest.mark.parametrize("width", [1400, 390])
def test_tiles_of_a_sheet_are_large_on_the_page(browser: Any, tree: Any, width: int) -> None:
    tree.add("cut", {"r_c": 60.0, "r_p": 40.0})
    out = tree.results / "report"
    (comparison,) = compare(load_results(tree.results))
    (sheet,) = image_sheets(comparison, out / "figures")
    write_page(out, [comparison], {}, {comparison.name: [sheet]}, (), pytest.fail)
    browser.open(out / "index.html", width, 900)
    browser.wait("document.querySelector('#figures img')")
    shown = browser.js("document.querySelector('#figures img').getBoundingClientRect().width")
    with Image.open(sheet.file("png")) as image:
        tile = 1.5 / (image.width / 300)  # of the sheet's width: three tiles with what is beside them
    assert shown * tile >= 250
    assert browser.js("document.documentElement.scrollWidth") == width, "the sheet scrolls, not the page"


def test_one_caption_of_several_parts_is_said_once(browser: Any, tree: Any) -> None:
    tree.add("cut", {"r_p": 40.0})
    drawn = []
    for name, caption in (("a", "Two parts."), ("b", "Two parts."), ("c", "Another.")):
        drawn.append(Drawn(tree.results / "report" / "figures" / name, caption, ("a point",)))
        drawn[-1].stem.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (400, 300), "white").save(drawn[-1].file("png"))
    comparisons = compare(load_results(tree.results))
    write_page(tree.results / "report", comparisons, {}, {comparisons[0].name: drawn}, (), pytest.fail)
    browser.open(tree.results / "report" / "index.html")
    browser.wait("document.querySelectorAll('#figures img').length === 3")
    said = browser.js(
        "[...document.querySelectorAll('#figures figcaption')].map(c => c.textContent.split(' Without')[0])"
    )
    assert said == ["Two parts.", "As above.", "Another."]
