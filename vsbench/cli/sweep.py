"""``vsbench sweep STUDY``: a whole comparison from one file; how far it is, what is called off, what is tried again."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from vsbench.bounds import DEVICES
from vsbench.cli.output import note, say, say_json

if TYPE_CHECKING:
    from rich.table import Table

    from vsbench.studies.cost import Cost, Survey
    from vsbench.studies.file import StudyFile
    from vsbench.studies.state import RowState

HEAD = ("row", "seed", "state", "step", "loss", "img/s", "left", "node", "job")
NUMBERS = ("seed", "step", "loss", "img/s", "left")
Study = Annotated[Path, typer.Argument(help="Study file (YAML).", metavar="STUDY")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, max=DEVICES, help="Rows at a time, in place of the study's.")
]


class _RunByDefault(TyperGroup):
    """``vsbench sweep STUDY`` is ``vsbench sweep run STUDY``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``run`` is put before what is no command's name."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a word after ``vsbench sweep`` stands for."""
        return super().get_command(ctx, cmd_name) or self.commands["run"]


app = typer.Typer(
    cls=_RunByDefault,
    help="Train, evaluate and report a whole comparison that one file describes: vsbench sweep STUDY.",
    no_args_is_help=True,
)


@app.command()
def run(
    study: Study,
    jobs: Jobs = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what it takes; write nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="With --dry-run: as JSON.")] = False,
) -> None:
    """Train the rows of a study that are not done, evaluate all, and write their report.

    What is done is not run again, and what was stopped goes on: give the same command again, after a kill too. Ctrl-C
    ends the running rows with a checkpoint. A row that fails leaves the others going; retry tries it again.
    """
    _sweep(study, jobs, again=False, dry_run=dry_run, json_=json_)


@app.command()
def retry(study: Study, jobs: Jobs = None) -> None:
    """The same, with the rows that failed or were cancelled."""
    _sweep(study, jobs, again=True)


@app.command()
def status(study: Study, json_: Json = False) -> None:
    """How far the rows of a study are: from their run folders, whether a sweep runs or not."""
    from vsbench.cli.display import Console
    from vsbench.studies.file import read_study
    from vsbench.studies.plan import plan
    from vsbench.studies.state import look_at
    from vsbench.studies.sweep import executors_of

    told = read_study(study)
    states = look_at(plan(told), executors_of(told))
    if json_:
        say_json([_record(one) for one in states])
    else:
        for line in [*lines(states, Console(wide=False).width), *_reasons(states)]:
            say(line)


@app.command()
def cancel(study: Study) -> None:
    """End the running rows with a checkpoint, and leave what is not done until retry asks for it."""
    from vsbench.studies.file import read_study
    from vsbench.studies.plan import plan
    from vsbench.studies.sweep import cancel as call_off
    from vsbench.studies.sweep import executors_of

    told = read_study(study)
    cancelled = call_off(plan(told), executors_of(told))
    count = "1 row" if len(cancelled) == 1 else f"{len(cancelled)} rows"
    say(f"{count} cancelled" + (f"; vsbench sweep retry {study} goes on with them" if cancelled else ""))


def _sweep(file: Path, jobs: int | None, again: bool, dry_run: bool = False, json_: bool = False) -> None:
    from vsbench.errors import UsageError
    from vsbench.names import checked_name
    from vsbench.studies.file import read_study

    study = read_study(file)
    if jobs is not None:
        if "jobs" not in type(study.executor).model_fields:
            raise UsageError(f"--jobs: of the executor local, not {study.executor.kind}")
        study = study.model_copy(update={"executor": study.executor.model_copy(update={"jobs": jobs})})
    out = study.results / "studies" / checked_name(file.stem, "study file")
    if dry_run:
        _say_plan(study, json_)
    else:
        look = f"look with vsbench sweep status {file}, wait for it or stop it"
        run_study(study, out, again, look, f"vsbench sweep retry {file}")


def _say_plan(study: "StudyFile", json_: bool) -> None:
    from vsbench.files import free_bytes
    from vsbench.studies.cost import require_room, survey
    from vsbench.studies.plan import plan
    from vsbench.studies.state import look_at
    from vsbench.studies.sweep import executors_of

    rows = plan(study)
    surveyed, states = survey(study, rows), look_at(rows, executors_of(study))
    _print_plan(study, surveyed, states, free_bytes(study.results), json_)
    require_room(study, surveyed.sound(told=True), states)


