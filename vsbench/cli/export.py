"""``vsbench export``: a generator for others, as a bundle, or as a graph that runs without vsbench."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.output import note, say


def export(
    source: Annotated[Path, typer.Argument(help="Run folder; for --onnx, --torchscript a bundle too.", metavar="RUN")],
    out: Annotated[Path, typer.Argument(help="FILE.zip, or a folder; with --onnx, --torchscript a file.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write an ONNX graph (opset 18) for any batch and size instead of a bundle.")
    ] = False,
    torchscript: Annotated[bool, typer.Option("--torchscript", help="The same as TorchScript, for libtorch.")] = False,
    freeze: Annotated[
        Path | None,
        typer.Option(
            "--freeze",
            metavar="IMAGES",
            help="In a graph, normalise by the statistics of these H&E (a file or folder), not by each image's own: "
            "tiles of a larger image then do not jump.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the bundle, in place of the run's row.")] = None,
    version: Annotated[str, typer.Option("--version", help="Of the bundle.")] = "1.0",
    changes: Annotated[str, typer.Option("--changes", metavar="TEXT", help="What this version changes.")] = "",
    licence: Annotated[
        str | None, typer.Option("--licence", metavar="SPDX", help="Licence of the weights: cc-by-4.0, …")
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option("--pixel-size", help="µm a pixel, where the data set does not say it.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="IMAGES", help="H&E (a file, or folder of some) that may be shown, for a sample sheet."
        ),
    ] = None,
) -> None:
    """Write a generator as a bundle: weights, card, training record, digests; nothing in it runs.

    Translate and evaluate take it as they take a run. Its README.md is a model card as model hubs read it. Before a
    graph is left, it is run and held against the method: equal within half a level of 8 bits at every pixel.
    """
    from vsbench.engine.checkpoint import load_method
    from vsbench.engine.run import Run
    from vsbench.errors import UsageError
    from vsbench.exchange.bundle import Saying, write_bundle
    from vsbench.exchange.sources import generator_of

    if onnx and torchscript:
        raise UsageError("--onnx and --torchscript: one file holds one of them")
    if not (onnx or torchscript):
        if (option := {".onnx": "--onnx", ".pt": "--torchscript"}.get(out.suffix.lower())) is not None:
            raise UsageError(f"{out}: no name of a bundle, which ends in .zip or not at all; add {option} for a graph")
        if freeze is not None:
            raise UsageError("--freeze is about --onnx and --torchscript")
        say(write_bundle(Run(source), out, Saying(name, version, changes, licence, pixel_size), sheet))
        if licence is None:
            note("no --licence: the card says that others must ask before they use the weights")
        if sheet is None:
            note("no --sheet: the bundle shows no images")
        return
    if name or changes or licence or pixel_size or sheet:
        raise UsageError("--name, --changes, --licence, --pixel-size and --sheet are of a bundle")
    from vsbench.exchange.graphs import Graph, frozen_by, images_at, write_onnx, write_torchscript

    with generator_of(source) as generator:
        method = load_method(generator.weights)
    graph = Graph(method) if freeze is None else Graph(method, frozen_by(method, images_at(freeze)))
    (write_onnx if onnx else write_torchscript)(graph, out)
    say(out)
