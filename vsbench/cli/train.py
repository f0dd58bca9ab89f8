"""``vsbench train METHOD``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vsbench.cli.options import RESULTS, DataOptions, DataRoot, DatasetName, Device, Results, Stain

Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers; part of the run folder's name.")]


def train(
    method: Annotated[str, typer.Argument(help="Method: see vsbench methods.")],
    dataset: DatasetName,
    stain: Stain,
    data_root: DataRoot = None,
    data: DataOptions = None,
    variant: Annotated[str | None, typer.Option("--variant", help="One of the method's variants.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="paper, or cpu: a small one for two cores.")] = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings; --set wins over it.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Name of the row, in place of method+variant.")] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="How many GPUs (or CPU processes).")] = 1,
    precision: Annotated[str, typer.Option("--precision", help="32-true, bf16-mixed or 16-mixed.")] = "32-true",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that prepare batches.")] = 2,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps between rows of log.csv.")] = 50,
    sheet_every: Annotated[int, typer.Option("--sheet-every", min=1, help="Steps between sample sheets.")] = 500,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints.")
    ] = 5000,
    results: Results = RESULTS,
) -> None:
    """Train a method on a data set's stain; everything goes to one run folder."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import make_fabric
    from vsbench.config import parse_settings
    from vsbench.engine.start import Request, start
    from vsbench.engine.trainer import Rhythm

    options = _settings_file(config) | parse_settings(settings or [])
    if variant is not None:
        options["variant"] = variant
    request = Request(
        method=method,
        preset=preset,
        options=options,
        dataset=dataset,
        dataset_options=parse_settings(data or []),
        stain=stain,
        data_root=data_root,
        seed=seed,
        label=label,
        results=results,
    )
    fabric = make_fabric(device, devices, precision)
    fabric.launch()
    with TrainingDisplay(quiet=not fabric.is_global_zero) as display:
        run = start(request, fabric, resume, workers, Rhythm(log_every, sheet_every, checkpoint_every), display)
    if fabric.is_global_zero:
        print(run.folder)


def _settings_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    from vsbench.errors import UsageError

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--config {path}: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise UsageError(f"--config {path}: expected lines of KEY: VALUE")
    return settings
