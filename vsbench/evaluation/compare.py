"""Do methods differ by more than chance? Paired statistics of evaluated runs, from tables and features alone.

Slides are drawn, and exchanged between methods, for all runs alike: see ``vsbench.stats``. What another training seed
would change is another question: ``seed_effects``.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vsbench.errors import RunError, UsageError
from vsbench.evaluation.evaluated import Basis, Evaluated, basis
from vsbench.evaluation.intervals import reason_without
from vsbench.files import json_number
from vsbench.metric import Value
from vsbench.numbers import NOISE, digits
from vsbench.stats import paired
from vsbench.stats.bootstrap import RESAMPLES, centred_interval, resample_counts
from vsbench.stats.distances import DISTANCES, Distance
from vsbench.stats.moments import Array, mean
from vsbench.stats.paired import ALPHA, Comparison, Swaps, draw_swaps, holm, least_p, limit_of_tests, swap_test
from vsbench.stats.seeds import SeedEffect, seed_effect
from vsbench.stats.slides import Unit
from vsbench.stats.table import judged

POOLED = {"psnr": "psnr_pooled"}  # a mean that one equal image makes infinite → what is finite then


@dataclass(frozen=True)
class Result:
    """A value of two runs, compared; the values are of the images that both have.

    ``tested``: it stands for its family, and Holm's correction is over it; what is not describes the same quantity.
    Of a value that is best at zero the comparison is of the distances from zero: -30 is as good as 30.
    """

    value: Value
    first_value: float
    second_value: float
    comparison: Comparison
    tested: bool = True

    @property
    def family(self) -> str:
        """The value that stands for its quantity."""
        return self.value.family or self.value.name


@dataclass(frozen=True)
class Compared:
    """All tests that were made, what was left out and why, and what to mind."""

    runs: tuple[str, ...]
    protocol: str
    images: int
    units: int
    unit: Unit
    tests: tuple[Result, ...]
    left_out: dict[str, str]
    notes: tuple[str, ...]


def compare(
    runs: Sequence[Evaluated], metrics: Sequence[str] = (), resamples: int = RESAMPLES, seed: int = 0
) -> Compared:
    """Every pair of runs in every value; Holm's correction over the tests of the values that stand for their families.

    That is the value that its family names, or the first of the others where this one was not asked for or does not
    exist: nothing of it depends on how the methods do.
    Raises what ``basis`` raises, and RunError where tables hold other numbers of the same real images.
    """
    base = basis(runs, _with_pooled(metrics, _infinite(runs)))
    counts, swaps = resample_counts(base.slides.count, resamples, seed), draw_swaps(base.slides.count, resamples, seed)
    statistics = {run.name: run.statistics(list(base.values.values()), base.slides) for run in base.runs}
    tests, left_out = [], dict(base.left_out)
    for name, value in base.values.items():
        distance = DISTANCES.get(name)
        pooled = {run: own[name] for run, own in statistics.items() if name in own}
        if len(pooled) < len(base.runs):
            if distance is None:
                left_out[name] = reason_without(value)
                continue
            if absences := [f"{r.name}: {why}" for r in base.runs if (why := distance.absence(r.features))]:
                left_out[name] = "; ".join(absences)
                continue
        try:
            if distance is None or len(pooled) == len(base.runs):
                once = np.ones((1, base.slides.count))
                found = {run: float(statistic(once)[0]) for run, statistic in pooled.items()}
                made = paired.compare({run: judged(one, value) for run, one in pooled.items()}, counts, swaps)
            else:
                found, made = _distances(base, value, distance, counts[: distance.resamples], swaps)
        except ValueError:
            known = ", ".join(statistics)
            raise RunError(f"{name}: {known} differ on the same real images; evaluate all again") from None
        tests += [Result(value, found[one.first], found[one.second], one) for one in made]
    tests = _corrected(tests)
    notes = (*base.notes, *_limits_of_tests(swaps, sum(test.tested for test in tests), base.slides.unit))
    notes += tuple(
        f"{name}: infinite for images equal to the real IHC ({_counted(of)}), and so their mean: compare {POOLED[name]}"
        for name, of in _infinite(base.runs).items()
        if name in base.values
    )
    if any(run.summary.kind == "trained" for run in runs):
        notes += ("each run is one training: what another seed would change is not in this (see --seeds)",)
    names, protocol = tuple(run.name for run in runs), runs[0].summary.protocol
    images = len(base.slides.index)
    return Compared(names, protocol, images, base.slides.count, base.slides.unit, tuple(tests), left_out, notes)


def _corrected(tests: Sequence[Result]) -> list[Result]:
    """Pair by pair, in each the families one after the other, each begun by the value that is tested."""
    groups: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for test in tests:
        pair = test.comparison.first, test.comparison.second
        groups.setdefault(pair, {}).setdefault(test.family, []).append(test)
    ordered: list[Result] = []
    for family, members in ((f, m) for families in groups.values() for f, m in families.items()):
        chosen = min(members, key=lambda one: (np.isnan(one.comparison.p), one.value.name != family))
        ordered += [replace(one, tested=one is chosen) for one in sorted(members, key=lambda one: one is not chosen)]
    corrected = holm([test.comparison.p if test.tested else np.nan for test in ordered])
    return [replace(t, comparison=replace(t.comparison, p_holm=p)) for t, p in zip(ordered, corrected, strict=True)]


def _infinite(runs: Sequence[Evaluated]) -> dict[str, dict[str, int]]:
    """By value, of those that a pooled one stands beside: the number of infinite images of each run, where any is."""
    found = {}
    for name in POOLED:
        counts = {run.name: int(np.isinf(run.table[name]).sum()) for run in runs if name in run.table}
        if any(counts.values()):
            found[name] = counts
    return found


def _with_pooled(metrics: Sequence[str], infinite: Mapping[str, object]) -> list[str]:
    """The values asked for, each infinite one followed by its pooled one."""
    both = [(name, POOLED[name]) if name in infinite else (name,) for name in metrics]
    return list(dict.fromkeys(itertools.chain.from_iterable(both)))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())


def _distances(
    base: Basis, value: Value, distance: Distance, counts: Array, swaps: Swaps
) -> tuple[dict[str, float], list[Comparison]]:
    """Values, and the comparisons of all pairs, of a distance of features; KID's is over all images at once."""
    once = np.ones((1, base.slides.count))
    size = np.abs if value.best == "zero" else np.positive
    statistics = {run.name: distance.of(run.features, base.slides) for run in base.runs}
    found = {name: float(statistic(once)[0]) for name, statistic in statistics.items()}
    drawn = {name: statistic(counts) for name, statistic in statistics.items()}
    made = []
    for a, b in itertools.combinations(base.runs, 2):
        one, other = (size(np.append(found[run.name], drawn[run.name])) for run in (a, b))
        gap = centred_interval(one[0] - other[0], one[1:] - other[1:], base.slides.count)
        scores = distance.scores_of(a.features, b.features)
        first, second = (judged(mean(part, base.slides), value) for part in scores)
        p = swap_test(first, second, swaps)
        made.append(Comparison(a.name, b.name, gap, p, p))
    return found, made