def run_study(study: "StudyFile", out: Path, again: bool, look: str, retry: str) -> None:
    """Train what is open of a study, then measure and report to ``out`` all that is done; exits with 1 where rows fail.

    ``look``: what to do where another sweep of it runs; ``retry``: the command that tries again what failed.
    """
    from vsbench.engine.interrupt import Interrupted
    from vsbench.engine.lock import locked
    from vsbench.studies.cost import require_room, survey
    from vsbench.studies.plan import plan
    from vsbench.studies.state import look_at
    from vsbench.studies.sweep import executor_of, train_rows

    rows, executor = plan(study), executor_of(study)
    executors = {executor.name: executor}
    require_room(study, survey(study, rows).sound(), look_at(rows, executors))
    with locked(out, note, look):
        try:
            with _Watch(len(rows)) as watch:
                states = train_rows(rows, executors, executor, watch, again)
            failures = _finish(study, states, out)
        except Interrupted as stop:
            note(f"{stop}; the same command goes on")
            raise typer.Exit(stop.exit_code) from None
    missing = [one for one in states if one.state != "done"]
    for line in [*_reasons(missing), *failures]:
        note(f"error: {line}")
    if missing:
        note(f"error: {len(missing)} of {len(rows)} rows are not done; once mended: {retry}")
    if missing or failures:
        raise typer.Exit(1)


