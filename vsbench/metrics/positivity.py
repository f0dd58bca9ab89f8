"""Are positive images positive, and negative ones negative? Sensitivity, specificity and kappa, for any marker.

A dose that is right on average can be that of negative images stained and positive ones left pale. What is cut: where
a guideline divides the marker (ER, PR, Ki67), the percentage of positive nuclei, at the guideline's two percentages; of
every other marker the positive area, at 1 % and 10 %.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.markers import marker
from vsbench.metric import Absent, Metric, Sample, Value, Which
from vsbench.metrics.clinical import NAN, NPI, THRESHOLDS, Cutoffs, nuclear_score, quadratic_kappa
from vsbench.stain.dab import density_of, read_levels

AREA = Cutoffs(1, 10, True, "a stated positive area: no guideline has one")
GRADES = ("positivity_grade", "positivity_grade_real")
CUTS = {"low": 1, "high": 2}  # cut → the lowest grade that is positive at it


def declared(area: Cutoffs, thresholds: Mapping[str, Cutoffs]) -> tuple[Value, ...]:
    """The values for these cuts, which are part of the protocol."""
    nuclei = "-".join(f"{stain}{thresholds[stain]}" for stain in sorted(thresholds))
    rule = f"positivity/area0.4065{area}-else-{NPI}/{nuclei}"
    values = []
    for cut in CUTS:
        at = f"at the protocol's {'lower' if cut == 'low' else 'higher'} percentage"
        label = rf"$_\mathrm{{{cut}}}$"
        values += [
            Value(
                f"sensitivity_{cut}", f"Sensitivity{label}", "%", "high",
                f"real images positive {at} whose generated image is positive too", rule,
                column=f"detected_{cut}", is_share=True, family=f"positivity_kappa_{cut}",
            ),
            Value(
                f"specificity_{cut}", f"Specificity{label}", "%", "high",
                f"real images negative {at} whose generated image is negative too", rule,
                column=f"spared_{cut}", is_share=True, family=f"positivity_kappa_{cut}",
            ),
            Value(
                f"positivity_kappa_{cut}", f"Positivity kappa{label}", "1", "high",
                f"Cohen's kappa of the 2×2 table of positive and negative images {at}", rule, is_share=True,
            ),
            Value(f"positives_{cut}", f"Positive{label}", "images", "high", f"real images positive {at}", rule),
            Value(f"negatives_{cut}", f"Negative{label}", "images", "high", f"real images negative {at}", rule),
        ]  # fmt: skip
    return tuple(values)


class Positivity(Metric):
    """Agreement of generated and real images on which are positive, as 2 × 2 tables at two cuts.

    Columns ``positivity`` and ``positivity_real``: what is cut, in percent; ``positivity_grade`` and
    ``positivity_grade_real``: 0 below both cuts, 1 between, 2 above. NaN for images without nuclei where these are
    counted.

    Label read: ``stain``.
    """

    values = declared(AREA, THRESHOLDS)

    def __init__(self, area: Cutoffs = AREA, thresholds: Mapping[str, Cutoffs] = THRESHOLDS) -> None:
        self.area = area
        self.thresholds = {marker(stain): cutoffs for stain, cutoffs in thresholds.items()}
        self.values = declared(self.area, self.thresholds)

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Positivity and grade of both images, and whether they agree at each cut: 100 or 0, NaN for the other kind."""
        cutoffs = self.thresholds.get(marker(sample.labels.get("stain", "")))
        shares = [self._positivity(sample, which, cutoffs) for which in ("fake", "real")]
        grades = [NAN if np.isnan(share) else float((cutoffs or self.area).category(share)) for share in shares]
        columns = dict(zip(("positivity", "positivity_real", *GRADES), shares + grades, strict=True))
        known, (fake, real) = not np.isnan(grades).any(), grades
        for cut, least in CUTS.items():
            agree = 100.0 * ((fake >= least) == (real >= least))
            columns[f"detected_{cut}"] = agree if known and real >= least else NAN
            columns[f"spared_{cut}"] = agree if known and real < least else NAN
        return columns

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values; Absent where no real image is of the kind that a value is about."""
        results: dict[str, float | Absent] = {}
        none = bool(table[[*GRADES]].isna().any(axis=1).all())
        for cut, least in CUTS.items():
            counts = positives(table, least)
            for name, column, row, kind in (
                ("sensitivity", "detected", 1, "positive"),
                ("specificity", "spared", 0, "negative"),
            ):
                numbers = table[f"{column}_{cut}"]
                results[f"{name}_{cut}"] = float(numbers.mean()) if counts[row].any() else _missing(none, kind)
            missing = [kind for row, kind in enumerate(("negative", "positive")) if not counts[row].any()]
            results[f"positivity_kappa_{cut}"] = _missing(none, missing[0]) if missing else quadratic_kappa(counts)
            results |= {f"positives_{cut}": float(counts[1].sum()), f"negatives_{cut}": float(counts[0].sum())}
        return results

    def _positivity(self, sample: Sample, which: Which, cutoffs: Cutoffs | None) -> float:
        """In percent."""
        if cutoffs is None:
            return 100 * density_of(sample.once(which, read_levels).counts).positive_area
        score = nuclear_score(sample, which)
        return score.positive if score else NAN


def positives(table: pd.DataFrame, least: int) -> NDArray[np.int64]:
    """(2, 2) numbers of images by their grades: rows the real one negative, positive, columns the generated one.

    ``least``: the lowest grade that is positive.
    """
    both = (table[[*GRADES]].dropna() >= least).to_numpy(np.int64)
    counts = np.zeros((2, 2), np.int64)
    np.add.at(counts, (both[:, 1], both[:, 0]), 1)
    return counts


def _missing(none: bool, kind: str) -> Absent:
    return Absent("no pair has two images with nuclei" if none else f"no real image is {kind} at this percentage")
