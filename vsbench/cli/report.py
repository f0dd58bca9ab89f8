"""``vsbench report``: tables, figures and a page from evaluated runs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.cli.options import RESULTS, Results, checked_names
from vsbench.cli.output import note, say

if TYPE_CHECKING:
    from vsbench.report.ledger import Ledger

FILES = ("summary.csv", "decision.csv", "provenance.csv", "provenance.json")
LATEX = ("main.tex", "supplement.tex")
PUBLISHED = RESULTS / "published"


def report(
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write to; else report/ in --results.")] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also LaTeX tables, and a document that holds all.")] = False,
    interval: Annotated[
        bool, typer.Option("--interval", help="Tables with 95 % limits over slides, not deviations over seeds.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Draw the figures.")] = True,
    html: Annotated[bool, typer.Option(help="Write the page, index.html.")] = True,
    published: Annotated[
        Path | None,
        typer.Option(
            "--published", help=f"Your own printed numbers, on top of those that ship; else {PUBLISHED} where it is."
        ),
    ] = None,
    data_name: Annotated[
        list[str] | None,
        typer.Option("--data-name", metavar="[GROUP=]NAME", help="What a data set is called; repeatable."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE.zip", help="Also all that may be passed on, as one file.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            callback=checked_names,
            help="Evaluations of this protocol, as evaluate --size leaves them.  [default: at the images' own size]",
        ),
    ] = None,
    strata: Annotated[
        str | None,
        typer.Option(
            "--strata",
            metavar="QUALITY",
            help="Also by thirds of the pairs, by how well these match: ncc, mi, nuclei (the last two if measured).",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", callback=checked_names, help="This ablation study alone: its table and figure."),
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Of this method, where several have --suite.")] = None,
) -> None:
    """Write tables, figures and a page to look at; every number in them leads back to its run.

    With --suite the table and figure of an ablation study that vsbench ablate ran, and nothing else.
    """
    from contextlib import nullcontext

    from vsbench.errors import UsageError
    from vsbench.files import only_ours
    from vsbench.report.ablations import suite_report
    from vsbench.report.build import build_report
    from vsbench.report.spread import spreads_of

    folder = out or results / "report"
    for option, given in (("--bundle", bundle), ("--protocol", protocol), ("--strata", strata)):
        if suite is not None and given is not None:
            raise UsageError(f"{option} is of the whole report: leave out --suite")
    if suite is None and method is not None:
        raise UsageError("--method is for --suite")
    expected = [] if suite is not None else [*FILES, *(LATEX if latex else ())]
    own_place = folder.resolve() == (results / "report").resolve()
    with nullcontext() if own_place else only_ours(folder, "--out", expected):
        if suite is not None:
            written = suite_report(results, suite, folder, method, print_warning)
        else:
            numbers = ledger(published)
            written = build_report(
                results,
                folder,
                latex=latex,
                figures=figures,
                page=html,
                interval=interval,
                papers=numbers.papers,
                spreads=spreads_of(numbers) if latex else None,
                names=data_name or [],
                bundle=bundle,
                protocol=protocol,
                strata=strata,
                warn=print_warning,
            )
    for line in main_files(written, folder):
        say(line)


def main_files(written: Sequence[Path], folder: Path) -> list[str]:
    """The files in the folder itself and outside of it, and of each folder in it how many files were written."""
    inside: Counter[Path] = Counter()
    lines = []
    for path in written:
        if folder in path.parents and path.parent != folder:
            inside[folder / path.relative_to(folder).parts[0]] += 1
        else:
            lines.append(str(path))
    return lines + [f"{part} ({count} file{'s' * (count != 1)})" for part, count in inside.items()]


def ledger(folder: Path | None) -> "Ledger":
    """What ships with vsbench, and on top what is in a folder: the one given, else the usual one where it has some."""
    from vsbench.report.ledger import has_numbers, read_ledger

    if folder is None and has_numbers(PUBLISHED):
        folder = PUBLISHED
    return read_ledger(folder, print_warning)


def print_warning(sentence: str) -> None:
    """One line on standard error."""
    note(f"warning: {sentence}")
