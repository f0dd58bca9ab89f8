"""``vsbench measure``: the integrated DAB density of any IHC image, as Fiji reads it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.cli.output import note, say_json

if TYPE_CHECKING:
    from vsbench.evaluation.measure import Measurement


def measure(
    images: Annotated[list[Path], typer.Argument(help="8-bit RGB image files.", metavar="IMAGE…")],
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file as well.")] = None,
) -> None:
    """Measure DAB in IHC images as Fiji does: integrated density, mean optical density, positive area.

    Pixels count as positive from an optical density of 0.4065 on (DAB level 100 or less of 255). A bad image is named,
    and the others are measured all the same.
    """
    from vsbench.errors import DataError
    from vsbench.evaluation.measure import measure_image

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


def _require_ours(path: Path) -> None:
    """The name forgotten, ``--csv`` takes the first image's: that is never written over."""
    import dataclasses

    from vsbench.evaluation.measure import Measurement
    from vsbench.files import has_first_line, require_replaceable

    head = ",".join(field.name for field in dataclasses.fields(Measurement))
    require_replaceable(path, has_first_line(head), "--csv file")


def _write_csv(path: Path, found: "list[Measurement]") -> None:
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
