"""Do the papers' own claims hold where the truth is known? Their ablations on the phantom, three seeds each.

    OMP_NUM_THREADS=1 python -m benchmarks.claims [--jobs 2] [--minutes 60] [--method usigan]

The rows of USIGAN's Tables IV, VI and VIII, in both variants, and of ASP's and SIM-GAN's own terms, with the preset
``small`` on Ki67. They are trained, measured and kept as the leaderboard's (``benchmarks.leaderboard``): what is kept
is never run again, and a row that two studies share is run once. Then ``results/leaderboard/claims.csv`` says what each
term or setting does to the values that the claim is about, in so many trainings, and what the printed rows say of it.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import f_oneway, t

from benchmarks.leaderboard import DATASET, HOME, OPTIONS, PRESET, SEEDS, Entry, run_all
from vsbench.engine.run import row_name
from vsbench.evaluation.ablate import Study, StudyRow, study_rows
from vsbench.evaluation.evaluate import evaluate_references
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.files import write_text
from vsbench.records.summary import Summary

STAIN = "ki67"
STUDIES = (
    ("usigan", "", "table6"), ("usigan", "released", "table6"), ("usigan", "", "table8"),
    ("usigan", "released", "table8"), ("asp", "", "claim"), ("simgan", "", "claim"),
)  # fmt: skip
# Of Table IV every row is one of Table VI.
VALUES = ("cell_auc", "r_p", "r_c", "r_avg", "iod_mae", "ccc", "ssim", "dhash", "sharpness_ratio")
LEVEL = 0.95
LEVELS = "tau"  # the change that has more than two levels
LEAST = 2  # differences, of fewer of which nothing is said
QUESTIONS = (  # what a paper says of itself: method, suite, change, and the value it is said of
    ("Does `L_odc` raise R_p?", "usigan", "table6", "+ odc", "r_p"),
    ("Does `L_odc` find the right cells?", "usigan", "table6", "+ odc", "cell_auc"),
    ("Does `L_cc` raise R_p?", "usigan", "table6", "+ cc", "r_p"),
    ("Does UOT-CTM (`L_tcyc`) keep content, R_c?", "usigan", "table6", "+ tcyc", "r_c"),
    ("Does UOT-CTM find the right cells?", "usigan", "table6", "+ tcyc", "cell_auc"),
    ("Does τ matter to R_p?", "usigan", "table8", LEVELS, "r_p"),
    ("Does τ matter to R_c?", "usigan", "table8", LEVELS, "r_c"),
    ("Does PatchNCE against the real IHC, ASP's term, find the right cells?", "asp", "claim", "+ asp", "cell_auc"),
    ("Do its weights and schedule find them?", "asp", "claim", "+ asp_schedule", "cell_auc"),
    ("Do SIM-GAN's transport plans, `L_mc`, find the right cells?", "simgan", "claim", "+ mc", "cell_auc"),
    ("Do its correlations in the batch, `L_cc`, raise R_p?", "simgan", "claim", "+ cc", "r_p"),
)


@dataclass(frozen=True)
class Claim:
    """What one study asks: the rows of a suite, each with the values its runs gave, by seed."""

    method: str
    variant: str
    suite: str
    found: Mapping[str, Mapping[int, Mapping[str, float]]]  # row → seed → value

    @property
    def name(self) -> str:
        """Method and variant."""
        return _name(self.method, self.variant)

    def lines(self) -> Iterator[dict[str, object]]:
        """One line for each effect and value."""
        study = _study(self.method, self.variant, self.suite)
        rows = study_rows(study)
        for value in VALUES:
            if self.suite == "table8":
                yield self._of_levels(value, rows)
                continue
            for term in study.declared.varies:
                yield self._of_term(value, term, rows)

    def _of_term(self, value: str, term: str, rows: list[StudyRow]) -> dict[str, object]:
        """The mean difference that a setting makes where all others are equal, and the limits of 95 % of Student's t.

        Every training is in one difference alone, so they are independent; the test images are the same for all.
        """
        kept = {row.name: {k: v for k, v in row.declared.overrides.items() if k != term} for row in rows}
        on = [row.name for row in rows if term not in row.declared.overrides]
        off = [row.name for row in rows if term in row.declared.overrides]
        pairs = [(with_it, without) for with_it, without in product(on, off) if kept[with_it] == kept[without]]
        gaps = np.array([gap for pair in pairs for gap in self._gaps(value, *pair)])
        printed = [numbers[a] - numbers[b] for numbers in _printed(value, rows) for a, b in pairs]
        return self._line(f"+ {term.removeprefix('lambda_')}", value, gaps, printed)

    def _gaps(self, value: str, one: str, other: str) -> Iterator[float]:
        for seed in sorted(set(self.found.get(one, {})) & set(self.found.get(other, {}))):
            a, b = (self.found[row][seed].get(value, np.nan) for row in (one, other))
            if np.isfinite(a) and np.isfinite(b):
                yield a - b

    def _of_levels(self, value: str, rows: list[StudyRow]) -> dict[str, object]:
        """Whether the rows differ by more than seeds do: one-way analysis of variance; printed, the range alone."""
        groups = [np.array([v[value] for v in self.found.get(row.name, {}).values() if value in v]) for row in rows]
        printed = [float(np.ptp(list(numbers.values()))) for numbers in _printed(value, rows)]
        line = self._line(LEVELS, value, np.array([]), printed)
        if all(len(group) >= LEAST for group in groups):
            means = np.array([group.mean() for group in groups])
            line |= {"n": sum(map(len, groups)), "effect": float(np.ptp(means)), "p": float(f_oneway(*groups).pvalue)}
        return line

    def _line(self, effect: str, value: str, gaps: np.ndarray, printed: list[float]) -> dict[str, object]:
        mean = low = high = np.nan
        if len(gaps) >= LEAST:
            mean = float(gaps.mean())
            half = float(t.ppf((1 + LEVEL) / 2, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
            low, high = mean - half, mean + half
        return {
            "study": f"{self.name} {self.suite}", "change": effect, "value": value, "n": len(gaps), "effect": mean,
            "low": low, "high": high, "p": np.nan, "printed": np.mean(printed) if printed else np.nan,
            "printed_n": len(printed),
        }  # fmt: skip


def _printed(value: str, rows: list[StudyRow]) -> Iterator[dict[str, float]]:
    """What the paper printed, row by row, for each data set and stain of which it printed all."""
    for group in dict.fromkeys(group for row in rows for group in row.declared.numbers):
        numbers = {row.name: row.declared.numbers.get(group, {}).get(value) for row in rows}
        known = {name: number for name, number in numbers.items() if number is not None}
        if len(known) == len(rows):
            yield known


def verdict(line: Mapping[Any, Any]) -> str:
    """What may be said of a change: nothing where its limits hold 0, or p is .05 or more."""
    if line["n"] < LEAST:
        return "too few runs yet"
    if not np.isnan(line["p"]):
        return "matters" if line["p"] < 1 - LEVEL else "can't say"
    return "raises it" if line["low"] > 0 else "lowers it" if line["high"] < 0 else "can't say"


def answers(table: pd.DataFrame) -> Iterator[str]:
    """A sentence for each of ``QUESTIONS``: what was printed, and what these trainings say, variant by variant."""
    lines = {(line["study"], line["change"], line["value"]): line for line in table.to_dict("records")}
    for asked, method, suite, change, value in QUESTIONS:
        names = [_name(m, variant) for m, variant, of_suite in STUDIES if (m, of_suite) == (method, suite)]
        found = {name: lines[f"{name} {suite}", change, value] for name in names}
        first = found[names[0]]
        printed = f"Printed: {_size(first['printed'], change)}" if first["printed_n"] else "Not printed for these rows"
        yield f"{asked} {printed}. Here, {'; '.join(f'`{name}`: {_told(line)}' for name, line in found.items())}."


def _told(line: Mapping[Any, Any]) -> str:
    if line["n"] < LEAST:
        return verdict(line)
    limits = f"p {line['p']:.2g}" if np.isnan(line["low"]) else f"[{line['low']:.3g}, {line['high']:.3g}]"
    return f"{_size(line['effect'], line['change'])} {limits}, {verdict(line)}".replace("-", "−")


def _size(number: float, change: str) -> str:
    """A difference with its sign; a range without."""
    return f"a range of {number:.3g}" if change == LEVELS else f"{number:+.3g}".replace("-", "−")


def _name(method: str, variant: str) -> str:
    """As a row is called, without the preset that all have."""
    return row_name(method, variant, "paper", None)


def _study(method: str, variant: str, suite: str) -> Study:
    options = {"variant": variant} if variant else {}
    return Study(method, suite, DATASET, STAIN, PRESET, options, OPTIONS, results=HOME)


def entries(methods: list[str]) -> list[Entry]:
    """All rows: the first seed of every row before the second of any; what two studies share, once."""
    rows: dict[Path, Entry] = {}
    for seed, (method, variant, suite) in product(SEEDS, STUDIES):
        if not methods or method in methods:
            for row in study_rows(_study(method, variant, suite)):
                entry = Entry(method, STAIN, seed, variant, suite, row.name)
                rows.setdefault(entry.kept, entry)
    return list(rows.values())


def read() -> list[Claim]:
    """The studies with what is kept of them."""
    claims = []
    for method, variant, suite in STUDIES:
        found: dict[str, dict[int, dict[str, float]]] = {}
        for row, seed in product(study_rows(_study(method, variant, suite)), SEEDS):
            entry = Entry(method, STAIN, seed, variant, suite, row.name)
            if entry.is_kept:
                values = Summary.read(entry.kept / "summary.json").values
                found.setdefault(row.name, {})[seed] = {
                    name: reading.value for name, reading in values.items() if reading.value is not None
                }
        claims.append(Claim(method, variant, suite, found))
    return claims


def main() -> None:
    """Run what is missing, then write what all kept rows say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--method", action="append", default=[])
    parser.add_argument("--work", type=Path, default=HOME / "work-claims")
    given = parser.parse_args()
    wanted = entries(given.method)
    missing = [entry for entry in wanted if not entry.is_kept]
    if missing and given.minutes > 0:
        evaluate_references(Group(DATASET, OPTIONS, STAIN, None, given.work), Instrument.build("cpu"))
        run_all(missing, given.work, given.jobs, time.monotonic() + 60 * given.minutes)
    print(f"{sum(entry.is_kept for entry in wanted)} of {len(wanted)} rows are kept", file=sys.stderr)
    table = pd.DataFrame([line for claim in read() for line in claim.lines()])
    write_text(HOME / "claims.csv", table.to_csv(index=False, lineterminator="\n"))
    print(table[table["n"] > 0].to_string(index=False, float_format="%.4g"))


if __name__ == "__main__":
    main()
