"""A run folder on disk: where it lies, what it holds, and that it never mixes two configurations.

<results>/runs/<dataset>-<stain>/<method>[+<variant>][+<preset>]/seed-<n>/
    run.json  data.json  log.csv  validation.csv  job.json  job.log  checkpoints/  samples/  loggers/
    images/<split>/  evaluation/<protocol>/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsbench import registry
from vsbench.data.pairs import few
from vsbench.errors import RunError, UsageError, UserError
from vsbench.names import checked_name
from vsbench.records.run import Kind, RunRecord, TrainedRecord, read_record

DATA = ("train_digest",)  # what differs in a record where the training images have changed


@dataclass(frozen=True)
class Run:
    """A run folder. ``record`` is its run.json."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """Everything needed to repeat the run."""
        return self.folder / "run.json"

    @property
    def record(self) -> RunRecord:
        """run.json. Raises RunError where it is missing or not in order."""
        if not self.record_file.exists():
            inside = [file.parent.name for file in sorted(self.folder.glob("*/run.json"))]
            mend = f"; name one of those in it: {few(inside)}" if inside else ""
            raise RunError(f"{self.folder}: not a run folder (no run.json){mend}")
        return read_record(self.record_file)

    @property
    def trained(self) -> TrainedRecord:
        """run.json of a training. Raises RunError where it is of another kind too."""
        record = self.record
        if not isinstance(record, TrainedRecord):
            raise RunError(f"{self.folder}: no training of vsbench ({record.kind})")
        return record

    @property
    def pixel_size(self) -> float | None:
        """µm a pixel of its data set's images; None where the data set does not say, or is not here."""
        try:
            record = self.record
            source = registry.load("vsbench.datasets", record.dataset).from_options(record.dataset_options or {})
        except UserError:
            return None
        return source.pixel_size

    def write_record(self, record: RunRecord) -> None:
        """Write run.json."""
        record.write(self.record_file)

    @property
    def data_file(self) -> Path:
        """The training images that it learns from: ``records.data.TrainingData``."""
        return self.folder / "data.json"

    @property
    def log_file(self) -> Path:
        """One row per logged step."""
        return self.folder / "log.csv"

    @property
    def validation_file(self) -> Path:
        """One row for each time the held-out pairs were measured."""
        return self.folder / "validation.csv"

    @property
    def job_file(self) -> Path:
        """The last job that was to train it: ``records.job.JobRecord``."""
        return self.folder / "job.json"

    @property
    def job_log(self) -> Path:
        """What its jobs said, one after the other; each begins with a line ``$ vsbench train …``."""
        return self.folder / "job.log"

    @property
    def checkpoints(self) -> Path:
        """Weights and training states."""
        return self.folder / "checkpoints"

    @property
    def samples(self) -> Path:
        """Sheets drawn while training."""
        return self.folder / "samples"

    def sheet(self, step: int) -> Path:
        """The one of a step, where it was drawn."""
        return self.samples / f"step-{step:08d}.png"

    def images(self, split: str) -> Path:
        """Generated images of a split."""
        return self.folder / "images" / split

    def stamp(self, split: str) -> Path:
        """What the generated images of a split were made from: ``records.images.Stamp``."""
        return self.folder / "images" / f"{split}.json"

    def evaluation(self, protocol: str) -> Path:
        """Per-image table and summary."""
        return self.folder / "evaluation" / protocol


def row_name(method: str, variant: str, preset: str, label: str | None) -> str:
    """The name of a table row: the label where one is given, else method, variant and preset (if not the paper's)."""
    if label is not None:
        return checked_name(label, "--label")
    return "+".join(part for part in (method, variant, "" if preset == "paper" else preset) if part)


def group_folder(results: Path, dataset: str, stain: str) -> Path:
    """The folder of all rows of a data set's stain. Raises UsageError for names that lead elsewhere."""
    return results / "runs" / checked_name(f"{dataset}-{stain}", "data set and stain")


def require_same(run: Run, there: TrainedRecord, record: TrainedRecord, but: Sequence[str] = ()) -> None:
    """Raise RunError, naming what differs, where the folder's record ``there`` is of another training than ``record``.

    It may differ in what ``but`` names.
    """
    if differing := [what for what in record.differences(there) if what not in but]:
        other = "choose another --label or --seed"
        if set(differing) <= set(DATA) and not there.finished:
            other = f"if that is meant, go on with --resume --accept-data; else {other}"
        raise RunError(f"{run.folder}: holds another run ({', '.join(differing)}); {other}")


def require_one_row(run: Run, record: RunRecord) -> None:
    """Raise UsageError where the row's folder holds what was made otherwise: a row's runs differ in the seed alone."""
    option = "--name" if record.kind == "external" else "--label"
    for file in sorted(run.folder.parent.glob("*/run.json")):
        if file.parent == run.folder:
            continue
        try:
            there = Run(file.parent).record
        except RunError:  # what is damaged is no row of a table; who reads it says so
            continue
        if not record.may_stand_beside(there):
            differing = [f"{there.kind}, not {record.kind}"] if there.kind != record.kind else []
            if isinstance(there, TrainedRecord) and isinstance(record, TrainedRecord):
                differing = [what for what in record.differences(there) if what != "seed"]
            raise UsageError(
                f"{run.folder.parent}: the row {record.row} holds what was made otherwise ({', '.join(differing)}); "
                f"choose another {option}"
            )


def find_runs(results: Path, kind: Kind | None = None) -> Iterator[Run]:
    """All run folders under ``results``, in the order of their paths."""
    for file in sorted((results / "runs").glob("*/*/*/run.json")):
        run = Run(file.parent)
        if kind is None or run.record.kind == kind:
            yield run
