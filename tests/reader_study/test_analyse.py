"""Scores come back checked, and known scores give known findings."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from vsbench.errors import DataError
from vsbench.reader_study.analyse import Findings, analyse
from vsbench.reader_study.draw import Item, Key, draw
from vsbench.reader_study.scores import read_scores
from vsbench.reader_study.write import build_page

ScoreAs = Callable[[Key, Path, str, Callable[[Item, int], int]], Path]


@pytest.fixture
def key(results: Path) -> Key:
    return draw(results, n=8, repeats=4, questions=["Diagnosis?", "Sharp?"])


def by_tissue(item: Item, question: int) -> int:
    """2 … 4, and one more for CUT; the second question likes all the same."""
    return 3 if question else 2 + int(item.id[1:]) % 3 + (item.method == "CUT")


def found(key: Key, tmp_path: Path, score_as: ScoreAs, *scores: Callable[[Item, int], int]) -> Findings:
    files = [score_as(key, tmp_path / f"{n}.csv", f"reader {n}", score) for n, score in enumerate(scores)]
    return analyse(read_scores(key, files), resamples=200)


def test_scores_come_back_with_their_method(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    table = read_scores(key, [score_as(key, tmp_path / "a.csv", 'Å, "b"', by_tissue)])
    assert set(table["reader"]) == {'Å, "b"'}
    assert len(table) == 2 * len(key.items)
    for row in table.itertuples():
        (item,) = (item for item in key.items if item.name == row.item)
        assert (row.method, row.group, row.id) == (item.method, item.group, item.id)
        assert row.score == by_tissue(item, key.questions.index(str(row.question)))


def test_means_are_of_first_showings(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    """Scores of 5 at the second look change no mean."""

    def second_look(item: Item, question: int) -> int:
        return 5 if item.again else by_tissue(item, question)

    means = found(key, tmp_path, score_as, by_tissue, second_look).means
    assert list(means.columns) == [
        "data", "question", "method", "reader reader 0", "reader reader 1", "all", "low", "high"
    ]  # fmt: skip
    row = means[(means["data"] == "mist-er") & (means["question"] == "Diagnosis?")].set_index("method")
    expected = sum(2 + number % 3 for number in range(8)) / 8
    for column in ("reader reader 0", "reader reader 1", "all"):
        assert row.loc["ASP", column] == pytest.approx(expected)
        assert row.loc["CUT", column] == pytest.approx(expected + 1)


def test_a_difference_is_paired_and_has_its_sign(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    """One step on every tissue: no spread at all once the tissue is taken out. Four slides: p can't be below 1/8."""

    def one_more(item: Item, question: int) -> int:
        return by_tissue(item, question) - (item.method == "ASP" and not question)

    findings = found(key, tmp_path, score_as, by_tissue, one_more)
    assert "mist-er: 4 slides: no p can be below 0.125" in findings.notes
    table = findings.differences
    (row,) = table[table["question"] == "Diagnosis?"].to_dict("records")
    assert (row["data"], row["first"], row["second"], row["slides"]) == ("mist-er", "ASP", "CUT", 4)
    assert row["difference"] == pytest.approx(-1.5)
    assert row["low"] == pytest.approx(-1.5)
    assert row["high"] == pytest.approx(-1.5)
    assert (row["reader_low"], row["reader_high"]) == pytest.approx((-2, -1))
    assert row["p"] == pytest.approx(1 / 8)


