"""``vsbench reader-study``: let people score images without knowing the method, and see what the scores say."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.bounds import RESAMPLES, SEED
from vsbench.cli.options import RESULTS, Results
from vsbench.cli.output import note, say

app = typer.Typer(help="Blinded scores by readers: a form to hand out, and its analysis.", no_args_is_help=True)


@app.command()
def make(
    data: Annotated[
        list[str] | None, typer.Option("--data", metavar="NAME", help="As mist-er; repeatable. Else all there are.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", metavar="NAME", help="Row or title; repeatable. Else all.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, max=10_000, help="Images of each method and stain.")] = 10,
    repeats: Annotated[
        int, typer.Option("--repeats", min=0, max=10_000, help="How many of these are shown twice.")
    ] = 2,
    real: Annotated[bool, typer.Option("--real", help="Real IHC is among them, as a method.")] = False,
    he: Annotated[bool, typer.Option("--he", help="Show the H&E of the same tissue beside each image.")] = False,
    question: Annotated[
        list[str] | None, typer.Option("--question", metavar="TEXT", help="To score from 1 to 5; repeatable.")
    ] = None,
    embed: Annotated[bool, typer.Option("--embed", help="Images inside the page: one file, as for a phone.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of the draw, the order and the names.")] = 0,
    results: Results = RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for readers; else report/reader-study in --results.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="File that says what is what; else <out>-key.json. Not for readers.")
    ] = None,
) -> None:
    """Draw images of evaluated runs, and write a form that opens in any browser without a network.

    All methods show the same tissue, in mixed order and under names that tell nothing. Readers send back a CSV file.
    """
    from vsbench.reader_study.draw import QUESTION, draw
    from vsbench.reader_study.form import write_study

    folder = out or results / "report" / "reader-study"
    drawn = draw(
        results, n=n, repeats=repeats, seed=seed, real=real,
        data=data or [], methods=method or [], questions=question or [QUESTION],
    )  # fmt: skip
    key_file = key or folder.with_name(f"{folder.name}-key.json")
    form, kept = write_study(drawn, folder, key_file, he=he, embed=embed, warn=lambda said: note(f"warning: {said}"))
    methods = len({(item.group, item.method) for item in drawn.items})
    say(f"{len(drawn.items)} images to score: {methods} methods and stains, {n} each and {repeats} twice")
    say(f"for readers: {form.parent if not embed else form}")
    say(f"for you alone: {kept}")


@app.command()
def analyse(
    key: Annotated[Path, typer.Argument(help="The key that reader-study make wrote.", metavar="KEY")],
    scores: Annotated[list[Path], typer.Argument(help="What readers sent back, one file each.", metavar="CSV…")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write to; else beside the key.")] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, max=RESAMPLES, help="Draws and exchanges of slides.")
    ] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of draws and exchanges.")] = 0,
) -> None:
    """Mean scores by method and reader with a heat map, agreement within and between readers, paired differences.

    Intervals are of 95 %. Slides are drawn, not readers: results hold for these readers.
    """
    from vsbench.reader_study.analyse import analyse as analyse_scores
    from vsbench.reader_study.draw import read_key
    from vsbench.reader_study.scores import read_scores
    from vsbench.reader_study.write import write_findings

    table = read_scores(read_key(key), scores)
    findings = analyse_scores(table, resamples, seed)
    for sentence in findings.notes:
        note(f"warning: {sentence}")
    folder = out or key.with_name(key.stem.removesuffix("-key") + "-analysis")
    for path in write_findings(findings, table, folder):
        say(path)
