"""What an evaluation leaves on disk: the per-image table and the features, and a summary derived from them."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from vsbench import __version__, ranks
from vsbench.benchmark import BENCHMARK
from vsbench.cells import neutral_table
from vsbench.data.pairs import Pair
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.evaluation.group import FOLDS, PROTOCOL, SPLIT
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.intervals import intervals
from vsbench.evaluation.onepass import Failed, Measured, set_values
from vsbench.evaluation.rows import Row, write_record
from vsbench.files import atomic, file_digest, json_number, write_text
from vsbench.metric import Absent
from vsbench.records.summary import Summary
from vsbench.stats import slides
from vsbench.stats.bootstrap import LIMITS, RESAMPLES
from vsbench.stats.slides import ENOUGH

BOOTSTRAP_SEED = 0
TABLE, FEATURES = "per_image.csv", "features.npz"


def stored(row: Row, fingerprint: str) -> tuple[Summary | None, str]:
    """(The summary on disk, if it and what lies beside it are in order and of the same images, data and protocols, and
    no metric failed; what is damaged, where that is why there is none)."""
    folder = row.run.evaluation(row.protocol)
    if not (folder / "summary.json").exists():
        return None, ""
    try:
        summary = Summary.read(folder / "summary.json")
        summary.require_whole(folder)
    except RunError as error:
        return None, str(error)
    whole = summary.fingerprint == fingerprint and (folder / TABLE).is_file() and not summary.failed
    return (summary if whole else None), ""


class Tested(Protocol):
    """The pairs that rows are compared on: ``group.Group``, or whole slides."""

    name: str | None
    pairs: list[Pair]
    warnings: list[str]

    @property
    def data_digest(self) -> str:
        """SHA-256 over them."""

    @property
    def split_digest(self) -> str | None:
        """SHA-256 over their split, where it is known."""


def renamed(row: Row, group: Tested, there: Summary) -> Summary:
    """The summary on disk with the name that the pairs are called by now, its row's record beside it."""
    write_record(row.run, row.record)
    if there.data_name != group.name:
        there = there.model_copy(update={"data_name": group.name})
        if ranks.rank() == 0:
            there.write(row.run.evaluation(row.protocol) / "summary.json")
    return there


def forget(row: Row) -> None:
    """Remove the summary of a row that is to be measured: a table without one is not evaluated."""
    if ranks.rank() == 0:
        (row.run.evaluation(row.protocol) / "summary.json").unlink(missing_ok=True)


def write(
    row: Row, group: Tested, instrument: Instrument, measured: Measured, fingerprint: str, images: str
) -> Summary:
    """The summary of a row; the first rank writes the row's record, table, features and, last, summary."""
    folder = row.run.evaluation(row.protocol)
    table = measured.table
    values = set_values(instrument.metrics, measured)
    values |= {v.name: Absent(r) for _, m, r in instrument.absent for v in m.values}
    declared = {v.name: v for m in instrument.all for v in m.values}
    limits = intervals(list(declared.values()), table, measured.features, values, seed=BOOTSTRAP_SEED)
    drawn = slides.group(table["slide"], warn=lambda text: None) if len(table) else None
    warnings = [*group.warnings, *row.warnings, *instrument.broken]
    if measured.skipped:
        warnings.append(f"{len(measured.skipped)} of {len(group.pairs)} pairs skipped as bad: see skipped")
    content = {
        "schema": 1,
        **{key: getattr(row.record, key) for key in ("kind", "dataset", "stain", "row", "title", "seed")},
        "data_name": group.name,
        "split": SPLIT,
        "protocol": row.protocol,
        "n": len(table),
        "n_slides": table["slide"].nunique() if table["slide"].notna().all() else None,
        "sizes": sorted({f"{h}x{w}" for h, w in zip(table["height"], table["width"], strict=True)}),
        "data_digest": group.data_digest,
        "split_digest": group.split_digest,
        "images_digest": images,
        "fingerprint": fingerprint,
        "vsbench": __version__,
        "benchmark": BENCHMARK,
        "bootstrap": {
            "resamples": RESAMPLES,
            "seed": BOOTSTRAP_SEED,
            "how": LIMITS,
            "unit": drawn.unit if drawn else None,
            "units": drawn.count if drawn else 0,
            "enough": ENOUGH,
        },
        "provenance": instrument.provenance,
        "warnings": warnings,
        "skipped": measured.skipped,
        "pairs": [
            {
                "id": p.id,
                **{k: _path(file, row.run) for k, file in (("he", p.he), ("ihc", p.ihc), ("truth", p.truth))},
                "fake": _path(row.files[p.id], row.run) if row.files else None,
            }
            for p in group.pairs
            if p.id not in measured.skipped
        ],
        "values": {
            name: {
                "label": value.label,
                "unit": value.unit,
                "best": value.best,
                "protocol": value.protocol if row.protocol == PROTOCOL else f"{value.protocol}+{row.protocol}",
                "formula": value.formula,
                **_json_value(values[name]),
                "interval": limits.get(name),
            }
            for name, value in declared.items()
        },
    }
    content["failed"] = [name for name, value in values.items() if isinstance(value, Failed)]
    summary = Summary.checked(content, folder / "summary.json")
    if ranks.rank() != 0:
        return summary
    write_record(row.run, row.record)
    write_text(folder / TABLE, neutral_table(table).to_csv(lineterminator="\n"))
    if measured.features:
        with atomic(folder / FEATURES) as temporary, temporary.open("wb") as out:
            np.savez(out, allow_pickle=False, **measured.features)
    files = [TABLE, *([FEATURES] if measured.features else [])]
    digests = {name: file_digest(folder / name) for name in files}
    summary = summary.model_copy(update={"digests": digests, "values_digest": summary.digest_of_values})
    summary.write(folder / "summary.json")
    return summary


def _path(file: Path | None, run: Run) -> str | None:
    """Relative to the run folder where the file lies in it or in a fold beside it, so that runs can be moved; else
    absolute.
    """
    if file is None:
        return None
    file, folder = file.resolve(), run.folder.resolve()
    if file.is_relative_to(folder.parents[3] / FOLDS):
        return os.path.relpath(file, folder)
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def _json_value(value: float | Absent) -> dict[str, float | str | None]:
    if isinstance(value, Absent):
        return {"value": None, "reason": value.reason}
    return {"value": json_number(value), "reason": None}
