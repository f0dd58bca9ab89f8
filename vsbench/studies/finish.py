"""What is made of a study's rows in the end: folds pooled, all measured, and a report of these rows alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsbench.engine.run import Run
from vsbench.errors import UserError
from vsbench.evaluation.ablate import study_rows
from vsbench.evaluation.evaluate import Outcome, Tell, evaluate_runs
from vsbench.evaluation.folds import pool
from vsbench.evaluation.instrument import Instrument
from vsbench.report.build import build_report
from vsbench.report.ledger import Ledger
from vsbench.report.spread import spreads_of
from vsbench.report.studies import FOLDER
from vsbench.report.suites import suite_table, write_suite
from vsbench.studies.file import Evaluation, Report, StudyFile
from vsbench.studies.plan import suites
from vsbench.studies.state import RowState

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Measured:
    """What an evaluation gave: ``runs`` are those that stand in the tables, a line in ``failures`` for each trouble."""

    runs: list[Run]
    outcomes: list[Outcome]
    failures: list[str]


def evaluate_study(
    study: StudyFile, asked: Evaluation, states: Sequence[RowState], device: "torch.device", tell: Tell
) -> Measured:
    """Measure what is done of a study, folds pooled; what fails for one row leaves the others alone.

    A row of which a fold is not done is left out. Suites leave their tables as ``vsbench ablate`` does.
    """
    runs, failures = [], []
    for states_of_row in _by_table_row(states):
        done = [one.row.run for one in states_of_row if one.state == "done"]
        if states_of_row[0].row.fold is None:
            runs += done
        elif len(done) == len(states_of_row):
            try:
                runs.append(pool([(run, run.trained) for run in done], study.results))
            except UserError as error:
                failures.append(str(error))
    instrument = Instrument.build(str(device), asked.also, asked.on_missing)
    outcomes, unmeasured = evaluate_runs(
        runs, None, study.results, instrument, device, asked.on_bad, tell, draws=asked.draws
    )
    measured = {outcome.run.folder for outcome in outcomes}
    for suite in suites(study):
        rows = study_rows(suite)
        failed = {row.run(seed).folder for row in rows for seed in study.seeds} - measured
        write_suite(suite_table(suite, rows, study.seeds, failed), study.results / FOLDER)
    return Measured(runs, outcomes, [*failures, *unmeasured])


def report_study(
    study: StudyFile, asked: Report, runs: Sequence[Run], out: Path, numbers: Ledger, warn: Callable[[str], None]
) -> list[Path]:
    """Write the report of these runs to ``out``; what was written. ``numbers``: of papers, which stand beside."""
    return build_report(
        study.results,
        out,
        latex=asked.latex,
        figures=asked.figures,
        page=asked.html,
        interval=asked.interval,
        papers=numbers.papers,
        spreads=spreads_of(numbers) if asked.latex else None,
        strata=asked.strata,
        only={run.folder for run in runs},
        warn=warn,
    )


def _by_table_row(states: Sequence[RowState]) -> list[list[RowState]]:
    """The rows, the folds of one together and in their order."""
    found: dict[tuple[str, ...], list[RowState]] = {}
    for place, one in enumerate(states):
        r = one.row.request
        of_folds = (r.dataset, r.stain, one.row.name, str(r.seed), str(r.dataset_options.get("folds")))
        found.setdefault((str(place),) if one.row.fold is None else of_folds, []).append(one)
    return [sorted(own, key=lambda one: one.row.fold or 0) for own in found.values()]
