"""The board: a page of what papers printed, others ran again, and anyone submitted, side by side and never mixed up."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from vsbench.benchmark import VERSIONS
from vsbench.exchange.bundle import known_dataset
from vsbench.files import write_text
from vsbench.records.submission import Submission
from vsbench.report.ledger import Ledger
from vsbench.report.notation import decimals, stain_name
from vsbench.report.page.assemble import assembled
from vsbench.report.page.leaderboard import Leaderboard, printed_value
from vsbench.report.page.texts import written
from vsbench.report.printed import declared
from vsbench.report.reruns import STATES, Rerun, Reruns
from vsbench.report.tables import most_common

SCRIPTS = ("elements", "panel", "constants", "leaderboard", "start-board")
RERUN = {"printed": "printed second-hand", "submitted": "rerun", "reproduced": "reproduced"}  # state → kind of row
ORDER = ("reproduced", "submitted", "rerun", "printed", "printed second-hand")
MEANINGS = {
    "reproduced": STATES["reproduced"],
    "submitted": "somebody's own run, sent as data that vsbench submit check finds nothing wrong with",
    "rerun": STATES["submitted"],
    "printed": "what a paper printed, typos and all, by its own protocol",
    "printed second-hand": STATES["printed"],
}
LONGEST = 9  # characters of a number
Row = dict[str, Any]


def write_board(submissions: Sequence[Submission], ledger: Ledger, out: Path) -> Path:
    """Write ``index.html`` into ``out``; one file, which needs nothing else."""
    board = Board(out, ledger)
    board.submitted(submissions)
    data = {"board": board.data(), "states": [[kind, MEANINGS[kind]] for kind in ORDER if board.has(kind)]}
    write_text(out / "index.html", assembled("board", SCRIPTS, data))
    return out / "index.html"


class Board(Leaderboard):
    """The leaderboard's rows of submissions and reruns; papers' rows as the report has them."""

    def __init__(self, out: Path, ledger: Ledger) -> None:
        super().__init__(out, ledger.papers)
        for source in ledger.reruns:
            self.rows += self._rerun(source)

    def submitted(self, submissions: Sequence[Submission]) -> None:
        """Add a row for each; of rows that are one but for the benchmark version, each tells of all."""
        groups: dict[tuple[Any, ...], list[Submission]] = {}
        for one in submissions:
            groups.setdefault((one.dataset, one.stain), []).append(one)
        for members in groups.values():
            usual, places = most_common(one.data for one in members), _places(members)
            for one in members:
                self.rows.append(self._submission(one, usual, places, [m for m in members if _same_row(m, one)]))

    def has(self, kind: str) -> bool:
        """Whether it has rows of a kind."""
        return any(row["kind"] == kind for row in self.rows) or (kind == "printed" and bool(self.papers))

    def data(self) -> dict[str, Any]:
        """All of it for the page; nothing is hidden at first."""
        data = super().data()
        for row in data["rows"]:
            row["elsewhere"] = False
        data["rows"].sort(key=lambda row: (ORDER.index(row["kind"]), row["dataset"], row["stain"]))
        return data

    def _submission(
        self, one: Submission, usual: str, places: Mapping[str, int], versions: Sequence[Submission]
    ) -> Row:
        dataset = known_dataset(one.dataset, one.options)
        notes = [] if dataset is None else list(dataset.warnings)
        notes += [] if one.data == usual else [f"measured on other test images ({one.data[:12]}) than most rows"]
        notes += [f"sent by {one.by}"] if one.by else []
        notes += [f"{one.preset} preset: not the published configuration"] if one.preset not in (None, "paper") else []
        first = len(self.runs)
        self.runs += [self._run(one, place) for place in range(len(one.runs))]
        return {
            "dataset": one.dataset,
            "stain": stain_name(one.stain),
            "protocol": one.protocol,
            "benchmark": one.benchmark,
            "kind": one.state,
            "method": one.title,
            "seeds": sum(run.seed is not None for run in one.runs) or None,
            "n": one.runs[0].n,
            "slides": one.n_slides,
            "notes": [self.texts(note) for note in notes],
            "runs": list(range(first, len(self.runs))),
            "cells": {
                name: self._value_of(one, name, places[name], versions)
                for name in one.runs[0].values
                if self._known(name)
            },
        }

    def _known(self, name: str) -> bool:
        """Whether there is such a value, which then has a column."""
        known = name in declared()
        if known:
            self.values.setdefault(name, printed_value(name))
        return known

    def _value_of(self, one: Submission, name: str, places: int, versions: Sequence[Submission]) -> Row:
        found = [(run.seed, run.values[name]) for run in one.runs if name in run.values]
        numbers = [value.value for _, value in found]
        cell: Row = {
            "mean": fmean(numbers),
            "text": _text(numbers, places),
            "protocol": self.texts(found[0][1].protocol),
            "formula": self.texts(declared()[name].formula),
            "seeds": [[
                "run" if seed is None else f"seed {seed}", written(value.value, places + 1),
                value.interval and [written(limit, places + 1) for limit in (value.interval.low, value.interval.high)],
            ] for seed, value in found],
        }  # fmt: skip
        if len(found) == 1 and cell["seeds"][0][2]:
            cell["limits"] = cell["seeds"][0][2]
        if len(found) < len(one.runs):
            cell["notes"] = [self.texts(f"of {len(found)} of {len(one.runs)} runs")]
        history = [
            [version.benchmark, version.state, _text(of, places)]
            for version in sorted(versions, key=lambda v: list(VERSIONS).index(v.benchmark))
            if (of := [run.values[name].value for run in version.runs if name in run.values])
        ]
        if len(history) > 1:
            cell["history"] = history
        return cell

    def _run(self, one: Submission, place: int) -> Row:
        run, text = one.runs[place], self.texts
        digests = {"test images": one.data, "split": one.split_digest, "per-image table": run.table,
                   "generated images": run.images, "weights of the run": run.weights}  # fmt: skip
        facts = {
            "benchmark": one.benchmark,
            "method": ", ".join(filter(None, (one.method, one.variant, one.preset))),
            "settings": ", ".join(f"{key} {value}" for key, value in one.settings.items()),
            "options of the data": ", ".join(f"{key} {value}" for key, value in one.options.items()),
            "versions": ", ".join(f"{key} {value}" for key, value in one.versions.items()),
            "device": one.hardware,
            "DOI": one.doi,
            "images": f"{run.n}, of {', '.join(one.sizes)} pixels",
        }
        return {
            "name": "the run" if run.seed is None else f"seed {run.seed}",
            "digests": [[name, text(value)] for name, value in digests.items() if value],
            "facts": [[name, text(value)] for name, value in facts.items() if value],
            "commands": [],
            "notes": [],
            "files": [],
        }

    def _rerun(self, source: Reruns) -> Iterable[Row]:
        """One row per method, data, and run of a source."""
        groups: dict[tuple[str, ...], list[Rerun]] = {}
        for row in source.rows:
            if row.dataset and row.method:
                key = (row.dataset, row.stain, row.who, row.state, row.run, row.training, row.test)
                groups.setdefault(key, []).append(row)
        for (dataset, stain, method, state, run, training, test), rows in groups.items():
            notes = [f"source {source.name}: {rows[0].where}"]
            notes += [f"unknown: {what}" for what in dict.fromkeys(row.unknown for row in rows) if what]
            notes += [f"run {run}"] if run else []
            notes += [f"trained on {training}"] if training else []
            notes += [f"tested on {test}"] if test else []
            cells: dict[str, Row] = {}
            for row in rows:
                self.values.setdefault(row.metric, printed_value(row.metric))
                cell = cells.setdefault(row.metric, {"mean": float(row.number), "text": _short(row), "printed": []})
                cell["printed"].append([row.table or row.source, row.method, row.value])
            yield {
                "dataset": dataset, "stain": stain_name(stain), "protocol": "as given", "benchmark": None,
                "kind": RERUN[state], "method": method, "seeds": None, "n": None, "slides": None,
                "notes": [self.texts(note) for note in notes], "runs": [], "cells": cells,
            }  # fmt: skip


def _places(members: Sequence[Submission]) -> dict[str, int]:
    """Decimals of each value that is known, over all rows that stand in one column."""
    numbers: dict[str, list[float]] = defaultdict(list)
    for run in (run for one in members for run in one.runs):
        for name, value in run.values.items():
            numbers[name].append(value.value)
    return {name: decimals(name, declared()[name].unit, found) for name, found in numbers.items() if name in declared()}


def _same_row(one: Submission, other: Submission) -> bool:
    return (one.row, one.by, one.data, one.protocol) == (other.row, other.by, other.data, other.protocol)


def _short(row: Rerun) -> str:
    """A number as it was given, or six digits of it where someone gave all that a computer has."""
    return row.value if len(row.value) <= LONGEST else f"{row.number:.6g}"


def _text(numbers: Sequence[float], places: int) -> str:
    spread = f" ± {written(stdev(numbers), places)}" if len(numbers) > 1 else ""
    return written(fmean(numbers), places) + spread
