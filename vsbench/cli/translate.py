"""``vsbench translate``: H&E images to IHC images with a trained method."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vsbench.cli.options import Device
from vsbench.cli.output import note, say


def translate(
    source: Annotated[Path, typer.Argument(help="Run folder, bundle (.zip), or weights file.", metavar="RUN")],
    he: Annotated[Path, typer.Argument(help="H&E image, or folder of them; or whole slide.", metavar="IN")],
    out: Annotated[
        Path,
        typer.Argument(
            help="PNG file, or folder to write PNG files to. Of a slide: .ome.tif (QuPath) or .tif (OpenSlide).",
            metavar="OUT",
        ),
    ],
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
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on: leave images that are there already as they are.")
    ] = False,
    on_bad: Annotated[
        Literal["stop", "skip"], typer.Option("--on-bad", help="At a bad H&E image, stop, or skip it and list it.")
    ] = "stop",
    mpp: Annotated[
        float | None, typer.Option("--mpp", min=0.01, max=20, help="Slides: µm a pixel, where the slide does not tell.")
    ] = None,
    run_mpp: Annotated[
        float | None,
        typer.Option("--run-mpp", min=0.01, max=20, help="Slides: µm a pixel of the training's images, likewise."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, max=256, help="Slides: tiles at once.  [default: 1 on CPU, else 8]")
    ] = None,
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Slides: how many devices.  [1]")] = None,
    precision: Annotated[
        Literal["32", "bf16-mixed"] | None, typer.Option("--precision", help="Slides: of the network.  [32]")
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Slides: deflate; else JPEG of quality 90, colour at full resolution.")
    ] = False,
    geojson: Annotated[
        Path | None,
        typer.Option("--geojson", metavar="FILE", help="Slides: positive areas and nuclei, for QuPath."),
    ] = None,
) -> None:
    """Translate H&E images to IHC, losslessly, in their own size; or a whole slide to a pyramid.

    Images that memory does not hold whole are translated in overlapping tiles. A slide is translated as a stream, at
    the magnification of the training; killed, the same command goes on where it was.
    """
    from functools import partial

    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import one_device
    from vsbench.data.seams import Seams
    from vsbench.engine.checkpoint import load_method
    from vsbench.engine.tiles import Tiling
    from vsbench.engine.translate import Translate, translate_files, translate_fitting, translate_tiles
    from vsbench.errors import DataError, UsageError, UserError
    from vsbench.exchange.sources import generator_of
    from vsbench.slides.measure import SCANNERS

    if out.name.lower().endswith((".tif", ".tiff")) and not out.is_dir():
        _require_none(
            "a slide", skip_existing and "--skip-existing", on_bad == "skip" and "--on-bad skip",
            statistics == "image" and "--tile-statistics image",
        )  # fmt: skip
        from vsbench.cli.slides import translate_one

        translate_one(
            source, he, out, device, devices or 1, tile, overlap, statistics, batch, precision == "bf16-mixed",
            lossless, mpp, run_mpp, overwrite, geojson,
        )  # fmt: skip
        return
    if he.name.lower().endswith(SCANNERS):
        raise UsageError(f"{he}: a whole slide; give OUT a name that ends in .ome.tif (QuPath) or .tif (OpenSlide)")
    given = {
        "--mpp": mpp, "--run-mpp": run_mpp, "--batch": batch, "--devices": devices, "--precision": precision,
        "--lossless": lossless or None, "--geojson": geojson,
    }  # fmt: skip
    _require_none("images; a slide's OUT ends in .ome.tif or .tif", *(k for k, v in given.items() if v is not None))
    if overlap is not None and tile is None:
        raise UsageError("--overlap without --tile: tiles chosen by memory share a quarter; add --tile")
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing: give one of them")
    files = _files(he, out)
    place = out if he.is_dir() else files[0][1]
    there = [target for _, target in files if target.exists()]
    if there and not (overwrite or skip_existing):
        raise UserError(
            f"{there[0]}: exists already ({len(there)} such files); add --skip-existing to go on, or --overwrite, or "
            "choose another OUT"
        )
    if skip_existing:
        files = [(image, target) for image, target in files if not target.exists()]
    with generator_of(source) as generator:
        method = load_method(generator.weights)
    with TrainingDisplay() as display:
        seams: list[Seams] = []  # of the image in hand, where it is stitched
        translate: Translate = partial(translate_fitting, statistics=statistics, say=display.say, stitched=seams.append)
        if tile is not None:
            tiling = Tiling(tile, tile // 4 if overlap is None else overlap, method.size_multiple)
            translate = partial(translate_tiles, tiling=tiling, statistics=statistics, stitched=seams.append)
        written: list[Path] = []
        skipped: list[str] = []

        def done(path: Path) -> None:
            written.append(path)
            display.count("translated", len(written), len(files))

        def bad(error: DataError) -> None:
            skipped.append(str(error))

        skip = bad if on_bad == "skip" else None

        def last_seams() -> Seams | None:
            return seams.pop() if seams else None

        translate_files(method, files, one_device(device).device, done, translate, skip, last_seams)
    for reason in skipped:
        note(f"skipped: {reason}")
    if skipped and not written:
        raise UserError(f"{he}: no image could be translated; mend what is listed above")
    kept = f", {len(there)} there already" if skip_existing else ""
    left = f", {len(skipped)} skipped" if skipped else ""
    say(f"{len(written)} images{kept}{left}: {place}")


def _require_none(kind: str, *options: str | bool) -> None:
    """Raise UsageError at the first option that is not for this kind of image."""
    from vsbench.errors import UsageError

    for option in options:
        if option:
            raise UsageError(f"{option}: not for {kind}; leave it out")


def _files(he: Path, out: Path) -> list[tuple[Path, Path]]:
    """(H&E, PNG to write) of one image or a folder of them.

    Raises UsageError where IN is not there, where OUT can't be what is asked, or where an H&E, or its folder, would be
    written to.
    """
    from vsbench.data.pairs import images_by_stem, not_read
    from vsbench.errors import UsageError

    if not he.exists():
        raise UsageError(f"{he}: no such file or folder; give an H&E image, or a folder of them, as IN")
    if he.is_dir():
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out}: a file, and {he} is a folder; give a folder as OUT")
        if out.resolve() == he.resolve():
            raise UsageError(f"{out}: IN and OUT are one folder; give another OUT")
        images = images_by_stem(he)
        for warning in not_read(images.values()):
            note(f"warning: {warning}")
        return [(path, out / f"{stem}.png") for stem, path in images.items()]
    target = out / f"{he.stem}.png" if out.is_dir() else out
    if target.suffix.lower() != ".png":
        raise UsageError(
            f"{out}: PNG is written, lossless; give OUT a name that ends in .png, or a folder that is there"
        )
    if target.resolve() == he.resolve():
        raise UsageError(f"{target}: IN and OUT are one file; give another OUT")
    return [(he, target)]
