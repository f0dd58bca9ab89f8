"""``vsbench published``: what papers printed, where they contradict themselves, and what others got again."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.cli.output import say, say_json
from vsbench.cli.report import PUBLISHED, ledger

if TYPE_CHECKING:
    from vsbench.report.ledger import Ledger
    from vsbench.report.published import Row
    from vsbench.report.spread import Column, Spread

WIDTH = 80
app = typer.Typer(help="Numbers that papers printed and others ran again, as data.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Own = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help=f"Your own numbers are in published/ of this folder, on top of those that ship; else {PUBLISHED}.",
    ),
]


@app.command("list")
def list_papers(results: Own = None, as_json: AsJson = False) -> None:
    """List the papers and reruns: source, tables or states, how many numbers, how many of them flagged.

    With --json every number, as printed, with its place.
    """
    from vsbench.report.reruns import HEAD

    found = _ledger(results)
    if as_json:
        papers = [{"paper": p.name, "source": p.source, "rows": [_record(row) for row in p.rows]} for p in found.papers]
        sources = [
            {
                "reruns": s.name,
                **s.card.model_dump(exclude={"schema_", "same"}),
                "rows": [_record(r, HEAD) for r in s.rows],
            }
            for s in found.reruns
        ]
        say_json([*papers, *sources])
        return
    for paper in found.papers:
        tables = dict.fromkeys(row.table for row in paper.rows)
        flagged = sum(bool(row.flag) for row in paper.rows)
        say(f"{paper.name}: {len(paper.rows)} numbers, {flagged} flagged; {paper.source}")
        for table in tables:
            say(f"  {table}: {sum(row.table == table for row in paper.rows)}")
    for source in found.reruns:
        states = dict.fromkeys(row.state for row in source.rows)
        flagged = sum(bool(row.flag) for row in source.rows)
        say(f"{source.name}: {len(source.rows)} numbers, {flagged} flagged; {source.card.source}")
        for state in states:
            say(f"  {state}: {sum(row.state == state for row in source.rows)}")
        for unknown in source.card.unknown:
            say(f"  unknown: {unknown}")


@app.command()
def audit(results: Own = None, as_json: AsJson = False) -> None:
    """Find contradictions in what was printed, by rule.

    A finding is no proof of a mistake: two numbers may be equal by chance, and one training may have been evaluated
    twice. Which number was printed in bold is not in the data: nothing is said about that. Exit code 0 all the same.
    """
    from vsbench.report import published

    papers = _ledger(results).papers
    findings = {paper.name: published.audit(paper) for paper in papers}
    if as_json:
        say_json(
            [
                {"paper": f.paper, "rule": f.rule, "says": f.says, "rows": [_record(row) for row in f.rows]}
                for found in findings.values()
                for f in found
            ]
        )
        return
    for paper in papers:
        found = findings[paper.name]
        say(f"{paper.name}: {len(found)} findings in {len(paper.rows)} numbers")
        for rule, meaning in published.RULES.items():
            of_rule = [finding for finding in found if finding.rule == rule]
            if of_rule:
                say(f"  {rule}: {meaning}")
            for finding in of_rule:
                say(f"    {finding.says}")
        wanted = published.flags(found)
        for row in paper.rows:
            flag = wanted.get(row.line, "")
            if set(row.flag.split()) != set(flag.split()):
                say(f"  note: {paper.name}.csv, line {row.line}: flag is {row.flag!r}, by the rules {flag!r}")


@app.command()
def compare(
    results: Own = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="This metric alone; repeatable.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Rows of reruns on other test images too, not their summary alone.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for CSV files, figures and LaTeX tables as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how far printed numbers and those of reruns lie apart, beside what papers claim between methods.

    By method, data set, stain and metric. Reruns that were trained on other images than the data set's own training
    pairs are left out; those on other test images stand apart.
    """
    from vsbench.files import only_ours
    from vsbench.report import spread_text as text
    from vsbench.report.notation import plain
    from vsbench.report.printed import label
    from vsbench.report.spread import spreads_of
    from vsbench.report.spread_files import TABLES, write_spreads

    spreads = spreads_of(_ledger(results)).of_metrics(metric or [])
    if as_json:
        say_json(text.pairs_table(spreads.columns).to_dict("records"))
    else:
        own, others = spreads.on(own_test=True), spreads.on(own_test=False)
        if own:
            say("On the data sets' own test images")
            _print_columns(own)
        if others:
            say("On other test images, where the gap is the protocol's as well")
            if everything:
                _print_columns(others)
            else:
                body = [[f"{plain(label(c.metric))}, {text.place(c)}", c.test, *text.summary(c)[2:4]] for c in others]
                _print_table(("metric, data", "test images", *text.SUMMARY[2:4]), body, left=2)
                say()
        for line in text.overall(own):
            _wrapped(plain(line))
        if missing := text.left_out(spreads):
            _wrapped(f"Not here: {missing}")
        _wrapped(f"{text.MEANING}.")
    if out is not None:
        with only_ours(out, "--out", TABLES):
            written = write_spreads(spreads, out)
        for path in [] if as_json else written:
            say(path)


def _print_columns(columns: "Sequence[Column]") -> None:
    """A table for each place at which methods compare, and what it comes to; one for the rest. Notes have letters."""
    from vsbench.report import spread_text as text
    from vsbench.report.latex.frame import Footnotes
    from vsbench.report.notation import plain
    from vsbench.report.printed import label

    footnotes = Footnotes()

    def with_letters(name: str, notes: list[str]) -> str:
        return f"{name} [{','.join(map(footnotes.letter, notes))}]" if notes else name

    def line(column: "Column", spread: "Spread") -> list[str]:
        method, *rest = text.cells(column, spread)
        return [with_letters(method, text.notes(spread)), *rest]

    for column in columns:
        if column.compares:
            title = f"{plain(label(column.metric))}, {text.place(column)}{f' ({column.test})' if column.test else ''}"
            say()
            say(with_letters(title, text.remarks(column)))
            _print_table(text.HEAD, [line(column, spread) for spread in column.spreads])
            _wrapped(f"{text.sentence(column)}.", indent=2)
    for test, alone in groupby((c for c in columns if not c.compares), key=lambda column: column.test):
        say()
        say(f"One method alone{f' ({test})' if test else ''}")
        body = []
        for column in alone:
            *cells, _, widest, _ = line(column, column.spreads[0])
            body.append([f"{plain(label(column.metric))}, {text.place(column)}", *cells, widest])
        _print_table(("metric, data", *text.HEAD[:4], text.HEAD[5]), body, left=2)
    say()
    for note in footnotes.texts:
        _wrapped(f"[{footnotes.letter(note)}] {note}", indent=2)
    say()


def _print_table(heading: Sequence[str], body: list[list[str]], left: int = 1) -> None:
    """Columns below each other, the first ``left`` of them as text."""
    from rich.table import Table

    from vsbench.cli.display import Console

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for i, column in enumerate(heading):
        table.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for cells in body:
        table.add_row(*cells)
    console = Console()
    console.print(table)


def _wrapped(sentence: str, indent: int = 0) -> None:
    import textwrap

    for line in textwrap.wrap(sentence, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)):
        say(line)


def _ledger(results: Path | None) -> "Ledger":
    return ledger(None if results is None else results / "published")


def _record(row: "Row", columns: Sequence[str] = ()) -> dict[str, str | int]:
    from vsbench.report.published import COLUMNS

    return {"line": row.line, **{column: getattr(row, column) for column in columns or COLUMNS}}
