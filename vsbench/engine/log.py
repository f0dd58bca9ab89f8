"""The training log: log.csv, one row per logged step."""

import csv
from pathlib import Path

from vsbench.files import write_text

HEAD = ("step", "epoch", "lr", "images_per_s", "memory_mb")


class TrainingLog:
    """Appends rows to log.csv; a resumed run first forgets the rows after its checkpoint."""

    def __init__(self, path: Path, losses: tuple[str, ...], step: int) -> None:
        self.path = path
        self.columns = (*HEAD, *losses)
        if step > 0 and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            whole = [line for line in lines[1:] if line.count(",") == lines[0].count(",")]  # not one cut in mid-write
            kept = [line for line in whole if int(line.partition(",")[0]) <= step]
            write_text(path, "\n".join([lines[0], *kept]) + "\n")
        else:
            write_text(path, ",".join(self.columns) + "\n")

    def append(self, row: dict[str, float | int]) -> None:
        """Write one row; a loss whose weight is 0 stays empty."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns, restval="", lineterminator="\n").writerow(row)
