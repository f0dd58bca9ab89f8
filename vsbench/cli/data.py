"""``vsbench data``: from a download to a tree that trains, and whether it is whole."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vsbench.bounds import WORKERS
from vsbench.cli.options import DataOptions, DataRoot, checked_names, checked_stains
from vsbench.cli.output import note, say, say_json

if TYPE_CHECKING:
    from vsbench.data.prepare import Prepared, Progress
    from vsbench.data.verify import Findings
    from vsbench.slides.tiles import CutPair

app = typer.Typer(help="Data sets on disk: prepare a download, verify what is there.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Data set: see vsbench datasets.", metavar="DATASET")]
Stains = Annotated[
    list[str] | None,
    typer.Option(
        "--stain", callback=checked_stains, help="Stain; repeatable. Else those of the data set that are there."
    ),
]


@app.command()
def prepare(
    name: Name,
    source: Annotated[Path, typer.Argument(help="What you downloaded: a folder, zip or tar.", metavar="SOURCE")],
    dest: Annotated[Path, typer.Argument(help="Where DATASET's own folder is, or is made.", metavar="DEST")],
    stain: Stains = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy; else hard links where the file system has them.")] = False,
    side_by_side: Annotated[
        str | None,
        typer.Option("--side-by-side", metavar="he|ihc", help="Each image is two: which of them is on the left."),
    ] = None,
    data: DataOptions = None,
) -> None:
    """Link or copy a download to DEST/DATASET, in a layout that trains, with a manifest of sizes and digests.

    SOURCE is only read. Run again, it goes on where it stopped. Hard links share their bytes with SOURCE: do not edit
    the images in DEST.
    """
    from vsbench.data.prepare import prepare as run
    from vsbench.errors import DataError, UsageError

    dataset = _load(name, data)
    if not dataset.needs_root:
        raise UsageError(f"{name} makes its own images: there is nothing to prepare")
    if not dataset.paired:
        raise UsageError("prepare arranges pairs; unpaired folders are used as they are")
    if hasattr(dataset, "canonical") and dataset.config.split_by != "official":
        raise UsageError(f"{name} is prepared as published; give split_by when you train and evaluate")
    if side_by_side not in (None, "he", "ihc"):
        raise UsageError(f"--side-by-side {side_by_side}: he or ihc, whichever is on the left")
    stains = _stains(dataset, stain)
    with _bar("preparing") as progress:
        done = run(dataset, name, source, dest, stains, not stain, copy, cast(Any, side_by_side), progress)
    _tell_prepared(name, done)
    if done.refused:
        raise DataError(f"{source}: prepared in part; mend what is listed above, and run the same again")


@app.command()
def verify(
    name: Name,
    stain: Stains = None,
    data_root: DataRoot = None,
    data: DataOptions = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read headers only, not every pixel and digest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check names, counts and every image of a data set; list all that is wrong, by name. Exit code 1 if something is.

    Found are: missing partners, doubled names, files that can't be read, truncated, grey, of another size than the
    card's or than their partner, and changes since they were prepared.
    """
    from vsbench.data.root import cache_folder, find_data_root
    from vsbench.data.verify import verify as run
    from vsbench.errors import DataError

    dataset = _load_carried(name, data, data_root)
    root = find_data_root(data_root) if dataset.needs_root else data_root or cache_folder()
    with _bar("verifying") as progress:
        found = run(dataset, root, _stains(dataset, stain), not stain, fast, progress)
    if as_json:
        say_json({"dataset": name, "root": str(root), **dataclasses.asdict(found)})
    else:
        _tell_verified(name, found, fast)
    if found.faults:
        raise DataError(f"{root}: faults in {name}: {len(found.faults)}; mend them and verify again")


