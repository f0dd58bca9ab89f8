"""How far what papers print and what others ran again lie apart, beside the differences between methods in print.

Compared is one method on one data set, stain and metric: its printed numbers with those of all reruns. Reruns that were
trained on other images than the data set's own training pairs are left out; those measured on other test images stand
apart, since there the gap is the protocol's as well. Second-hand printed numbers count where no paper of the ledger has
one, and where they are not the very run of who gives them. A number that a source gives twice, be it rounded or cut,
counts once: of one run, or of so many digits that chance is no explanation. ``phv_avg`` of a run that gives the four
layers alone is their mean.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations
from statistics import median

from vsbench.errors import UsageError
from vsbench.metric import penalty
from vsbench.names import brief
from vsbench.records.reruns import Remark
from vsbench.report.ledger import Ledger
from vsbench.report.printed import blocks, declared, impossible
from vsbench.report.printed import place as printed_place
from vsbench.report.published import COPY_DIGITS, Paper
from vsbench.report.reruns import Rerun, Reruns

THOUSANDFOLD = "_1e3"  # ends the name of a metric that is given times 1000
LAYERS = {"phv_avg": ("phv_l1", "phv_l2", "phv_l3", "phv_l4")}  # a mean, and its parts
NO_STAIN = "without stain"
OTHER_TRAINING = "trained on other images"
NOT_PRINTED = "of a method and metric that no paper prints there"

Place = tuple[str, str, str]  # data set, stain, metric


@dataclass(frozen=True)
class Given:
    """A number and who gives it: ``file`` is the name of a paper or source, ``where`` and ``run`` tell the rest."""

    value: Decimal
    file: str
    where: str
    run: str = ""

    def is_as(self, other: "Given") -> bool:
        """Whether both can be one number, rounded or cut: apart by a unit of the coarser one's last place at most."""
        unit = Decimal(1).scaleb(max(_exponent(self.value), _exponent(other.value)))
        return abs(self.value - other.value) <= unit

    def repeats(self, other: "Given") -> bool:
        """Whether a source gives one number twice: of one run, or in so many digits that two runs don't agree in."""
        digits = min(len(given.value.as_tuple().digits) for given in (self, other))
        return self.file == other.file and self.is_as(other) and (self.run == other.run or digits >= COPY_DIGITS)


@dataclass(frozen=True)
class Spread:
    """One method at one place.

    ``second_hand``: what is given as printed, beside what papers of the ledger print. ``others``: what is printed there
    of the other methods.
    """

    method: str
    printed: tuple[Given, ...]
    reruns: tuple[Given, ...]
    second_hand: tuple[Given, ...]
    others: tuple[float, ...]
    remarks: tuple[Remark, ...]

    @property
    def gaps(self) -> list[float]:
        """Rerun − printed, of each rerun and each printed number."""
        return [float(rerun.value - printed.value) for rerun in self.reruns for printed in self.printed]

    @property
    def typical(self) -> float:
        """The median of the gaps' absolute values."""
        return median(map(abs, self.gaps))

    @property
    def widest(self) -> float:
        """The gap that is widest, with its sign."""
        return max(self.gaps, key=abs)

    @property
    def passed(self) -> int:
        """How many other methods' printed numbers lie between the two numbers of the widest gap."""
        low, high = min(
            (sorted((float(r.value), float(p.value))) for r in self.reruns for p in self.printed),
            key=lambda ends: ends[0] - ends[1],
        )
        return sum(low < other < high for other in self.others)


@dataclass(frozen=True)
class Column:
    """The methods of a place that were run again on the same test images. ``test``: which; "" for the set's own.

    ``claims``: the printed numbers of all methods there, by the paper's names; of the paper that has most. ``remarks``:
    on all numbers of the data set.
    """

    dataset: str
    stain: str
    metric: str
    test: str
    spreads: tuple[Spread, ...]
    claims: dict[str, float]
    remarks: tuple[Remark, ...]

    @property
    def compares(self) -> bool:
        """Whether methods can be compared here: a paper does so, or several were run again."""
        return bool(self.claims) or len(self.spreads) > 1

    @property
    def typical(self) -> float:
        """The median over methods of their typical gap."""
        return median(spread.typical for spread in self.spreads)

    @property
    def differences(self) -> list[float]:
        """What papers claim: the distance of each two methods' printed numbers."""
        return [abs(first - second) for first, second in combinations(self.claims.values(), 2)]

    @property
    def smaller(self) -> int:
        """How many of these differences are smaller than the typical gap."""
        return sum(difference < self.typical for difference in self.differences)

    @property
    def lead(self) -> float | None:
        """The distance between the best printed number and the next; None where it is unknown what is better."""
        if self.metric not in declared() or len(self.claims) < 2:
            return None
        best = sorted(self.claims.values(), key=lambda value: penalty(value, declared()[self.metric].best))
        return abs(best[0] - best[1])

    @property
    def order(self) -> tuple[int, int]:
        """Of the pairs of methods that were run again, how many have the other order by the medians; and all pairs."""
        medians = [
            (median(float(n.value) for n in s.printed), median(float(n.value) for n in s.reruns)) for s in self.spreads
        ]
        pairs = list(combinations(medians, 2))
        return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs), len(pairs)