def _limits_of_tests(swaps: Swaps, tests: int, unit: Unit) -> list[str]:
    """What no data could show, with so few slides or so many tests, and what would help."""
    limit, (exchanges, slides) = limit_of_tests(swaps, tests, ALPHA, unit), swaps.exchanged.shape
    if not limit or least_p(slides, exchanges) >= ALPHA:
        return [limit] if limit else []
    more = "" if swaps.exact else ", or take more --resamples"
    return [f"{limit}: say beforehand which few matter (--metric){more}"]


def verdict(test: Result) -> str:
    """The comparison in words: "shown" is a difference whose corrected p is below 0.05; no other is denied.

    Of a value that is not tested its difference and interval are a description.
    """
    one, gap = test.comparison, test.comparison.difference
    if not np.isfinite(gap.estimate) or np.isnan(one.p):
        return f"no difference can be told: {gap.caution or 'a value does not exist'}"
    if abs(gap.estimate) < NOISE:
        return "equal"
    sign = 1 if gap.estimate > 0 else -1
    low, high = sorted((sign * gap.low, sign * gap.high))
    higher, lower = ("farther from zero", "nearer to zero") if test.value.best == "zero" else ("higher", "lower")
    way = higher if sign > 0 else lower
    good = "better" if (sign > 0) == (test.value.best == "high") else "worse"
    said = f"{one.first} {way} ({good}) by {digits(abs(gap.estimate), 3)}"
    if np.isfinite([low, high]).all():
        said += f" [{digits(low, 3)}, {digits(high, 3)}]"
    if not test.tested:
        return f"{said}: description, not tested"
    return f"{said}, p = {one.p:.2g} (Holm {one.p_holm:.2g}): {'shown' if one.p_holm < ALPHA else 'not shown'}"


def seed_effects(
    runs: Sequence[Evaluated], metrics: Sequence[str] = (), resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Basis, dict[str, SeedEffect]]:
    """How far trainings of one method that differ in their seed are apart, by value, apart from what slides would do.

    Raises UsageError for fewer than two trainings, and what ``basis`` raises.
    """
    if len(runs) < 2:
        raise UsageError(
            f"{runs[0].name}: one training, so no effect of the seed to be seen; train with another --seed"
        )
    base = basis(runs, metrics)
    counts = resample_counts(base.slides.count, resamples, seed)
    tables = [run.statistics(list(base.values.values()), base.slides) for run in base.runs]
    effects = {}
    for name in base.values:
        distance = DISTANCES.get(name)
        if all(name in own for own in tables):
            effects[name] = seed_effect([own[name] for own in tables], counts)
        elif distance is not None and not any(distance.absence(run.features) for run in base.runs):
            drawn = counts[: distance.resamples]
            effects[name] = seed_effect([distance.of(run.features, base.slides) for run in base.runs], drawn)
    return base, effects


def records(tests: Sequence[Result]) -> list[dict[str, Any]]:
    """One flat record for each test; None where a number does not exist, "inf" where it is infinite."""
    rows = []
    for test in tests:
        one, gap = test.comparison, test.comparison.difference
        numbers: Mapping[str, float] = {
            "first_value": test.first_value, "second_value": test.second_value, "difference": gap.estimate,
            "low": gap.low, "high": gap.high, "p": one.p, "p_holm": one.p_holm,
        }  # fmt: skip
        rows.append(
            {"value": test.value.name, "family": test.family, "tested": test.tested,
             "protocol": test.value.protocol, "unit": test.value.unit,
             "best": test.value.best, "first": one.first, "second": one.second,
             **{key: json_number(number) for key, number in numbers.items()},
             "level": gap.level, "kind": gap.kind, "resamples": gap.resamples, "units": gap.units,
             "excluded": gap.excluded, "caution": gap.caution, "verdict": verdict(test)}
        )  # fmt: skip
    return rows


def seed_records(name: str, base: Basis, effects: Mapping[str, SeedEffect]) -> list[dict[str, Any]]:
    """One record for each value of a method; ``values`` by training. Numbers as in ``records``."""
    return [
        {
            "method": name, "value": value,
            **{key: json_number(getattr(effect, key)) for key in ("mean", "seed", "sampling", "error")},
            "values": {run.name: json_number(number) for run, number in zip(base.runs, effect.values, strict=True)},
        }
        for value, effect in effects.items()
    ]  # fmt: skip
