"""Which method is best, and which can't be told from it: the statistic under every table and figure of a comparison.

Intervals and ranks come from resampled slides, p from exchanging two methods' images slide by slide: see
``vsbench.stats``.

The best method is chosen after seeing the data, which makes its lead look larger than it is. So p is no test of a pair
of methods named beforehand (that is ``vsbench compare``). It answers whether a method may be the best one ("multiple
comparisons with the best", Hsu 1984). Simulated with 2 to 14 methods and normal errors, the method that is best in
truth had p < 0.05 in at most 2.6 % of cases. Where all methods are alike, some one of them had it in 5 % (of 2), 8 %
(of 4) and 18 % (of 14): being shown as worse than the best means less in a large field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vsbench import registry
from vsbench.errors import RunError
from vsbench.metric import Value, penalty
from vsbench.report.resampled import SEEDS, Drawn, Ground, common_ground, draw, exchange
from vsbench.report.tables import Comparison
from vsbench.stats.bootstrap import MAX_UNDEFINED, RESAMPLES
from vsbench.stats.paired import ALPHA, can_show, holm, limit_of_tests
from vsbench.stats.ranks import rank_shares
from vsbench.stats.slides import Unit, counted


@dataclass(frozen=True)
class ValueDecision:
    """One value (column) of a Comparison. Keys are ``Row.key``.

    ``best``: the best method by its mean. ``p``: of every other comparable method, of its difference to the best,
    corrected by Holm over these; NaN where the difference does not exist. ``intervals``: of methods and references,
    95 % limits of the mean over seeds, over slides; those without limits are not in it. ``ranks``: of methods, the
    share of ``resamples`` in which it is 1st, 2nd, …; empty where these can't be ranked, and where no data could show a
    difference. ``slides``: independent units, of the kind ``unit``. ``caution``: what to mind, or "". ``seeds_drawn``:
    whether ranks are over trainings too, not over slides alone.
    """

    value: str
    best: str
    p: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    ranks: dict[str, tuple[float, ...]]
    slides: int
    caution: str = ""
    resamples: int = RESAMPLES
    seeds_drawn: bool = False
    unit: Unit = "slide"

    @property
    def units(self) -> str:
        """``12 slides``, or what stands in their place."""
        return counted(self.slides, self.unit)

    @property
    def can_show(self) -> bool:
        """Whether any data of so many units could show a difference of so many methods: else none is marked."""
        return can_show(self.slides, len(self.p), self.resamples)

    def standing(self, key: str) -> Literal["best", "alike", "worse", ""]:
        """Of a method: the best, not distinguishable from it at 5 %, or worse; "" where nothing can be shown."""
        if not self.can_show or key not in {self.best, *self.p}:
            return ""
        return "best" if key == self.best else "alike" if key in self.alike() else "worse"

    def alike(self) -> frozenset[str]:
        """The methods not distinguishable from the best at 5 %, without the best itself."""
        return frozenset(key for key, p in self.p.items() if not p < ALPHA)


@dataclass(frozen=True)
class Decision:
    """What can be said of each value of a comparison. ``left_out``: values without a decision, and why.

    ``caution``: what to mind of all limits, since it is of the units that were drawn; or "".
    """

    comparison: Comparison
    values: dict[str, ValueDecision]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()
    resamples: int = RESAMPLES
    seed: int = 0
    caution: str = ""


def decide(comparison: Comparison, resamples: int = RESAMPLES, seed: int = 0) -> Decision:
    """Decide every score of a comparison from the per-image tables and features of its runs. Same input, same result.

    Never fails for files that are missing or damaged: rows and values are left out with the reason. KID takes 2000
    ``resamples`` at most.
    """
    known = {v.name: v for metric in registry.load_all("vsbench.metrics")[0].values() for v in metric.values}
    scores = [name for name, column in comparison.columns.items() if column.is_score]
    try:
        ground = common_ground(comparison, [known[name] for name in scores if name in known], resamples, seed)
    except RunError as error:
        return Decision(comparison, {}, dict.fromkeys(scores, str(error)), (), resamples, seed)
    values, left_out = {}, {}
    for name in scores:
        try:
            if name not in known:
                raise RunError("no metric of this name is installed")
            values[name] = _decide(comparison, known[name], ground, seed)
        except RunError as error:
            left_out[name] = str(error)
    notes = tuple(f"without {title}: {why}" for title, why in ground.left_out.items())
    return Decision(comparison, values, left_out, notes, resamples, seed, ground.slides.caution or "")


def _decide(comparison: Comparison, value: Value, ground: Ground, seed: int) -> ValueDecision:
    """Raises RunError where no method has a value that can be resampled."""
    drawn, gone = _draw_all(comparison, value, ground)
    methods = [one for one in drawn if one.row.is_method]
    if not methods:
        raise RunError(_sentence(gone) or "no method has it")
    best = min(methods, key=lambda one: penalty(one.value, value.best))
    others = [one for one in methods if one is not best]
    ps = holm([exchange(best, one, value, ground) for one in others])
    untold = [one.row.title for one, p in zip(others, ps, strict=True) if np.isnan(p)]
    tests = len(others) - len(untold)
    limits = [(one.row, one.interval(ground.slides.count)) for one in drawn]
    seeds_drawn = all(len(one.runs) >= SEEDS for one in methods)
    ranks: dict[str, tuple[float, ...]] = {}
    unranked = ""
    if can_show(ground.slides.count, len(others), len(ground.swaps.exchanged)):
        ranks, unranked = _ranks(methods, value, seed if seeds_drawn else None)
    cautions = [
        f"without {_sentence(gone)}" if gone else "",
        limit_of_tests(ground.swaps, tests, ALPHA, ground.slides.unit) if tests else "",
        f"a value is infinite: no difference can be told from {best.row.title} to {', '.join(untold)}"
        if untold
        else "",
        unranked,
        _sentence({row.title: interval.caution or "" for row, interval in limits}, usual=0.5),
    ]
    return ValueDecision(
        value=value.name,
        best=best.row.key,
        p={one.row.key: p for one, p in zip(others, ps, strict=True)},
        intervals={row.key: (i.low, i.high) for row, i in limits if np.isfinite([i.low, i.high]).all()},
        ranks=ranks,
        slides=ground.slides.count,
        caution="; ".join(text for text in cautions if text),
        resamples=best.draws.shape[1],
        seeds_drawn=seeds_drawn and bool(ranks),
        unit=ground.slides.unit,
    )


def _draw_all(comparison: Comparison, value: Value, ground: Ground) -> tuple[list[Drawn], dict[str, str]]:
    """The rows that compare in a value, drawn; and by title why others that have it are not among them."""
    drawn, gone = [], {}
    for row in comparison.rows:
        if row.title in ground.left_out or row.cell(value.name).mean is None:
            continue
        try:
            if difference := comparison.difference(row, value.name):
                raise RunError(difference)
            drawn.append(draw(row, value, ground))
        except RunError as error:
            gone[row.title] = str(error)
    return drawn, gone


def _ranks(methods: Sequence[Drawn], value: Value, seed: int | None) -> tuple[dict[str, tuple[float, ...]], str]:
    """Shares of ranks by method, none where too many resamples have no value, and what to mind of them.

    With a ``seed`` each method's trainings are drawn too, anew in each resample.
    """
    if seed is None:
        values = np.stack([one.draws.mean(axis=0) for one in methods])
    else:
        # not the stream that the slides came from: trainings have nothing to do with slides
        rng = np.random.default_rng([seed, len(methods)])
        values = np.stack([one.redrawn(rng) for one in methods])
    defined = ~np.isnan(values).any(axis=0)
    lost, resamples = int((~defined).sum()), values.shape[1]
    if lost > MAX_UNDEFINED * resamples:
        return {}, f"no ranks: {lost} of {resamples} resamples lack a value of some method"
    shares = rank_shares(values[:, defined], value.best)
    ranks = {one.row.key: tuple(own.tolist()) for one, own in zip(methods, shares, strict=True)}
    return (
        ranks,
        f"{lost} of {resamples} resamples, without a value of some method, are left out of ranks" if lost else "",
    )


def _sentence(reasons: Mapping[str, str], usual: float = 1.0) -> str:
    """Reasons by title as one text, each reason once; one that more than ``usual`` of the titles have names none."""
    titles: dict[str, list[str]] = {}
    for title, reason in reasons.items():
        titles.setdefault(reason, []).append(title)
    return "; ".join(
        reason if len(own) > usual * len(reasons) else f"{', '.join(own)}: {reason}"
        for reason, own in titles.items()
        if reason
    )
