"""Runs as their evaluations left them on disk, brought to the same images and values."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench import registry
from vsbench.benchmark import version_said
from vsbench.cells import plain_table
from vsbench.data.arrays import read_arrays
from vsbench.engine.run import Run
from vsbench.errors import RunError, UsageError
from vsbench.files import read_text
from vsbench.metric import Value
from vsbench.names import brief, said
from vsbench.records.run import TrainedRecord
from vsbench.records.summary import GREATEST, Reading, Summary
from vsbench.slides.slide_values import slide_metrics
from vsbench.stats.moments import Pooled
from vsbench.stats.slides import Slides, group
from vsbench.stats.table import table_statistics

LARGEST = 1 << 28  # bytes of a table


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What an evaluation left of a run: its summary, per-image table (index id) and features, rows in one order."""

    name: str
    summary: Summary
    table: pd.DataFrame
    features: dict[str, NDArray[np.float32]]

    def on(self, ids: pd.Index) -> "Evaluated":
        """The same on these images alone, in their order."""
        rows = self.table.index.get_indexer(ids)
        return replace(self, table=self.table.loc[ids], features={k: v[rows] for k, v in self.features.items()})

    def statistics(self, values: Sequence[Value], slides: Slides) -> dict[str, Pooled]:
        """Those of ``values`` that follow from the table. Raises RunError where it has a half of the columns of one."""
        try:
            return table_statistics(self.table, values, slides)
        except KeyError as error:
            raise RunError(
                f"{self.name}: its per_image.csv has no column {brief(error.args[0])}; evaluate it again"
            ) from None


@dataclass(frozen=True)
class Basis:
    """Runs brought to the same images; ``values`` by name, those that all of them have."""

    runs: tuple[Evaluated, ...]
    slides: Slides
    values: dict[str, Value]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_run(folder: Path) -> Run:
    """The run at ``folder``, or the only one in it. Raises UsageError where there are several, RunError for none."""
    if (folder / "run.json").is_file():
        return Run(folder)
    found = trainings(folder)
    if len(found) > 1:
        names = ", ".join(run.folder.name for run in found)
        raise UsageError(f"{folder}: holds {len(found)} runs ({names}); name one of them, or take --seeds")
    return found[0]


def trainings(folder: Path) -> list[Run]:
    """The runs in the folder of a method, in the order of their names. Raises RunError where there is none."""
    found = [Run(file.parent) for file in sorted(folder.glob("*/run.json"))]
    if not found:
        raise RunError(f"{folder}: neither a run folder nor one of runs (no run.json)")
    return found


def seeds_of(folder: Path) -> list[Run]:
    """The trainings in the folder of a method, which differ in their seed alone.

    Raises UsageError where they do not, as where one was continued and another was not yet: how far they are apart is
    then not the seed's doing. Raises what ``trainings`` raises.
    """
    first, *others = trainings(folder)
    for run in others:
        if run.record.made != first.record.made:
            differing = [f"{run.record.kind}, not {first.record.kind}"]
            if isinstance(first.record, TrainedRecord) and isinstance(run.record, TrainedRecord):
                differing = [what for what in first.record.differences(run.record) if what != "seed"]
            raise UsageError(
                f"{folder}: {run.folder.name} differs from {first.folder.name} in more than the seed "
                f"({', '.join(differing)}); make them alike, or name two runs without --seeds"
            )
    return [first, *others]


