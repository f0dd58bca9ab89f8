"""What kind of row a row is: what its training needs, a control, or a reference."""

from collections.abc import Sequence
from typing import Literal

from vsbench.errors import UserError
from vsbench.registry import load
from vsbench.report.tables import Row

Group = Literal["paired", "weak", "unpaired", "control", "elsewhere", "reference"]
TITLES: dict[Group, str] = {  # in the order in which tables have them
    "paired": "learn from pairs",
    "weak": "learn from weak pairs",
    "unpaired": "learn unpaired",
    "control": "controls",
    "elsewhere": "made elsewhere",
    "reference": "references",
}


MANY = 8  # methods above which a table has them by group


def grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows under the headings of their groups, each in the order given; under none where they are few, or all alike.

    References are under no heading, and stay at the end.
    """
    methods = [row for row in rows if row.is_method]
    groups = {row.key: group_of(row) for row in methods}
    others = [row for row in rows if not row.is_method]
    if len(methods) <= MANY or len(set(groups.values())) < 2:
        return [("", [*methods, *others])]
    by_group = [(title, [row for row in methods if groups[row.key] == group]) for group, title in TITLES.items()]
    return [*((title, own) for title, own in by_group if own), ("", others)]


def group_of(row: Row) -> Group:
    """The group of a row; ``elsewhere`` where the card of its method is not here."""
    if not row.is_method:
        return "reference"
    name = row.runs[0].method
    return "elsewhere" if name is None else method_group(name)


def method_group(name: str) -> Group:
    """The group of a method by its registered name."""
    try:
        card = load("vsbench.methods", name).card
    except UserError:  # of a plugin that is not installed here
        return "elsewhere"
    return "control" if card.is_control else card.pairing
