"""``vsbench board``: a page from printed, rerun, submitted and reproduced rows."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.options import RESULTS
from vsbench.cli.output import say
from vsbench.cli.report import PUBLISHED, ledger

SUBMITTED = RESULTS / "submitted"


def board(
    rows: Annotated[
        list[Path] | None,
        typer.Argument(help=f"Submissions, or folders of them.  [default: {SUBMITTED}]", metavar="FILE…"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = RESULTS / "board",
    published: Annotated[
        Path | None,
        typer.Option("--published", help=f"Your own printed numbers, on top; else {PUBLISHED} where it is."),
    ] = None,
) -> None:
    """Write a static site: one file, which loads nothing from elsewhere.

    Each row says what it is: printed by a paper, rerun by others, submitted, or reproduced from data to table.
    """
    from vsbench.exchange.board import write_board
    from vsbench.exchange.submissions import read_submissions
    from vsbench.files import only_ours

    places = rows or ([SUBMITTED] if SUBMITTED.is_dir() else [])
    found, numbers = read_submissions(places), ledger(published)
    with only_ours(out, "--out", ["index.html"]):
        say(write_board(found, numbers, out))
    say(f"submitted rows: {len(found)}, papers: {len(numbers.papers)}, sources of reruns: {len(numbers.reruns)}")
