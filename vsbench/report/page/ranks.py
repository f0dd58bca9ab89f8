"""Which method is best, and how sure that is: the page's view of a decision."""

from collections.abc import Sequence
from typing import Any

from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.notation import markup
from vsbench.report.verdict import main_values, p_text, percent, ranked, sentences

PLACES = ("1st", "2nd", "3rd", "4th")  # that are named; the rest is lower


def rank_data(decision: Decision) -> dict[str, Any]:
    """The main values that were decided, each with its sentence and the ranks of its methods."""
    columns, said = decision.comparison.columns, sentences(decision)
    names = main_values(decision)
    return {
        "values": [
            {
                "label": markup(columns[name].label),
                "best": columns[name].best,
                "says": markup(sentence.removeprefix(f"{columns[name].label}: ")),
                "caution": decision.values[name].caution,
                "ranks": _ranks(decision, decision.values[name]),
            }
            for name, sentence in zip(names, said, strict=False)
        ],
        "notes": [*([] if names else said), *filter(None, [decision.caution]), *decision.notes],
    }


def _ranks(decision: Decision, decided: ValueDecision) -> list[dict[str, Any]]:
    """Per method its title, the share of 1st, 2nd, … and the text of it, and where it stands to the best."""
    return [
        {
            "method": row.title,
            "shares": [round(share, 4) for share in decided.ranks.get(row.key, ())],
            "said": _said(decided.ranks.get(row.key, ())),
            "mark": decided.standing(row.key).replace("worse", ""),
            "p": p_text(decided.p[row.key]).replace("--", "none") if row.key in decided.p else "",
        }
        for row in ranked(decision, decided)
    ]


def _said(shares: Sequence[float]) -> str:
    """``1st 70 %, 2nd 20 %, 3rd 4 %, lower 6 %``; places that are never taken are left out."""
    parts = [*zip(PLACES, shares, strict=False), ("lower", sum(shares[len(PLACES) :]))]
    return ", ".join(f"{place} {percent(share)}" for place, share in parts if share > 0)
