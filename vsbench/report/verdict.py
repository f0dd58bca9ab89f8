"""Which method for this stain: a table and sentences that say how sure a decision is, and no more than it shows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vsbench.benchmark import version_said
from vsbench.metric import penalty
from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.light import turned
from vsbench.report.tables import Row
from vsbench.stats.ranks import rank_summary

MAIN_VALUES = ("iod_mae", "r_avg", "fid", "phv_avg", "cell_auc", "truth_mae")  # stain, pathology, look, the truth
NAMED = 5  # methods in a sentence; the table has all


def main_values(decision: Decision) -> list[str]:
    """The values to decide by, of those decided; some that were decided where none of the main ones was."""
    return [v for v in MAIN_VALUES if v in decision.values] or list(decision.values)[: len(MAIN_VALUES)]


def decision_table(decision: Decision, values: Sequence[str] | None = None) -> pd.DataFrame:
    """One line per value and method, best expected rank first; of all values, or of ``values``.

    ``mean`` and ``sd`` over seeds; ``low`` and ``high``: 95 % limits over slides; ``standing``: best, alike (not
    distinguishable from it at 5 %) or worse, and empty where so few units can't show it; ``rank``, ``rank_low`` and
    ``rank_high``: the expected rank, and the central 95 % of ranks over resamples; ``first``, and ``share_1``,
    ``share_2``, …: share of resamples at each rank; ``behind_balanced``: methods that it is ahead of, and behind in the
    value's balanced companion (``report.light``). ``units``: how many independent ones, of ``unit_kind``. Empty where a
    number does not exist. A value without a decision has one line without a method: ``caution`` says why.
    """
    comparison, lines = decision.comparison, []
    for name in comparison.columns if values is None else values:
        head: dict[str, object] = {
            "dataset": comparison.dataset,
            "stain": comparison.stain,
            "benchmark": version_said(comparison.benchmark),
            "value": name,
        }
        if name in decision.left_out:
            lines.append(head | {"caution": decision.left_out[name]})
        if name not in decision.values:
            continue
        decided, column = decision.values[name], comparison.columns[name]
        head |= {"unit": column.unit, "best": column.best, "protocol": column.protocol}
        behind: dict[str, list[str]] = {}
        for pair in turned(comparison, [name]):
            behind.setdefault(pair.first.key, []).append(pair.second.title)
        lines += [
            head | _line(decision, decided, row) | {"behind_balanced": "; ".join(behind.get(row.key, []))}
            for row in ranked(decision, decided)
        ]
    table = pd.DataFrame(lines)
    return table.astype({name: "Int64" for name in ("seeds", "units", "resamples", "seed") if name in table})


def ranked(decision: Decision, decided: ValueDecision) -> list[Row]:
    """The methods of a value that compare, best expected rank first; without ranks in the order of their means."""
    best = decision.comparison.columns[decided.value].best

    def place(row: Row) -> tuple[float, float]:
        rank = rank_summary(np.array(decided.ranks[row.key])).mean if decided.ranks else 0.0
        return rank, penalty(row.cell(decided.value).mean or 0.0, best)

    keys = {decided.best, *decided.p}
    return sorted((row for row in decision.comparison.rows if row.is_method and row.key in keys), key=place)


def sentences(decision: Decision) -> list[str]:
    """One text per main value, as far as these were decided; labels with ``$…$`` as ``notation.heading`` allows."""
    said = [
        f"{decision.comparison.columns[name].label}: {_says(decision, decision.values[name])}"
        for name in main_values(decision)
    ]
    if said:
        return said
    reasons = "; ".join(dict.fromkeys(decision.left_out.values())) or "no score was measured"
    return [f"{decision.comparison.name}: nothing can be decided: {reasons}."]


def percent(share: float) -> str:
    """A share, never rounded to none or all."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{100 * share:.0f} %"


def p_text(p: float) -> str:
    """A p as it is printed; a dash where there is none."""
    if np.isnan(p):
        return "--"
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _line(decision: Decision, decided: ValueDecision, row: Row) -> dict[str, object]:
    cell, (low, high) = row.cell(decided.value), decided.intervals.get(row.key, (np.nan, np.nan))
    line: dict[str, object] = {"method": row.key, "title": row.title, "seeds": len(row.runs), "mean": cell.mean}
    line |= {
        "sd": cell.sd,
        "low": low,
        "high": high,
        "p": decided.p.get(row.key),
        "standing": decided.standing(row.key),
    }
    if shares := decided.ranks.get(row.key):
        rank = rank_summary(np.array(shares))
        line |= {"rank": rank.mean, "rank_low": rank.low, "rank_high": rank.high, "first": rank.first}
        line |= {f"share_{place}": share for place, share in enumerate(shares, start=1)}
    line |= {
        "units": decided.slides,
        "unit_kind": decided.unit,
        "resamples": decided.resamples,
        "seeds_drawn": decided.seeds_drawn,
    }
    caution = "; ".join(filter(None, (decision.caution, decided.caution)))
    return line | {"seed": decision.seed, "caution": caution}


def _says(decision: Decision, decided: ValueDecision) -> str:
    titles = {row.key: row.title for row in decision.comparison.rows}
    best, given = titles[decided.best], decided.units
    if not decided.p:
        return f"{best} is the only method that compares: there is nothing to choose from."
    if not decided.can_show:
        return f"{given} can't show a difference among {len(decided.p) + 1} methods."
    lead = f"{best} has the best mean"
    if decided.ranks:
        lead += f" and is first in {percent(decided.ranks[decided.best][0])} of resamples"
    groups: dict[bool, list[str]] = {True: [], False: []}
    for key in sorted(decided.p, key=lambda key: (-np.nan_to_num(decided.p[key], nan=1.0), titles[key])):
        p = f"p = {p_text(decided.p[key])}".replace("= <", "< ").replace("p = --", "no p")
        groups[key in decided.alike()].append(f"{titles[key]} ({p})")
    said = f"{lead} of {given}." if decided.ranks else f"{lead}, over {given}."
    if groups[True]:
        said += f" Not distinguishable from it at 5 %: {_some(groups[True])}."
    if groups[False]:
        said += f" Not the best, at 5 %: {_some(groups[False][::-1])}."
    if decided.unit != "slide":
        said += " Images are taken for independent here; where they share a slide, this is too sure."
    return said


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:NAMED])} and {more} more"
