"""Which ablation studies a results folder holds: ``report/suites/<name>.json``, as ``vsbench ablate`` leaves them.

A row that only a study trained (a setting switched off, a batch of 16) is no contestant of the methods' tables: a
report lists it with its study.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsbench.errors import RunError, UserError
from vsbench.evaluation.ablate import Study, StudyRow, study_rows
from vsbench.records.study import StudyRecord
from vsbench.report.tables import EvaluatedRun

FOLDER = Path("report") / "suites"  # below the results


@dataclass(frozen=True)
class KeptStudy:
    """A study of a results folder: as it was asked for, itself, and its rows."""

    record: StudyRecord
    study: Study
    rows: list[StudyRow]


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


def read_studies(results: Path) -> list[KeptStudy]:
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
            study = Study(
                record.method, record.suite, record.dataset, record.stain, record.preset, record.options,
                record.dataset_options, results=results,
            )  # fmt: skip
            found.append(KeptStudy(record, study, study_rows(study)))
        except UserError as error:
            raise RunError(f"{file}: {error}; {record.mend}") from None
    return found


def set_apart(
    runs: Iterable[EvaluatedRun], studies: Sequence[KeptStudy]
) -> tuple[list[EvaluatedRun], list[EvaluatedRun]]:
    """The runs for the tables of methods, and those of rows that are studies' own."""
    records = [kept.record for kept in studies]
    own = {(record.dataset, record.stain, folder) for record in records for folder in record.own}
    parts: tuple[list[EvaluatedRun], list[EvaluatedRun]] = ([], [])
    for run in runs:
        parts[(run.dataset, run.stain, run.row) in own].append(run)
    return parts
