"""From runs and image folders to per-image tables and set values, with provenance; nothing is measured twice."""

import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsbench import __version__, registry
from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair, few, images_by_stem, pairs_digest
from vsbench.engine.checkpoint import chosen_checkpoint, load_method
from vsbench.engine.run import Run, checked_name, find_runs, group_folder
from vsbench.engine.start import pairs_of
from vsbench.engine.translate import translate_files
from vsbench.errors import DataError, RunError, UserError
from vsbench.evaluation.onepass import Maker, measure, set_values
from vsbench.evaluation.references import REFERENCES, mean_colour, reference_maker
from vsbench.files import atomic, digest, file_digest, read_json, write_json, write_text
from vsbench.metric import Absent, Image, Metric

if TYPE_CHECKING:
    import torch

PROTOCOL = "native"  # stored size, no resize, all pairs of the split
SPLIT = "test"
FEW_SLIDES = 10


@dataclass(frozen=True)
class Outcome:
    """What happened to one row."""

    run: Run
    summary: dict[str, Any]
    cached: bool


@dataclass
class Group:
    """The test pairs of one data set and stain, and what is worked out once for all its rows."""

    dataset: str
    options: dict[str, Any]
    stain: str
    data_root: Path | None
    results: Path
    also: tuple[str, ...] = ()  # metric families that are measured on request
    pairs: list[Pair] = field(init=False)
    train: list[Pair] = field(init=False)  # empty where only the test split is here
    digests: dict[Path, str] = field(init=False)
    warnings: list[str] = field(init=False)

    def __post_init__(self) -> None:
        source = registry.load("vsbench.datasets", self.dataset).from_options(self.options)
        self.pairs = pairs_of(source, self.data_root, self.stain, SPLIT)
        without_train = []
        try:
            self.train = pairs_of(source, self.data_root, self.stain, "train")
        except DataError as error:
            self.train = []
            without_train = [f"no training split here, so no mean-colour row and no look for shared slides ({error})"]
        files = [file for p in self.pairs for file in (p.he, p.ihc, p.truth) if file is not None]
        self.digests = {file: file_digest(file) for file in files}
        self.warnings = [*source.card.warnings, *self._slide_warnings(), *without_train]

    @property
    def folder(self) -> Path:
        """The folder of its rows."""
        return group_folder(self.results, self.dataset, self.stain)

    @property
    def data_digest(self) -> str:
        """SHA-256 over ids, slides and contents of the test images."""
        return pairs_digest(self.pairs, self.digests.__getitem__)

    def content(self, file: Path) -> str:
        """SHA-256 of a file; those of the test pairs were read once."""
        return self.digests.get(file) or file_digest(file)

    def he_digest(self) -> str:
        """SHA-256 over ids and contents of the test H&E alone: what translations depend on."""
        return digest(part for p in self.pairs for part in (p.id, self.digests[p.he]))

    def _slide_warnings(self) -> Iterable[str]:
        test = {p.slide for p in self.pairs}
        if None in test:
            yield "slides unknown: tiles of one slide are not independent, and train and test may share slides"
            return
        shared = test & {p.slide for p in self.train}
        if shared:
            yield f"{len(shared)} of {len(test)} test slides are also in the training set"
        if len(test) < FEW_SLIDES:
            yield f"only {len(test)} test slides: too few to rank methods"


def group_of(run: Run, data_root: Path | None, results: Path, also: tuple[str, ...] = ()) -> Group:
    """The group a run belongs to; its data lie under ``data_root``, $VSBENCH_DATA, or where they lay in training."""
    record = run.record
    if data_root is None and not os.environ.get("VSBENCH_DATA") and record.get("data_root"):
        data_root = Path(record["data_root"])
    return Group(record["dataset"], record.get("dataset_options", {}), record["stain"], data_root, results, also)


def evaluate_references(group: Group, device: "torch.device") -> list[Outcome]:
    """Evaluate the rows that need no training; without a training split there is no mean colour."""
    outcomes = []
    for row, title in REFERENCES.items():
        run = Run(group.folder / row / "reference")
        record: dict[str, Any] = {
            "kind": "reference", "row": row, "title": title, "seed": None,
            "dataset": group.dataset, "dataset_options": group.options, "stain": group.stain,
        }  # fmt: skip
        if row != "mean-colour":
            files = {p.id: p.ihc if row == "real-ihc" else p.he for p in group.pairs}
            run.write_record(record)
            outcomes.append(_evaluate_row(run, group, reference_maker(row), files, "", device, []))
        elif group.train:
            record |= _training_colour(run, group.train)
            run.write_record(record)
            colour = record["mean_colour"]
            outcomes.append(_evaluate_row(run, group, reference_maker(row, colour), None, str(colour), device, []))
    return outcomes


