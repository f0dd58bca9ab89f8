"""Options that several commands share, so that they read and mean the same everywhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsbench.bounds import WORKERS

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def checked_names(given: str | list[str] | None, option: typer.CallbackParam) -> str | list[str] | None:
    """What becomes part of a path, refused where it would lead elsewhere; a callback of options."""
    from vsbench.names import checked_name

    if given is None or isinstance(given, str):
        return given if given is None else checked_name(given, option.opts[0])
    return [checked_name(name, option.opts[0]) for name in given]


def checked_stains(given: str | list[str] | None, option: typer.CallbackParam) -> str | list[str] | None:
    """The same of stains, each marker in its one spelling."""
    from vsbench.markers import marker

    named = list(map(marker, given)) if isinstance(given, list) else given and marker(given)
    return checked_names(named, option)


def checked_row(given: str | None, option: typer.CallbackParam) -> str | None:
    """The same of the name of a row, which may be none of ours."""
    from vsbench.evaluation.references import checked_row_name

    return None if given is None else checked_row_name(given, option.opts[0])


def with_variant(options: dict[str, Any], variant: str | None) -> dict[str, Any]:
    """Settings with the variant that ``--variant`` names. Raises UsageError where they say another."""
    from vsbench.errors import UsageError
    from vsbench.names import brief

    if variant is not None and options.setdefault("variant", variant) != variant:
        raise UsageError(f"--variant {variant}: the settings say variant={brief(options['variant'])}; leave one out")
    return options


def dataset_options(dataset: str, data: list[str] | None, data_root: Path | None) -> dict[str, Any]:
    """The options that ``--data`` gives, and those that the images at the data root carry with them."""
    from vsbench import registry
    from vsbench.config import parse_settings
    from vsbench.dataset import with_carried

    return with_carried(registry.load("vsbench.datasets", dataset), parse_settings(data or []), data_root)


Results = Annotated[Path, typer.Option("--results", help="Folder of runs and reports.")]
DatasetName = Annotated[str, typer.Option("--dataset", help="Data set: see vsbench datasets.")]
Stain = Annotated[str, typer.Option("--stain", callback=checked_stains, help="Stain: her2, ki67, er, pr, …")]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder of the data sets; else $VSBENCH_DATA, else the settings file."),
]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data-name", callback=checked_names,
        help="What the pairs are called in tables; else the data set's name, of your own pairs their folder's.",
    ),
]  # fmt: skip
DataOptions = Annotated[
    list[str] | None, typer.Option("--data", metavar="KEY=VALUE", help="Option of the data set; repeatable.")
]
Workers = Annotated[int, typer.Option("--workers", min=0, max=WORKERS, help="Processes that prepare batches.")]
LogTo = Annotated[
    list[str] | None,
    typer.Option(
        "--log-to",
        metavar="TOOL",
        help="Log to tensorboard, wandb or mlflow too; repeatable. log.csv stays the record.",
    ),
]
Preset = Annotated[
    str,
    typer.Option("--preset", help="paper: as published; or one of the method's presets: see vsbench methods METHOD."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
RESULTS = Path("results")


def one_device(name: str) -> "Fabric":
    """A Fabric on one device of a kind. Raises UsageError where that kind is not here."""
    return make_fabric(name, devices=1, precision="32-true")


def make_fabric(name: str, devices: int, precision: str, nodes: int = 1) -> "Fabric":
    """A Fabric on ``devices`` devices of a kind in each of ``nodes`` machines, which torchrun or SLURM start.

    Raises UsageError where the kind or the number is not here.
    """
    import logging
    import warnings

    import torch
    from lightning_fabric import Fabric

    from vsbench.engine.launched import launched
    from vsbench.environment import share_threads
    from vsbench.errors import UsageError
    from vsbench.names import brief, said

    kinds = {"auto": "auto", "cpu": "cpu", "cuda": "cuda", "mps": "mps"}
    if name not in kinds:
        raise UsageError(f"unknown device {brief(name)}: one of {', '.join(kinds)}")
    on_cpu = name == "cpu" or (name == "auto" and not torch.accelerator.is_available())
    if on_cpu and precision == "16-mixed":  # Fabric would take bf16-mixed instead, with a warning
        raise UsageError("--precision 16-mixed: no half precision on the CPU; take bf16-mixed or 32")
    if devices > 1:
        share_threads(devices)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else each process says that it has begun
    try:
        with warnings.catch_warnings():  # a step of an interactive job is no use of srun to Fabric, which warns of it
            warnings.filterwarnings("ignore", message="The `srun` command is available")
            return Fabric(
                accelerator=kinds[name], devices=devices, num_nodes=nodes, precision=precision,  # type: ignore[arg-type]
                plugins=launched(devices, nodes),
            )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        asked = f"--device {name}, --devices {devices}, --precision {brief(precision)}"
        raise UsageError(f"{asked}: {said(error)}") from None
