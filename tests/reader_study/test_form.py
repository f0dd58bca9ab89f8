"""The form keeps the blind, needs no network, and takes texts as texts."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.errors import DataError, UsageError
from vsbench.reader_study.draw import draw, read_key
from vsbench.reader_study.form import write_study
from vsbench.reader_study.page import page

TELLING = ("cut", "asp", "mist", "seed", "p0", "real", "/runs/")


def embedded(text: str) -> Any:
    """The JSON that a browser finds in the page."""
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', text, re.DOTALL)
    assert found
    assert not set("<>&") & set(found[1]), "an HTML parser could take it for more than text"
    return json.loads(found[1])


def make(
    results: Path, tmp_path: Path, warn: Callable[[str], None] = lambda said: None, real: bool = True, **how: bool
) -> tuple[str, Path, Path]:
    folder, key_file = tmp_path / "out" / "form", tmp_path / "out" / "form-key.json"
    write_study(draw(results, n=3, repeats=1, real=real), folder, key_file, warn=warn, **how)
    return (folder / "index.html").read_text(encoding="utf-8"), folder, key_file


def test_nothing_given_to_readers_tells_the_method(results: Path, tmp_path: Path) -> None:
    text, folder, _ = make(results, tmp_path, he=True)
    shown = json.dumps([embedded(text)["items"], [str(p.relative_to(folder)) for p in folder.rglob("*")]]).lower()
    assert [word for word in TELLING if word in shown] == []
    for path in folder.glob("images/*.png"):
        assert b"made by" not in path.read_bytes()
        with Image.open(path) as image:
            assert image.info == {}


def test_images_are_those_of_the_key_and_so_is_their_order(results: Path, tmp_path: Path) -> None:
    text, folder, key_file = make(results, tmp_path, he=True)
    key = read_key(key_file)
    shown = embedded(text)["items"]
    assert [item["name"] for item in shown] == [item.name for item in key.items]
    for item, there in zip(key.items, shown, strict=True):
        for source, image in ((item.image, there["image"]), (item.he, there["he"])):
            np.testing.assert_array_equal(np.asarray(Image.open(folder / image)), np.asarray(Image.open(source)))


def test_each_image_is_shown_under_its_marker(results: Path, tmp_path: Path) -> None:
    text, _, key_file = make(results, tmp_path)
    markers = {"er": "ER", "pr": "PR", "her2": "HER2", "ki67": "Ki67"}
    stains = [item.stain for item in read_key(key_file).items]
    assert [item["marker"] for item in embedded(text)["items"]] == [markers[stain] for stain in stains]
    assert 'find("what").textContent' in text


@pytest.mark.parametrize(("real", "he", "warned"), [(True, True, True), (True, False, False), (False, True, False)])
def test_the_real_section_beside_the_h_and_e_is_warned_of(
    results: Path, tmp_path: Path, real: bool, he: bool, warned: bool
) -> None:
    told: list[str] = []
    make(results, tmp_path, told.append, real=real, he=he)
    assert [said.startswith("the real section gives itself away") for said in told] == [True] * warned


def test_h_and_e_is_beside_only_if_asked(results: Path, tmp_path: Path) -> None:
    text, folder, _ = make(results, tmp_path)
    assert {item["he"] for item in embedded(text)["items"]} == {None}
    assert not list(folder.glob("images/*-he.png"))


def test_embedded_it_is_one_file(results: Path, tmp_path: Path) -> None:
    text, folder, _ = make(results, tmp_path, he=True, embed=True)
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    for item in embedded(text)["items"]:
        assert item["image"].startswith("data:image/png;base64,")
        assert item["he"].startswith("data:image/png;base64,")


def test_the_page_loads_nothing_from_elsewhere(results: Path, tmp_path: Path) -> None:
    text = make(results, tmp_path)[0]
    assert not re.search(r"https?:|//[a-z]|\bimport\b|<link|fetch\(|url\(|@import", text)


def test_texts_are_never_html() -> None:
    """A question that closes the script, or starts a comment in it, stays a question."""
    question = '</script><script>alert(1)</script><!-- & "q" {study} /*script*/ \u2028'
    text = page({"study": "s", "questions": [question], "items": []})
    assert embedded(text)["questions"] == [question]

    class Scripts(HTMLParser):
        count = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.count += tag == "script"

    parser = Scripts()
    parser.feed(text)
    assert parser.count == 2
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|outerHTML", text)


def test_the_key_stays_out_of_the_folder_and_nothing_is_overwritten(results: Path, tmp_path: Path) -> None:
    key = draw(results, n=2)
    folder = tmp_path / "form"
    with pytest.raises(UsageError, match="lies in the folder for readers"):
        write_study(key, folder, folder / "key.json")
    write_study(key, folder, tmp_path / "key.json")
    assert not list(folder.rglob("*.json"))
    with pytest.raises(UsageError, match="is there already"):
        write_study(key, folder, tmp_path / "other.json")
    with pytest.raises(UsageError, match="its scores need it"):
        write_study(key, tmp_path / "other", tmp_path / "key.json")


def test_a_broken_image_leaves_neither_form_nor_key(
    results: Path, tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    folder = make_run(results, "bad", data="bad-er")
    for image in (folder / "images").iterdir():
        image.write_bytes(b"no image")
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"images/\d\.png"):
        write_study(draw(results, n=2, data=["bad-er"]), out / "form", out / "key.json")
    assert list(out.iterdir()) == []
