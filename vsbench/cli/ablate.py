"""``vsbench ablate METHOD --suite NAME``: the ablation studies a method declares."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.bounds import SEED
from vsbench.cli.options import (
    RESULTS,
    DataOptions,
    DataRoot,
    DatasetName,
    Device,
    LogTo,
    Preset,
    Results,
    Stain,
    Workers,
)
from vsbench.cli.output import note, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsbench.evaluation.ablate import StudyRow
    from vsbench.report.suites import SuiteTable


def ablate(
    method: Annotated[str, typer.Argument(help="Method: see vsbench methods.")],
    suite: Annotated[str, typer.Option("--suite", help="One of the method's suites: see vsbench methods METHOD.")],
    dataset: DatasetName,
    stain: Stain,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds; all rows of one before the next.")] = "0,1,2",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ROW", help="This row of the suite alone; repeatable.")
    ] = None,
    data_root: DataRoot = None,
    data: DataOptions = None,
    preset: Preset = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of all rows; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the rows and how far they are; do nothing.")] = False,
    device: Device = "auto",
    precision: Annotated[str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed.")] = "32",
    workers: Workers = 2,
    checkpoint_every: Annotated[
        int,
        typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints, from which a run goes on."),
    ] = 1000,
    log_to: LogTo = None,
    results: Results = RESULTS,
) -> None:
    """Train the rows of an ablation study one after another, evaluate them, and write their table.

    What is done already is not run again, and what was interrupted goes on: give the same command again. A row's
    settings win over the preset.
    """
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import dataset_options, make_fabric
    from vsbench.config import parse_settings
    from vsbench.engine.interrupt import Interrupted
    from vsbench.engine.loggers import require_loggers
    from vsbench.engine.trainer import Rhythm
    from vsbench.evaluation.ablate import Study, chosen, require_ready, run_study, study_rows
    from vsbench.report.suites import suite_table, write_suite

    study = Study(
        method=method,
        suite=suite,
        dataset=dataset,
        stain=stain,
        preset=preset,
        options=parse_settings(settings or []),
        dataset_options=dataset_options(dataset, data, data_root),
        data_root=data_root,
        results=results,
    )
    numbers = _seeds(seeds)
    rows = study_rows(study)
    wanted = chosen(rows, only or [])
    if dry_run:
        _print_plan(wanted, numbers)
        return
    require_ready(study, wanted)
    require_loggers(log_to or ())
    rhythm = Rhythm(checkpoint=checkpoint_every, log_to=tuple(log_to or ()))
    fabric = make_fabric(device, 1, precision)
    failures: list[str] = []
    failed: set[Path] = set()
    table = suite_table(study, rows, numbers)
    written = write_suite(table, results / "report" / "suites")  # now: reports must know what an interrupted study ran
    try:
        with TrainingDisplay() as display:
            for done in run_study(wanted, numbers, fabric, workers, rhythm, display):
                failures += done.failures
                failed |= done.failed
                table = suite_table(study, rows, numbers, failed)
                written = write_suite(table, results / "report" / "suites")
    except Interrupted as stop:
        note(f"{stop}; the same command goes on")
        raise typer.Exit(stop.exit_code) from None
    _print_table(table)
    for path in written:
        say(path)
    for failure in failures:
        note(f"error: {failure}")
    if failures:
        raise typer.Exit(1)


def _seeds(text: str) -> list[int]:
    from vsbench.errors import UsageError
    from vsbench.names import brief

    parts = [part.strip() for part in text.split(",")]
    seeds = [int(part) for part in parts if part.isdecimal() and len(part) <= len(str(SEED))]
    if len(set(seeds)) < len(parts) or max(seeds) > SEED:
        raise UsageError(f"--seeds {brief(text)}: expected different whole numbers up to {SEED}, as in 0,1,2")
    return seeds


def _print_plan(rows: "Sequence[StudyRow]", seeds: list[int]) -> None:
    from vsbench.evaluation.ablate import state
    from vsbench.report.suites import settings

    body = [[row.name, settings(row), *(state(row, seed).words for seed in seeds), row.folder] for row in rows]
    _print(["row", "settings", *(f"seed {seed}" for seed in seeds), "runs"], body)


def _print_table(table: "SuiteTable") -> None:
    from vsbench.report.suites import lines

    say(f"{table.study.name}: {table.study.declared.title}; mean ± sd over seeds (as printed in the literature)")
    _print(*lines(table))


def _print(heading: list[str], body: list[list[str]]) -> None:
    from rich.table import Table

    from vsbench.cli.display import Console

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in heading:
        table.add_column(column, overflow="fold")
    for cells in body:
        table.add_row(*cells)
    console = Console()
    console.print(table)