def _training_colour(run: Run, train: Sequence[Pair]) -> dict[str, Any]:
    """The mean colour and the digest of the images it is of; taken from the record where these are the same."""
    images = digest(file_digest(p.ihc) for p in train)
    if run.record_file.is_file() and run.record.get("train_ihc_digest") == images:
        return {key: run.record[key] for key in ("mean_colour", "train_ihc_digest")}
    return {"mean_colour": mean_colour(train).tolist(), "train_ihc_digest": images}


def evaluate_trained(
    run: Run, group: Group, device: "torch.device", done: Callable[[Path], None] | None = None
) -> Outcome:
    """Translate the test split where images are missing or outdated, and measure.

    Raises RunError where the run is unfinished.
    """
    record = run.record
    if not record["finished"]:
        raise RunError(f"{run.folder}: training is not finished; go on with --resume, or remove the folder")
    weights = chosen_checkpoint(run).weights
    files = {p.id: run.images(SPLIT) / f"{p.id}.png" for p in group.pairs}
    made_from = {"weights": file_digest(weights), "he": group.he_digest()}
    stamp = run.folder / "images" / f"{SPLIT}.json"
    if not stamp.is_file() or read_json(stamp) != made_from:
        for old in run.images(SPLIT).glob("*.png"):
            old.unlink()
        write_json(stamp, made_from)
    missing = [(p.he, files[p.id]) for p in group.pairs if not files[p.id].is_file()]
    if missing:
        translate_files(load_method(weights), missing, device, done)
    warnings = [] if record["preset"] == "paper" else [f"{record['preset']} preset: not the published configuration"]
    return _evaluate_row(run, group, _reader(files), files, "", device, warnings)


def evaluate_images(folder: Path, name: str, group: Group, device: "torch.device") -> Outcome:
    """Measure images made elsewhere: one per test pair, with its stem.

    Raises DataError listing stems that are missing or too many.
    """
    files = images_by_stem(folder)
    ids = {p.id for p in group.pairs}
    for problem, stems in (("is missing", ids - files.keys()), ("belongs to no test pair", files.keys() - ids)):
        if stems:
            raise DataError(
                f"{folder}: {problem}: {few(sorted(stems))}; one image per H&E of the test split, of the same stem"
            )
    run = Run(group.folder / checked_name(name, "--name") / "external")
    run.write_record(
        {"kind": "external", "row": name, "title": name, "seed": None, "dataset": group.dataset, "stain": group.stain,
         "dataset_options": group.options, "images": str(folder.resolve())}
    )  # fmt: skip
    return _evaluate_row(run, group, _reader(files), files, "", device, ["images made elsewhere"])


def _evaluate_row(
    run: Run,
    group: Group,
    make: Maker,
    fakes: dict[str, Path] | None,
    made_of: str,
    device: "torch.device",
    warnings: Sequence[str],
) -> Outcome:
    """Measure one row, or find that nothing changed. ``made_of`` identifies generated images that are no files."""
    metrics, absent, broken = _metrics(group, device)
    images = digest([made_of, *(group.content(fakes[p.id]) for p in group.pairs)] if fakes else [made_of])
    identity = [*_metric_identity(metrics, absent), *broken]
    fingerprint = digest([PROTOCOL, __version__, group.data_digest, images, *identity])
    folder = run.evaluation(PROTOCOL)
    summary_file = folder / "summary.json"
    if summary_file.is_file() and (folder / "per_image.csv").is_file():
        try:
            summary = read_json(summary_file)
        except ValueError:
            summary = {}
        if summary.get("fingerprint") == fingerprint:
            return Outcome(run, summary, cached=True)

    summary_file.unlink(missing_ok=True)  # a table without a summary is not evaluated; never a table of other images
    table, features = measure(group.pairs, make, metrics)
    values = set_values(metrics, table, features) | {v.name: Absent(r) for _, m, r in absent for v in m.values}
    declared = {v.name: v for m in [*metrics.values(), *(m for _, m, _ in absent)] for v in m.values}
    record = run.record
    summary = {
        "schema": 1,
        **{key: record[key] for key in ("kind", "dataset", "stain", "row", "title", "seed")},
        "split": SPLIT,
        "protocol": PROTOCOL,
        "n": len(table),
        "n_slides": table["slide"].nunique() if table["slide"].notna().all() else None,
        "sizes": sorted({f"{h}x{w}" for h, w in zip(table["height"], table["width"], strict=True)}),
        "data_digest": group.data_digest,
        "images_digest": images,
        "fingerprint": fingerprint,
        "vsbench": __version__,
        "warnings": [*group.warnings, *warnings, *broken],
        "pairs": [
            {
                "id": p.id,
                **{k: _path(file, run) for k, file in (("he", p.he), ("ihc", p.ihc), ("truth", p.truth))},
                "fake": _path(fakes[p.id], run) if fakes else None,
            }
            for p in group.pairs
        ],
        "values": {
            name: {
                "label": value.label,
                "unit": value.unit,
                "best": value.best,
                "protocol": value.protocol,
                "formula": value.formula,
                **_json_value(values[name]),
            }
            for name, value in declared.items()
        },
    }
    write_text(folder / "per_image.csv", table.to_csv(lineterminator="\n"))
    if features:
        with atomic(folder / "features.npz") as temporary:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **features)
            temporary.write_bytes(buffer.getvalue())
    write_json(summary_file, summary)
    return Outcome(run, summary, cached=False)


