"""Would the generated image be given the same category as the real one, by the shares a guideline divides at?

A proxy for nuclear markers, by area of stain in one tile (``vsbench.stain.nuclei``): guidelines speak of tumour cells
counted by a pathologist over a slide. It judges a generated image against the real one by one rule; where the data set
has labels, the row of the real IHC says how far the rule itself can be trusted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.markers import marker
from vsbench.metric import Absent, Metric, Sample, Value, Which
from vsbench.names import brief
from vsbench.stain.dab import read_levels
from vsbench.stain.nuclei import BANDS, MIN_AREA, NUCLEAR, NuclearStain, counterstained, nuclear_stain

NPI = f"npi/h{NUCLEAR}-dab{BANDS[0]}-area{MIN_AREA}"  # the rule of the percentage of positive nuclei, for protocols
CATEGORIES = 3  # 0 negative or low, 1 between, 2 positive or high
NAN = float("nan")


@dataclass(frozen=True)
class Cutoffs:
    """Two percentages of positive nuclei, and whether these themselves are category 1 (else they are 0 and 2)."""

    low: float
    high: float
    ends_between: bool
    source: str

    def category(self, percent: float) -> int:
        """0, 1 or 2."""
        if self.ends_between:
            return int(percent >= self.low) + int(percent > self.high)
        return int(percent > self.low) + int(percent >= self.high)

    def __str__(self) -> str:
        """Category 1 as an interval: ``[1,10]``, or ``(5,30)`` where it ends before both."""
        interval = f"{self.low:g},{self.high:g}"
        return f"[{interval}]" if self.ends_between else f"({interval})"


ASCO_CAP = "ASCO/CAP 2020 (Allison et al., J Clin Oncol 38:1346): < 1 % negative, 1–10 % low positive, > 10 % positive"
KI67_GROUP = "International Ki67 in Breast Cancer Working Group 2021 (Nielsen et al., JNCI 113:808): ≤ 5 %, ≥ 30 %"
THRESHOLDS: Mapping[str, Cutoffs] = MappingProxyType(
    {
        "er": Cutoffs(1, 10, True, ASCO_CAP),
        "pr": Cutoffs(1, 10, True, f"{ASCO_CAP}; low positive is ER's, taken over for PR"),
        "ki67": Cutoffs(5, 30, False, KI67_GROUP),
        # HER2 is scored by its membranes: no share of nuclei divides it
    }
)


def declared(thresholds: Mapping[str, Cutoffs]) -> tuple[Value, ...]:
    """The values for these thresholds, which are part of the protocol."""
    weak, moderate, strong = BANDS
    rule = f"{NPI}/" + "-".join(f"{stain}{thresholds[stain]}" for stain in sorted(thresholds))
    cut = "by the percentage of nuclear pixels with DAB, cut at the protocol's percentages"
    kappa = "1 − Σ w O / Σ w E of the 3×3 table of categories, w = (difference)²"
    return (
        Value(
            "clinical_accuracy",
            "Category accuracy",
            "%",
            "high",
            f"pairs whose generated and real image have one category of three, {cut}",
            rule,
            column="category_agreement",
            family="clinical_kappa",
        ),
        Value("clinical_kappa", "Category kappa", "1", "high", f"quadratic-weighted kappa of the same: {kappa}", rule),
        Value(
            "npi_mae",
            "NPI MAE",
            "percentage points",
            "low",
            "mean over i of |difference of the percentages of nuclear pixels with DAB|",
            NPI,
            column="npi_error",
        ),
        Value(
            "h_score_mae",
            "H-score MAE",
            "points of 300",
            "low",
            "mean over i of |difference of 100 · (weak + 2 moderate + 3 strong share of nuclear pixels)|",
            f"npi/h{NUCLEAR}-dab{weak}-{moderate}-{strong}-area{MIN_AREA}",
            column="h_score_error",
            family="npi_mae",
        ),
        Value(
            "label_accuracy",
            "Label accuracy",
            "%",
            "high",
            f"images whose category, {cut}, is that of the data set's label",
            f"label/{rule}",
            column="label_agreement",
            family="label_kappa",
        ),
        Value(
            "label_kappa", "Label kappa", "1", "high", f"quadratic-weighted kappa of the same: {kappa}", f"label/{rule}"
        ),
        Value(
            "clinical_undefined",
            "Category undefined",
            "images",
            "low",
            f"number of pairs without a category: either image is nuclear in less than {MIN_AREA:.0%} of its pixels",
            rule,
        ),
    )


class Clinical(Metric):
    """Nuclear positivity index, H-score by area, and the categories that these thresholds divide the index into.

    ``thresholds``: by stain, percentages of positive nuclei; other ones are another protocol. A stain without is n/a.
    ``stain``: that of samples whose label ``stain`` does not tell it.

    Labels read: ``stain``; ``category`` ("0", "1", "2"), else ``positive_fraction`` (0…1), cut by the thresholds.
    """

    values = declared(THRESHOLDS)

    def __init__(self, thresholds: Mapping[str, Cutoffs] = THRESHOLDS, stain: str | None = None) -> None:
        self.thresholds = {marker(stain): cutoffs for stain, cutoffs in thresholds.items()}
        self.stain = stain
        self.values = declared(self.thresholds)  # other thresholds, another protocol

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Index in percent, H-score and category of both images, the label's category, and how far they agree.

        NaN where a number does not exist. Raises DataError for a label that is no category or fraction.
        """
        cutoffs = self.thresholds.get(marker(sample.labels.get("stain", self.stain or "")))
        fake, real = (nuclear_score(sample, which) if cutoffs else None for which in ("fake", "real"))
        category, category_real = (cutoffs.category(s.positive) if cutoffs and s else NAN for s in (fake, real))
        label = labelled(sample, cutoffs)
        index, index_real = (s.positive if s else NAN for s in (fake, real))
        score, score_real = (s.h_score if s else NAN for s in (fake, real))
        return {
            "npi": index,
            "npi_real": index_real,
            "npi_error": abs(index - index_real),
            "h_score": score,
            "h_score_real": score_real,
            "h_score_error": abs(score - score_real),
            "category": category,
            "category_real": category_real,
            "category_agreement": agreement(category, category_real),
            "category_label": label,
            "label_agreement": agreement(category, label),
        }

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values over the pairs that have them; Absent where none has, or kappa has nothing to tell."""
        if table["npi"].isna().all() and table["npi_real"].isna().all():
            stains = ", ".join(sorted(self.thresholds))
            none = Absent(
                f"no image has a share of positive nuclei: the rule is for {stains} (HER2 is scored by its membranes), "
                f"and for images of which {MIN_AREA:.0%} or more are nuclear"
            )
        else:
            none = Absent(f"no pair has two images of which {MIN_AREA:.0%} or more are nuclear")
        unlabelled = Absent("the data set's labels give no category for an image that has one by the rule")
        return {
            "clinical_accuracy": mean_of(table["category_agreement"], none),
            "clinical_kappa": kappa_of(table, "category", "category_real", none),
            "npi_mae": mean_of(table["npi_error"], none),
            "h_score_mae": mean_of(table["h_score_error"], none),
            "label_accuracy": mean_of(table["label_agreement"], unlabelled),
            "label_kappa": kappa_of(table, "category", "category_label", unlabelled),
            "clinical_undefined": float(table["category_agreement"].isna().sum()),
        }


def confusion(table: pd.DataFrame, reference: str = "category_real", generated: str = "category") -> NDArray[np.int64]:
    """(3, 3) numbers of images from a per-image table: rows category by ``reference``, columns by the generated image.

    ``reference``: "category_real", or "category_label" for the data set's labels. Images without either are left out.
    """
    both = table[[reference, generated]].dropna().to_numpy(np.int64)
    counts = np.zeros((CATEGORIES, CATEGORIES), np.int64)
    np.add.at(counts, (both[:, 0], both[:, 1]), 1)
    return counts


def quadratic_kappa(counts: NDArray[np.int64]) -> float:
    """Cohen's kappa with quadratic weights of a square confusion matrix, in [−1, 1]; NaN if all is in one category.

    1: equal; 0: as good as chance. Source: Cohen, Psychol Bull 70 (1968) 213–220.
    """
    place = np.arange(len(counts))
    weight = np.subtract.outer(place, place) ** 2
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    expected = float((weight * by_chance).sum())
    return 1 - float(counts.sum() * (weight * counts).sum()) / expected if expected > 0 else NAN


def nuclear_score(sample: Sample, which: Which) -> NuclearStain | None:
    """Of one image; None where it holds too few nuclear pixels."""
    return nuclear_stain(sample.once(which, counterstained), sample.once(which, read_levels))


def labelled(sample: Sample, cutoffs: Cutoffs | None) -> float:
    """The label's category; NaN where the labels give none."""
    for name, most in (("category", CATEGORIES - 1), ("positive_fraction", 1)):
        text = sample.labels.get(name)
        if text is None:
            continue
        try:
            number = float(text)
        except ValueError:
            number = NAN
        if not 0 <= number <= most or (name == "category" and not number.is_integer()):
            raise DataError(f"{sample.id}: label {name} is {brief(text)}; expected a number of 0 to {most}")
        if name == "category":
            return number
        return cutoffs.category(100 * number) if cutoffs else NAN
    return NAN


def agreement(category: float, reference: float) -> float:
    """100 where both are the same category, else 0; NaN where there is only one."""
    return NAN if np.isnan(category) or np.isnan(reference) else 100.0 * (category == reference)


def mean_of(column: pd.Series, none: Absent) -> float | Absent:
    """Over the images that have a number; ``none`` where none has."""
    return none if column.isna().all() else float(column.mean())


def kappa_of(table: pd.DataFrame, generated: str, reference: str, none: Absent) -> float | Absent:
    """Quadratic-weighted kappa of two columns of categories; ``none`` where no image has both."""
    counts = confusion(table, reference, generated)
    if counts.sum() == 0:
        return none
    if np.count_nonzero(counts.sum(axis=1)) < 2:
        what = "labels" if reference == "category_label" else "real images"
        return Absent(f"all {what} are of one category: kappa cannot tell a good method from a bad one")
    return quadratic_kappa(counts)
