"""``vsbench published``: the numbers that papers printed, and where a paper contradicts itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.cli.output import say, say_json
from vsbench.cli.report import PUBLISHED, printed_papers

if TYPE_CHECKING:
    from vsbench.report.published import Paper, Row

app = typer.Typer(help="Numbers that papers printed, as data; your own on top.", no_args_is_help=True)
Own = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help=f"Your own numbers are in published/ of this folder, on top of those that ship; else {PUBLISHED}.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_papers(results: Own = None, as_json: AsJson = False) -> None:
    """List the papers: source, tables, how many numbers, how many of them flagged.

    With --json every number, as printed, with its place.
    """
    papers = _papers(results)
    if as_json:
        say_json([{"paper": p.name, "source": p.source, "rows": [_record(row) for row in p.rows]} for p in papers])
        return
    for paper in papers:
        tables = dict.fromkeys(row.table for row in paper.rows)
        flagged = sum(bool(row.flag) for row in paper.rows)
        say(f"{paper.name}: {len(paper.rows)} numbers, {flagged} flagged; {paper.source}")
        for table in tables:
            say(f"  {table}: {sum(row.table == table for row in paper.rows)}")


@app.command()
def audit(results: Own = None, as_json: AsJson = False) -> None:
    """Find contradictions in what was printed, by rule.

    A finding is no proof of a mistake: two numbers may be equal by chance, and one training may have been evaluated
    twice. Which number was printed in bold is not in the data: nothing is said about that. Exit code 0 all the same.
    """
    from vsbench.report import published

    papers = _papers(results)
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


def _papers(results: Path | None) -> "list[Paper]":
    return printed_papers(None if results is None else results / "published")


def _record(row: "Row") -> dict[str, str | int]:
    from vsbench.report.published import COLUMNS

    return {"line": row.line, **{column: getattr(row, column) for column in COLUMNS}}
