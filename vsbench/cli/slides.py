"""Whole slides on the command line: ``vsbench translate RUN slide.svs out.ome.tif``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsbench.cli.output import say

if TYPE_CHECKING:
    import torch

TILE = 512  # pixels a side of the network's tiles, unless told
BATCH = 8  # tiles at once, where there is more than a CPU


def translate_one(
    source: Path,
    he: Path,
    out: Path,
    device: str,
    count: int,
    tile: int | None,
    overlap: int | None,
    statistics: Any,
    batch: int | None,
    bfloat16: bool,
    lossless: bool,
    mpp: float | None,
    run_mpp: float | None,
    overwrite: bool,
    geojson: Path | None,
) -> None:
    """One slide to one slide; the arguments are those of ``vsbench translate``."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.engine.checkpoint import load_method
    from vsbench.engine.tiles import Tiling
    from vsbench.errors import UsageError, UserError
    from vsbench.exchange.sources import generator_of
    from vsbench.files import file_digest
    from vsbench.slides.pyramid import QUALITY, is_ome
    from vsbench.slides.reading import open_slide, package
    from vsbench.slides.translate import Settings, scale_for, translate_slide

    is_ome(out)  # a name of another kind is refused before anything is read
    package("tifffile")
    if he.is_dir():
        raise UsageError(f"{he}: a folder, and OUT is one slide; give one slide as IN")
    if out.resolve() == he.resolve():
        raise UsageError(f"{out}: IN and OUT are one file; give another OUT")
    if geojson is not None:
        _require_file(geojson, he, out)
    for file in (out, geojson):
        if file is not None and file.exists() and not overwrite:
            raise UserError(f"{file}: exists already; add --overwrite, or choose another name")
    devices = _devices(device, count)
    with generator_of(source) as generator, open_slide(he) as slide, TrainingDisplay() as display:
        scale = scale_for(slide, mpp, run_mpp if run_mpp is not None else generator.pixel_size)
        here = mpp if mpp is not None else slide.pixel_size
        assert here is not None  # scale_for has asked
        method = load_method(generator.weights)
        size = TILE if tile is None else tile
        tiling = Tiling(size, size // 4 if overlap is None else overlap, method.size_multiple)
        on_cpu = devices[0].type == "cpu"
        settings = Settings(
            tiling, batch or (1 if on_cpu else BATCH), statistics, bfloat16, None if lossless else QUALITY
        )
        plan = {"slide": _fingerprint(he), "weights": file_digest(generator.weights)}
        if scale != 1:
            display.say(f"{here:g} µm a pixel are resampled to {scale * here:g}, as the run was trained")

        def progress(done: int, total: int, rate: float) -> None:
            left = (total - done) / rate
            display.count("tiles", done, total, f"{rate:.2f} tiles/s  {int(left // 60)}:{int(left % 60):02d} left")

        outcome = translate_slide(
            method,
            slide,
            out,
            settings,
            scale,
            scale * here,
            devices,
            plan,
            progress,
            display.say,
            f"virtual {generator.stain or 'stain'}",
        )
    rate = f", {outcome.tiles / outcome.seconds:.2f} tiles/s" if outcome.tiles else ""
    say(f"{out}: {outcome.height}×{outcome.width} pixels of {outcome.pixel_size:g} µm{rate}")
    if geojson is not None:
        from vsbench.slides.positive import write_positive

        areas, nuclei, positive = write_positive(out, geojson)
        say(f"{geojson}: {areas} positive areas, {nuclei} nuclei, of which {positive} positive")


def _require_file(geojson: Path, he: Path, out: Path) -> None:
    """Raise UsageError where ``--geojson`` is one of the slides, or no file can be: before the slide is translated."""
    from vsbench.errors import UsageError

    if geojson.resolve() in (he.resolve(), out.resolve()):
        raise UsageError(f"--geojson {geojson}: IN or OUT itself; give a file of its own")
    there = next(place for place in (geojson, *geojson.absolute().parents) if place.exists())
    if there.is_dir() == (there == geojson):
        raise UsageError(f"--geojson {geojson}: {there} is {'a folder' if there == geojson else 'no folder'}")


def _devices(name: str, count: int) -> "list[torch.device]":
    """So many devices of a kind. Raises UsageError where they are not here."""
    import torch

    from vsbench.cli.options import one_device
    from vsbench.errors import UsageError

    first = one_device(name).device
    there = torch.cuda.device_count() if first.type == "cuda" else 1
    if count > there:
        raise UsageError(f"--devices {count}: {there} of {first.type} {'is' if there == 1 else 'are'} here")
    return [torch.device(first.type, number) if first.type == "cuda" else first for number in range(count)]


def _fingerprint(slide: Path) -> list[Any]:
    """What tells a slide from another of its name, without reading all of it."""
    status = slide.stat()
    return [slide.name, status.st_size, status.st_mtime_ns]
