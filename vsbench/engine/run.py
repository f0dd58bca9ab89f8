"""A run folder on disk: where it lies, what it holds, and that it never mixes two configurations.

<results>/runs/<dataset>-<stain>/<method>[+<variant>][+<preset>]/seed-<n>/
    run.json  log.csv  validation.csv  checkpoints/  samples/  tensorboard/  images/<split>/  evaluation/<protocol>/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vsbench.errors import RunError, UsageError
from vsbench.files import read_json, write_json

Kind = Literal["trained", "reference", "external"]
NAME = re.compile(r"[\w][\w.+-]*")
# keys of run.json that must be equal for a training to go on in its folder
IDENTITY = (
    "method", "config", "seed", "dataset", "dataset_options", "stain", "train_digest", "precision", "world",
    "execution", "select", "validation",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run folder. ``record`` is its run.json."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """Everything needed to repeat the run."""
        return self.folder / "run.json"

    @property
    def record(self) -> dict[str, Any]:
        """run.json. Raises RunError where it is missing or damaged."""
        try:
            record = read_json(self.record_file)
        except FileNotFoundError:
            raise RunError(f"{self.folder}: not a run folder (no run.json)") from None
        except ValueError:
            raise RunError(f"{self.record_file}: damaged; move the run folder away") from None
        if not isinstance(record, dict) or not {"kind", "dataset", "stain", "row", "title"} <= record.keys():
            raise RunError(f"{self.record_file}: not written by vsbench; move it away")
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.record_file, record)

    @property
    def log_file(self) -> Path:
        """One row per logged step."""
        return self.folder / "log.csv"

    @property
    def validation_file(self) -> Path:
        """One row for each time the held-out pairs were measured."""
        return self.folder / "validation.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's own files."""
        return self.folder / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Weights and training states."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Sheets drawn while training."""
        return self.folder / "samples"

    def images(self, split: str) -> Path:
        """Generated images of a split."""
        return self.folder / "images" / split

    def evaluation(self, protocol: str) -> Path:
        """Per-image table and summary."""
        return self.folder / "evaluation" / protocol


def row_name(method: str, variant: str, preset: str, label: str | None) -> str:
    """The name of a table row: the label where one is given, else method, variant and preset (if not the paper's)."""
    if label is not None:
        return checked_name(label, "--label")
    return "+".join(part for part in (method, variant, "" if preset == "paper" else preset) if part)


def checked_name(name: str, option: str) -> str:
    """``name`` if it can be a folder. Raises UsageError."""
    if not NAME.fullmatch(name) or len(name) > 100:
        raise UsageError(
            f"{option} {name!r}: use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit"
        )
    return name


def group_folder(results: Path, dataset: str, stain: str) -> Path:
    """The folder of all rows of a data set's stain."""
    return results / "runs" / f"{dataset}-{stain}"


def require_same(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """The folder's own record, if it is of the same training as ``record``. Raises RunError naming what differs."""
    there = run.record
    for key in IDENTITY:
        if there.get(key) != record.get(key):
            differing = key
            if key == "config":
                differing = ", ".join(
                    f"{k} = {there['config'].get(k)!r} there, {v!r} here"
                    for k, v in record["config"].items()
                    if there["config"].get(k) != v
                )
            raise RunError(f"{run.folder}: holds another run ({differing}); choose another --label or --seed")
    return there


def find_runs(results: Path, kind: Kind | None = None) -> Iterator[Run]:
    """All run folders under ``results``, in the order of their paths."""
    for file in sorted((results / "runs").glob("*/*/*/run.json")):
        run = Run(file.parent)
        if kind is None or run.record["kind"] == kind:
            yield run
