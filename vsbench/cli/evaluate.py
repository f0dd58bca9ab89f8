"""``vsbench evaluate``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.cli.options import RESULTS, DataOptions, DataRoot, Device, Results

if TYPE_CHECKING:
    from vsbench.evaluation.evaluate import Outcome


def evaluate(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders.", metavar="RUN…")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every finished run under --results.")] = False,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images made elsewhere; needs --name, --dataset, --stain.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Row name of --images.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Data set of --images.")] = None,
    stain: Annotated[str | None, typer.Option("--stain", help="Stain of --images.")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="FAMILY", help="Measure this family too, of those on request; repeatable."),
    ] = None,
    data_root: DataRoot = None,
    data: DataOptions = None,
    device: Device = "auto",
    results: Results = RESULTS,
) -> None:
    """Translate test images where they are missing and measure them; reference rows come with every data set."""
    from vsbench.cli.options import one_device
    from vsbench.config import parse_settings
    from vsbench.engine.run import Run
    from vsbench.errors import UsageError, UserError
    from vsbench.evaluation import evaluate as engine

    if [bool(runs), every, images is not None].count(True) != 1:
        raise UsageError("say what to evaluate: --all, run folders, or --images FOLDER")
    where = one_device(device).device
    asked = _on_request(also or [])

    if images is not None:
        if name is None or dataset is None or stain is None:
            raise UsageError("--images needs --name, --dataset and --stain")
        group = engine.Group(dataset, parse_settings(data or []), stain, data_root, results, asked)
        outcomes = [*engine.evaluate_references(group, where), engine.evaluate_images(images, name, group, where)]
        print_outcomes(outcomes)
        return

    chosen = [Run(folder) for folder in runs or []] or engine.unevaluated(results)
    if not chosen:
        raise UserError(f"{results}: no run yet; train one with vsbench train METHOD --dataset … --stain …")
    outcomes, failures = engine.evaluate_runs(chosen, data_root, results, where, asked)
    print_outcomes(outcomes)
    for failure in failures:
        print("error:", failure, file=sys.stderr)
    if failures:
        raise typer.Exit(1)


def _on_request(families: list[str]) -> tuple[str, ...]:
    """The families asked for. Raises UsageError for one that is not there."""
    from vsbench import registry
    from vsbench.errors import UsageError

    known = registry.names("vsbench.metrics")
    if unknown := [family for family in families if family not in known]:
        raise UsageError(f"--also {unknown[0]}: no such family; see vsbench metrics")
    return tuple(families)


def print_outcomes(outcomes: "list[Outcome]") -> None:
    """A table of the rows and their main values."""
    from rich.console import Console
    from rich.table import Table

    shown = ("iod_mae", "r_p", "r_c", "r_avg", "ssim", "psnr", "fid", "phv_avg", "lpips", "truth_mae", "truth_dab_mae")
    present = [key for key in shown if any(key in o.summary["values"] for o in outcomes)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("data", "row", "seed", "n", *present, ""):
        table.add_column(column, justify="right" if column in ("seed", "n", *present) else "left")
    for outcome in outcomes:
        s = outcome.summary
        seed = "" if s["seed"] is None else str(s["seed"])
        cells = [_cell(s["values"].get(key)) for key in present]
        state = "unchanged" if outcome.cached else "measured"
        table.add_row(f"{s['dataset']}-{s['stain']}", s["title"], seed, str(s["n"]), *cells, state)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 250
    console.print(table)
    reasons = {
        key: value["reason"]
        for o in outcomes
        for key, value in o.summary["values"].items()
        if value["value"] is None and key in present
    }
    for key, reason in reasons.items():
        console.print(f"{key}: n/a, {reason}")


def _cell(value: dict[str, float | str | None] | None) -> str:
    if value is None or value["value"] is None:
        return "n/a"
    number = value["value"]
    return number if isinstance(number, str) else f"{number:.4g}"
