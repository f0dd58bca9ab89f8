"""``vsbench train METHOD``."""

import atexit
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from vsbench.bounds import DEVICES, NODES
from vsbench.cli.options import (
    RESULTS,
    DataName,
    DataOptions,
    DataRoot,
    DatasetName,
    Device,
    LogTo,
    Preset,
    Results,
    Stain,
    Workers,
    checked_row,
    with_variant,
)
from vsbench.cli.output import note, say, say_json

Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers; part of the run folder's name.")]


def train(
    method: Annotated[str, typer.Argument(help="Method: see vsbench methods.")],
    dataset: DatasetName,
    stain: Stain,
    data_root: DataRoot = None,
    data_name: DataName = None,
    data: DataOptions = None,
    variant: Annotated[str | None, typer.Option("--variant", help="One of the method's variants.")] = None,
    preset: Preset = "paper",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings; --set wins over it.")] = None,
    label: Annotated[
        str | None, typer.Option("--label", callback=checked_row, help="Name of the row, in place of method+variant.")
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN|FILE", help="Start from these weights, of all networks, not random ones."),
    ] = None,
    accept_data: Annotated[
        bool,
        typer.Option("--accept-data", help="With --resume: go on though training images have changed; it is recorded."),
    ] = False,
    device: Device = "auto",
    devices: Annotated[
        int,
        typer.Option("--devices", min=1, max=DEVICES, help="How many GPUs (or CPU processes), each with batch_size."),
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes", min=1, max=NODES, help="How many machines; torchrun or SLURM start the command on each."
        ),
    ] = 1,
    precision: Annotated[str, typer.Option("--precision", help="32, bf16-mixed or 16-mixed.")] = "32",
    compile_networks: Annotated[
        bool, typer.Option("--compile", help="Compile the networks with torch.compile.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Weights and images in this memory format; often faster on GPUs.")
    ] = False,
    accumulate: Annotated[
        int,
        typer.Option(
            "--accumulate",
            min=1,
            help="Micro-batches in a step; batch norm and correlations see one of them.",
        ),
    ] = 1,
    checkpoint_activations: Annotated[
        bool, typer.Option("--checkpoint-activations", help="Less memory: the backward pass runs the networks again.")
    ] = False,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeats bit for bit on a GPU too; slower. A CPU does anyway.")
    ] = False,
    workers: Workers = 2,
    cache_tiles: Annotated[
        Path | None,
        typer.Option(
            "--cache-tiles",
            metavar="FOLDER",
            help="Keep training tiles there decoded; 3 MiB for each of 1024².",
        ),
    ] = None,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps between rows of log.csv.")] = 50,
    sheet_every: Annotated[int, typer.Option("--sheet-every", min=1, help="Steps between sample sheets.")] = 500,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints.")
    ] = 5000,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the newest checkpoints stay.")] = 2,
    keep_every: Annotated[
        int | None,
        typer.Option("--keep-every", min=1, help="Checkpoints of these steps are written and all stay."),
    ] = None,
    select: Annotated[
        str, typer.Option("--select", help="The checkpoint that is evaluated: last, or best on held-out slides.")
    ] = "last",
    validate_every: Annotated[
        int | None,
        typer.Option("--validate-every", min=1, help="Steps between looks at slides held out of the training set."),
    ] = None,
    validation_share: Annotated[
        float, typer.Option("--validation-share", help="How many of the training set's slides are held out.")
    ] = 0.2,
    log_to: LogTo = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="The same as --log-to tensorboard.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and what it takes; write nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="With --dry-run: as JSON.")] = False,
    results: Results = RESULTS,
) -> None:
    """Train a method on a data set's stain; everything goes to one run folder.

    Ctrl-C, SIGTERM and a closed terminal end it after the running step, with a checkpoint: the same command with
    --resume goes on.
    """
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import dataset_options, make_fabric
    from vsbench.config import parse_settings, read_settings
    from vsbench.engine.estimate import estimate, lines
    from vsbench.engine.interrupt import Interrupted
    from vsbench.engine.request import Request
    from vsbench.engine.start import start
    from vsbench.engine.step import Execution
    from vsbench.engine.trainer import Rhythm
    from vsbench.errors import UsageError
    from vsbench.ranks import leave
    from vsbench.records.bundle import is_bundle

    if start_from is not None and is_bundle(start_from):
        raise UsageError(f"--from {start_from}: a bundle holds the network that translates alone; give a run")
    if accept_data and not resume:
        raise UsageError("--accept-data: goes with --resume")
    options = ({} if config is None else read_settings(config, f"--config {config}")) | parse_settings(settings or [])
    with_variant(options, variant)
    request = Request(
        method=method,
        preset=preset,
        options=options,
        dataset=dataset,
        dataset_options=dataset_options(dataset, data, data_root),
        stain=stain,
        data_root=data_root,
        data_name=data_name,
        seed=seed,
        label=label,
        results=results,
        execution=Execution(compile_networks, channels_last, accumulate, checkpoint_activations, deterministic),
        select=cast(Any, select),  # what it may be is checked there
        validate_every=validate_every,
        validation_share=validation_share,
        cache_tiles=cache_tiles,
        start_from=start_from,
    )
    rhythm = Rhythm(
        log_every, sheet_every, checkpoint_every, keep, keep_every, (*(log_to or ()), *["tensorboard"] * tensorboard)
    )
    fabric = make_fabric(device, devices, precision, nodes)
    if dry_run:
        plan = estimate(request, fabric, rhythm)
        if json_:
            say_json(plan)
        for line in [] if json_ else lines(plan):
            say(line)
        return
    fabric.launch()
    atexit.register(leave)
    try:
        with TrainingDisplay(quiet=not fabric.is_global_zero) as display:
            run = start(request, fabric, resume, workers, rhythm, display, accept_data)
    except Interrupted as stop:
        if not fabric.is_global_zero:  # a launcher would kill the first process for the failure of another
            raise typer.Exit from None
        note(f"{stop}; the same command with --resume goes on")
        raise typer.Exit(stop.exit_code) from None
    if fabric.is_global_zero:
        say(run.folder)