def test_agreement_within_and_between_readers(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    def second_look(item: Item, question: int) -> int:
        return 6 - by_tissue(item, question) if item.again else by_tissue(item, question)

    table = found(key, tmp_path, score_as, by_tissue, second_look, by_tissue).agreement
    first = table[table["question"] == "Diagnosis?"].set_index(["what", "readers"])
    assert first.loc[("intra kappa", "reader 0"), "value"] == 1
    assert float(first["value"]["intra kappa", "reader 1"]) < 0.5
    assert first.loc[("intra kappa", "reader 0"), "n"] == 12
    assert first.loc[("inter alpha", "all 3"), "value"] == 1
    assert set(first.loc["inter kappa"].index) == {
        "reader 0 – reader 1", "reader 0 – reader 2", "reader 1 – reader 2"
    }  # fmt: skip
    second = table[table["question"] == "Sharp?"]
    assert second["value"].isna().all(), "all scores equal: agreement does not exist"
    assert all("does not exist" in caution for caution in second["caution"])


def test_what_is_unknown_is_said(results: Path, tmp_path: Path, score_as: ScoreAs) -> None:
    findings = found(draw(results, n=2, repeats=0, data=["mist-pr"]), tmp_path, score_as, by_tissue)
    assert "one reader" in " ".join(findings.notes)
    assert "no image was shown twice" in " ".join(findings.notes)
    assert findings.agreement.empty
    assert findings.differences.empty
    assert "Agreement" not in [getattr(block, "text", "") for block in build_page(findings).blocks]


def test_unknown_slides_draw_tissue_and_say_so(
    tmp_path: Path, make_run: Callable[..., Path], score_as: ScoreAs
) -> None:
    """Images of a tissue by several methods are one unit, not several."""
    for row in ("cut", "asp", "src"):
        make_run(tmp_path / "r", row, slides=0)
    findings = found(draw(tmp_path / "r", n=6), tmp_path, score_as, by_tissue)
    assert set(findings.differences["slides"]) == {6}
    assert len(findings.differences) == 3
    assert "slides unknown" in findings.notes[0]


def test_the_page_shows_hostile_names_as_text(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    file = score_as(key, tmp_path / "a.csv", "<b>|x", by_tissue)
    page = build_page(analyse(read_scores(key, [file]), resamples=100))
    assert "<b>" not in page.html()
    assert "reader \\<b\\>\\|x" in page.markdown()


def spoil(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("study,reader", "reader,study", "no scores of a reader study"),
        ("STUDY", "0123", r"line 2: of study '0123'"),
        ("ITEM", "ffff", r"line 2: the key has no item 'ffff'"),
        ("q1", "q9", r"line 2: no question 'q9', only q1, q2"),
        ("q1,S", "q1,6", r"line 2: score '6' of item ITEM is none of 1 to 5"),
        ("q1,S", "q1,3.5", r"line 2: score '3\.5'"),
        ("q1,S", "q1,", r"line 2: score ''"),
        ("q1,S", "q2,S", r"line 3: item ITEM is scored twice"),
        ("STUDY,me,ITEM,q1,S\n", "", r"1 of 72 scores are missing, the first of image 1 \(ITEM\)"),
        (",me,", ",you,", "2 readers' names"),
        ("ITEM,q1", "ITEM", "line 2: 4 fields"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    key: Key, tmp_path: Path, score_as: ScoreAs, old: str, new: str, message: str
) -> None:
    path = score_as(key, tmp_path / "a.csv", "me", by_tissue)
    path.write_text(path.read_bytes().decode().replace("\r\n", "\n"), encoding="utf-8")
    name, score = key.items[0].name, str(by_tissue(key.items[0], 0))

    def real(text: str) -> str:
        return text.replace("STUDY", key.study).replace("ITEM", name).replace("q1,S", f"q1,{score}").replace(
            "q2,S", f"q2,{score}"
        )  # fmt: skip

    spoil(path, real(old), real(new))
    with pytest.raises(DataError, match=f"a.csv.*{message.replace('ITEM', name)}"):
        read_scores(key, [path])


def test_a_reader_has_one_file_and_an_empty_one_is_none(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    file = score_as(key, tmp_path / "a.csv", "me", by_tissue)
    with pytest.raises(DataError, match=r"reader 'me' is in .* too"):
        read_scores(key, [file, file])
    file.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="no scores of a reader study"):
        read_scores(key, [file])


def test_a_file_saved_by_a_spreadsheet_still_reads(key: Key, tmp_path: Path, score_as: ScoreAs) -> None:
    file = score_as(key, tmp_path / "a.csv", "me", by_tissue)
    before = read_scores(key, [file])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    pd.testing.assert_frame_equal(read_scores(key, [file]), before)
