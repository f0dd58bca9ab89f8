"""``vsbench translate``: H&E images to IHC images with a trained method."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsbench.cli.options import Device
from vsbench.cli.output import say


def translate(
    source: Annotated[Path, typer.Argument(help="Run folder, or weights file (.safetensors).", metavar="RUN")],
    he: Annotated[Path, typer.Argument(help="H&E image, or folder of them.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="PNG file, or folder to write PNG files to.", metavar="OUT")],
    device: Device = "auto",
    tile: Annotated[
        int | None,
        typer.Option("--tile", help="Translate in tiles of so many pixels a side.  [default: whole, if memory allows]"),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option("--overlap", help="Pixels that tiles share, at least.  [default: a quarter of a tile]")
    ] = None,
    statistics: Annotated[
        Literal["tile", "image", "sample"],
        typer.Option(
            "--tile-statistics",
            help="Normalise a tile by its own statistics; those of the whole image, reduced to the size of a tile; or "
            "those of pieces at full resolution from all over the image.",
        ),
    ] = "sample",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace images that are there already.")] = False,
) -> None:
    """Translate H&E images to IHC, losslessly, in their own size.

    Images that memory does not hold whole are translated in overlapping tiles.
    """
    from functools import partial

    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import one_device
    from vsbench.data.pairs import images_by_stem
    from vsbench.engine.checkpoint import chosen_checkpoint, load_method
    from vsbench.engine.run import Run
    from vsbench.engine.tiles import Tiling
    from vsbench.engine.translate import Translate, translate_files, translate_fitting, translate_tiles
    from vsbench.errors import UsageError, UserError

    if overlap is not None and tile is None:
        raise UsageError("--overlap without --tile: tiles chosen by memory share a quarter; add --tile")
    weights = chosen_checkpoint(Run(source)).weights if source.is_dir() else source
    if he.is_dir():
        files = [(path, out / f"{stem}.png") for stem, path in images_by_stem(he).items()]
    else:
        files = [(he, out / f"{he.stem}.png" if out.is_dir() else out.with_suffix(".png"))]
    there = [target for _, target in files if target.exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists already ({len(there)} such files); add --overwrite, or choose another OUT")
    method = load_method(weights)
    with TrainingDisplay() as display:
        translate: Translate = partial(translate_fitting, statistics=statistics, say=display.say)
        if tile is not None:
            tiling = Tiling(tile, tile // 4 if overlap is None else overlap, method.size_multiple)
            translate = partial(translate_tiles, tiling=tiling, statistics=statistics)
        written: list[Path] = []

        def done(path: Path) -> None:
            written.append(path)
            display.count("translated", len(written), len(files))

        translate_files(method, files, one_device(device).device, done, translate)
    say(f"{len(written)} images: {out}")