def _metrics(
    group: Group, device: "torch.device"
) -> tuple[dict[str, Metric], list[tuple[str, Metric, str]], list[str]]:
    """(metrics that can run on these pairs, (name, metric, reason) of those that can't, what is broken)."""
    loaded, faults = registry.load_all("vsbench.metrics")
    broken = [f"metric not measured: {fault}" for fault in faults.values()]
    known_truth = all(p.truth is not None for p in group.pairs)
    usable, absent = {}, []
    for name, metric_class in loaded.items():
        metric: Metric = metric_class()
        if metric.on_request and name not in group.also:
            continue
        if metric.needs_truth and not known_truth:
            continue  # no such thing for this data set, rather than missing
        metric.device = str(device)
        reason = metric.unavailable()
        if reason is None:
            usable[name] = metric
        else:
            absent.append((name, metric, reason))
    return usable, absent, broken


def _metric_identity(metrics: dict[str, Metric], absent: list[tuple[str, Metric, str]]) -> list[str]:
    return [
        *(f"{name}:{v.name}:{v.protocol}" for name, m in metrics.items() for v in m.values),
        *(f"{name}:absent:{reason}" for name, _, reason in absent),
    ]


def _reader(files: dict[str, Path]) -> Maker:
    def read(pair: Pair, he: Image, real: Image) -> Image:
        fake: NDArray[np.uint8] = read_rgb(files[pair.id])
        require_equal_sizes({pair.ihc: real, files[pair.id]: fake})
        return fake

    return read


def _path(file: Path | None, run: Run) -> str | None:
    """Relative to the run folder where the file lies in it, so that runs can be moved; else absolute."""
    if file is None:
        return None
    file, folder = file.resolve(), run.folder.resolve()
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def _json_value(value: float | Absent) -> dict[str, float | str | None]:
    if isinstance(value, Absent):
        return {"value": None, "reason": value.reason}
    if math.isinf(value):
        return {"value": "inf" if value > 0 else "-inf", "reason": None}
    return {"value": value, "reason": None}


def unevaluated(results: Path) -> list[Run]:
    """Trained and external runs under ``results``, finished or not, in the order of their paths."""
    return [run for run in find_runs(results) if run.record["kind"] != "reference"]


def evaluate_runs(
    runs: Sequence[Run], data_root: Path | None, results: Path, device: "torch.device", also: tuple[str, ...] = ()
) -> tuple[list[Outcome], list[str]]:
    """Evaluate runs, each data set's reference rows first; what fails for one run leaves the others alone.

    Returns the outcomes and one line for each failure.
    """
    groups: dict[str, Group] = {}
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for run in runs:
        try:
            record = run.record
            key = str((record["dataset"], record.get("dataset_options"), record["stain"], record.get("data_root")))
            if key not in groups:
                groups[key] = group_of(run, data_root, results, also)
                outcomes += evaluate_references(groups[key], device)
            if record["kind"] == "external":
                outcomes.append(evaluate_images(Path(record["images"]), record["row"], groups[key], device))
            else:
                outcomes.append(evaluate_trained(run, groups[key], device))
        except UserError as error:
            failures.append(str(error))
    return outcomes, failures
