"""What the scores say: means by reader, how far readers agree, and differences between methods with intervals.

Readers are the same for all methods, and few: they are taken as they are, not as drawn from all readers. What is
resampled are slides (images where slides are unknown). So intervals and p hold for other tissue under these readers;
the differences each of them saw stand beside, to show how much it matters who looks.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vsbench.reader_study import agreement
from vsbench.stats.bootstrap import RESAMPLES, bootstrap_all, resample_counts
from vsbench.stats.moments import Array, Pooled, mean
from vsbench.stats.paired import Comparison, compare, draw_swaps
from vsbench.stats.slides import Slides, group


@dataclass(frozen=True, eq=False)
class Findings:
    """Tables in their order of columns, with what must be said beside them.

    ``means``: data (data set and stain), question, method, ``reader NAME`` of each, ``all`` (the mean over readers),
    low, high (its 95 % limits, NaN where there are none).
    ``agreement``: question, what (intra kappa, inter kappa, inter alpha), readers, value, low, high, n (images),
    caution (what to mind of the limits, or "").
    ``differences``: data, question, first, second, difference (mean over readers, first less second), low, high, p,
    p_holm (over the pairs of one question), reader_low, reader_high (of the readers' own differences), slides,
    caution.
    """

    means: pd.DataFrame
    agreement: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Ground:
    """Of one data set and question: slides and their draws, scores (tissue × method and reader), means over readers."""

    slides: Slides
    counts: Array
    by_reader: pd.DataFrame
    means: dict[str, Pooled]


def analyse(scores: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0) -> Findings:
    """Analyse scores as ``read_scores`` gives them. Second showings count for agreement within readers alone."""
    first = scores[scores["again"].isna()]
    questions = list(dict.fromkeys(scores["question"]))
    notes: dict[str, None] = {}
    differences, agreed, limits = [], [], []
    for question in questions:
        asked = scores[scores["question"] == question]
        agreed += _agreement(asked, question, resamples, seed, notes)
    for (data, question), asked in first.groupby(["group", "question"], sort=False):
        ground = _ground(asked, resamples, seed, notes)
        limits += _limits(ground, str(data), str(question))
        differences += _differences(ground, str(data), str(question), resamples, seed, notes)
    if scores["reader"].nunique() == 1:
        notes["one reader: agreement between readers is unknown"] = None
    if not scores["again"].notna().any():
        notes["no image was shown twice: agreement within readers is unknown"] = None
    means = _means(first).merge(pd.DataFrame(limits), on=["data", "question", "method"], validate="1:1")
    return Findings(means, pd.DataFrame(agreed), pd.DataFrame(differences), tuple(notes))


def _means(first: pd.DataFrame) -> pd.DataFrame:
    """Scores by method and reader: the heat map."""
    place = ["group", "question", "method"]
    table = first.pivot_table(index=place, columns="reader", values="score", aggfunc="mean")
    table = table[list(dict.fromkeys(first["reader"]))].add_prefix("reader ")  # no reader's name is another column
    table.insert(len(table.columns), "all", table.mean(axis=1))
    return table.rename_axis(index={"group": "data"}, columns=None).sort_index().reset_index()


def _agreement(
    asked: pd.DataFrame, question: str, resamples: int, seed: int, notes: dict[str, None]
) -> list[dict[str, object]]:
    """Within each reader, between each two, and between all, over the images of all methods together."""
    items = asked.drop_duplicates("item").set_index("item")
    table = asked.pivot(index="item", columns="reader", values="score").loc[items.index]
    readers = list(dict.fromkeys(asked["reader"]))
    found: list[dict[str, object]] = []

    def measure(what: str, statistics: dict[str, Pooled], slides: Slides) -> None:
        counts = resample_counts(slides.count, resamples, seed)
        for names, interval in bootstrap_all(statistics, counts).items():
            limits = {"value": interval.estimate, "low": interval.low, "high": interval.high}
            n = statistics[names].images - interval.excluded
            place: dict[str, object] = {"question": question, "what": what, "readers": names}
            found.append(place | limits | {"n": n, "caution": interval.caution or ""})

    again = items[items["again"].notna()]
    if len(again):
        slides = _slides(again, notes)
        before, after = table.loc[again["again"]], table.loc[again.index]
        measure("intra kappa", {r: agreement.kappa(before[r], after[r], slides) for r in readers}, slides)
    if len(readers) > 1:
        first = items[items["again"].isna()]
        slides, once = _slides(first, notes), table.loc[first.index]
        pairs = itertools.combinations(readers, 2)
        measure("inter kappa", {f"{a} – {b}": agreement.kappa(once[a], once[b], slides) for a, b in pairs}, slides)
        measure("inter alpha", {f"all {len(readers)}": agreement.alpha(once[readers], slides)}, slides)
    return found


def _ground(asked: pd.DataFrame, resamples: int, seed: int, notes: dict[str, None]) -> _Ground:
    """What the scores of one data set and question have in common."""
    tissue = asked.drop_duplicates("id")
    slides = _slides(tissue, notes)
    by_reader = asked.pivot(index="id", columns=["method", "reader"], values="score").loc[tissue["id"]]
    methods = sorted(set(asked["method"]))
    means = {method: mean(by_reader[method].mean(axis=1), slides, "score") for method in methods}
    return _Ground(slides, resample_counts(slides.count, resamples, seed), by_reader, means)


def _limits(ground: _Ground, data: str, question: str) -> list[dict[str, object]]:
    """Of the mean score of each method over readers."""
    intervals = bootstrap_all(ground.means, ground.counts)
    return [
        {"data": data, "question": question, "method": method, "low": interval.low, "high": interval.high}
        for method, interval in intervals.items()
    ]


def _differences(
    ground: _Ground, data: str, question: str, resamples: int, seed: int, notes: dict[str, None]
) -> list[dict[str, object]]:
    """Each two methods on the same tissue, paired."""
    if len(ground.means) < 2:
        return []
    slides = ground.slides
    if 2.0 ** (1 - slides.count) > 0.05:
        notes[f"{data}: {slides.count} slides: no p can be below {2.0 ** (1 - slides.count):g}"] = None
    tests = compare(ground.means, ground.counts, draw_swaps(slides.count, resamples, seed))
    return [
        {
            "data": data,
            "question": question,
            **_row(test, ground.by_reader),
            "slides": slides.count,
            "caution": test.difference.caution or "",
        }
        for test in tests
    ]


def _row(test: Comparison, by_reader: pd.DataFrame) -> dict[str, object]:
    own = (by_reader[test.first] - by_reader[test.second]).to_numpy().mean(axis=0)
    found = test.difference
    return {
        "first": test.first,
        "second": test.second,
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": test.p,
        "p_holm": test.p_holm,
        "reader_low": own.min(),
        "reader_high": own.max(),
    }


def _slides(items: pd.DataFrame, notes: dict[str, None]) -> Slides:
    """The slide of each item. All items of a tissue go together, also where its slide is unknown."""
    tissue = items.drop_duplicates(["group", "id"])
    names = (tissue["group"] + "/" + tissue["slide"]).where(tissue["slide"].notna(), None)
    slides = group(names, warn=lambda _: None)
    if slides.caution is not None:
        notes[slides.caution] = None
    number = dict(zip(zip(tissue["group"], tissue["id"], strict=True), slides.index, strict=True))
    index = [number[place] for place in zip(items["group"], items["id"], strict=True)]
    return Slides(np.array(index), slides.count, slides.caution)
