"""The draw is balanced, paired, seeded, and hides what repeats what."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from vsbench.errors import DataError, RunError, UsageError
from vsbench.reader_study.draw import REAL, draw, read_key


def test_each_method_shows_the_same_tissue_as_often(results: Path) -> None:
    key = draw(results, n=5, repeats=2, real=True)
    firsts = [item for item in key.items if item.again is None]
    cells = {("mist-er", "CUT"), ("mist-er", "ASP"), ("mist-er", REAL), ("mist-pr", "CUT"), ("mist-pr", REAL)}
    assert Counter((i.group, i.method) for i in firsts) == dict.fromkeys(cells, 5)
    assert Counter((i.group, i.method) for i in key.items if i.again) == dict.fromkeys(cells, 2)
    tissue = {cell: {i.id for i in firsts if (i.group, i.method) == cell} for cell in cells}
    assert tissue["mist-er", "CUT"] == tissue["mist-er", "ASP"] == tissue["mist-er", REAL]


def test_images_are_drawn_evenly_over_slides(results: Path) -> None:
    for seed in range(5):
        items = draw(results, n=4, repeats=0, data=["mist-pr"], seed=seed).items
        assert {item.slide for item in items} == {"s0", "s1", "s2", "s3"}


def test_a_repeat_is_of_the_same_image_and_comes_much_later(results: Path) -> None:
    for seed in range(5):
        key = draw(results, n=8, repeats=3, real=True, seed=seed)
        place = {item.name: number for number, item in enumerate(key.items)}
        for late in (item for item in key.items if item.again):
            early = key.items[place[str(late.again)]]
            assert (early.tissue, early.method, early.image) == (late.tissue, late.method, late.image)
            assert place[late.name] - place[early.name] >= len(key.items) / 8


def test_the_same_tissue_does_not_come_twice_in_a_row(results: Path) -> None:
    items = draw(results, n=8, repeats=1, real=True).items
    assert sum(a.tissue == b.tissue for a, b in pairwise(items)) <= 1


def test_same_seed_same_study_and_another_seed_another(results: Path) -> None:
    assert draw(results, n=4, seed=1) == draw(results, n=4, seed=1)
    one, other = draw(results, n=4, seed=1), draw(results, n=4, seed=2)
    assert one.study != other.study
    assert not {i.name for i in one.items} & {i.name for i in other.items}


def test_names_are_all_different_and_tell_nothing(results: Path) -> None:
    names = [item.name for item in draw(results, n=8, real=True).items]
    assert len(set(names)) == len(names)
    assert all(len(name) == 8 and set(name) <= set("0123456789abcdef") for name in names)


def test_of_several_seeds_the_lowest_is_shown(results: Path, make_run: Callable[..., Path]) -> None:
    make_run(results, "cut", data="mist-pr", seed=3)
    items = draw(results, n=8, data=["mist-pr"]).items
    assert all("seed-0" in item.image for item in items)


def test_methods_and_data_are_chosen_by_name(results: Path) -> None:
    items = draw(results, n=2, data=["mist-er"], methods=["asp"]).items
    assert {(item.group, item.method) for item in items} == {("mist-er", "ASP")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 9}, "--n 9: mist-er has 8 images"),
        ({"n": 2, "repeats": 3}, "--repeats 3"),
        ({"data": ["mist-her2"]}, "--data mist-her2: unknown; one of mist-er, mist-pr"),
        ({"methods": ["gan"]}, "--method gan: unknown"),
        ({"questions": [" "]}, "--question"),
    ],
)
def test_what_cannot_be_drawn_is_refused(results: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw(results, **arguments)  # type: ignore[arg-type]


def test_no_runs_and_a_missing_table_are_errors(results: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no evaluated runs"):
        draw(tmp_path / "nothing")
    for table in results.rglob("per_image.csv"):
        table.unlink()
    with pytest.raises(RunError, match=r"per_image\.csv: damaged"):
        draw(results, n=2)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"version": 2})])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.json: .*-key\.json"):
        read_key(path)


def test_a_key_repeats_what_it_has_and_names_each_showing_once(results: Path, tmp_path: Path) -> None:
    path, key = tmp_path / "x-key.json", draw(results, n=3, repeats=1)
    path.write_text(key.model_dump_json(), encoding="utf-8")
    assert read_key(path) == key
    content = key.model_dump()
    repeat = next(number for number, item in enumerate(content["items"]) if item["again"])
    for place, field, value, said in (
        (repeat, "again", "/dev/zero", "no first showing"),
        (repeat, "again", content["items"][repeat]["name"], "no first showing"),
        (repeat, "again", None, "neither is said to repeat"),
        (repeat, "method", "another", "no first showing of it"),
        (0, "name", content["items"][1]["name"], "one name"),
    ):
        items = [item | ({field: value} if number == place else {}) for number, item in enumerate(content["items"])]
        path.write_text(json.dumps(content | {"items": items}), encoding="utf-8")
        with pytest.raises(DataError, match=said):
            read_key(path)
