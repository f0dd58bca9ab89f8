"""``vsbench measure``: the integrated DAB density of any IHC image or whole slide, as Fiji reads it."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsbench.cli.output import note, say_json

if TYPE_CHECKING:
    from vsbench.evaluation.measure import Measurement


def measure(
    images: Annotated[list[Path], typer.Argument(help="8-bit RGB image files, or whole slides.", metavar="IMAGE…")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file as well; of a slide its tiles.")
    ] = None,
    slide: Annotated[bool, typer.Option("--slide", help="They are slides, though a name ends in .tif.")] = False,
    dab_map: Annotated[
        Path | None, typer.Option("--map", metavar="FILE.png", help="Of one slide: a small map of its DAB.")
    ] = None,
) -> None:
    """Measure DAB in IHC images as Fiji does: integrated density, mean optical density, positive area.

    Pixels count as positive from an optical density of 0.4065 on (DAB level 100 or less of 255). A bad image is named,
    and the others are measured all the same. A whole slide (by its ending, or --slide) is read as a stream, and its
    tissue measured, for each mm² too.
    """
    from vsbench.errors import DataError, UsageError
    from vsbench.evaluation.measure import measure_image
    from vsbench.slides.measure import is_slide

    slides = [slide or is_slide(image) for image in images]
    if any(slides):
        if not all(slides):
            raise UsageError("images and slides do not go into one table; measure them by themselves")
        if len(images) > 1 and (csv or dab_map):
            raise UsageError("--csv and --map are of one slide; measure the slides one by one")
        if csv is not None and dab_map is not None and csv.absolute() == dab_map.absolute():
            raise UsageError(f"{csv}: --csv and --map are one file; give two")
        _measure_slides(images, json_output, csv, dab_map)
        return
    if dab_map is not None:
        raise UsageError("--map: of a whole slide; add --slide where a .tif is one")

    if csv is not None:
        _require_ours(csv)
    found, failures = [], []
    for image in images:
        try:
            found.append(measure_image(image))
        except DataError as error:
            failures.append(error)
    if found and csv is not None:
        _write_csv(csv, found)
    if json_output:
        _print_json(found)
    elif found:
        _print_table(found)
    for failure in failures[:-1]:
        note(f"error: {failure}")
    if failures:
        raise failures[-1]  # printed like the others, and the exit code is its own


def _measure_slides(slides: list[Path], json_output: bool, csv: Path | None, dab_map: Path | None) -> None:
    import dataclasses

    from vsbench.cli.display import Console
    from vsbench.errors import DataError
    from vsbench.files import only_ours
    from vsbench.slides.measure import SlideDensity, TileDensity, measure_slide

    if csv is not None:
        _require_ours(csv, TileDensity)
    found: list[SlideDensity] = []
    failures = []
    for file in slides:
        try:
            with only_ours(dab_map.parent, "--map", [dab_map.name]) if dab_map else nullcontext():
                found.append(measure_slide(file, picture=dab_map))
        except DataError as error:
            failures.append(error)
    if found and csv is not None:
        _write_csv(csv, list(found[0].tiles))
    rows = [{**dataclasses.asdict(each), "tiles": len(each.tiles)} for each in found]
    if json_output:
        say_json(rows)
    elif rows:
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0))
        forms = {
            "tissue_mm2": ".2f", "intden": ".2f", "intden_mm2": ".0f", "mean_od": ".5f", "positive_area": ".4f",
            "tiles": "d",
        }  # fmt: skip
        table.add_column("file", overflow="fold")
        for column in forms:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(row["file"], *(format(row[column], form) for column, form in forms.items()))
        Console().print(table)
    for failure in failures[:-1]:
        note(f"error: {failure}")
    if failures:
        raise failures[-1]


def _require_ours(path: Path, row: Any = None) -> None:
    """The name forgotten, ``--csv`` takes the first image's: that is never written over. ``row``: of the table."""
    import dataclasses

    from vsbench.evaluation.measure import Measurement
    from vsbench.files import has_first_line, require_replaceable

    head = ",".join(field.name for field in dataclasses.fields(row or Measurement))
    require_replaceable(path, has_first_line(head), "--csv file")


def _write_csv(path: Path, found: "list[Any]") -> None:
    import csv
    import dataclasses
    import io

    from vsbench.cells import neutral_row
    from vsbench.errors import UserError
    from vsbench.files import write_text

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(found[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(neutral_row(dataclasses.asdict(measurement)) for measurement in found)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror}); give another --csv file") from None


def _print_json(found: "list[Measurement]") -> None:
    import dataclasses

    say_json([dataclasses.asdict(measurement) for measurement in found])


def _print_table(found: "list[Measurement]") -> None:
    from rich.table import Table

    from vsbench.cli.display import Console

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    for column in ("width", "height", "intden", "mean_od", "positive_area"):
        table.add_column(column, justify="right")
    for m in found:
        table.add_row(
            m.file, f"{m.width}", f"{m.height}", f"{m.intden:.2f}", f"{m.mean_od:.5f}", f"{m.positive_area:.4f}"
        )
    console = Console()
    console.print(table)
