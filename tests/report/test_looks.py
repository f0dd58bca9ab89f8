"""A method has one colour and mark in all figures of a report, told apart by colour-blind readers and in grey."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from vsbench.evaluation.references import REFERENCES
from vsbench.report.figures.agreement import agreement
from vsbench.report.figures.cost import cost
from vsbench.report.figures.scatter import scatter
from vsbench.report.figures.style import COLOURS, look, method_look, reference_look
from vsbench.report.tables import compare, load_results

# linear RGB as protanopes, deuteranopes and tritanopes see it: Machado et al. 2009, severity 1
SIGHTS = {
    "usual": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, sight: Any) -> NDArray[np.float64]:
    """CIE L*a*b* of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(to_xyz) @ np.clip(np.array(sight) @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_told_apart_by_colour_blind_readers_and_seen_on_white(sight: str) -> None:
    for first, second in combinations(COLOURS, 2):
        assert np.linalg.norm(lab(first, SIGHTS[sight]) - lab(second, SIGHTS[sight])) > 10, (first, second)
    assert all(lab(colour, SIGHTS[sight])[0] < 75 for colour in COLOURS)


def test_seventeen_methods_and_more_are_told_apart_without_colour() -> None:
    looks = [method_look(place) for place in range(40)]
    assert len({(one.mark, one.fill) for one in looks}) == 40


def test_references_are_open_and_have_one_mark_each() -> None:
    looks = [reference_look(name) for name in (*REFERENCES, "one of a plugin")]
    assert len({one.mark for one in looks}) == len(looks)
    assert {one.fill for one in looks} == {"none"}
    assert "none" not in {method_look(place).fill for place in range(40)}


def test_a_method_looks_the_same_beside_other_methods(tree: Any) -> None:
    for row in ("asp", "cut", "usigan"):
        tree.add(row, {"r_p": 50.0})
    for row in ("cut", "usigan"):
        tree.add(row, {"r_p": 50.0}, stain="pr")
    tree.add("he", {"r_p": 20.0}, kind="reference")
    looks = [{row.key: look(c, row) for row in c.rows if row.is_method} for c in compare(load_results(tree.results))]
    assert [len(own) for own in looks] == [3, 2]
    assert looks[0]["cut"] == looks[1]["cut"]
    assert looks[0]["usigan"] == looks[1]["usigan"]
    assert len(set(looks[0].values())) == 3


@pytest.mark.parametrize("draw", [scatter, agreement, cost])
def test_figures_draw_the_methods_in_their_looks(
    draw: Any, tree: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in ("asp", "cut"):
        tree.add(row, {"r_p": 50.0, "r_c": 60.0, "iod_mae": 0.2, "r_avg": 55.0})
    (comparison,) = compare(load_results(tree.results))
    drawn: set[tuple[str, str]] = set()
    for name in ("plot", "errorbar"):
        real = getattr(Axes, name)

        def spy(*args: Any, real: Any = real, **options: Any) -> Any:
            drawn.add((options.get("color", ""), options.get("marker", "")))
            return real(*args, **options)

        monkeypatch.setattr(Axes, name, spy)
    draw(comparison, tmp_path)
    assert {(own.colour, own.mark) for own in (look(comparison, row) for row in comparison.rows)} <= drawn
