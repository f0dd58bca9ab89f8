"""Which ablation studies a results folder holds: ``report/suites/<name>.json``, as ``vsbench ablate`` leaves them.

A row that only a study trained (a setting switched off, a batch of 16) is no contestant of the methods' tables: a
report lists it with its study.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vsbench.errors import RunError
from vsbench.evaluation.ablate import Study, StudyRow
from vsbench.files import read_json
from vsbench.report.tables import EvaluatedRun

FOLDER = Path("report") / "suites"  # below the results


class StudyRecord(BaseModel):
    """A study as it was asked for. ``own``: the folders of those rows that are not the method as the user set it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    schema_: Literal[1]
    method: str
    suite: str
    dataset: str
    stain: str
    preset: str
    options: dict[str, Any]
    dataset_options: dict[str, Any]
    seeds: list[int]
    own: list[str]

    def study(self, results: Path) -> Study:
        """The study itself, with its runs under ``results``."""
        return Study(
            self.method, self.suite, self.dataset, self.stain, self.preset, self.options, self.dataset_options,
            results=results,
        )  # fmt: skip


def record_of(study: Study, rows: Iterable[StudyRow], seeds: Sequence[int]) -> dict[str, Any]:
    """What ``read_studies`` reads back."""
    return {
        "schema": 1,
        "method": study.method,
        "suite": study.suite,
        "dataset": study.dataset,
        "stain": study.stain,
        "preset": study.preset,
        "options": study.options,
        "dataset_options": study.dataset_options,
        "seeds": list(seeds),
        "own": sorted({row.folder for row in rows if row.request.label is not None}),
    }


def read_studies(results: Path) -> list[StudyRecord]:
    """All studies of a results folder in the order of their files. RunError naming a file that is damaged."""
    files = sorted((results / FOLDER).glob("*.json"))
    return [_read(file) for file in files if not file.name.startswith(".")]  # what an interrupted writer left behind


def set_apart(
    runs: Iterable[EvaluatedRun], studies: Sequence[StudyRecord]
) -> tuple[list[EvaluatedRun], list[EvaluatedRun]]:
    """The runs for the tables of methods, and those of rows that are studies' own."""
    own = {(study.dataset, study.stain, folder) for study in studies for folder in study.own}
    parts: tuple[list[EvaluatedRun], list[EvaluatedRun]] = ([], [])
    for run in runs:
        parts[(run.dataset, run.stain, run.row) in own].append(run)
    return parts


def _read(file: Path) -> StudyRecord:
    mend = "give the same vsbench ablate again: what is trained is not trained twice"
    try:
        content = read_json(file)
        if not isinstance(content, dict):
            raise RunError(f"{file}: no JSON object; {mend}")
        schema = content.pop("schema", None)
        return StudyRecord.model_validate({**content, "schema_": schema})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])).replace("schema_", "schema")
        raise RunError(f"{file}: {where}: {first['msg']}; {mend}") from None
    except (OSError, ValueError) as error:  # unreadable, no UTF-8, no JSON
        raise RunError(f"{file}: damaged ({' '.join(str(error).split())}); {mend}") from None
