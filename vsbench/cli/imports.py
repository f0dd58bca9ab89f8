"""``vsbench import METHOD FILE``."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.options import (
    RESULTS,
    DataName,
    DataOptions,
    DataRoot,
    DatasetName,
    Results,
    Stain,
    checked_row,
    with_variant,
)
from vsbench.cli.output import say


def import_(
    method: Annotated[str, typer.Argument(help="Method whose official code saved the file: see vsbench methods.")],
    file: Annotated[Path, typer.Argument(help="The generator, such as latest_net_G.pth.", metavar="FILE")],
    dataset: DatasetName,
    stain: Stain,
    data_root: DataRoot = None,
    data_name: DataName = None,
    data: DataOptions = None,
    variant: Annotated[str | None, typer.Option("--variant", help="One of the method's variants.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting it was trained with that shapes G; repeatable."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", callback=checked_row, help="Name of the row, in place of METHOD+imported.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Make a run folder from a generator that a method's official code saved.

    Translate, evaluate and report treat it as any other; its provenance says where it comes from.
    """
    from vsbench.cli.options import dataset_options
    from vsbench.config import parse_settings
    from vsbench.exchange.imports import import_generator

    options = with_variant(parse_settings(settings or []), variant)
    run = import_generator(
        file,
        method,
        dataset,
        stain,
        options,
        dataset_options(dataset, data, data_root),
        data_root,
        label,
        results,
        data_name,
    )
    say(f"{run.folder}")
