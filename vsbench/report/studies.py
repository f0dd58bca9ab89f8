"""Which ablation studies a results folder holds: ``report/suites/<name>.json``, as ``vsbench ablate`` leaves them.

A row that only a study trained (a setting switched off, a batch of 16) is no contestant of the methods' tables: a
report lists it with its study.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vsbench.errors import RunError, UserError
from vsbench.evaluation.ablate import Study, StudyRow, study_rows
from vsbench.records.study import StudyRecord
from vsbench.report.tables import EvaluatedRun

FOLDER = Path("report") / "suites"  # below the results


def study_of(record: StudyRecord, results: Path) -> Study:
    """The study itself, with its runs under ``results``."""
    return Study(
        record.method, record.suite, record.dataset, record.stain, record.preset, record.options,
        record.dataset_options, results=results,
    )  # fmt: skip


def record_of(study: Study, rows: Iterable[StudyRow], seeds: Sequence[int]) -> StudyRecord:
    """What ``read_studies`` reads back."""
    return StudyRecord(
        schema=1,
        method=study.method,
        suite=study.suite,
        dataset=study.dataset,
        stain=study.stain,
        preset=study.preset,
        options=study.options,
        dataset_options=study.dataset_options,
        seeds=list(seeds),
        own=sorted({row.folder for row in rows if row.request.label is not None}),
    )


def read_studies(results: Path) -> list[StudyRecord]:
    """All studies of a results folder in the order of their files.

    Raises RunError naming a file that is damaged, or whose rows can't be: of a method or suite that is not here, or
    with settings that none has.
    """
    files = sorted((results / FOLDER).glob("*.json"))
    found = []
    for file in files:
        if file.name.startswith("."):  # an interrupted writer left it behind
            continue
        record = StudyRecord.read(file)
        try:
            study_rows(study_of(record, results))
        except UserError as error:
            raise RunError(f"{file}: {error}; {record.mend}") from None
        found.append(record)
    return found


def set_apart(
    runs: Iterable[EvaluatedRun], studies: Sequence[StudyRecord]
) -> tuple[list[EvaluatedRun], list[EvaluatedRun]]:
    """The runs for the tables of methods, and those of rows that are studies' own."""
    own = {(study.dataset, study.stain, folder) for study in studies for folder in study.own}
    parts: tuple[list[EvaluatedRun], list[EvaluatedRun]] = ([], [])
    for run in runs:
        parts[(run.dataset, run.stain, run.row) in own].append(run)
    return parts
