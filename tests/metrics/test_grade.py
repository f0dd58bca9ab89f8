"""Grades by a probe of real IHC: against scikit-learn, SciPy and definitions, and n/a with the reason elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from PIL import Image
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from vsbench.data.pairs import Pair
from vsbench.errors import DataError, UsageError
from vsbench.evaluation import group as groups
from vsbench.evaluation.evaluate import Outcome, evaluate_rows
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.rows import reference_rows
from vsbench.metric import Absent, Sample
from vsbench.metrics._probe import STRENGTH, fit_probe
from vsbench.metrics.encoder import EncoderSpace
from vsbench.metrics.grade import Grade, grade_of, macro_auroc
from vsbench.roc import area
from vsbench.stain.dab import optical_density_dab
from vsbench.stain.density import transmitted_intensity
from vsbench.stain.descriptor import BLOCKS, DENSITIES, dab_descriptor
from vsbench.stats.distances import DISTANCES
from vsbench.stats.slides import Slides
from vsbench.stats.slides import group as slides_of
from vsbench.stats.table import table_statistics

SIDE = 40


def stained(amount: float, seed: int) -> np.ndarray:
    """Unevenly spread DAB of this mean optical density in red, green and blue together."""
    dab = np.random.default_rng(seed).gamma(2.0, 0.5, (SIDE, SIDE))
    return np.rint(transmitted_intensity(amount * dab[..., None] * (0.268, 0.570, 0.776))).astype(np.uint8)


def features(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) features and grades that they tell in part; the last feature does not vary."""
    random = np.random.default_rng(seed)
    grades = random.choice([0, 1, 3], count)
    x = np.stack([grades + random.normal(0, 1, count), random.normal(5, 2, count), np.full(count, 7.0)], axis=1)
    return x.astype(np.float32), grades


@pytest.mark.parametrize("kinds", [(0, 1, 3), (0, 3)])
def test_the_probe_minimises_its_loss(kinds: tuple[int, ...]) -> None:
    """As SciPy's optimiser finds the minimum of the loss as it is written down."""
    x, grades = features(80)
    x, grades = x[np.isin(grades, kinds)], grades[np.isin(grades, kinds)]
    probe = fit_probe(x, grades)
    z = (x[:, :2] - x[:, :2].mean(axis=0)) / x[:, :2].std(axis=0)
    k, two = len(kinds), len(kinds) == 2

    def scores(flat: np.ndarray) -> np.ndarray:
        parts = flat.reshape(-1, 3)
        linear = z @ parts[:, :2].T + parts[:, 2]
        return np.column_stack([np.zeros(len(z)), linear]) if two else linear

    def loss(flat: np.ndarray) -> float:
        found = scores(flat)
        own = found[np.arange(len(z)), np.searchsorted(kinds, grades)]
        logs = np.log(np.exp(found).sum(axis=1)) - own
        return float(STRENGTH * logs.sum() + (flat.reshape(-1, 3)[:, :2] ** 2).sum() / 2)

    best = scipy.optimize.minimize(loss, np.zeros(3 * (1 if two else k)), tol=1e-12)
    powers = np.exp(scores(best.x))
    np.testing.assert_allclose(probe.probabilities(x), powers / powers.sum(axis=1, keepdims=True), atol=1e-4)
    assert probe.grades.tolist() == list(kinds)


def test_a_curve_s_area_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 9, 60) / 9, random.random(60) > 0.6
    assert area(scores, positive) == pytest.approx(roc_auc_score(positive, scores), rel=1e-12)
    assert np.isnan(area(scores, np.ones(60, bool)))
    chance = random.dirichlet([1, 1, 1, 1], 60).astype(np.float32)
    label = random.integers(0, 4, 60)
    expected = np.mean([roc_auc_score(label == k, chance[:, k]) for k in range(4)])
    assert macro_auroc(chance, np.eye(4)[label]) == pytest.approx(expected, rel=1e-12)


def test_the_description_of_dab_by_its_definition() -> None:
    image = stained(0.5, 1)
    density = optical_density_dab(image).astype(np.float64)
    found = dab_descriptor(image)
    assert found[0] == pytest.approx(density.mean(), rel=1e-5)
    assert found[3] == pytest.approx(np.quantile(density, 0.5, method="inverted_cdf"), rel=1e-6)
    assert found[7:11] == pytest.approx([(density >= least).mean() for least in DENSITIES], rel=1e-6)
    for number, block in zip(found[11:], BLOCKS, strict=True):
        n = SIDE // block
        means = [
            density[block * i : block * (i + 1), block * j : block * (j + 1)].mean() for i in range(n) for j in range(n)
        ]
        assert number == pytest.approx(np.std(means) if len(means) > 1 else 0, rel=1e-4)


def graded(name: str, amount: float, grade: str | None, seed: int) -> Sample:
    image = stained(amount, seed)
    return Sample(name, image, image, image, labels={} if grade is None else {"grade": grade})


