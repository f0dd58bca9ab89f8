"""The heat map shows the scores that were given, and how certain their mean is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vsbench.reader_study.analyse import analyse
from vsbench.reader_study.draw import Item, draw
from vsbench.reader_study.scores import read_scores
from vsbench.report.figures.readers import readers

SCALE = (1, 5)
HOSTILE = "<b>$x 50%_a&b 染 " + "long " * 12


def means_of(scores: dict[str, list[float]], data: tuple[str, ...] = ("mist-er",)) -> pd.DataFrame:
    """Scores of two readers by method, the same in all data."""
    lines = [
        {"data": name, "question": "Good?", "method": method, "reader a": one, "reader b$_": other}
        | {"all": (one + other) / 2, "low": (one + other) / 2 - 0.4, "high": (one + other) / 2 + 0.6}
        for name in data
        for method, (one, other) in scores.items()
    ]
    return pd.DataFrame(lines)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), float)


def test_the_mean_over_readers_has_limits_over_slides(
    results: Path, tmp_path: Path, score_as: Callable[..., Path]
) -> None:
    """ASP is scored alike on all tissue: no width. CUT by slide, 2 to 5: the resampled mean lies within these."""

    def score(item: Item, question: int) -> int:
        return 3 if item.method == "ASP" else 2 + int(item.id[1:]) % 4  # eight tissues of four slides

    key = draw(results, n=8, repeats=2, data=["mist-er"])
    files = [score_as(key, tmp_path / f"{reader}.csv", reader, score) for reader in ("a", "b")]
    means = analyse(read_scores(key, files), resamples=2000).means.set_index("method")
    assert means.loc["ASP", ["all", "low", "high"]].tolist() == [3, 3, 3]
    assert means.loc["CUT", "all"] == 3.5
    assert 2 <= means.loc["CUT", "low"] < 3 < 4 < means.loc["CUT", "high"] <= 5


def test_one_tissue_has_no_limits(results: Path, tmp_path: Path, score_as: Callable[..., Path]) -> None:
    key = draw(results, n=1, repeats=0, data=["mist-er"])
    file = score_as(key, tmp_path / "a.csv", "a", lambda item, _: 4)
    means = analyse(read_scores(key, [file]), resamples=100).means
    assert means[["low", "high"]].isna().all(axis=None)
    (drawn,) = readers(means, tmp_path, SCALE)
    assert all(file.is_file() for file in drawn.files)


def test_cells_have_the_colours_of_their_scores(tmp_path: Path) -> None:
    """A method scored 5 by all lies above one scored 1, light above dark."""
    (drawn,) = readers(means_of({"bad": [1, 1], "good": [5, 5]}), tmp_path, SCALE)
    picture = pixels(drawn.file("png"))
    column = picture[:, int(1.15 * 300 + 0.04 * 300)]  # just inside the first cell of each row
    cells = column[np.arange(len(column)) > (0.36 + 0.55) * 300]
    first, second = cells[30], cells[75 + 30]  # rows are a quarter of an inch high, of 300 dots
    assert first[:2].min() > 200 > first[2]  # yellow
    assert second[0] < 30 < second[2]  # dark blue
    table = pd.read_csv(drawn.file("csv"))
    assert table["reader a"].tolist() == [1, 5]


def test_each_question_has_a_map_and_many_stains_several_sheets(tmp_path: Path) -> None:
    one = means_of({"cut": [2, 4], "asp": [3, 3]}, tuple(f"mist-{i}" for i in range(9)))
    drawn = readers(pd.concat([one, one.assign(question="Sharp")]), tmp_path, SCALE)
    assert [d.stem.name for d in drawn] == [f"heatmap-{q}-{part}" for q in (1, 2) for part in (1, 2)]
    shown = [pd.read_csv(d.file("csv")) for d in drawn]
    assert [name for table in shown[:2] for name in dict.fromkeys(table["data"])] == [f"mist-{i}" for i in range(9)]
    assert set(shown[2]["question"]) == {"Sharp"}
    assert "Sharp." in drawn[2].caption
    assert max(pixels(d.file("png")).shape[1] for d in drawn) <= 7.17 * 300


def test_a_method_that_was_not_shown_is_an_empty_cell(tmp_path: Path) -> None:
    """And the picture differs from one in which it was shown."""
    both = means_of({"cut": [2, 2], "asp": [1, 1]}, ("mist-er", "mist-pr"))
    sheets = []
    for name, table in {"both": both, "one": both.drop(index=3)}.items():
        (drawn,) = readers(table, tmp_path / name, SCALE)
        sheets.append(pixels(drawn.file("png")))
    assert sheets[0].shape == sheets[1].shape
    assert sheets[1].mean() > sheets[0].mean() + 5


def test_names_are_text_and_files_are_the_same_twice(tmp_path: Path) -> None:
    means = means_of({HOSTILE: [1, 2], "$\\frac$": [3, 4]}, (HOSTILE,)).assign(question=HOSTILE)
    first, second = (readers(means, tmp_path / name, SCALE)[0] for name in ("one", "two"))
    for one, other in zip(first.files, second.files, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("count", [1, 14, 60])
def test_any_number_of_readers_fits_a_page(tmp_path: Path, count: int) -> None:
    table = means_of({"cut": [2, 4]})[["data", "question", "method", "all", "low", "high"]]
    table[[f"reader {i}" for i in range(count)]] = 3.0
    (drawn,) = readers(table, tmp_path, SCALE)
    assert pixels(drawn.file("png")).shape[1] <= 7.17 * 300