@app.command()
def tiles(
    pairs: Annotated[
        Path,
        typer.Argument(
            help="CSV with columns he, ihc, stain, patient; and transform, slide, split, he_mpp, ihc_mpp where needed.",
            metavar="PAIRS",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Where a folder of each stain is made.", metavar="OUT")],
    size: Annotated[int, typer.Option("--size", min=32, max=8192, help="Pixels of a tile's side.")] = 512,
    stride: Annotated[
        int | None, typer.Option("--stride", min=16, max=65_536, help="Pixels from tile to tile; else the size.")
    ] = None,
    mpp: Annotated[float, typer.Option("--mpp", min=0.05, max=20, help="µm of a tile's pixel.")] = 0.5,
    tissue: Annotated[
        float, typer.Option("--tissue", min=0, max=1, help="Share of tissue in both, at least; less is blank.")
    ] = 0.25,
    sharp: Annotated[
        float, typer.Option("--sharp", min=0, max=1, help="Of its slide's usual sharpness; less is blurred. 0: all.")
    ] = 0.25,
    register: Annotated[
        bool, typer.Option("--register", help="Register pairs without a transform; else they share a frame.")
    ] = False,
    maps: Annotated[
        str, typer.Option("--transform-maps", metavar="he-to-ihc|ihc-to-he", help="Whose pixels transforms start from.")
    ] = "he-to-ihc",
    ratio: Annotated[float, typer.Option("--ratio", min=0.01, max=0.99, help="Share of patients that train.")] = 0.8,
    split_seed: Annotated[int, typer.Option("--split-seed", min=0, help="Another seed, another split.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, max=WORKERS, help="Threads that cut.")] = 2,
) -> None:
    """Cut pairs of whole slides into tiles: a tree for --dataset folder, with its µm a pixel and patients, split.

    Blank and blurred tiles, and those whose tissue was not found in the other section, are left out and counted. Run
    again, it goes on where it stopped. A pair that can't be registered is named and left out.
    """
    from vsbench.errors import DataError, UsageError
    from vsbench.names import brief
    from vsbench.slides.pair_list import read_pair_list
    from vsbench.slides.tiles import Cut, cut_pairs

    if maps not in ("he-to-ihc", "ihc-to-he"):
        raise UsageError(f"--transform-maps {brief(maps)}: he-to-ihc or ihc-to-he")
    listed = read_pair_list(pairs, ratio, split_seed)
    if listed.others:
        note(f"columns not read: {', '.join(listed.others)}")
    cut = Cut(size, stride or size, mpp, tissue, sharp)
    refused = 0
    with _bar("cutting") as progress:
        for done in cut_pairs(listed.pairs, out, cut, register, cast(Any, maps), workers, progress, note):
            if isinstance(done, DataError):
                note(f"left out: {done}")
                refused += 1
            else:
                _tell_cut(done)
    for stain in dict.fromkeys(pair.stain for pair in listed.pairs):
        if (out / stain / "he").is_dir():
            say(f"vsbench train METHOD --dataset folder --stain {stain} --data-root {out / stain}")
    if refused:
        raise DataError(f"{pairs}: {refused} of {len(listed.pairs)} pairs left out; mend them, and run the same again")


@app.command("phantom-slide")
def phantom_slide(
    out: Annotated[Path, typer.Argument(help="Folder to write to.", metavar="OUT")],
    stain: Annotated[str, typer.Option("--stain", callback=checked_stains, help="her2, ki67, er or pr.")] = "ki67",
    name: Annotated[
        str, typer.Option("--name", callback=checked_names, help="Of the specimen; another one, another specimen.")
    ] = "S00",
    size: Annotated[int, typer.Option("--size", min=512, max=65_536, help="Pixels a side, of 0.5 µm.")] = 4096,
    rotate: Annotated[float, typer.Option("--rotate", help="Degrees by which the IHC's section is turned.")] = 8.0,
    shift: Annotated[
        tuple[float, float], typer.Option("--shift", metavar="DOWN RIGHT", help="µm by which it is shifted.")
    ] = (30.0, -20.0),
    scale: Annotated[float, typer.Option("--scale", min=0.5, max=2.0, help="By which it has grown.")] = 1.02,
    bend: Annotated[float, typer.Option("--bend", min=0, max=100, help="µm by which it is bent, smoothly.")] = 8.0,
    mirror: Annotated[bool, typer.Option("--mirror", help="It was laid on its slide the wrong side up.")] = False,
    ending: Annotated[
        str, typer.Option("--ending", metavar=".ome.tif|.tif", help="For QuPath, or for OpenSlide.")
    ] = ".ome.tif",
    lossless: Annotated[bool, typer.Option("--lossless", help="Else JPEG of quality 90.")] = False,
    data: DataOptions = None,
) -> None:
    """Write the phantom as one continuous specimen: H&E, adjacent IHC, and true IHC as pyramids, with what is known.

    Besides: cells as GeoJSON, the matrix from the IHC to the H&E, and landmarks. Killed, the same command goes on.
    """
    from vsbench.errors import UsageError
    from vsbench.slides.phantom import write_phantom_slide
    from vsbench.slides.pyramid import QUALITY

    if ending not in (".ome.tif", ".tif"):
        raise UsageError(f"--ending {ending}: .ome.tif, for QuPath, or .tif, for OpenSlide")
    phantom = _load("phantom", data)
    if stain not in phantom.stains:
        raise UsageError(f"--stain {stain}: the phantom has {', '.join(phantom.stains)}")
    pixel = phantom.pixel_size
    pose = {
        "rotation": rotate, "shift": (shift[0] / pixel, shift[1] / pixel), "scale": 1 / scale, "bend": bend / pixel,
        "mirrored": mirror,
    }  # fmt: skip
    specimen = phantom.slide(stain, name, size, pose)
    plan = {
        "stain": stain,
        "name": name,
        "pose": [str(value) for value in pose.values()],
        "data": phantom.config.model_dump(),
    }
    with _bar("rendering") as progress:
        written = write_phantom_slide(
            specimen, out, pixel, plan, ending, None if lossless else QUALITY, progress=progress
        )
    for file in written:
        say(file)


def _load(name: str, data: list[str] | None) -> Any:
    from vsbench import registry
    from vsbench.config import parse_settings

    return registry.load("vsbench.datasets", name).from_options(parse_settings(data or []))


def _load_carried(name: str, data: list[str] | None, data_root: Path | None) -> Any:
    """The same with the options that the images carry."""
    from vsbench import registry
    from vsbench.cli.options import dataset_options

    return registry.load("vsbench.datasets", name).from_options(dataset_options(name, data, data_root))


def _stains(dataset: Any, given: list[str] | None) -> list[str]:
    from vsbench.errors import UsageError

    if not given and not dataset.stains:
        raise UsageError("this data set takes any stain: give --stain NAME")
    return list(dict.fromkeys(given or dataset.stains))


def _tell_prepared(name: str, done: "Prepared") -> None:
    from vsbench.data.pairs import few

    for (stain, split), pairs in done.pairs.items():
        say(f"{name} {stain} {split}: {pairs} pair{'s' * (pairs != 1)}")
    files = done.files
    say(f"{files['linked']} files linked, {files['copied']} copied, {files['kept']} there already: {done.home}")
    for stain, reason in done.absent.items():
        note(f"{stain}: not in the source ({reason})")
    if done.spare:
        note(f"{len(done.spare)} images are in none of these pairs: {few(done.spare)}")
    if done.others:
        note(f"not read, being of other kinds: {len(done.others)}: {few(done.others)}")
    for reason in done.refused:
        note(f"not prepared: {reason}")


def _tell_cut(done: "CutPair") -> None:
    left = ", ".join(f"{count} {fate}" for fate, count in done.tiles.items() if count and fate != "written")
    how = ""
    if (found := done.registration) is not None:
        median = found["residual_median_um"]
        how = (
            f"; turned by {found['degrees']:g}°{', mirrored' * found['mirrored']}, found {found['found']:.0%} of the "
            f"tissue, there and back within {median:g} µm"
        )
    there = " there already" * done.kept
    written = done.tiles["written"]
    say(f"{done.pair.stain} {done.pair.split} {done.pair.id}: {written} tiles{there}; left out: {left or 'none'}{how}")
    for part in [] if found is None else found["lost"]:
        note(
            f"{done.pair.id}: {part['share']:.0%} of the tissue, around x {part['x_mm']:g}, y {part['y_mm']:g} mm, is "
            "not found again: torn off, moved, folded or missing in the IHC, or too unlike; no tile is cut there"
        )


def _tell_verified(name: str, found: "Findings", fast: bool) -> None:
    for count in found.counts:
        slides = "slides unknown" if count.slides is None else f"{count.slides} slide{'s' * (count.slides != 1)}"
        expected = "" if count.expected is None else f" (the card says {count.expected})"
        pairs = f"{count.pairs} pair{'s' * (count.pairs != 1)}"
        say(f"{name} {count.stain} {count.split}: {pairs}{expected}, {slides}")
    for stain, reason in found.absent.items():
        say(f"{stain}: not here ({reason})")
    for file in found.passed_over:
        say(f"not read: {file}")
    for fault in found.faults:
        say(f"{fault.kind}: {fault.message}")
    looked = "by their headers" if fast else "decoded whole"
    others = len(found.passed_over)
    besides = f", {others} file{'s' * (others != 1)} beside them not read" if others else ""
    say(f"{found.images} images {looked}{besides}, faults: {len(found.faults)}")


@contextmanager
def _bar(title: str) -> "Iterator[Progress]":
    """A progress bar on standard error where that is a terminal; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from vsbench.cli.display import Console, PlainColumn

    console = Console(stderr=True)
    columns = (PlainColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