def taught() -> Grade:
    metric = Grade()
    metric.learn([[graded(f"{n}", 0.1 + 0.2 * (n % 4), str(n % 4), n) for n in range(40)]])
    return metric


def test_values_are_scikit_learns() -> None:
    metric = taught()
    random = np.random.default_rng(4)
    samples = [graded(f"{n}", 0.1 + 0.2 * (n % 4), str(n % 4), 100 + n) for n in range(24)]
    samples = [s.judging(stained(0.1 + 0.2 * (n % 4) + 0.25 * random.random(), 200 + n)) for n, s in enumerate(samples)]
    samples.append(graded("without", 0.3, None, 5))
    update = metric.update(samples)
    table = pd.DataFrame(update.columns)
    values = metric.finish(table, update.features)
    label, grade = (table[name][:-1].astype(int) for name in ("grade_label", "grade"))
    assert values["grade_accuracy"] == pytest.approx(100 * accuracy_score(label, grade))
    assert values["grade_kappa"] == pytest.approx(cohen_kappa_score(label, grade, weights="quadratic"))
    chance = update.features["grade_fake"][:-1].astype(np.float64)
    expected = roc_auc_score(label, chance / chance.sum(axis=1, keepdims=True), multi_class="ovr", average="macro")
    assert values["grade_auroc"] == pytest.approx(expected, rel=1e-6)
    assert 0 < float(values["grade_kappa"]) < 1  # type: ignore[arg-type]
    assert (table["grade_of_real"][:-1] == label).mean() > 0.9
    assert np.isnan(table["grade_right"].iloc[-1])

    slides = slides_of([f"{n % 5}" for n in range(25)], warn=lambda text: None)
    once = np.ones((1, slides.count))
    pooled = table_statistics(table, metric.values, slides)
    assert pooled["grade_kappa"](once)[0] == pytest.approx(values["grade_kappa"])
    assert pooled["grade_accuracy"](once)[0] == pytest.approx(values["grade_accuracy"])
    area = DISTANCES["grade_auroc"].of(update.features, slides)
    assert area(once)[0] == pytest.approx(values["grade_auroc"])


def test_a_drawn_area_is_that_of_repeated_images_and_scores_tell_differences() -> None:
    random = np.random.default_rng(0)
    slides = Slides(np.repeat(np.arange(6), 4), 6)
    wanted = np.eye(4, dtype=np.float32)[random.integers(0, 4, 24)]
    wanted[3] = 0  # without a grade
    first, second = (random.dirichlet([1, 1, 1, 1], 24).astype(np.float32) for _ in range(2))
    distance = DISTANCES["grade_auroc"]
    counts = np.array([[2.0, 0, 1, 1, 0, 2]])
    rows = np.repeat(np.arange(24), counts[0][slides.index].astype(int))
    rows = rows[wanted[rows].sum(axis=1) > 0]
    assert distance.statistic(first, wanted, slides)(counts)[0] == pytest.approx(macro_auroc(first[rows], wanted[rows]))
    some = wanted.sum(axis=1) > 0
    one, other = (macro_auroc(part[some], wanted[some]) for part in (first, second))
    a, b = distance.scores(first, second, wanted)
    assert a.mean() - b.mean() == pytest.approx(one - other, abs=1e-9)
    moved = (slides.index % 2 == 0)[:, None]
    c, d = distance.scores(np.where(moved, second, first), np.where(moved, first, second), wanted)
    np.testing.assert_allclose(c, np.where(moved[:, 0], b, a))
    np.testing.assert_allclose(d, np.where(moved[:, 0], a, b))


@pytest.mark.parametrize(
    ("training", "why"),
    [
        ([], "no training split"),
        ([graded("a", 0.1, None, 0)], "no training image has a grade"),
        ([graded("a", 0.1, "2", 0), graded("b", 0.5, "2", 1)], "all training images are of grade 2"),
    ],
)
def test_without_anything_to_learn_it_is_absent(training: list[Sample], why: str) -> None:
    metric = taught()  # of another data set: forgotten
    metric.learn([training] if training else [], "" if training else "no training split here")
    update = metric.update([graded("t", 0.3, "1", 2), graded("u", 0.3, "2", 3)])
    for value in metric.finish(pd.DataFrame(update.columns), update.features).values():
        assert isinstance(value, Absent)
        assert why in value.reason


@pytest.mark.parametrize("grades", [[None, None], ["1", "1"]])
def test_test_images_without_grades_or_of_one_have_no_kappa(grades: list[str | None]) -> None:
    metric = taught()
    update = metric.update([graded(f"{n}", 0.3, grade, n) for n, grade in enumerate(grades)])
    values = metric.finish(pd.DataFrame(update.columns), update.features)
    for name in ("grade_kappa", "grade_auroc"):
        value = values[name]
        assert isinstance(value, Absent)
        assert ("no grade" if grades[0] is None else "one grade") in value.reason


