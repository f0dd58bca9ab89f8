"""``vsbench sweep STUDY``: a whole comparison from one file; how far it is, what shall not be done, what once more."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vsbench.cli.output import note, say_json

if TYPE_CHECKING:
    from rich.table import Table

    from vsbench.studies.state import RowState

Study = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


class _RunsByDefault(TyperGroup):
    """``vsbench sweep STUDY`` is ``vsbench sweep run STUDY``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``run`` is put before what is no other command's name."""
        if args and args[0] not in self.commands and args[0] not in ("--help",):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunsByDefault,
    help="Train, evaluate and report a whole comparison that one file describes: vsbench sweep STUDY.",
    no_args_is_help=True,
)


@app.command()
def run(study: Study) -> None:
    """Train the rows of a study that are not done, evaluate them, and write their report.

    What is done is not run again, and what was stopped goes on: give the same command again, also after a kill.
    """
    _sweep(study, again=False)


@app.command()
def retry(study: Study) -> None:
    """The same, with the rows that failed or were cancelled."""
    _sweep(study, again=True)


@app.command()
def status(study: Study, json_: Json = False) -> None:
    """How far the rows of a study are: from their run folders, while a sweep runs or not."""
    from vsbench.cli.display import Console
    from vsbench.studies.file import read_study
    from vsbench.studies.plan import plan
    from vsbench.studies.state import look_at
    from vsbench.studies.sweep import executors_of

    told = read_study(study)
    states = look_at(plan(told), executors_of(told))
    if json_:
        say_json([_record(one) for one in states])
        return
    console = Console()
    console.print(table(states))
    for line in _reasons(states):
        console.print(line)


@app.command()
def cancel(study: Study) -> None:
    """Stop the running rows with a checkpoint and leave the waiting ones undone, until retry asks for them."""
    from vsbench.studies.file import read_study
    from vsbench.studies.plan import plan
    from vsbench.studies.sweep import cancel as call_off
    from vsbench.studies.sweep import executors_of

    told = read_study(study)
    cancelled = call_off(plan(told), executors_of(told))
    note(f"cancelled: {len(cancelled)} rows; vsbench sweep retry {study} asks for them again")


def _sweep(study: Path, again: bool) -> None:
    from vsbench.engine.interrupt import Interrupted
    from vsbench.studies.file import read_study
    from vsbench.studies.plan import plan
    from vsbench.studies.sweep import executor_of, train_rows

    told = read_study(study)
    rows, executor = plan(told), executor_of(told)
    try:
        states = train_rows(rows, {executor.name: executor}, executor, _Lines(), again)
    except Interrupted as stop:
        note(f"{stop}; the same command goes on")
        raise typer.Exit(stop.exit_code) from None
    missing = [one for one in states if one.state != "done"]
    for line in _reasons(missing):
        note(f"error: {line}")
    if missing:
        note(f"error: {len(missing)} of {len(rows)} rows are not done; vsbench sweep retry {study}")
        raise typer.Exit(1)


class _Lines:
    """Says in a line when a row changes its state."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def __call__(self, states: "Sequence[RowState]") -> None:
        for one in states:
            name = str(one.row)
            if self.told.get(name, "to do") != one.state:
                note(f"{name}: {one.state}")
            self.told[name] = one.state


def table(states: "Sequence[RowState]") -> "Table":
    """The rows as a table of 80 columns and more."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column("row", no_wrap=True, overflow="ellipsis", min_width=12)
    for name in ("data", "seed", "state", "step", "loss", "img/s", "left", "node", "job"):
        right = name in ("step", "loss", "img/s", "left")
        made.add_column(name, no_wrap=True, overflow="ellipsis", justify="right" if right else "left")
    for one in states:
        r, pace = one.row.request, one.pace
        fold = "" if one.row.fold is None else f"/{one.row.fold}"
        running = one.state == "running"
        made.add_row(
            one.row.name, f"{r.dataset}-{r.stain}{fold}", str(r.seed), one.state, _steps(one),
            "" if pace is None or pace.loss is None else f"{pace.loss:.3g}",
            f"{pace.images_per_s:.3g}" if running and pace is not None else "",
            _duration(pace.seconds_left) if running and pace is not None else "",
            one.node or "" if one.state != "done" else "", one.job.id if running and one.job is not None else "",
        )  # fmt: skip
    return made


def _steps(one: "RowState") -> str:
    return "" if one.steps is None else f"{_short(one.step)}/{_short(one.steps)}"


def _short(count: int) -> str:
    """A count in five characters."""
    return str(count) if count < 10_000 else f"{count / 1000:.4g}k"


def _duration(seconds: float | None) -> str:
    """A time in six characters: 45 s, 12 min, 7.5 h, 12 d."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _reasons(states: "Sequence[RowState]") -> list[str]:
    return [f"{one.row}: {one.why}" for one in states if one.why]


def _record(one: "RowState") -> dict[str, Any]:
    r, pace = one.row.request, one.pace
    return {
        "row": one.row.name, "dataset": r.dataset, "stain": r.stain, "fold": one.row.fold, "seed": r.seed,
        "folder": str(one.row.run.folder), "state": one.state, "step": one.step, "steps": one.steps,
        "loss": None if pace is None else pace.loss, "images_per_s": None if pace is None else pace.images_per_s,
        "seconds_left": None if pace is None else pace.seconds_left, "node": one.node,
        "job": None if one.job is None else one.job.id, "executor": None if one.job is None else one.job.executor,
        "why": one.why,
    }  # fmt: skip
