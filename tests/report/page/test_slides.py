"""Whole slides in the page, as a reader uses them in Chromium."""

import base64
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.evaluation.slides import evaluate_slides
from vsbench.report.page.write import write_page
from vsbench.report.tables import compare, load_results
from vsbench.slides.pyramid import TILE, Format, Pyramid

for name in ("openslide", "tifffile", "imagecodecs"):
    pytest.importorskip(name, reason='whole slides need the extra: pip install "vsbench[slides]"')

COLOURS = {"he": (200, 120, 170), "made": (110, 70, 40), "real": (120, 120, 180)}
HEIGHT, WIDTH = 900, 700


def write(file: Path, colour: tuple[int, int, int]) -> None:
    """A slide of one colour, with glass around it."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    image[:850, 100:600] = colour
    image[:850:9, 100:600:7] -= 20
    pyramid = Pyramid(file, Format(HEIGHT, WIDTH, 2.0, None), {})
    for number, top in enumerate(range(0, HEIGHT, TILE)):
        pyramid.append(number, image[top : top + TILE])
    pyramid.finish()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides of a method, judged."""
    root = tmp_path_factory.mktemp("slides")
    lines = ["he,ihc,stain,patient,split,generated"]
    for patient in "AB":
        for part, colour in COLOURS.items():
            write(root / f"{patient}-{part}.tif", colour)
        lines.append(
            ",".join([f"{patient}-he.tif", f"{patient}-real.tif", "er", patient, "test", f"{patient}-made.tif"])
        )
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    evaluate_slides(root / "pairs.csv", "Ours", root / "results")
    out = root / "results" / "report"
    written = write_page(out, compare(load_results(root / "results")), {}, {}, [], pytest.fail)
    assert [file.name for file in written] == ["index.html", "openseadragon.min.js", "openseadragon.LICENSE.txt"]
    return out / "index.html"


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """The page with its slides loaded; nothing may have gone wrong in it at the end, nor been asked for elsewhere."""
    browser.problems.clear()
    browser.open(page)
    loaded(browser)
    yield browser
    assert browser.problems == []


def loaded(browser: Any) -> None:
    browser.wait("slideView && slideView.world.getItemCount() === 2")
    browser.wait("[0, 1].every(i => slideView.world.getItemAt(i).getFullyLoaded())")
    browser.js("void find('slide-stage').scrollIntoView()")
    browser.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def seen(browser: Any, across: float) -> str:
    """What the stage shows at this share of its width, in its middle."""
    box = browser.js("(b => [b.x, b.y, b.width, b.height])(find('slide-stage').getBoundingClientRect())")
    shot = Image.open(BytesIO(base64.b64decode(browser.call("Page.captureScreenshot")["data"]))).convert("RGB")
    x, y = int(box[0] + across * box[2]), int(box[1] + 0.4 * box[3])
    pixel = np.asarray(shot.crop((x - 4, y - 4, x + 4, y + 4))).reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda part: float(np.abs(pixel - COLOURS[part]).sum()))


def choose(browser: Any, select: str, value: object) -> None:
    kind = "input" if select == "slide-border" else "change"
    browser.js(f"void (s => {{ s.value = '{value}'; s.dispatchEvent(new Event('{kind}')); }})(find('{select}'))")
    loaded(browser)


def test_the_border_parts_two_images(opened: Any) -> None:
    assert (seen(opened, 0.45), seen(opened, 0.55)) == ("he", "made")
    choose(opened, "slide-border", 60)
    assert (seen(opened, 0.45), seen(opened, 0.55)) == ("he", "he")
    choose(opened, "slide-right", 2)
    choose(opened, "slide-border", 45)
    assert (seen(opened, 0.42), seen(opened, 0.5)) == ("he", "real")
    choose(opened, "slide-left", 1)
    assert (seen(opened, 0.42), seen(opened, 0.5)) == ("made", "real")
    for end in (0, 100):
        choose(opened, "slide-border", end)
        assert seen(opened, 0.5) == ("real" if end == 0 else "made")


def test_both_move_as_one_and_the_border_stays(opened: Any) -> None:
    opened.js("void slideView.viewport.zoomBy(8, null, true)")
    opened.js("void slideView.viewport.panBy(new OpenSeadragon.Point(0.02, 0.05), true)")
    loaded(opened)
    assert (seen(opened, 0.45), seen(opened, 0.55)) == ("he", "made")
    assert opened.js("find('slide-bar').textContent").endswith("µm")
    opened.js("find('slide-view').querySelector('.openseadragon-canvas').focus()")
    opened.press("0")
    opened.wait("Math.abs(slideView.viewport.getZoom() - slideView.viewport.getHomeZoom()) < 1e-6")
    for kind in ("keyDown", "keyUp"):
        opened.call("Input.dispatchKeyEvent", type=kind, key="-", code="Minus", windowsVirtualKeyCode=189)
    opened.wait("slideView.viewport.getZoom() < 0.99 * slideView.viewport.getHomeZoom()")


def test_another_slide_keeps_the_choice_and_the_size_is_said(opened: Any) -> None:
    choose(opened, "slide-right", 2)
    choose(opened, "slide", 1)
    assert opened.js("find('slide-name-right').textContent") == "Real IHC"
    assert seen(opened, 0.55) == "real"
    assert "MB; at most 2.00 µm a pixel" in opened.js("find('slide-says').textContent")


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_runs_over_the_side(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width)
    loaded(browser)
    assert browser.js("document.documentElement.scrollWidth") <= width
    assert browser.js("find('slide-stage').getBoundingClientRect().height") < 900


def test_without_its_folder_the_page_says_what_is_missing(browser: Any, page: Path, tmp_path: Path) -> None:
    shutil.copy(page, tmp_path / "alone.html")
    browser.open(tmp_path / "alone.html")
    browser.wait("find('slide-says').textContent.includes('openseadragon.min.js is needed')")
