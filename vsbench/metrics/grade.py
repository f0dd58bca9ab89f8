"""Would the generated image be given the grade that the data set has for its tissue? By a probe of real IHC alone.

A logistic regression learns the grades from the real IHC of training slides, and reads the generated test images. What
it makes of the real test IHC (``grade_of_real``, and the row of the real IHC) says how far it can be trusted: only what
comes near that is worth a comparison.

On request, since it reads the whole training split: ``vsbench evaluate --also grade`` takes Inception's features where
its weights are here, else a hand-made description of DAB; ``grade=dab``, ``grade=inception``, ``grade=vgg16`` or
``grade=NAME`` (of an encoder) say which.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.markers import marker
from vsbench.metric import Absent, Metric, Sample, Update, Value, Which
from vsbench.metrics._probe import RULE, Probe, fit_probe
from vsbench.metrics.clinical import THRESHOLDS, labelled, quadratic_kappa
from vsbench.metrics.encoder import EncoderSpace
from vsbench.metrics.fd_vgg16 import FdVgg16
from vsbench.metrics.fid import Fid
from vsbench.names import brief
from vsbench.roc import area
from vsbench.stain.descriptor import PROTOCOL, dab_descriptor

GRADES = 4  # 0, 1+, 2+, 3+
NAN = float("nan")
_NETWORKS: dict[str, type[Fid] | type[FdVgg16] | type[EncoderSpace]] = {"inception": Fid, "vgg16": FdVgg16}
NO_TRAINING = "no real IHC of training slides was given to learn from"


def grade_values(space: str) -> tuple[Value, ...]:
    """The values in a space of features, which the protocol names."""
    probe = "a logistic probe of the generated image, which learnt from the real IHC of training slides"
    protocol = f"{RULE}/{space}"
    return (
        Value(
            "grade_accuracy",
            "Grade accuracy",
            "%",
            "high",
            f"images whose grade by {probe}, is the data set's",
            f"grade/{protocol}",
            column="grade_right",
            family="grade_kappa",
        ),
        Value(
            "grade_kappa",
            "Grade kappa",
            "1",
            "high",
            "quadratic-weighted kappa of the same: 1 − Σ w O / Σ w E of the 4×4 table of grades, w = (difference)²",
            f"grade/{protocol}",
            is_share=True,  # 0: as good as chance
        ),
        Value(
            "grade_auroc",
            "Grade AUROC",
            "1",
            "high",
            "mean over the grades, each against the others, of the area under the ROC curve of its probability by "
            f"{probe}",
            f"grade/{protocol}",
            family="grade_kappa",
        ),
    )


class Grade(Metric):
    """Accuracy, quadratic kappa and macro AUROC of grades that a probe of real IHC reads in generated images.

    Labels read: ``grade`` ("0" to "3"); where there is none the category that ``clinical`` reads from ``category`` or
    ``positive_fraction``.
    """

    on_request = True
    needs_training = True
    values = grade_values(PROTOCOL)

    def __init__(self) -> None:
        self.source: Fid | FdVgg16 | EncoderSpace | None = None  # whose features; None: the description of DAB
        self.chosen = "dab"
        self.probe: Probe | None = None
        self.why_not = NO_TRAINING

    def choose(self, choice: str | None) -> None:
        """Take these features. Raises UsageError where there is no encoder of this name."""
        if choice is None:
            choice = "inception" if Fid().unavailable() is None else "dab"
        self.source = None if choice == "dab" else _NETWORKS.get(choice, EncoderSpace)()
        if isinstance(self.source, EncoderSpace):
            self.source.choose(choice)
        space = PROTOCOL if self.source is None else self.source.space
        self.chosen, self.values = choice, grade_values(space)

    def unavailable(self) -> str | None:
        """As of the network whose features are taken."""
        return None if self.source is None else self.source.unavailable()

    def use_random_weights(self, seed: int) -> None:
        """Of the network, if there is one that may have them."""
        if self.source is not None and self.source.needs:
            self.source.use_random_weights(seed)
            self.values = grade_values(f"{self.source.space}@random:{seed}")

    def provenance(self) -> dict[str, str]:
        """Of the network, and the words that choose these features."""
        own = {f"grade={self.chosen}": self.values[0].protocol}
        return own if self.source is None else own | self.source.provenance()

    def learn(self, training: Iterable[Sequence[Sample]], none_because: str = "") -> None:
        """Fit the probe to the real images that have a grade; where that can't be, ``finish`` says why."""
        self.probe = None
        features, grades = [], list[float]()
        for samples in training:
            if graded := [sample for sample in samples if not np.isnan(grade_of(sample))]:
                features.append(self._features(graded, "real"))
                grades += map(grade_of, graded)
        found = sorted(set(grades))
        if len(found) > 1:
            self.probe = fit_probe(np.concatenate(features), np.array(grades, np.int64))
            return
        one = f"all training images are of grade {found[0]:g}" if found else "no training image has a grade"
        self.why_not = none_because or f"{one}: there is nothing to learn"

    def update(self, samples: Sequence[Sample]) -> Update:
        """Grades by the data set, and by the probe of the generated and of the real image; NaN where there is none.

        Features: probabilities of the four grades, and which is the data set's, (n, 4) each.
        """
        label = np.array([grade_of(sample) for sample in samples])
        chance = np.zeros((len(samples), GRADES), np.float32)
        fake = real = np.full(len(samples), NAN)
        if self.probe is not None:
            of_fake, of_real = (self.probe.probabilities(self._features(samples, which)) for which in ("fake", "real"))
            chance[:, self.probe.grades] = of_fake
            fake, real = (self.probe.grades[side.argmax(axis=1)].astype(np.float64) for side in (of_fake, of_real))
        right = np.where(np.isnan(fake) | np.isnan(label), NAN, 100.0 * (fake == label))
        columns = {"grade": fake, "grade_of_real": real, "grade_label": label, "grade_right": right}
        wanted = (label[:, None] == np.arange(GRADES)).astype(np.float32)
        features = {"grade_fake": chance, "grade_real": wanted}
        return Update({name: numbers.tolist() for name, numbers in columns.items()}, features)

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Over the images that the data set has a grade of; Absent where there is none, or no probe."""
        names = [value.name for value in self.values]
        if table["grade"].isna().all():
            return dict.fromkeys(names, Absent(self.why_not))
        if table["grade_label"].isna().all():
            return dict.fromkeys(names, Absent("the data set's labels give no grade of a test image"))
        graded = table["grade_label"].notna().to_numpy()
        counts = np.zeros((GRADES, GRADES), np.int64)
        both = table.loc[graded, ["grade_label", "grade"]].to_numpy(np.int64)
        np.add.at(counts, (both[:, 0], both[:, 1]), 1)
        found: dict[str, float | Absent] = {"grade_accuracy": float(table["grade_right"].mean())}
        if np.count_nonzero(counts.sum(axis=1)) < 2:
            one = Absent("all test images are of one grade: nothing can be told apart")
            return found | {"grade_kappa": one, "grade_auroc": one}
        chance, wanted = (features[f"grade_{which}"][graded] for which in ("fake", "real"))
        return found | {"grade_kappa": quadratic_kappa(counts), "grade_auroc": macro_auroc(chance, wanted)}

    def _features(self, samples: Sequence[Sample], which: Which) -> NDArray[np.float32]:
        if self.source is None:
            return np.stack([sample.once(which, dab_descriptor) for sample in samples])
        self.source.device = self.device
        return self.source.embedded(samples, which)


def grade_of(sample: Sample) -> float:
    """The data set's grade, 0 to 3; NaN where its labels give none. Raises DataError for one that is none."""
    text = sample.labels.get("grade")
    if text is None:
        return labelled(sample, THRESHOLDS.get(marker(sample.labels.get("stain", ""))))
    if text not in tuple(map(str, range(GRADES))):
        raise DataError(f"{sample.id}: label grade is {brief(text)}; expected 0, 1, 2 or 3")
    return float(text)


def macro_auroc(chance: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Mean over the grades, of those that some images have and others have not. (N, K) each, ``wanted`` 0 or 1."""
    areas = [area(chance[:, k], wanted[:, k] > 0) for k in range(wanted.shape[1])]
    return float(np.nanmean(areas))
