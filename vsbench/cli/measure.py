"""``vsbench measure``: the integrated DAB density of any IHC image, as Fiji reads it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
        print("error:", failure, file=sys.stderr)
    if failures:
        raise failures[-1]  # printed like the others, and the exit code is its own


def _write_csv(path: Path, found: "list[Measurement]") -> None:
    import csv
    import dataclasses
    import io

    from vsbench.errors import UserError
    from vsbench.files import write_text

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(found[0])], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(measurement) for measurement in found)
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror}); give another --csv file") from None


def _print_json(found: "list[Measurement]") -> None:
    import dataclasses
    import json

    print(json.dumps([dataclasses.asdict(measurement) for measurement in found], indent=2, ensure_ascii=False))


def _print_table(found: "list[Measurement]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("file", overflow="fold")
    for column in ("width", "height", "intden", "mean_od", "positive_area"):
        table.add_column(column, justify="right")
    for m in found:
        table.add_row(
            m.file, f"{m.width}", f"{m.height}", f"{m.intden:.2f}", f"{m.mean_od:.5f}", f"{m.positive_area:.4f}"
        )
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 250  # a pipe has no edge to wrap at
    console.print(table)
