"""``vsbench compare``: paired statistics between runs, and the effect of the training seed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsbench.bounds import RESAMPLES, SEED
from vsbench.cli.output import say_json
from vsbench.numbers import digits

if TYPE_CHECKING:
    from rich.table import Table

Record = dict[str, Any]


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Evaluated run folders, two or more.", metavar="RUN…")],
    seeds: Annotated[
        bool, typer.Option("--seeds", help="How far the trainings in each method's folder are apart, by their seeds.")
    ] = False,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="This value only; repeatable.")
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, max=RESAMPLES, help="Draws and exchanges of slides.")
    ] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of draws and exchanges.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file as well.")] = None,
) -> None:
    """Compare runs on the same test images: difference with 95 % interval, p, and p corrected by Holm.

    Values that show one quantity several times are a family: one of them, named beforehand, is tested and corrected
    for, the others describe. Naming values by --metric leaves the others out.

    Each run is one training. Slides are drawn and exchanged, not images, since the images of a slide are not
    independent; with few slides nothing can be shown, and the command says so. "Not shown" does not mean equal.
    """
    from vsbench.errors import UsageError

    if not seeds and len(runs) < 2:
        raise UsageError("name two runs or more, or one method's folder with --seeds")
    work = _of_seeds if seeds else _of_runs
    record, rows = work(runs, metric or [], resamples, seed)
    if csv is not None:
        _write_csv(csv, rows)
    if json_output:
        say_json(record)
    else:
        _print(record, _table_of_seeds(rows) if seeds else _table_of_runs(rows))


def _of_runs(folders: list[Path], metrics: list[str], resamples: int, seed: int) -> tuple[Record, list[Record]]:
    """What is printed as JSON, and its rows."""
    from vsbench.evaluation import compare as statistics
    from vsbench.evaluation.evaluated import find_run, read

    found = statistics.compare(read([find_run(folder) for folder in folders]), metrics, resamples, seed)
    rows = statistics.records(found.tests)
    record = {
        "runs": found.runs, "protocol": found.protocol, "images": found.images,
        "units": found.units, "unit": found.unit,
        "resamples": resamples, "seed": seed, "tests": rows, "left_out": found.left_out, "notes": found.notes,
    }  # fmt: skip
    return record, rows


def _of_seeds(folders: list[Path], metrics: list[str], resamples: int, seed: int) -> tuple[Record, list[Record]]:
    from vsbench.evaluation import compare as statistics
    from vsbench.evaluation.evaluated import read, seeds_of

    rows: list[Record] = []
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for folder in folders:
        name = folder.resolve().name
        base, effects = statistics.seed_effects(read(seeds_of(folder)), metrics, resamples, seed)
        rows += statistics.seed_records(name, base, effects)
        left_out |= {f"{name} {value}": reason for value, reason in base.left_out.items()}
        notes += [f"{name}: {note}" for note in base.notes]
    record = {"resamples": resamples, "seed": seed, "effects": rows, "left_out": left_out, "notes": notes}
    return record, rows


def _table_of_runs(rows: list[Record]) -> "Table":
    table = _table({"value": "left", "first": "right", "second": "right", "first against second": "left"})
    pairs = {(row["first"], row["second"]) for row in rows}
    before = None
    for row in rows:
        pair = row["first"], row["second"]
        if pair != before and len(pairs) > 1:
            table.add_row("", *pair, "")
        before = pair
        table.add_row(
            row["value"] if row["tested"] else f"  {row['value']}",
            _number(row["first_value"]),
            _number(row["second_value"]),
            row["verdict"],
        )
    return table


def _table_of_seeds(rows: list[Record]) -> "Table":
    columns = ("mean", "seed", "sampling", "error")
    table = _table({"method": "left", "value": "left", **dict.fromkeys(columns, "right"), "each training": "left"})
    for row in rows:
        each = "  ".join(map(_number, row["values"].values()))
        table.add_row(row["method"], row["value"], *(_number(row[column]) for column in columns), each)
    table.caption = (
        "Standard deviations: seed, of trainings; sampling, of one training over other slides; error, of the mean."
    )
    return table


def _table(columns: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    for name, side in columns.items():
        table.add_column(name, justify=side, overflow="fold")
    return table


def _number(number: float | str | None) -> str:
    return "n/a" if number is None else digits(float(number))


def _print(record: Record, table: "Table") -> None:
    from vsbench.cli.display import Console

    console = Console()
    if "tests" in record:
        made = sum(row["tested"] and row["p"] is not None for row in record["tests"])
        drawn = "" if record["unit"] == "image" else f" of {record['units']} {record['unit']}s"
        console.print(
            f"{record['protocol']}: {record['images']} images{drawn}, {record['resamples']} resamples; "
            f"Holm over {made} tests"
        )
    console.print(table)
    for reason in dict.fromkeys(record["left_out"].values()):
        names = [name for name, why in record["left_out"].items() if why == reason]
        console.print(f"left out: {', '.join(names)}: {reason}")
    for sentence in record["notes"]:
        console.print(f"note: {sentence}")


def _write_csv(path: Path, rows: list[Record]) -> None:
    import pandas as pd

    from vsbench.cells import neutral_table
    from vsbench.errors import UserError
    from vsbench.files import has_first_line, require_replaceable, write_text

    flat = [{key: value for key, value in row.items() if not isinstance(value, dict)} for row in rows]
    text = neutral_table(pd.DataFrame(flat)).to_csv(index=False, lineterminator="\n")
    require_replaceable(path, has_first_line(text.partition("\n")[0]), "--csv file")
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror}); give another --csv file") from None