def read(runs: Sequence[Run]) -> list[Evaluated]:
    """The evaluations of these runs in the one protocol that all have ("native" where there are several).

    They are named by their rows, and by their folders too where rows are the same. Raises RunError for a run that is
    not evaluated, or without a protocol in common; UsageError for a run named twice.
    """
    if len({run.folder.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is named twice: nothing to compare")
    protocols = [{file.parent.name for file in run.evaluation("x").parent.glob("*/summary.json")} for run in runs]
    for run, own in zip(runs, protocols, strict=True):
        if not own:
            raise RunError(f"{run.folder}: not evaluated; run vsbench evaluate {run.folder}")
    shared = sorted(set.intersection(*protocols), key=lambda name: (name != "native", name))
    if not shared:
        raise RunError(f"no protocol that all runs were evaluated in: {'; '.join(map(str, map(sorted, protocols)))}")
    rows = [run.record.row for run in runs]
    names = [r if rows.count(r) == 1 else f"{r}/{run.folder.name}" for r, run in zip(rows, runs, strict=True)]
    return [_read(run.evaluation(shared[0]), name) for run, name in zip(runs, names, strict=True)]


def _read(folder: Path, name: str) -> Evaluated:
    summary = Summary.read(folder / "summary.json")
    summary.require_whole(folder)
    table = read_table(folder, [pair.id for pair in summary.pairs])
    return Evaluated(name, summary, table, read_features(folder, len(table)))


def read_table(folder: Path, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The per-image table of an evaluation, index id: text in ``slide``, numbers in all other columns.

    Raises RunError naming the file where it is missing or damaged, or its ids are not ``ids`` in that order.
    """
    return table_of(folder / "per_image.csv", ids)


def table_of(file: Path, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The same of a file of any name."""
    try:
        names = {"id": str, "slide": str}  # 01 is no number, and a slide may be called NA: only empty is missing
        text = StringIO(read_text(file, LARGEST))
        table = pd.read_csv(text, dtype=names, keep_default_na=False, na_values=[""], low_memory=False)
        table = plain_table(table)
        _require_in_order(table)
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: damaged ({said(error)}); remove it and evaluate again") from None
    if ids is not None and table["id"].tolist() != list(ids):
        raise RunError(f"{file}: its lines are not the pairs of its summary; remove it and evaluate again")
    return table.set_index("id").copy()  # in one piece, else pandas warns where columns are added to a hundred


def _require_in_order(table: pd.DataFrame) -> None:
    """Raise ValueError saying what is wrong."""
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("more cells than columns")
    if missing := [name for name in ("id", "slide") if name not in table]:
        raise ValueError(f"no column {missing[0]}")
    if table["id"].isna().any() or table["id"].duplicated().any():
        raise ValueError("ids are missing or doubled")
    for name, column in table.drop(columns=["id", "slide"]).items():
        if column.dtype.kind not in "biuf" and len(column):
            cells = [cell for cell in column if not isinstance(cell, float)]
            wrong = next((cell for cell in cells if not _is_number(cell)), cells[0])  # 1_0 is one to Python alone
            raise ValueError(f"column {brief(name)} holds {brief(wrong)}, no number")
        if (column.replace([np.inf, -np.inf], np.nan).abs() > GREATEST).any():
            raise ValueError(f"column {brief(name)} holds a number that none can be measured as")
    if not (table[list({"height", "width"} & set(table))] > 0).all(axis=None):
        raise ValueError("images without a size")


def _is_number(cell: str | int) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except (ValueError, OverflowError):
        return False


def read_features(folder: Path, images: int) -> dict[str, NDArray[np.float32]]:
    """The features of an evaluation, (N, D) of each kind, rows as in its table; empty where none were kept.

    Raises RunError naming the file where it is damaged, or not of so many ``images``.
    """
    file = folder / "features.npz"
    try:
        features = read_arrays(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{file}: damaged ({said(error)}); remove it and evaluate again") from None
    for name, rows in features.items():
        real = features.get(f"{name.removesuffix('_fake')}_real", rows)
        if (
            rows.ndim != 2
            or len(rows) != images
            or rows.dtype.kind != "f"
            or not np.isfinite(rows).all()
            or rows.shape[1:] != real.shape[1:]
        ):
            raise RunError(f"{file}: not the features of {images} images; remove it and evaluate again")
    return features


def basis(runs: Sequence[Evaluated], metrics: Sequence[str] = ()) -> Basis:
    """Bring runs to the images that all have, and find the values that all have, of ``metrics`` where these are given.

    Raises RunError where runs are of other data, or a value was measured by another protocol; UsageError for a value
    that none has.
    """
    first, *others = runs
    for other in others:
        if other.summary.data_digest != first.summary.data_digest:
            raise RunError(
                f"{first.name} and {other.name} were evaluated on other test images; evaluate both on the same"
            )
        versions = [version_said(run.summary.benchmark) for run in (first, other)]
        if versions[0] != versions[1]:
            raise RunError(
                f"{first.name} and {other.name} are of other benchmark versions ({', '.join(versions)}); evaluate both "
                "again"
            )
    declared = {name: entry for run in reversed(runs) for name, entry in run.summary.values.items()}
    if unknown := [name for name in metrics if name not in declared]:
        raise UsageError(f"--metric {unknown[0]}: not evaluated; there are {', '.join(declared)}")
    metrics_here = [*slide_metrics().values(), *registry.load_all("vsbench.metrics")[0].values()]
    known = {v.name: v for metric in metrics_here for v in metric.values}
    values, left_out = {}, {}
    for name in metrics or declared:
        entries = {run.name: run.summary.values.get(name) for run in runs}
        missing = {run: _absence(entry) for run, entry in entries.items() if _absence(entry)}
        protocols = {entry.protocol for entry in entries.values() if entry}
        if len(protocols) > 1:
            by = "; ".join(f"{run}: {brief(entry.protocol)}" for run, entry in entries.items() if entry)
            raise RunError(f"{name}: measured by other protocols ({by}); evaluate all alike")
        if missing or name not in known:
            alike = len(missing) == len(runs) and len(set(missing.values())) == 1
            reasons = set(missing.values()) if alike else [f"{run}: {reason}" for run, reason in missing.items()]
            left_out[name] = "; ".join(reasons) or "no metric of this name is installed"
        else:
            values[name] = replace(known[name], protocol=protocols.pop())
    ids = first.table.index
    for other in others:
        ids = ids[ids.isin(other.table.index)]
    if not len(ids):
        raise RunError("the runs have no image in common")
    notes = []
    if any(len(run.table) > len(ids) for run in runs):
        notes.append(f"on the {len(ids)} images that all runs have, of up to {max(len(r.table) for r in runs)}")
    slides = group(first.table.loc[ids, "slide"], warn=notes.append)
    return Basis(tuple(run.on(ids) for run in runs), slides, values, left_out, tuple(notes))


def _absence(entry: Reading | None) -> str:
    """Why a summary has no such value; "" if it has one."""
    if entry is None:
        return "not evaluated"
    return "" if entry.value is not None else str(entry.reason)
