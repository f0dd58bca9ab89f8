"""What kind of row a row is: what its training needs, a control, or a reference."""

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


def group_of(row: Row) -> Group:
    """The group of a row; ``elsewhere`` where the card of its method is not here."""
    if not row.is_method:
        return "reference"
    name = row.runs[0].method
    if name is None:
        return "elsewhere"
    try:
        card = load("vsbench.methods", name).card
    except UserError:  # of a plugin that is not installed here
        return "elsewhere"
    return "control" if card.is_control else card.pairing
