"""``vsbench translate``: H&E images to IHC images with a trained method."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.cli.options import Device


def translate(
    source: Annotated[Path, typer.Argument(help="Run folder, or weights file (.safetensors).", metavar="RUN")],
    he: Annotated[Path, typer.Argument(help="H&E image, or folder of them.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="PNG file, or folder to write PNG files to.", metavar="OUT")],
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace images that are there already.")] = False,
) -> None:
    """Translate H&E images to IHC, losslessly, in their own size."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import one_device
    from vsbench.data.pairs import images_by_stem
    from vsbench.engine.checkpoint import checkpoints, load_method
    from vsbench.engine.run import Run
    from vsbench.engine.translate import translate_files
    from vsbench.errors import RunError, UserError

    weights = source
    if source.is_dir():
        found = checkpoints(Run(source).checkpoints)
        if not found:
            raise RunError(f"{source}: holds no checkpoint")
        weights = found[-1].weights
    if he.is_dir():
        files = [(path, out / f"{stem}.png") for stem, path in images_by_stem(he).items()]
    else:
        files = [(he, out / f"{he.stem}.png" if out.is_dir() else out.with_suffix(".png"))]
    there = [target for _, target in files if target.exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]}: exists already ({len(there)} such files); add --overwrite, or choose another OUT")
    with TrainingDisplay() as display:
        written: list[Path] = []

        def done(path: Path) -> None:
            written.append(path)
            display.count("translated", len(written), len(files))

        translate_files(load_method(weights), files, one_device(device).device, done)
    print(f"{len(written)} images: {out}")
