"""``vsbench study``: studies of the metrics themselves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.bounds import SEED
from vsbench.cli.options import RESULTS, DataOptions, DataRoot, Device, Results, checked_stains
from vsbench.cli.output import say

if TYPE_CHECKING:
    from vsbench.evaluation.validity import Validity

app = typer.Typer(help="Studies of the metrics themselves, where the true answer is known.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``validity`` a command of a group while it is alone in it."""


@app.command()
def validity(
    dataset: Annotated[str, typer.Option("--dataset", help="Data set that can stain its tissue anew.")] = "phantom",
    stain: Annotated[str, typer.Option("--stain", callback=checked_stains, help="Stain: her2, ki67, er, pr.")] = "ki67",
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of what is random in the degradations.")] = 0,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", metavar="FAMILY", help="Measure this family too, of those on request; =CHOICE where it has one."
        ),
    ] = None,
    data_root: DataRoot = None,
    data: DataOptions = None,
    device: Device = "auto",
    results: Results = RESULTS,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; else report/validity/<data> in --results.")
    ] = None,
) -> None:
    """Degrade true IHC images in known ways, and see which metrics follow the true error.

    The images are degraded in five grades each: misregistered reference, grey light on it, faint stain, blur,
    hallucinated and missed cells, warped content, colour cast. Written are a heatmap, tables (Markdown, LaTeX), all
    numbers, and how it was done.
    """
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import dataset_options, one_device
    from vsbench.evaluation.instrument import Instrument
    from vsbench.evaluation.validity import ValidityStudy, study_validity
    from vsbench.report.validity import write_validity

    study = ValidityStudy(dataset, stain, dataset_options(dataset, data, data_root), data_root, seed)
    instrument = Instrument.build(str(one_device(device).device), also or [])
    with TrainingDisplay() as display:
        found = study_validity(study, instrument, display.count)
    _print_ranking(found)
    for path in write_validity(found, out or results / "report" / "validity" / f"{dataset}-{stain}"):
        say(path)


def _print_ranking(found: "Validity") -> None:
    """The rank correlations, as the tables have them."""
    from rich.table import Table

    from vsbench.cli.display import Console
    from vsbench.report.validity import COLUMNS, cells, reasons

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("value", no_wrap=True)
    for label in COLUMNS.values():
        table.add_column(label, justify="right")
    for name, row in cells(found).iterrows():
        table.add_row(str(name), *row)
    console = Console()
    console.print("Spearman's rank correlation of each value's getting worse (+) with:")
    console.print(table)
    for reason, names in reasons(found).items():
        console.print(f"{', '.join(names)}: n/a, {reason}")
