"""``vsbench report``: tables and figures from evaluated runs."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.options import RESULTS, Results


def report(
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write to; else report/ in --results.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also LaTeX tables, and a document that holds all.")] = False,
    figures: Annotated[bool, typer.Option(help="Draw the scatter and the sheets of images.")] = True,
) -> None:
    """Write summary.csv, figures and LaTeX tables in the paper's layout."""
    from vsbench.report.build import build_report

    for path in build_report(results, out or results / "report", latex, figures, warn=print_warning):
        typer.echo(path)


def print_warning(sentence: str) -> None:
    """One line on standard error."""
    typer.echo(f"warning: {sentence}", err=True)
