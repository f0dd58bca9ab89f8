"""Time of the bootstrap, and how often its intervals hold the truth.

    python -m benchmarks.bootstrap              10,000 resamples × 15 methods × all table-derived values
    python -m benchmarks.bootstrap --features   FID and KID of one method
    python -m benchmarks.bootstrap --coverage   simulated slides with a known truth
    python -m benchmarks.bootstrap --few        the same of 3 to 12 units: from which number on limits mean something

Time: for a test set with known slides and for one without, where each image is drawn. The baseline is SciPy's
``stats.bootstrap`` of one value of one method, which has to be repeated for each; the goal is 10 s on two cores. Of
features: 30 s on one core (OPENBLAS_NUM_THREADS=1).

Coverage: bivariate normal images, r = 0.6, half of the variance between slides (ICC 0.5), 8 images each. Truth: mean 0
and r. Intervals over images take them for independent: theory gives their means Φ(± 1.96 / √(1 + 7 · 0.5)), 64 %. The
Fréchet distance: features of falling variance, a third of it between slides, fake ones with another shape, scale and
mean; 5 images each. Truth: the mean over a thousand such sets of the same size, for the distance depends on it.

Few: one number a unit, as of slides or of images where these are unknown, for the kinds of statistic that our values
are. The skewed errors are exponential (skewness 2), as mean errors of DAB are where most tiles hold little.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from vsbench import registry
from vsbench.metric import Value
from vsbench.stats.bootstrap import RESAMPLES, Kind, bootstrap, bootstrap_all, resample_counts
from vsbench.stats.distances import DISTANCES
from vsbench.stats.features import frechet
from vsbench.stats.moments import Pooled, concordance, mean, pearson, relative_gap
from vsbench.stats.slides import Slides
from vsbench.stats.table import table_statistics

OTHER_COLUMNS = {
    "intden", "intden_real", "mean_od", "mean_od_real", "mse", "height", "width",
    *("grey_mean", "grey_mean_he", "grey_variance", "grey_variance_he", "grey_covariance"),
}  # fmt: skip
CATEGORIES = ("category", "category_real", "category_label")
Array = NDArray[np.float64]
METHODS, GOAL = 15, 10.0
SETS = {"40 slides × 25 images": (40, 25), "1000 images, slides unknown": (1000, 1)}
TRUTH, ICC, IMAGES = 0.6, 0.5, 8
NOMINAL = 0.95
FEW_RESAMPLES = 1000
FEATURE_ICC, FEATURE_IMAGES, FEATURE_RESAMPLES = 0.3, 5, 2000
LIMITS: tuple[tuple[Kind, bool], ...] = (("percentile", False), ("percentile", True), ("bca", False), ("bca", True))


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--trials", type=int, default=4000, help="simulated test sets (coverage)")
    parser.add_argument("--resamples", type=int, default=2000, help="of each (coverage)")
    parser.add_argument("--rounds", type=int, default=3, help="(time)")
    arguments = parser.parse_args()
    if arguments.coverage:
        print_coverage(arguments.trials, arguments.resamples)
        print_feature_coverage(arguments.trials // 20)
    elif arguments.few:
        print_few(arguments.trials * 10)
    elif arguments.features:
        print_feature_time()
    else:
        print_time(arguments.rounds)


def print_time(rounds: int) -> None:
    """Draws, table to statistics, and intervals of every value of every method."""
    from benchmarks.measuring import machine, time_rounds  # torch, which the others do without

    print(machine())
    metrics = registry.load_all("vsbench.metrics")[0]
    values = [value for metric in metrics.values() for value in metric.values]
    for name, (count, images) in SETS.items():
        slides = Slides(np.repeat(np.arange(count), images), count)
        tables = [simulated_table(values, count * images, seed) for seed in range(METHODS)]
        column = tables[0]["ssim"].to_numpy()
        timed = time_rounds(
            {
                "ours, all": partial(all_intervals, values, tables, slides),
                "SciPy, one mean": partial(scipys_mean, column.reshape(count, images)),
            },
            rounds,
        )
        number = METHODS * len(table_statistics(tables[0], values, slides))
        ours, one = (timed[key].median for key in timed)
        print(
            f"{name}: {number} values, {RESAMPLES} resamples: {ours:.2f} s (goal {GOAL:.0f}); "
            f"SciPy {one:.3f} s for one mean, so {number * one / ours:.1f} times as fast"
        )


def all_intervals(values: list[Value], tables: list[pd.DataFrame], slides: Slides) -> None:
    """Intervals from per-image tables of methods."""
    counts = resample_counts(slides.count, RESAMPLES)
    for table in tables:
        bootstrap_all(table_statistics(table, values, slides), counts)


def scipys_mean(by_slide: Array) -> None:
    """The BCa interval of one mean by SciPy, from (slides, images)."""
    scipy.stats.bootstrap((by_slide.mean(axis=1),), np.mean, n_resamples=RESAMPLES, vectorized=True, batch=1000)


def simulated_table(values: list[Value], images: int, seed: int) -> pd.DataFrame:
    """A per-image table with every column that a value is a function of."""
    rng = np.random.default_rng(seed)
    columns = {value.column for value in values if value.column} | OTHER_COLUMNS
    table = pd.DataFrame({column: rng.gamma(2.0, size=images) for column in sorted(columns)})
    return table.assign(**{name: rng.integers(3, size=images) for name in CATEGORIES})


def print_feature_time() -> None:
    """Processor seconds of the intervals of a method's distances of features, N = 1000 and D = 2048."""
    slides = Slides(np.repeat(np.arange(40), 25), 40)
    fake, real = np.random.default_rng(0).gamma(0.5, size=(2, 1000, 2048)).astype(np.float32)
    for name in ("fid", "kid"):
        distance = DISTANCES[name]
        begun = time.process_time()
        bootstrap(distance.statistic(fake, real, slides), resample_counts(40, distance.resamples), kind="centred")
        print(f"{name}: {distance.resamples} resamples: {time.process_time() - begun:.1f} s of processor time")


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


