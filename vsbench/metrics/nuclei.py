"""Are the nuclei kept, and the right share of them positive? Nuclei counted one by one; on request: it takes a while.

A detector of few constants finds them in the H&E, the real and the generated image alike (``stain.nuclei_detected``,
which says how far it can be trusted). F1 is not simply good where it is high: the H&E unchanged has 1, and what another
tile's image reaches by chance is far above 0, both of which the reference rows show. Where the marker is nuclear, each
nucleus is scored by its mean DAB, as QuPath does, not each pixel as in ``clinical``.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.markers import marker
from vsbench.metric import GIVEN_NUCLEI, Absent, Metric, Sample, Value, Which
from vsbench.metrics.clinical import NAN, THRESHOLDS, Cutoffs, agreement, kappa_of, mean_of
from vsbench.stain.dab import density_table, read_levels
from vsbench.stain.nuclei import BANDS, NuclearStain
from vsbench.stain.nuclei_detected import RULE, TRUST, detected_nuclei
from vsbench.stain.nuclei_matched import RADIUS, detection_f1
from vsbench.stain.nuclei_outlined import Nuclei

FEWEST = 10  # nuclei of an image; a share of fewer says nothing


def declared(thresholds: Mapping[str, Cutoffs], outlines: str = RULE) -> tuple[Value, ...]:
    """The values for these thresholds and this rule of what a nucleus is; both are part of the protocol."""
    found_by = f"; {TRUST}" if outlines == RULE else ""
    weak, moderate, strong = BANDS
    cuts = "-".join(f"{stain}{thresholds[stain]}" for stain in sorted(thresholds))
    share = f"{outlines}-dab{weak}-n{FEWEST}"
    cut = "by the percentage of positive nuclei, cut at the protocol's percentages"
    kappa = "1 − Σ w O / Σ w E of the 3×3 table of categories, w = (difference)²"
    return (
        Value(
            "nuclei_f1", "Nuclei F1", "1", "high",
            f"mean over i of 2 M / (nuclei of generated image i and of its H&E), M the most pairs of one of each whose "
            f"centres lie within {RADIUS:g} pixels; H&E unchanged has 1, another tile far above 0{found_by}",
            f"nuclei-f1/{outlines}-r{RADIUS:g}", column="nuclei_f1", is_share=True,
        ),
        Value(
            "nuclei_count_error", "Nuclei count error", "%", "low",
            "mean over i of 100 · |nuclei of the generated − of the real image| / nuclei of the real image",
            f"nuclei-count/{outlines}", column="nuclei_count_error",
        ),
        Value(
            "nuclei_share_mae", "Positive nuclei MAE", "percentage points", "low",
            f"mean over i of |difference of the percentages of nuclei with a mean DAB of {weak} or more|",
            f"nuclei-share/{share}", column="nuclei_share_error",
        ),
        Value(
            "nuclei_h_score_mae", "Nuclei H-score MAE", "points of 300", "low",
            "mean over i of |difference of 100 · (weak + 2 moderate + 3 strong share of nuclei, by their mean DAB)|",
            f"nuclei-h/{outlines}-dab{weak}-{moderate}-{strong}-n{FEWEST}",
            column="nuclei_h_score_error", family="nuclei_share_mae",
        ),
        Value(
            "nuclei_accuracy", "Nuclei category accuracy", "%", "high",
            f"pairs whose generated and real image have one category of three, {cut}",
            f"nuclei-category/{share}/{cuts}", column="nuclei_category_agreement", family="nuclei_kappa",
        ),
        Value(
            "nuclei_kappa", "Nuclei category kappa", "1", "high", f"quadratic-weighted kappa of the same: {kappa}",
            f"nuclei-category/{share}/{cuts}", is_share=True,
        ),
        Value(
            "nuclei_undefined", "Nuclei undefined", "images", "low",
            f"number of pairs without a share of positive nuclei: either image has fewer than {FEWEST} nuclei",
            f"nuclei-share/{share}",
        ),
    )  # fmt: skip


class NucleiKept(Metric):
    """Counts, agreement with the H&E's nuclei, and what share of them is positive.

    ``thresholds``: by nuclear marker, percentages of positive nuclei, as in ``clinical``; of a stain without there is
    no share. ``stain``: that of samples whose label ``stain`` does not tell it.

    Columns ``nuclei``, ``nuclei_real``, ``nuclei_he``: counts. ``nuclei_share``: in percent. NaN where a number does
    not exist.
    """

    values = declared(THRESHOLDS)
    on_request = True
    takes_nuclei = True

    def __init__(self, thresholds: Mapping[str, Cutoffs] = THRESHOLDS, stain: str | None = None) -> None:
        self.thresholds = {marker(stain): cutoffs for stain, cutoffs in thresholds.items()}
        self.stain = stain
        self.values = declared(self.thresholds)
        self.given: str | None = None

    def use_nuclei(self, digest: str) -> None:
        """Those outlined elsewhere take the place of those that the detector finds."""
        self.given = digest
        self.values = declared(self.thresholds, f"given:{digest[:12]}")

    def provenance(self) -> dict[str, str]:
        """SHA-256 over the nuclei of the real images, where they were outlined elsewhere."""
        return {} if self.given is None else {GIVEN_NUCLEI: self.given}

    def per_image(self, sample: Sample) -> dict[str, float]:
        """Counts, F1 and errors of one pair; share, H-score and category of both images."""
        fake, real, he = (self._nuclei(sample, which) for which in ("fake", "real", "he"))
        count, count_real, count_he = (NAN if nuclei is None else float(nuclei.count) for nuclei in (fake, real, he))
        columns = {
            "nuclei": count,
            "nuclei_real": count_real,
            "nuclei_he": count_he,
            "nuclei_count_error": 100 * abs(count - count_real) / count_real if count_real else NAN,
            "nuclei_f1": NAN if fake is None or he is None else detection_f1(fake, he),
        }
        cutoffs = self.thresholds.get(marker(sample.labels.get("stain", self.stain or "")))
        scores = [_score(sample, "fake", fake), _score(sample, "real", real)] if cutoffs else []
        for name, number in (("share", "positive"), ("h_score", "h_score")):
            both = [getattr(score, number, NAN) for score in scores] or [NAN, NAN]
            columns[f"nuclei_{name}"], columns[f"nuclei_{name}_real"] = both
            columns[f"nuclei_{name}_error"] = abs(both[0] - both[1])
        shares = columns["nuclei_share"], columns["nuclei_share_real"]
        categories = [NAN if cutoffs is None or np.isnan(share) else float(cutoffs.category(share)) for share in shares]
        columns["nuclei_category"], columns["nuclei_category_real"] = categories
        columns["nuclei_category_agreement"] = agreement(*categories)
        return columns

    def _nuclei(self, sample: Sample, which: Which) -> Nuclei | None:
        """None where they are given, and not of this image."""
        return sample.once(which, detected_nuclei) if self.given is None else sample.nuclei.get(which)

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Set values over the pairs that have them; Absent where none has."""
        if table["nuclei"].isna().all():
            return {value.name: Absent("no nuclei of these images were given") for value in self.values}
        no_f1 = "no nucleus in any generated image or H&E"
        if table["nuclei_he"].isna().all():
            no_f1 = "no nuclei of the H&E were given"
        if table["nuclei_share"].isna().all() and table["nuclei_share_real"].isna().all():
            stains = ", ".join(sorted(self.thresholds))
            none = Absent(f"no image has a share of positive nuclei: of nuclear markers only ({stains}), and of "
                          f"images with {FEWEST} nuclei or more")  # fmt: skip
        else:
            none = Absent(f"no pair has two images with {FEWEST} nuclei or more")
        return {
            "nuclei_f1": mean_of(table["nuclei_f1"], Absent(no_f1)),
            "nuclei_count_error": mean_of(table["nuclei_count_error"], Absent("no nucleus in any real image")),
            "nuclei_share_mae": mean_of(table["nuclei_share_error"], none),
            "nuclei_h_score_mae": mean_of(table["nuclei_h_score_error"], none),
            "nuclei_accuracy": mean_of(table["nuclei_category_agreement"], none),
            "nuclei_kappa": kappa_of(table, "nuclei_category", "nuclei_category_real", none),
            "nuclei_undefined": float(table["nuclei_share_error"].isna().sum()),
        }


def _score(sample: Sample, which: Which, nuclei: Nuclei | None) -> NuclearStain | None:
    """Of one image; None where it has too few nuclei."""
    if nuclei is None or nuclei.count < FEWEST:
        return None
    dab = nuclei.means(density_table()[sample.once(which, read_levels).levels])
    weak, moderate, strong = (float((dab >= least).mean()) for least in BANDS)
    return NuclearStain(weak - moderate, moderate - strong, strong)
