"""Where light decides: pairs of methods that Fiji's values and their balanced companions order differently.

Fiji takes 255 for glass. Where glass is grey, a method that copies the light is ahead of one that has the stain right.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vsbench.data.pairs import few
from vsbench.metric import penalty
from vsbench.metrics.dab_balanced import SUFFIX
from vsbench.report.tables import Comparison, Row


@dataclass(frozen=True)
class Turned:
    """``first`` is ahead of ``second`` in a value as Fiji reads it, and behind in its balanced companion."""

    value: str
    companion: str
    first: Row
    second: Row


def turned(comparison: Comparison, values: Sequence[str] | None = None) -> list[Turned]:
    """All pairs of methods whose order light turns round, by their means; of all values, or of ``values``.

    Methods that do not compare, or that tie in either, are left out.
    """
    found = []
    for value in comparison.columns if values is None else values:
        companion = f"{value}{SUFFIX}"
        if companion not in comparison.columns or value not in comparison.columns:
            continue
        scores = {row.key: _scores(comparison, row, (value, companion)) for row in comparison.rows if row.is_method}
        rows = [row for row in comparison.rows if scores.get(row.key)]
        for first in rows:
            for second in rows:
                (fiji, balanced), (other_fiji, other_balanced) = scores[first.key], scores[second.key]
                if fiji < other_fiji and balanced > other_balanced:
                    found.append(Turned(value, companion, first, second))
    return found


def sentences(comparison: Comparison, values: Sequence[str] | None = None) -> dict[str, str]:
    """What to say of each value whose order light turns round, by its name."""
    said: dict[str, list[str]] = {}
    for pair in turned(comparison, values):
        said.setdefault(pair.value, []).append(f"{pair.first.title} is ahead of {pair.second.title}")
    return {
        value: f"as Fiji reads it {few(pairs)}; where each slide's own light is left out, it is the other way round"
        for value, pairs in said.items()
    }


def _scores(comparison: Comparison, row: Row, values: Sequence[str]) -> tuple[float, ...]:
    """Penalties in these values; () where one does not compare."""
    means = [row.cell(value).mean for value in values if not comparison.difference(row, value)]
    numbers = [mean for mean in means if mean is not None]
    if len(numbers) < len(values):
        return ()
    return tuple(penalty(number, comparison.columns[value].best) for number, value in zip(numbers, values, strict=True))
