"""The leaderboard's rows: what was measured, the references beside it, and what papers printed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vsbench.benchmark import version_said
from vsbench.metric import Value
from vsbench.report.decision import Decision
from vsbench.report.groups import grouped
from vsbench.report.notation import decimals, markup, stain_name
from vsbench.report.page.facts import Facts
from vsbench.report.page.texts import Texts, number, written
from vsbench.report.printed import declared, doubts, place, short_source
from vsbench.report.provenance.records import records
from vsbench.report.published import Paper
from vsbench.report.published import Row as PrintedRow
from vsbench.report.tables import Column, Comparison, Row
from vsbench.report.verdict import p_text

# at first, in this order: the amount of stain and its sign, is it in the right images, tissue, look, the truth
SHOWN = (
    "ccc", "iod_bias", "r_p", "iod_mae", "r_c", "ssim", "psnr", "cell_auc", "mask_dice_best", "truth_mae", "fid",
    "fd_vgg16", "phv_avg",
)  # fmt: skip
KINDS = {
    "trained": "measured",
    "pooled": "measured",
    "imported": "imported",
    "external": "external",
    "reference": "reference",
}
UNBEATEN = "a reference, and better than every method: mind what this value rewards"
RANDOM = "weights drawn at random, for tests: not comparable with anything"


class Leaderboard:
    """Gathers rows, one comparison after the other, so that no more than one is held with its files."""

    def __init__(self, out: Path, papers: Sequence[Paper]) -> None:
        self.out, self.texts = out, Texts()
        self.rows: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.values: dict[str, dict[str, Any]] = {}
        self.papers = papers

    def add(self, comparison: Comparison, decision: Decision | None) -> list[Facts]:
        """The rows of a comparison; returns what the first run of each method says of itself."""
        for column in comparison.columns.values():
            self.values.setdefault(column.value, _value(column))
        first, facts, recorded = [], {}, iter(records([comparison]))
        for row in comparison.rows:
            facts[row.key] = [Facts(run, next(recorded)) for run in row.runs]
            first += facts[row.key][:1] if row.is_method else []
        cells = {name: self._column(comparison, column, facts, decision) for name, column in comparison.columns.items()}
        for group, row in ((group, row) for group, members in grouped(comparison.rows) for row in members):
            run = row.runs[0]
            notes = [self.texts(text) for text in dict.fromkeys(text for r in row.runs for text in r.warnings)]
            self.rows.append({
                "dataset": comparison.title,
                "stain": stain_name(comparison.stain),
                "protocol": run.protocol,
                "benchmark": version_said(run.benchmark),
                "kind": KINDS[row.kind if row.is_method else "reference"],
                "group": group or None,
                "method": row.title,
                "seeds": row.seeds or None,
                "n": run.n,
                "slides": run.n_slides,
                "notes": notes,
                "runs": [len(self.runs) + i for i in range(len(row.runs))],
                "cells": {name: column[row.key] for name, column in cells.items()},
            })  # fmt: skip
            self.runs += [one.described(self.out, self.texts) for one in facts[row.key]]
        return first

    def data(self) -> dict[str, Any]:
        """All of it for the page; ``elsewhere``: a row that papers printed, of data on which nothing was measured."""
        rows = self.rows + [row for paper in self.papers for row in self._printed(paper)]
        measured = {(row["dataset"], row["stain"]) for row in self.rows}
        for row in rows:
            row["elsewhere"] = (row["dataset"], row["stain"]) not in measured
        rows.sort(key=lambda row: (row["elsewhere"], row["dataset"], row["stain"]))
        main = [name for name in SHOWN if name in self.values]
        rest = [name for name in self.values if name not in main]
        return {
            "values": [{"name": name, "main": name in main} | self.values[name] for name in [*main, *rest]],
            "rows": rows,
            "runs": self.runs,
            "texts": self.texts.all(),
        }

    def _column(
        self,
        comparison: Comparison,
        column: Column,
        facts: Mapping[str, Sequence[Facts]],
        decision: Decision | None,
    ) -> dict[str, dict[str, Any]]:
        """The cells of one value by row key."""
        name = column.value
        decided = decision.values.get(name) if decision else None
        why = decision.left_out.get(name, "") if decision else ""
        caution = f"no decision, the best by its mean alone: {why}" if why else ""
        if decision and decided:
            caution = "; ".join(filter(None, (decision.caution, decided.caution)))
        means = [mean for row in comparison.rows if (mean := row.cell(name).mean) is not None]
        places = decimals(name, column.unit, means)
        standing = {row.key: decided.standing(row.key) for row in comparison.rows} if decided else {}
        best = {key for key, place in standing.items() if place == "best"}
        if not decided:
            best = {key for key, rank in comparison.ranks(name, places).items() if rank == 1}
        unbeaten = {row.key for row in comparison.unbeaten(name)}
        cells = {}
        for row in comparison.rows:
            cell = self._cell(comparison, row, name, places, facts[row.key])
            if row.key in best:
                cell["mark"] = "best"
            elif standing.get(row.key) == "alike":
                cell["mark"] = "alike"
            if row.key in unbeaten:
                cell.setdefault("notes", []).append(self.texts(UNBEATEN))
            if decided and row.key in decided.p:
                cell["p"] = p_text(decided.p[row.key])
            if caution and row.is_method and cell["mean"] is not None:
                cell["caution"] = self.texts(caution)
            limits = decided.intervals.get(row.key) if decided else None
            if limits is None and len(row.runs) == 1:
                limits = facts[row.key][0].interval(name)
            if limits is not None and cell["mean"] is not None:
                cell["limits"] = [written(limit, places) for limit in limits]
            cells[row.key] = cell
        return cells

    def _cell(self, comparison: Comparison, row: Row, name: str, places: int, facts: Sequence[Facts]) -> dict[str, Any]:
        """Mean, text and the value of each seed; ``notes`` say why a value is absent or stands alone."""
        cell = row.cell(name)
        notes: list[str] = []
        if cell.mean is None:
            notes += dict.fromkeys(reason for _, reason in cell.missing)
            text = "n/a"
        else:
            text = written(cell.mean, places) + ("" if cell.sd is None else f" ± {written(cell.sd, places)}")
            notes += [f"mean without {seed}: {reason}" for seed, reason in cell.missing]
            difference = comparison.difference(row, name)
            notes += [f"{difference}: not ranked"] if difference else []
            notes += [RANDOM] if "@random" in str(cell.protocol) else []
        seeds = []
        for run, fact in zip(row.runs, facts, strict=True):
            reading = run.values.get(name)
            value = reading.value if reading else None
            limits = fact.interval(name)
            seeds.append([
                run.folder.name if run.seed is None else f"seed {run.seed}",
                "n/a" if value is None else written(value, places + 1),
                None if limits is None else [written(limit, places + 1) for limit in limits],
            ])  # fmt: skip
        shown: dict[str, Any] = {"mean": number(cell.mean), "text": text, "seeds": seeds}
        if notes:
            shown["notes"] = [self.texts(note) for note in notes]
        protocols = [run.values[name].protocol for run in row.runs if name in run.values]
        if cell.protocol or protocols:
            shown["protocol"] = self.texts(cell.protocol or protocols[0])
        if formula := next(filter(None, (fact.formula(name) for fact in facts)), ""):
            shown["formula"] = self.texts(formula)
        return shown

    def _printed(self, paper: Paper) -> Iterable[dict[str, Any]]:
        """One row per method, data set and stain of a paper; where a number is printed twice, the first is shown."""
        doubtful, source = doubts(paper), self.texts(f"printed by {short_source(paper)}, by its own protocol")
        groups: dict[tuple[str, str, str], list[PrintedRow]] = {}
        for row in paper.rows:
            if row.dataset and row.method:  # others tell of data sets
                groups.setdefault((row.dataset, row.stain, row.who), []).append(row)
        for (dataset, stain, method), rows in groups.items():
            cells: dict[str, dict[str, Any]] = {}
            for row in rows:
                if row.metric not in self.values:
                    self.values[row.metric] = printed_value(row.metric)
                cell = cells.setdefault(row.metric, {"mean": float(row.number), "text": row.value, "printed": []})
                cell["printed"].append([place(row), row.method, row.value])
                notes = [self.texts(text) for text in doubtful.get(row.line, ())]
                if notes:
                    cell["notes"] = list(dict.fromkeys([*cell.get("notes", []), *notes]))
            yield {
                "dataset": dataset,
                "stain": stain_name(stain),
                "protocol": "as printed",
                "benchmark": None,
                "kind": "printed",
                "method": method,
                "seeds": None,
                "n": None,
                "slides": None,
                "notes": [source],
                "runs": [],
                "cells": cells,
            }


def _value(column: Column | Value) -> dict[str, Any]:
    unit = "" if column.unit == "1" else column.unit
    return {"label": markup(column.label), "unit": unit, "best": column.best, "score": column.unit != "images"}


def printed_value(metric: str) -> dict[str, Any]:
    """A value that no run has; where no metric declares it, nothing is known of its direction."""
    known = declared().get(metric)
    return _value(known) if known else {"label": [("", metric)], "unit": "", "best": "high", "score": False}
