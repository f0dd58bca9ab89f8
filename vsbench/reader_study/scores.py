"""What readers sent back: one CSV file each, checked against the key and told apart by method again."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vsbench.cells import plain
from vsbench.errors import DataError
from vsbench.files import read_text
from vsbench.names import brief, said
from vsbench.reader_study.agreement import SCORES
from vsbench.reader_study.draw import Key

LARGEST = 1 << 24  # bytes of a file
HEAD = ["study", "reader", "item", "question", "score"]  # as the form writes them


def read_scores(key: Key, files: Sequence[Path]) -> pd.DataFrame:
    """One row per reader, question and item, in the order of showing, with what the key says of the item.

    Columns: reader, question (its text), score, item, again, group, method, id, slide.

    Raises DataError, naming the file and line, for a file of another study or kind, an unknown item or question, a
    score that is none of 1 … 5 or given twice, a reader with two files, and scores that are missing.
    """
    items = {item.name: number for number, item in enumerate(key.items)}
    sources: dict[str, Path] = {}
    rows = []
    for path in files:
        reader, scores = _read(path, key, items)
        if reader in sources:
            raise DataError(f"{path}: reader {brief(reader)} is in {sources[reader]} too; name one file of each reader")
        sources[reader] = path
        rows += [
            {"reader": reader, "question": question, "score": scores[item.name, number]}
            | {"item": item.name, "again": item.again, "group": item.group, "method": item.method}
            | {"id": item.id, "slide": item.slide}
            for number, question in enumerate(key.questions)
            for item in key.items
        ]
    return pd.DataFrame(rows)


def _read(path: Path, key: Key, items: dict[str, int]) -> tuple[str, dict[tuple[str, int], int]]:
    """The reader, and (item, number of the question) → score."""
    questions = {f"q{number + 1}": number for number in range(len(key.questions))}
    scores: dict[tuple[str, int], int] = {}
    readers = set()
    for line, row in _lines(path):
        where = f"{path}, line {line}"
        study, reader, item, question, score = row
        if study != key.study:
            raise DataError(
                f"{where}: of study {brief(study)}, but the key is of {key.study}; take the key made with the form"
            )
        if item not in items:
            raise DataError(f"{where}: the key has no item {brief(item)}; save the scores from the form again")
        if question not in questions:
            known = ", ".join(questions)
            raise DataError(f"{where}: no question {brief(question)}, only {known}; save the scores again")
        if score not in map(str, SCORES):
            raise DataError(f"{where}: score {brief(score)} of item {item} is none of 1 to 5; mend it in the form")
        place = item, questions[question]
        if place in scores:
            raise DataError(f"{where}: item {item} is scored twice; save the scores from the form again")
        scores[place] = int(score)
        readers.add(reader.strip())
    if len(readers) != 1 or "" in readers:
        raise DataError(f"{path}: {len(readers - {''})} readers' names; a file holds the scores of one reader")
    missing = [item for item in items for number in questions.values() if (item, number) not in scores]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(items) * len(questions)} scores are missing, the first of image "
            f"{items[missing[0]] + 1} ({missing[0]}); finish the form where it was begun, and save again"
        )
    return readers.pop(), scores


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered rows below the head; spreadsheets may have put a mark before it."""
    try:
        with io.StringIO(read_text(path, LARGEST), newline="") as file:
            reader = csv.reader(file, strict=True)
            head, *rows = [(reader.line_num, [plain(cell) for cell in row]) for row in reader if row] or [(0, [])]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: can't be read ({said(error)}); save the scores again") from None
    if head[1] != HEAD:
        raise DataError(f"{path}: no scores of a reader study, whose first line is {','.join(HEAD)}; save them again")
    for line, row in rows:
        if len(row) != len(HEAD):
            raise DataError(f"{path}, line {line}: {len(row)} fields, not {len(HEAD)}; save the scores again")
    return rows
