"""Which images of a run the failure explorer shows: those at both ends of the error in stain, or the worst and best."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from vsbench.metric import Best, penalty
from vsbench.numbers import digits
from vsbench.report.notation import signed

WORST, MEDIAN, BEST = 4, 3, 4  # images shown of each
DOSE = "dose_error"  # mean DAB density of the generated image less that of the real one, OD
SEEN = 0.0005  # OD; a smaller error is printed as none
NEGATIVE = 0.01  # of a real image's area: where less is stained, it counts as without stain
FALSE = 0.001  # of an image's area, stained beyond that: no longer noise

Shown = list[tuple[int, str]]  # number of the pair, and its value as text


class Groups(ABC):
    """The images of one run to show, by heading."""

    @abstractmethod
    def groups(self) -> dict[str, Shown]:
        """By heading, in the order of the page."""

    def pairs(self) -> Iterator[int]:
        """The numbers of all pairs."""
        yield from (number for group in self.groups().values() for number, _ in group)


@dataclass(frozen=True)
class Choice(Groups):
    """The images of one run to show, by a number for which one end is good."""

    worst: Shown
    median: Shown
    best: Shown

    def groups(self) -> dict[str, Shown]:
        """By heading, the worst first."""
        return {"Worst": self.worst, "Median": self.median, "Best": self.best}


@dataclass(frozen=True)
class Ends(Groups):
    """The images of one run to show by their error in stain, which has a sign: both ends fail."""

    less: Shown
    nearest: Shown
    more: Shown

    def groups(self) -> dict[str, Shown]:
        """By heading; what no image is like is left out."""
        named = {"Too little stain": self.less, "Too much stain": self.more, "Nearest to the real IHC": self.nearest}
        return {heading: shown for heading, shown in named.items() if shown}


def choose(table: pd.DataFrame, column: str, best: Best) -> Choice:
    """The images with the worst, median and best numbers of a column; ties by id; images without a number left out.

    An image is in one group only: with few of them the median group is empty first. One that is stained where the real
    IHC is not is never among the best, whatever the number says.
    """
    known = table[["id", column]].dropna()
    known = known.assign(penalty=penalty(known[column], best)).sort_values(["penalty", "id"])
    order = [(int(number), digits(value)) for number, value in zip(known.index, known[column], strict=True)]
    bad = min(WORST, len(order) - min(BEST, len(order) // 2))
    others, false = order[: len(order) - bad], falsely_stained(table)
    good = [one for one in others if one[0] not in false][:BEST]
    rest = [one for one in others if one not in good]
    skip = max(0, (len(rest) - MEDIAN) // 2)
    return Choice(order[len(order) - bad :][::-1], rest[skip : skip + MEDIAN], good)


def choose_ends(table: pd.DataFrame) -> Ends:
    """The images with most too little and most too much stain by ``DOSE``, and those nearest to the real IHC.

    Ties go by id; an image is in one group only, at an end first. One that is stained where the real IHC is not is
    never among the nearest: its stain only happens to be as much.
    """
    known = table[["id", DOSE]].dropna().sort_values([DOSE, "id"])
    order = list(zip(map(int, known.index), known[DOSE], strict=True))
    most = min(WORST, max(1, (len(order) + 1) // 3))
    less = [one for one in order if one[1] <= -SEEN][:most]
    more = [one for one in sorted(order, key=lambda one: -one[1]) if one[1] >= SEEN][:most]
    false = falsely_stained(table)
    rest = [one for one in order if one not in less and one not in more and one[0] not in false]
    nearest = sorted(rest, key=lambda one: abs(one[1]))[:MEDIAN]
    return Ends(*([(number, signed(error, 3)) for number, error in group] for group in (less, nearest, more)))


def falsely_stained(table: pd.DataFrame) -> set[int]:
    """The images that are stained where the real IHC has no stain; none where the table does not tell areas."""
    if not {"positive_area", "positive_area_real"} <= set(table):
        return set()
    real, generated = table["positive_area_real"], table["positive_area"]
    return set(map(int, table.index[(real < NEGATIVE) & (generated - real > FALSE)]))


def with_dose(table: pd.DataFrame) -> pd.DataFrame:
    """A per-image table with the mean densities ``od`` and ``od_real`` and ``DOSE``, where it has what these need."""
    if not {"intden", "intden_real", "height", "width"} <= set(table):
        return table
    pixels = table["height"] * table["width"]
    densities = table.assign(od=table["intden"] / pixels, od_real=table["intden_real"] / pixels)
    return densities.assign(**{DOSE: densities["od"] - densities["od_real"]})
