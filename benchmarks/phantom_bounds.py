"""Ceiling and floor of every value on the phantom: written to its card's file.

    python -m benchmarks.phantom_bounds

The reference rows are evaluated on the test split of the default phantom, all four stains.
"""

import argparse
import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vsbench import registry
from vsbench.evaluation.evaluate import evaluate_references
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.files import write_text

FILE = Path(__file__).parents[1] / "datasets" / "phantom_bounds.csv"
ROWS = {"ceiling": "best", "identity": "he", "mean_colour": "mean-colour"}  # column → reference row
HEAD = ("stain", "value", "protocol", "unit", "best", *ROWS)
DIGITS = 6  # significant ones; more would differ between machines


def bounds(stain: str, results: Path) -> Iterator[dict[str, str]]:
    """A line for every score of one stain; empty where absent."""
    group = Group("phantom", {}, stain, None, results)
    outcomes, failures = evaluate_references(group, Instrument.build("cpu"))
    if failures:
        raise SystemExit("\n".join(failures))
    rows = {outcome.run.record.row: outcome.summary.values for outcome in outcomes}
    for name, entry in rows[ROWS["ceiling"]].items():
        if entry.unit == "images":
            continue
        numbers = {column: rows[row][name].value for column, row in ROWS.items()}
        yield {
            "stain": stain, "value": name, "protocol": entry.protocol, "unit": entry.unit, "best": entry.best,
            **{column: "" if number is None else f"{float(number):.{DIGITS}g}" for column, number in numbers.items()},
        }  # fmt: skip


def main() -> None:
    """Write the file."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEAD, lineterminator="\n")
    writer.writeheader()
    with tempfile.TemporaryDirectory() as results:
        for stain in registry.load("vsbench.datasets", "phantom").stains:
            writer.writerows(bounds(stain, Path(results)))
    write_text(FILE, text.getvalue())
    print(FILE)


if __name__ == "__main__":
    main()