def _finish(study: "StudyFile", states: "Sequence[RowState]", out: Path) -> list[str]:
    """Evaluate and report what is done, as the study asks for it; a line for each failure."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.evaluate import print_outcomes
    from vsbench.cli.options import one_device
    from vsbench.cli.report import ledger, main_files, print_warning
    from vsbench.studies.finish import evaluate_study, report_study

    if not study.evaluation or not any(one.state == "done" for one in states):
        return []
    # jobs have machines of their own; this is done here, with what is here
    device = one_device(study.executor.device if study.executor.kind == "local" else "auto").device
    with TrainingDisplay() as display:
        measured = evaluate_study(study, study.evaluation, states, device, display.count)
    print_outcomes(measured.outcomes)
    if study.report and measured.outcomes:
        written = report_study(study, study.report, measured.runs, out, ledger(None), print_warning)
        for line in main_files(written, out):
            say(line)
    return measured.failures


class _Watch:
    """Shows the table while rows are trained; where there is no terminal, a line when one changes or is stuck."""

    def __init__(self, rows: int) -> None:
        from rich.live import Live

        from vsbench.cli.display import Console

        self.console = Console(stderr=True)
        fits = 2 * rows + 2 < self.console.height
        self.live = Live(console=self.console, refresh_per_second=2) if self.console.is_terminal and fits else None
        self.told: dict[Path, tuple[str, str]] = {}

    def __enter__(self) -> "_Watch":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, states: "Sequence[RowState]") -> None:
        from vsbench.cli.display import table_and_notes

        if self.live is not None:
            stuck = _reasons([one for one in states if one.stuck])
            self.live.update(table_and_notes(lines(states, self.console.width), stuck))
            return
        for one in states:
            folder, seen = one.row.run.folder, (one.state, one.why if one.stuck else "")
            if self.told.get(folder, ("to do", "")) != seen:
                note(f"{one.row}: {one.state}{f', {one.why}' if one.why else ''}")
            self.told[folder] = seen


def lines(states: "Sequence[RowState]", width: int) -> list[str]:
    """How far rows are, as a table of so many columns, 80 or more: names are shortened, numbers never."""
    from rich.cells import cell_len, set_cell_size

    groups: dict[str, list[tuple[str, ...]]] = {}
    for one in states:
        r = one.row.request
        fold = "" if one.row.fold is None else f", fold {one.row.fold} of {r.dataset_options['folds']}"
        groups.setdefault(f"{r.dataset}-{r.stain}{fold}", []).append(_cells(one))
    table = [HEAD, *(cells for group in groups.values() for cells in group)]
    widths = [max(cell_len(cells[column]) for cells in table) for column in range(len(HEAD))]
    for column, least in ((HEAD.index("node"), 8), (0, 12)):
        excess = sum(widths) + len(widths) + 1 - width
        widths[column] = min(widths[column], max(least, widths[column] - excess))

    def line(cells: tuple[str, ...]) -> str:
        parts = []
        for name, cell, size in zip(HEAD, cells, widths, strict=True):
            cut = cell if cell_len(cell) <= size else f"{set_cell_size(cell, size - 1)}…"
            parts.append(" " * (size - cell_len(cut)) + cut if name in NUMBERS else set_cell_size(cut, size))
        return f"  {' '.join(parts)}".rstrip()

    found = [line(HEAD)]
    for name, group in groups.items():
        found += [name, *map(line, group)]
    return found


def _cells(one: "RowState") -> tuple[str, ...]:
    pace, running = one.pace, one.state == "running"
    return (
        one.row.name,
        str(one.row.request.seed),
        one.state,
        "" if one.steps is None else f"{_short(one.step)}/{_short(one.steps)}",
        "" if pace is None or pace.loss is None else f"{pace.loss:.3g}",
        "" if pace is None or not running else f"{pace.images_per_s:.3g}",
        "" if pace is None or not running else _duration(pace.seconds_left),
        (one.node or "") if running else "",
        one.job.id if one.state in ("running", "waiting") and one.job is not None else "",
    )


def _print_plan(study: "StudyFile", found: "Survey", states: "Sequence[RowState]", free: int, json_: bool) -> None:
    from vsbench.cli.display import Console

    todo = [(cost, one) for cost, one in zip(found.costs, states, strict=True) if one.state != "done"]
    times = [None if cost is None else cost.seconds(one.step) for cost, one in todo]
    known = [seconds for seconds in times if seconds is not None]
    disk = sum(cost.disk_bytes for cost, _ in todo if cost)
    if json_:
        rows = [
            _record(one) | (
                dict.fromkeys(("steps", "memory_bytes", "disk_bytes", "seconds_left"))
                if cost is None
                else {"steps": cost.steps, "memory_bytes": cost.memory_bytes, "disk_bytes": cost.disk_bytes,
                      "seconds_left": cost.seconds(one.step)}
            )
            for cost, one in zip(found.costs, states, strict=True)
        ]  # fmt: skip
        totals = {"rows": len(rows), "to_do": len(todo), "disk_bytes": disk, "free_bytes": free,
                  "seconds": sum(known) if len(known) == len(times) else None}  # fmt: skip
        say_json({"rows": rows, "total": totals, "faults": found.lines()})
        return
    time = "unknown: no such row has run in these results yet" if todo else "none: all are done"
    if known:
        time = f"{_duration(sum(known))} of one job" + ("" if len(known) == len(times) else ", and more: see ?")
    more = "" if all(cost for cost, _ in todo) else ", and more: see ?"
    console = Console()
    console.print(_plan_table(found.costs, states))
    for line in (
        f"rows   {len(states)}, of which {len(states) - len(todo)} are done; of each a time, and sizes at its end",
        f"disk   {_size(disk)} to come{more}, {_size(free)} free at {study.results}",
        f"time   {time}",
        *(f"fault  {line}" for line in found.lines()),
        "dry run: no results are written",
    ):
        console.print(line)


def _plan_table(costs: "Sequence[Cost | None]", states: "Sequence[RowState]") -> "Table":
    """A line for the rows that differ in their seed, or their fold, alone."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("row", "data", "seeds", "states", "steps", "memory", "disk", "time"):
        made.add_column(
            name, overflow="fold", justify="right" if name in ("steps", "memory", "disk", "time") else "left"
        )
    groups: dict[tuple[str, ...], list[tuple[Cost | None, RowState]]] = {}
    for cost, one in zip(costs, states, strict=True):
        r = one.row.request
        folds = "" if one.row.fold is None else f", {r.dataset_options['folds']} folds"
        groups.setdefault((one.row.name, f"{r.dataset}-{r.stain}{folds}"), []).append((cost, one))
    for (name, data), own in groups.items():
        counts = Counter(one.state for _, one in own)
        most = max((cost for cost, _ in own if cost), key=lambda cost: cost.steps, default=None)
        seeds = dict.fromkeys(str(one.row.request.seed) for _, one in own)
        sizes = ("?",) * 3 if most is None else (f"{most.steps:,}", _size(most.memory_bytes), _size(most.disk_bytes))
        time = "?" if most is None else _duration(most.seconds()) or "?"
        states_told = ", ".join(f"{n} {state}" for state, n in counts.items())
        made.add_row(name, data, ",".join(seeds), states_told, *sizes, time)
    return made


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _short(count: int) -> str:
    """A count in five characters or so."""
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 10**6 else f"{count / 10**6:.3g}M"


def _duration(seconds: float | None) -> str:
    """A time in six characters: 45 s, 12 min, 7.5 h, 12 d; empty where it is not known."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _reasons(states: "Sequence[RowState]") -> list[str]:
    """What there is to say of rows: a line for each reason, however many have it."""
    from vsbench.data.pairs import few

    rows: dict[str, list[str]] = {}
    for one in states:
        if one.why:
            rows.setdefault(one.why, []).append(str(one.row))
    return [f"{few(names)}: {why}" for why, names in rows.items()]


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
