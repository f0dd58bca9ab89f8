"""How each number came to be: one record per run, from its ``run.json``, its summary and what its images are made from.

What was not recorded is None here, and "not recorded" in print; nothing is filled in.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsbench.benchmark import version_said
from vsbench.cells import neutral
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.files import digest
from vsbench.records.artefact import Artefact
from vsbench.records.images import Stamp
from vsbench.records.run import FoldRun, ImportedRecord, PooledRecord, RunRecord, TrainedRecord
from vsbench.report.provenance.commands import RESULTS, Command, evaluation, importing, training
from vsbench.report.provenance.places import Places
from vsbench.report.tables import Comparison, EvaluatedRun, runs_of

RECORDED = (  # what run.json says, as it says it
    "method", "preset", "variant", "config", "dataset_options", "select", "validation", "precision", "world",
    "execution", "checkpoints", "steps", "chosen_step", "wall_time_s", "peak_memory_bytes", "device", "parameters",
    "versions", "git", "train_pairs", "train_slides", "train_digest", "pretrained", "origin", "origin_digest",
    "images", "suffix", "resize", "made_of", "folds",
)  # fmt: skip
MEASURED = (
    "n", "n_slides", "sizes", "data_digest", "split_digest", "images_digest", "bootstrap", "skipped", "warnings",
)  # fmt: skip
LONGEST = 40  # numbers and names that a fitted reference may hold to be written out


def records(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """One record per run, in the order of the comparisons' rows; all have the same keys, and all are JSON.

    ``commands`` repeat the run, one shell-quoted line each, from an empty folder with the data root set; ``notes`` say
    what they do not bring back. No path of this machine is in a record: see ``places.RULE``.
    """
    if not comparisons:
        return []
    places = Places.of(runs_of(comparisons))
    return [
        _record(comparison, row.title, run, places)
        for comparison in comparisons
        for row in comparison.rows
        for run in row.runs
    ]


def as_csv(records_: Sequence[dict[str, Any]]) -> str:
    """The records as CSV: one line each, nested things as JSON, what is not recorded empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if records_:
        writer.writerow(records_[0])
        writer.writerows([neutral(_flat(value)) for value in record.values()] for record in records_)
    return out.getvalue()


def _record(comparison: Comparison, title: str, run: EvaluatedRun, places: Places) -> dict[str, Any]:
    record, problem = _recorded(run)
    made = _stamp(run)
    folder = run.folder.relative_to(run.folder.parents[3]).as_posix()
    steps = [training(record, places)] if isinstance(record, TrainedRecord) else []
    if isinstance(record, PooledRecord):
        steps = [_of_fold(run.folder.parents[3], fold, places) for fold in record.folds]
    if isinstance(record, ImportedRecord):
        steps = [importing(record, places)]
    steps.append(evaluation(record, run, folder, places))
    notes = [*problem, *(note for step in steps for note in step.notes)]
    return places.value(
        {
            "dataset": comparison.dataset,
            "data_name": comparison.title,
            "stain": comparison.stain,
            "split": run.split,
            "row": run.row,
            "title": title,
            "kind": run.kind,
            "seed": run.seed,
            "protocol": run.protocol,
            "folder": folder,
            "commands": [str(step) for step in steps if step.words],
            "notes": list(dict.fromkeys(notes)),
            "settings": steps[0].settings,
            **{key: _plain(getattr(record, key, None)) for key in RECORDED},
            "weights_digest": made.weights if made else None,
            "translated_images_per_s": round(made.images_per_s, 3) if made and made.images_per_s else None,
            "translated_on": made.device if made else None,
            "evaluated_by": run.vsbench,
            "benchmark": version_said(run.benchmark),
            **{key: _plain(getattr(run, key)) for key in MEASURED},
            "measured_with": run.provenance,
            "protocols": {name: reading.protocol for name, reading in run.values.items()},
            "fitted": _short(getattr(record, "state", None)),
        }
    )


def _of_fold(results: Path, fold: FoldRun, places: Places) -> Command:
    """The training of a fold, whose results lie in a folder of their own."""
    try:
        made = training(Run(results / fold.folder).trained, places)
    except RunError:
        return Command(notes=(f"the record of fold {fold.fold} is missing or damaged",))
    own = f"{RESULTS}/{Path(*Path(fold.folder).parts[:2]).as_posix()}"
    return replace(made, words=(*made.words[:-4], "--results", own, *made.words[-4:]))


def _recorded(run: EvaluatedRun) -> tuple[RunRecord | None, list[str]]:
    """The run's record, and what is wrong with it: nothing of what it should say is recorded then."""
    if not (run.folder / "run.json").exists():
        return None, ["run.json is missing"]
    try:
        record = Run(run.folder).record
    except RunError:
        return None, ["run.json is damaged"]
    if not record.is_of(run.kind, run.dataset, run.stain, run.row):
        return None, ["run.json is of another row than the summary beside it"]
    return record, []


def _stamp(run: EvaluatedRun) -> Stamp | None:
    try:
        return Stamp.read(Run(run.folder).stamp(run.split))
    except RunError:
        return None


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if isinstance(value, Artefact) else value


def _short(state: Any) -> Any:
    """What a reference fitted, with the digest of its JSON in place of anything that is long."""
    if isinstance(state, dict):
        return {key: _short_value(value) for key, value in state.items()}
    return state


def _short_value(value: Any) -> Any:
    if isinstance(value, dict | list) and len(value) > LONGEST:
        return f"{len(value)} entries, SHA-256 {digest([json.dumps(value, sort_keys=True)])}"
    return value


def _flat(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)
