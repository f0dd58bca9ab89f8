"""Spreads as text: the cells of their tables, the sentences about them, and the CSV files. No markup but in labels."""

from collections.abc import Iterable, Iterator
from statistics import median

import pandas as pd

from vsbench.report.notation import signed, stain_name
from vsbench.report.printed import label
from vsbench.report.spread import Column, Given, Spread, Spreads

HEAD = ("method", "printed", "rerun", "n", "median gap", "widest", "passes")
SUMMARY = ("data", "metric", "methods", "gap", "lie apart", "lead", "smaller", "order")
MEANING = (
    "Gap: rerun minus printed. Passes: how many other methods' printed numbers lie within the widest gap. n: reruns. "
    "Budgets and checkpoints differ from run to run: this is spread, no proof of an error"
)
MOST_PLACES = 5  # of a number
NONE = "–"


def place(column: Column) -> str:
    """``mist ER``."""
    return " ".join(filter(None, (column.dataset, stain_name(column.stain))))


def places(column: Column) -> int:
    """Decimals of the numbers of a column: as many as are printed."""
    exponents = [-int(n.value.as_tuple().exponent) for spread in column.spreads for n in spread.printed]
    return min(max(0, *exponents), MOST_PLACES)


def cells(column: Column, spread: Spread) -> list[str]:
    """What stands under ``HEAD`` for a method."""
    digits = places(column)
    values = sorted(float(given.value) for given in spread.reruns)
    ends = dict.fromkeys(f"{value:.{digits}f}" for value in (values[0], values[-1]))
    return [
        spread.method,
        ", ".join(f"{given.value:f}" for given in spread.printed),
        " … ".join(ends),
        str(len(values)),
        f"{spread.typical:.{digits}f}",
        signed(spread.widest, digits),
        f"{spread.passed} of {len(spread.others)}" if spread.others else NONE,
    ]


def summary(column: Column) -> list[str]:
    """What stands under ``SUMMARY`` for a column."""
    digits, differences = places(column), column.differences
    swapped, pairs = column.order
    return [
        place(column),
        label(column.metric),
        str(len(column.spreads)),
        f"{column.typical:.{digits}f}",
        f"{median(differences):.{digits}f}" if differences else NONE,
        NONE if column.lead is None else f"{column.lead:.{digits}f}",
        f"{column.smaller} of {len(differences)}" if differences else NONE,
        f"{swapped} of {pairs}" if pairs else NONE,
    ]


def sentence(column: Column) -> str:
    """The summary of a column in words, for those who read it below its rows."""
    _, _, _, gap, apart, lead, smaller, order = summary(column)
    parts = [f"median gap {gap}"]
    if apart != NONE:
        parts.append(f"in print two methods lie {apart} apart (median), {smaller} pairs nearer than the gap")
    if lead != NONE:
        parts.append(f"the best leads by {lead}")
    if order != NONE:
        parts.append(f"{order} pairs that were run again change their order")
    return "; ".join(parts)


def notes(spread: Spread) -> list[str]:
    """What is to be known of the numbers of a method: other printed ones, and remarks with their sources."""
    also = [f"also given as printed: {', '.join(map(_with_file, spread.second_hand))}"] if spread.second_hand else []
    return [*also, *remarks(spread)]


def remarks(of: Spread | Column) -> list[str]:
    """What is said of the numbers of a method or place, and by whom."""
    return [f"{remark.says} ({remark.source})" for remark in of.remarks]


def overall(columns: Iterable[Column]) -> Iterator[str]:
    """For each metric with claims: gaps and claimed differences of all places together."""
    of_metric: dict[str, list[Column]] = {}
    for column in columns:
        if column.claims:
            of_metric.setdefault(column.metric, []).append(column)
    for metric, found in of_metric.items():
        digits = max(map(places, found))
        gaps = [spread.typical for column in found for spread in column.spreads]
        apart = [difference for column in found for difference in column.differences]
        leads = [column.lead for column in found if column.lead is not None]
        best = f", the best leads by {median(leads):.{digits}f}" if leads else ""
        yield (
            f"{label(metric)} on {', '.join(map(place, found))}: printed and rerun numbers of one method lie "
            f"{median(gaps):.{digits}f} apart (median of {len(gaps)}), two methods in print "
            f"{median(apart):.{digits}f}{best}"
        )


def pairs_table(columns: Iterable[Column]) -> pd.DataFrame:
    """One line for each printed number and each rerun of it, as they are."""
    return pd.DataFrame(
        [
            {
                "dataset": column.dataset, "stain": column.stain, "metric": column.metric, "test": column.test,
                "method": spread.method, "printed": f"{printed.value:f}", "printed_in": printed.file,
                "printed_at": printed.where, "rerun": f"{rerun.value:f}", "rerun_by": rerun.file,
                "rerun_at": rerun.where, "run": rerun.run, "gap": f"{rerun.value - printed.value:f}",
                "flags": "; ".join([*notes(spread), *remarks(column)]),
            }
            for column in columns
            for spread in column.spreads
            for printed in spread.printed
            for rerun in spread.reruns
        ]
    )  # fmt: skip


def summary_table(columns: Iterable[Column]) -> pd.DataFrame:
    """One line for each place, unrounded."""
    return pd.DataFrame(
        [
            {
                "dataset": column.dataset, "stain": column.stain, "metric": column.metric, "test": column.test,
                "methods": len(column.spreads), "reruns": sum(len(spread.reruns) for spread in column.spreads),
                "median_gap": column.typical,
                "claimed_methods": len(column.claims),
                "median_claimed_difference": median(column.differences) if column.differences else None,
                "lead": column.lead, "claims_below_gap": column.smaller, "claims": len(column.differences),
                "order_changed": column.order[0], "order_pairs": column.order[1],
            }
            for column in columns
        ]
    )  # fmt: skip


def left_out(spreads: Spreads) -> str:
    """How many reruns are not there, and why; empty where none is missing."""
    return "; ".join(f"{count} numbers {why}" for why, count in spreads.left_out.items())


def _with_file(given: Given) -> str:
    return f"{given.value:f} [{given.file}]"