@dataclass(frozen=True)
class Spreads:
    """All columns, those on the data sets' own test images first; ``left_out``: why, and how many reruns are not there.

    ``sources``: whose reruns they are.
    """

    columns: tuple[Column, ...]
    left_out: dict[str, int]
    sources: tuple[Reruns, ...]

    def of_metrics(self, metrics: Sequence[str]) -> "Spreads":
        """The columns of these metrics alone; all where none is named. Raises UsageError for one that no column has."""
        there = dict.fromkeys(column.metric for column in self.columns)
        if unknown := [metric for metric in metrics if metric not in there]:
            raise UsageError(f"--metric {brief(unknown[0])}: not both printed and run again; one of {', '.join(there)}")
        return replace(self, columns=tuple(c for c in self.columns if not metrics or c.metric in metrics))

    def on(self, own_test: bool) -> tuple[Column, ...]:
        """The columns on the data sets' own test images, or those on others."""
        return tuple(column for column in self.columns if (column.test == "") is own_test)


def spreads_of(ledger: Ledger) -> Spreads:
    """Printed numbers beside reruns, as the ledger has them."""
    left_out: Counter[str] = Counter()
    reruns: dict[tuple[str, Place], dict[str, list[Given]]] = defaultdict(lambda: defaultdict(list))
    second_hand: dict[Place, dict[str, list[Given]]] = defaultdict(lambda: defaultdict(list))
    for source in ledger.reruns:
        for row in [*source.rows, *_means(source.rows)]:
            place = (row.dataset, row.stain, row.metric.removesuffix(THOUSANDFOLD))
            value = row.number.scaleb(-3 if row.metric.endswith(THOUSANDFOLD) else 0)
            given = Given(value, source.name, row.where, row.run)
            if row.state == "printed":
                if not row.training and not row.test:
                    _add_printed(second_hand[place][row.who], given)
            elif not row.stain or row.training:
                left_out[OTHER_TRAINING if row.training else NO_STAIN] += 1
            else:
                _add(reruns[row.test, place][row.who], given)
    columns = []
    for test, place in sorted(reruns, key=lambda key: (key[0] != "", key[1], key[0])):
        printed, claims = _printed(ledger.papers, place)
        spreads = []
        for method, numbers in reruns[test, place].items():
            own = reruns.get(("", place), {}).get(method, [])
            also = [n for n in second_hand[place][method] if not any(map(n.repeats, own))]
            first = printed.get(method, [])
            if not first and not also:
                left_out[NOT_PRINTED] += len(numbers)
                continue
            others = tuple(number for name, number in claims.items() if name != method)
            remarks = tuple(r for r in ledger.remarks if r.dataset == place[0] and method in r.methods)
            spreads.append(
                Spread(method, tuple(first or also), tuple(numbers), tuple(also if first else ()), others, remarks)
            )
        if spreads:
            remarks = tuple(r for r in ledger.remarks if r.dataset == place[0] and not r.methods)
            columns.append(Column(*place, test, tuple(spreads), claims, remarks))
    return Spreads(tuple(columns), dict(left_out), ledger.reruns)


def _printed(papers: Sequence[Paper], place: Place) -> tuple[dict[str, list[Given]], dict[str, float]]:
    """What papers print at a place, by method; and the numbers of the paper that compares most methods there."""
    dataset, stain, metric = place
    printed: dict[str, list[Given]] = defaultdict(list)
    claims: dict[str, float] = {}
    for block in blocks(papers, dataset, stain, [metric]):
        wrong = impossible(block.paper)
        rows = {m.name: row for m in block.methods if (row := m.numbers[metric].row).line not in wrong}
        for name, row in rows.items():
            _add_printed(printed[name], Given(row.number, block.paper.name, printed_place(row)))
        if len(rows) > len(claims):
            claims = {name: float(row.number) for name, row in rows.items()}
    return dict(printed), claims


def _means(rows: Iterable[Rerun]) -> Iterator[Rerun]:
    """The mean of runs that give its parts alone."""
    runs: dict[tuple[str, ...], dict[str, Rerun]] = defaultdict(dict)
    for row in rows:
        run = (row.source, row.commit, row.table, row.run, row.training, row.test, row.method, row.dataset, row.stain)
        runs[*run, row.state].setdefault(row.metric, row)
    for metrics in runs.values():
        for mean, parts in LAYERS.items():
            if mean not in metrics and all(part in metrics for part in parts):
                value = sum((metrics[part].number for part in parts), Decimal()) / len(parts)
                yield replace(metrics[parts[0]], metric=mean, value=f"{value:f}")


def _add(numbers: list[Given], given: Given) -> None:
    """Add a number of a rerun, where its source has not given it already."""
    if not any(map(given.repeats, numbers)):
        numbers.append(given)


def _add_printed(numbers: list[Given], given: Given) -> None:
    """Add a printed number, where it is not there yet: whoever gives it, it is one."""
    if not any(map(given.is_as, numbers)):
        numbers.append(given)


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)
