"""Time of the bootstrap, and how often its intervals hold the truth.

    python -m benchmarks.bootstrap              10,000 resamples × 15 methods × all table-derived values
    python -m benchmarks.bootstrap --coverage   simulated slides with a known truth

Time: for a test set with known slides and for one without, where each image is drawn. The baseline is SciPy's
``stats.bootstrap`` of one value of one method, which has to be repeated for each; the goal is 10 s on two cores.

Coverage: bivariate normal images, r = 0.6, half of the variance between slides (ICC 0.5), 8 images each. Truth: mean 0
and r. Intervals over images take them for independent: theory gives their means Φ(± 1.96 / √(1 + 7 · 0.5)), 64 %.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from vsbench.metrics.content import Content
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.lpips import LpipsDistance
from vsbench.metrics.phv import Phv
from vsbench.metrics.structure import Structure
from vsbench.stats.bootstrap import Kind, bootstrap_all, resample_counts
from vsbench.stats.moments import Pooled, mean, pearson
from vsbench.stats.slides import Slides
from vsbench.stats.table import table_statistics

Array = NDArray[np.float64]
METHODS, RESAMPLES, GOAL = 15, 10_000, 10.0
VALUES = tuple(value for family in (DabDensity, Content, Structure, Phv, LpipsDistance) for value in family.values)
SETS = {"40 slides × 25 images": (40, 25), "1000 images, slides unknown": (1000, 1)}
TRUTH, ICC, IMAGES = 0.6, 0.5, 8
NOMINAL = 0.95
LIMITS: tuple[tuple[Kind, bool], ...] = (("percentile", False), ("percentile", True), ("bca", False), ("bca", True))


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--trials", type=int, default=4000, help="simulated test sets (coverage)")
    parser.add_argument("--resamples", type=int, default=2000, help="of each (coverage)")
    parser.add_argument("--rounds", type=int, default=3, help="(time)")
    arguments = parser.parse_args()
    if arguments.coverage:
        print_coverage(arguments.trials, arguments.resamples)
    else:
        print_time(arguments.rounds)


def print_time(rounds: int) -> None:
    """Draws, table to statistics, and BCa intervals of every value of every method."""
    from benchmarks.measuring import machine, time_rounds  # torch, which coverage does without

    print(machine())
    for name, (count, images) in SETS.items():
        slides = Slides(np.repeat(np.arange(count), images), count)
        tables = [simulated_table(count * images, seed) for seed in range(METHODS)]
        column = tables[0]["ssim"].to_numpy()
        timed = time_rounds(
            {
                "ours, all": partial(all_intervals, tables, slides),
                "SciPy, one mean": partial(scipys_mean, column.reshape(count, images)),
            },
            rounds,
        )
        values = METHODS * len(table_statistics(tables[0], VALUES, slides))
        ours, one = (timed[key].median for key in timed)
        print(
            f"{name}: {values} values, {RESAMPLES} resamples: {ours:.2f} s (goal {GOAL:.0f}); "
            f"SciPy {one:.3f} s for one mean, so {values * one / ours:.1f} times as fast"
        )


def all_intervals(tables: list[pd.DataFrame], slides: Slides) -> None:
    """BCa intervals from per-image tables of methods."""
    counts = resample_counts(slides.count, RESAMPLES)
    for table in tables:
        bootstrap_all(table_statistics(table, VALUES, slides), counts)


def scipys_mean(by_slide: Array) -> None:
    """The BCa interval of one mean by SciPy, from (slides, images)."""
    scipy.stats.bootstrap((by_slide.mean(axis=1),), np.mean, n_resamples=RESAMPLES, vectorized=True, batch=1000)


def simulated_table(images: int, seed: int) -> pd.DataFrame:
    """A per-image table with every column that a value is a function of."""
    rng = np.random.default_rng(seed)
    columns = {value.column for value in VALUES if value.column} | {"intden", "intden_real"}
    return pd.DataFrame({column: rng.gamma(2.0, size=images) for column in sorted(columns)})


def print_coverage(trials: int, resamples: int) -> None:
    """Share of intervals that hold the truth, with the standard error of that share for the nominal level."""
    print(
        f"{trials} test sets, {resamples} resamples, nominal {NOMINAL:.1%} "
        f"± {np.sqrt(NOMINAL * (1 - NOMINAL) / trials):.1%} (one standard error of the simulation)"
    )
    print(f"{'slides':>6}  {'drawn':8}{'limits':12}{'tails':10}{'mean':>8}{'r':>8}")
    for count in (10, 30):
        x, y = simulated_images(trials, count)
        for drawn, slides in (
            ("slides", Slides(np.repeat(np.arange(count), IMAGES), count)),
            ("images", Slides(np.arange(count * IMAGES), count * IMAGES)),
        ):
            counts = resample_counts(slides.count, resamples)
            means = {str(trial): mean(x[trial], slides) for trial in range(trials)}
            correlations = {str(trial): pearson(x[trial], y[trial], slides) for trial in range(trials)}
            for kind, widen in LIMITS:
                held = [
                    coverage(statistics, counts, truth, kind, widen)
                    for statistics, truth in ((means, 0.0), (correlations, TRUTH))
                ]
                tails = "Student" if widen else "normal"
                print(f"{count:6}  {drawn:8}{kind:12}{tails:10}{held[0]:8.1%}{held[1]:8.1%}", flush=True)


def coverage(statistics: dict[str, Pooled], counts: Array, truth: float, kind: Kind, widen: bool) -> float:
    """Share of the intervals of these that hold the truth, hundreds at a time for the memory."""
    names, held = list(statistics), 0
    for start in range(0, len(names), 200):
        part = {name: statistics[name] for name in names[start : start + 200]}
        intervals = bootstrap_all(part, counts, kind=kind, widen=widen, level=NOMINAL)
        held += sum(interval.low <= truth <= interval.high for interval in intervals.values())
    return held / len(names)


def simulated_images(trials: int, slides: int) -> tuple[Array, Array]:
    """Two series (trials, slides · IMAGES) of variance 1, correlated alike between and within slides."""
    rng = np.random.default_rng(0)

    def correlated(images: int) -> Array:
        a, b = rng.normal(size=(2, trials, slides, images))
        return np.stack([a, TRUTH * a + np.sqrt(1 - TRUTH**2) * b])

    both = np.sqrt(ICC) * correlated(1) + np.sqrt(1 - ICC) * correlated(IMAGES)
    x, y = both.reshape(2, trials, slides * IMAGES)
    return x, y


if __name__ == "__main__":
    main()
