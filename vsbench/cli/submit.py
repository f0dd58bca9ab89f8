"""``vsbench submit``: results as data to send, and what is wrong with those that were sent."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsbench.cli.options import RESULTS, checked_names
from vsbench.cli.output import note, say

app = typer.Typer(help="Rows of results as JSON: to send, and to check.", no_args_is_help=True)


@app.command()
def make(
    results: Annotated[list[Path] | None, typer.Argument(help="Results folders.", metavar="RESULTS…")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = RESULTS / "submission",
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Whose they are: a GitHub name.")] = None,
    doi: Annotated[str | None, typer.Option("--doi", help="Of the paper, data or weights: 10.…/….")] = None,
    state: Annotated[
        Literal["submitted", "reproduced"], typer.Option("--state", help="Reproduced: by us, from data to table.")
    ] = "submitted",
    tables: Annotated[
        bool, typer.Option(help="Also the per-image tables, from which the values can be computed again.")
    ] = True,
    references: Annotated[bool, typer.Option("--references", help="Rows of references too.")] = False,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", callback=checked_names, help="Evaluations of this one; as report takes it."),
    ] = None,
) -> None:
    """Write a JSON file for each evaluated method: values with intervals, seeds, digests, versions, device.

    No image, no path and no free text is in it. Per-image tables have the names of tiles and slides.
    """
    from vsbench.exchange.submissions import make as write
    from vsbench.files import only_ours

    with only_ours(out, "--out"):
        for file in write(results or [RESULTS], out, state, by, doi, tables, references, protocol):
            say(file)


@app.command()
def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="What was sent (.json), or folders of it; and per-image tables (.csv) that do not lie beside it.",
            metavar="FILE…",
        ),
    ],
) -> None:
    """Say all that is wrong with rows; exit code 1 if anything is.

    Their form, ranges, protocols, known names; and, from the per-image tables, every value that follows from one.
    """
    from vsbench.errors import UsageError, UserError
    from vsbench.exchange.submissions import check as look
    from vsbench.exchange.submissions import files_of, said_of, tables_beside

    tables = [file for file in files if file.suffix.lower() == ".csv"]
    rows = files_of(file for file in files if file not in tables)
    if not rows:
        raise UserError(f"{', '.join(map(str, files))}: no submission (.json) here")
    found_anyway = {table for row in rows for table in tables_beside(row)}
    elsewhere = [table for table in tables if table not in found_anyway]
    if elsewhere and len(rows) > 1:
        raise UsageError(f"{elsewhere[0]}: beside none of {len(rows)} rows; give it with its own row alone")
    wrong = False
    for file in rows:
        found, faults = look(file, elsewhere)
        for fault in faults:
            note(f"error: {fault}")
        if faults or found is None:
            note(f"{file}: faults: {len(faults)}")
            wrong = True
        else:
            say(f"{file}: {said_of(found)}: nothing wrong")
    if wrong:
        raise typer.Exit(1)
