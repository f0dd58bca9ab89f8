"""``vsbench report``: tables and figures from evaluated runs."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[Path, typer.Option(help="Folder that holds runs/.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="RESULTS/report")] = None,
    latex: Annotated[
        bool, typer.Option("--latex", help="Also write LaTeX tables and a document that holds them.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Draw the scatter and the sheets of images.")] = True,
) -> None:
    """Write summary.csv, figures and, on request, LaTeX tables in the paper's layout."""
    from vsbench.report.build import build_report  # here, so that the command line starts without matplotlib

    for path in build_report(results, out or results / "report", latex, figures, warn=_warn):
        typer.echo(path)


def _warn(sentence: str) -> None:
    typer.secho(f"warning: {sentence}", err=True, fg=typer.colors.YELLOW)