def print_few(trials: int) -> None:
    """Share of intervals that hold the truth, of so few units."""
    print(f"{trials} test sets, {FEW_RESAMPLES} resamples, nominal {NOMINAL:.0%}")
    for units in range(3, 13):
        held = few_units(units, trials)
        if units == 3:
            print(f"{'units':>5}" + "".join(f"{name:>15}" for name in held))
        print(f"{units:5}" + "".join(f"{share:15.1%}" for share in held.values()), flush=True)


def few_units(units: int, trials: int, seed: int = 0) -> dict[str, float]:
    """Share of the 95 % limits of ``units`` single numbers that hold the truth, by kind of statistic."""
    rng, slides = np.random.default_rng(seed), Slides(np.arange(units), units)
    counts = resample_counts(units, FEW_RESAMPLES, seed=1)

    def of(statistic: Callable[[], Pooled], truth: float, number: int = trials // 10) -> float:
        return coverage({str(trial): statistic() for trial in range(number)}, counts, truth, "percentile", True)

    def related() -> tuple[Array, Array]:
        a, b = rng.normal(size=(2, units))
        return a, TRUTH * a + np.sqrt(1 - TRUTH**2) * b

    def doses() -> Pooled:
        real = rng.gamma(2, size=units)
        return relative_gap(real * rng.normal(0.7, 0.3, size=units), real, slides)

    return {
        "skewed errors": of(lambda: mean(rng.exponential(size=units), slides), 1.0, trials),
        "even errors": of(lambda: mean(rng.normal(size=units), slides), 0.0),
        "relative dose": of(doses, -0.3),
        "r": of(lambda: pearson(*related(), slides), TRUTH),
        "concordance": of(lambda: concordance(*related(), slides), TRUTH),
    }


def print_feature_coverage(trials: int) -> None:
    """The same for the Fréchet distance, of more images than dimensions and of fewer; slides drawn, then images."""
    error = np.sqrt(NOMINAL * (1 - NOMINAL) / trials)
    print(f"Fréchet distance: {trials} test sets, {FEATURE_RESAMPLES} resamples, nominal {NOMINAL:.1%} ± {error:.1%}")
    print(f"{'slides':>6}{'images':>8}{'dimensions':>12}  {'drawn':8}{'covers':>8}")
    for count, size in ((12, 10), (12, 200)):
        rng = np.random.default_rng(0)
        images = count * FEATURE_IMAGES
        by_slide = Slides(np.repeat(np.arange(count), FEATURE_IMAGES), count)
        by_image = Slides(np.arange(images), images)
        once = np.ones((1, count))
        truth = np.mean([frechet(*simulated_features(rng, count, size), by_slide)(once)[0] for _ in range(1000)])
        sets = [simulated_features(rng, count, size) for _ in range(trials)]
        for drawn, slides in (("slides", by_slide), ("images", by_image)):
            counts = resample_counts(slides.count, FEATURE_RESAMPLES)
            limits = [bootstrap(frechet(*pair, slides), counts, kind="centred") for pair in sets]
            held = np.mean([interval.low <= truth <= interval.high for interval in limits])
            print(f"{count:6}{images:8}{size:12}  {drawn:8}{held:8.1%}", flush=True)


def simulated_features(rng: np.random.Generator, slides: int, size: int) -> tuple[Array, Array]:
    """Features (N, size) of fake and real images."""

    def clustered() -> Array:
        shared, own = rng.normal(size=(slides, 1, size)), rng.normal(size=(slides, FEATURE_IMAGES, size))
        return (np.sqrt(FEATURE_ICC) * shared + np.sqrt(1 - FEATURE_ICC) * own).reshape(-1, size)

    falling = np.arange(1, size + 1) ** -0.7
    real, other = clustered(), clustered()
    return (0.7 * real + 0.3 * np.abs(other) * other) * 1.15 * falling + 0.3 * falling, real * falling


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
