"""Which of our rows a printed row is: by the method's name, or by the study that declares its numbers."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from vsbench import registry
from vsbench.evaluation.ablate import Study, study_rows
from vsbench.method import SuiteRow
from vsbench.report import tables
from vsbench.report.printed import method_names, same_method
from vsbench.report.published import Paper, Row
from vsbench.report.tables import Comparison

Found = list[tuple[Comparison, tables.Row]]
Beside = Callable[[Paper, Sequence[Row], Sequence[Comparison]], Found]


def beside(paper: Paper, rows: Sequence[Row], comparisons: Sequence[Comparison]) -> Found:
    """Our rows that are what ``rows`` print, the numbers of one row of a table on one data set and stain.

    In a table that compares methods they go by name. In any other one they are those of the study that declares the
    same numbers, with the method's published settings; other presets are other settings.
    """
    first = rows[0]
    if not first.method or not comparisons:
        return []
    names = method_names(paper)
    if all(row.who in names for row in paper.rows if row.table == first.table and row.method):
        here = [c for c in comparisons if (c.dataset, c.stain) == (first.dataset, first.stain)]
        return [(c, row) for c in here for row in c.rows if row.is_method and same_method(first.who, row)]
    folders = set(_declared(rows))
    return [(c, row) for c in comparisons for row in c.rows if (c.name, row.runs[0].row) in folders]


def _declared(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """(data set and stain, folder) of the rows of studies that declare these very numbers."""
    first, numbers = rows[0], {row.metric: float(row.number) for row in rows}
    for method, suite, declared in _studies():
        for name, printed in declared.numbers.items():
            dataset, _, stain = name.rpartition("-")
            if printed == numbers and (not first.dataset or (dataset, stain) == (first.dataset, first.stain)):
                study = study_rows(Study(method, suite, dataset, stain))
                yield from ((name, row.folder) for row in study if row.name == declared.name)


@cache
def _studies() -> list[tuple[str, str, SuiteRow]]:
    methods, _ = registry.load_all("vsbench.methods")
    return [
        (name, suite, row)
        for name, method in methods.items()
        for suite, declared in method.suites.items()
        for row in declared.rows
    ]