def test_labels_are_grades_or_categories() -> None:
    sample = graded("a", 0.1, None, 0)
    assert np.isnan(grade_of(sample))
    for labels, grade in (
        ({"grade": "3"}, 3),
        ({"category": "2"}, 2),
        ({"positive_fraction": "0.2", "stain": "er"}, 2),
        ({"positive_fraction": "0.2", "stain": "ki67"}, 1),
    ):
        assert grade_of(Sample("a", sample.fake, sample.fake, sample.fake, labels=labels)) == grade
    for bad in ("3+", "4", ""):
        with pytest.raises(DataError, match="a: label grade is"):
            grade_of(graded("a", 0.1, bad, 0))


def test_features_are_what_was_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(tmp_path))
    for variable in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))

    def protocol(choice: str | None) -> str:
        metric = Grade()
        metric.choose(choice)
        return metric.values[0].protocol

    assert protocol(None) == protocol("dab") == Grade.values[0].protocol  # no weights are here
    assert "inception-2015" in protocol("inception")
    assert "vgg16" in protocol("vgg16")
    with pytest.raises(UsageError, match="no encoder 'uni'"):
        protocol("uni")
    metric = Grade()
    metric.choose("inception")
    assert "missing" in str(metric.unavailable())
    metric.use_random_weights(3)
    assert metric.values[0].protocol.endswith("@random:3")
    assert metric.unavailable() is None
    assert not isinstance(metric.source, EncoderSpace)


@pytest.fixture
def bci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree as BCI's: the grade is how much DAB there is; of the test IHC too."""
    for split, count in (("train", 24), ("test", 12)):
        for side in ("HE", "IHC"):
            (tmp_path / "BCI_dataset" / side / split).mkdir(parents=True)
        for n in range(count):
            name = f"{n:05}_{split}_{('0', '1+', '2+', '3+')[n % 4]}.png"
            pixels = stained(0.1 + 0.2 * (n % 4), n + 1000 * (split == "test"))
            Image.fromarray(pixels).save(tmp_path / "BCI_dataset/IHC" / split / name)
            Image.fromarray(255 - pixels).save(tmp_path / "BCI_dataset/HE" / split / name)
    for variable in ("VSBENCH_WEIGHTS", "VSBENCH_DATA", "TORCH_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    return tmp_path


def evaluated(root: Path, *also: str, rows: int = 9) -> dict[str, Outcome]:
    group = Group("bci", {}, "her2", root, root / "results")
    found, failures = evaluate_rows(group, reference_rows(group)[:rows], Instrument.build("cpu", also))
    assert not failures
    return {outcome.summary.row: outcome for outcome in found}


def test_an_evaluation_learns_from_the_training_split_alone(bci: Path) -> None:
    rows = evaluated(bci, "grade")
    assert (rows["real-ihc"].summary.values["grade_accuracy"].value or 0) > 90
    assert (rows["mean-colour"].summary.values["grade_accuracy"].value or 0) < 50
    assert rows["real-ihc"].summary.values["grade_auroc"].interval is not None
    table = pd.read_csv(rows["shuffled"].run.evaluation("native") / "per_image.csv")
    assert table["grade_label"].tolist() == [n % 4 for n in range(12)]
    assert all(outcome.cached for outcome in evaluated(bci, "grade").values())
    moved = bci / "BCI_dataset/IHC/train/00000_train_0.png"
    Image.fromarray(stained(0.9, 77)).save(moved)  # other training images, another probe
    assert not evaluated(bci, "grade", rows=1)["real-ihc"].cached
    moved.write_bytes(b"no image")
    reason = evaluated(bci, "grade", rows=1)["real-ihc"].summary.values["grade_kappa"].reason
    assert "a training image is bad" in str(reason)
    for file in (bci / "BCI_dataset").glob("*/train/*"):
        file.unlink()
    reason = evaluated(bci, "grade", rows=1)["real-ihc"].summary.values["grade_kappa"].reason
    assert "no training split here" in str(reason)
    assert "grade_kappa" not in evaluated(bci, rows=1)["real-ihc"].summary.values


def test_pairs_of_test_slides_are_not_learnt_from(bci: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pairs_of(source: Any, root: Any, stain: str, split: str) -> list[Pair]:
        found: list[Pair] = source.pairs(root, stain, split)
        return [replace(pair, slide="one" if split == "test" or n < 22 else "two") for n, pair in enumerate(found)]

    monkeypatch.setattr(groups, "pairs_of", pairs_of)
    seen: list[str] = []
    learn: Callable[..., None] = Grade.learn

    def listening(self: Grade, training: Any, none_because: str = "") -> None:
        chunks = list(training)
        seen.extend(sample.id for samples in chunks for sample in samples)
        learn(self, chunks, none_because)

    monkeypatch.setattr(Grade, "learn", listening)
    evaluated(bci, "grade", rows=1)
    assert seen == ["00022_train_2+", "00023_train_3+"]
