"""Categories by nuclear stain: known mosaics, the phantom's true cells, the guidelines' ends, scikit-learn's kappa."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Metric, Sample
from vsbench.metrics.clinical import THRESHOLDS, Clinical, Cutoffs, confusion, quadratic_kappa
from vsbench.registry import load
from vsbench.stain.dab import read_levels
from vsbench.stain.density import DAB, HAEMATOXYLIN, stain_matrix, transmitted_intensity
from vsbench.stain.nuclei import NuclearStain, counterstained, nuclear_stain


def stained(*amounts: tuple[float, float]) -> Image:
    """One row of pixels with these optical densities of haematoxylin and DAB."""
    density = np.array([amounts]) @ stain_matrix(HAEMATOXYLIN, DAB)
    return np.rint(transmitted_intensity(density)).astype(np.uint8)


def score(image: Image) -> NuclearStain | None:
    return nuclear_stain(counterstained(image), read_levels(image))


def percent(positive: int) -> Image:
    """A hundred nuclear pixels, so many of them positive, and a hundred of bare glass."""
    return stained(*[(0.1, 0.5)] * positive, *[(0.4, 0.0)] * (100 - positive), *[(0.0, 0.0)] * 100)


def pair(fake: int, real: int, **labels: str) -> Sample:
    return Sample("a", percent(fake), percent(real), percent(0), labels=labels)


def table_of(samples: Sequence[Sample], metric: Metric | None = None) -> pd.DataFrame:
    return pd.DataFrame((metric or Clinical()).update(samples).columns)


def categories(fake: NDArray[np.float64], real: NDArray[np.float64]) -> pd.DataFrame:
    """A table whose images have these categories."""
    agreement = np.where(np.isnan(fake) | np.isnan(real), np.nan, 100.0 * (fake == real))
    columns = {"category": fake, "category_real": real, "category_label": real}
    return table_of([pair(1, 1, stain="er")] * len(fake)).assign(
        **columns, category_agreement=agreement, label_agreement=agreement
    )


def test_haematoxylin_is_told_from_dab() -> None:
    image = stained((0.09, 0.0), (0.11, 0.0), (0.0, 0.8), (0.0, 0.0), (0.3, 0.8))
    assert counterstained(image).tolist() == [[False, True, False, False, True]]


def test_shares_are_of_nuclear_pixels_by_strength_of_dab() -> None:
    found = score(stained((0.4, 0.0), (0.4, 0.17), (0.0, 0.23), (0.3, 0.5), (0.0, 0.9), *[(0.02, 0.1)] * 10))
    assert found == NuclearStain(0.2, 0.2, 0.2)
    assert found is not None
    assert found.positive == pytest.approx(60)
    assert found.h_score == pytest.approx(120)
    assert score(stained((0.4, 0.0))) == NuclearStain(0, 0, 0)


def test_an_image_with_hardly_a_nucleus_has_no_share() -> None:
    assert score(stained((0.4, 0.5), *[(0.0, 0.0)] * 100)) is None
    assert score(stained((0.4, 0.5), *[(0.0, 0.0)] * 99)) == NuclearStain(0, 1, 0)


@pytest.mark.parametrize("stain", ["er", "ki67"])
def test_the_index_follows_the_true_share_of_positive_cells(stain: str) -> None:
    phantom = load("vsbench.datasets", "phantom")
    module = __import__(phantom.__module__, fromlist=["render_tile"])
    index, truth = [], []
    for slide in range(4):
        tile = module.render_tile(module.PhantomConfig(), stain, f"T{slide:02d}_00_00")
        for image, there in ((tile.ihc, "in_ihc"), (tile.truth, "in_he")):
            found = score(image)
            assert found is not None
            index.append(found.positive)
            truth.append(100 * tile.cells["positive"][tile.cells[there]].mean())
    assert np.corrcoef(index, truth)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("stain", "shares", "expected"),
    [
        ("er", (0, 0.99, 1, 10, 10.01, 100), (0, 0, 1, 1, 2, 2)),
        ("pr", (0.99, 1, 10, 10.01), (0, 1, 1, 2)),
        ("ki67", (0, 5, 5.01, 29.99, 30, 100), (0, 0, 1, 1, 2, 2)),
    ],
)
def test_categories_end_where_the_guidelines_say(stain: str, shares: Sequence[float], expected: Sequence[int]) -> None:
    assert tuple(THRESHOLDS[stain].category(share) for share in shares) == tuple(expected)


def test_columns_of_a_pair() -> None:
    row = Clinical().per_image(pair(8, 40, stain="ki67", positive_fraction="0.04"))
    assert row == pytest.approx(
        {
            "npi": 8, "npi_real": 40, "npi_error": 32, "h_score": 16, "h_score_real": 80, "h_score_error": 64,
            "category": 1, "category_real": 2, "category_agreement": 0, "category_label": 0, "label_agreement": 0,
        }
    )  # fmt: skip
    assert Clinical().per_image(pair(8, 8, stain="er"))["category_agreement"] == 100


def test_the_stain_decides_which_percentages_cut() -> None:
    rows = [Clinical().per_image(pair(8, 8, stain=stain)) for stain in ("er", "ki67")]
    rows.append(Clinical({"er": Cutoffs(9, 10, True, "ours")}).per_image(pair(8, 8, stain="er")))
    rows.append(Clinical(stain="er").per_image(pair(20, 20)))
    rows.append(Clinical(stain="er").per_image(pair(20, 20, stain="ki67")))
    assert [row["category"] for row in rows] == [1, 1, 0, 2, 1]
    assert [row["category_real"] for row in rows] == [1, 1, 0, 2, 1]


@pytest.mark.parametrize(("stain", "spelt"), [("er", "ER"), ("ki67", "Ki-67"), ("pr", "PgR")])
def test_a_stain_is_known_however_it_is_spelt(stain: str, spelt: str) -> None:
    row = Clinical().per_image(pair(8, 40, stain=spelt))
    assert row["category"] == row["category"]  # a number
    assert row == pytest.approx(Clinical().per_image(pair(8, 40, stain=stain)), nan_ok=True)
    own = Clinical({spelt: Cutoffs(9, 10, True, "ours")}, stain=spelt)
    assert own.per_image(pair(20, 20))["category"] == 2


def test_other_thresholds_are_another_protocol() -> None:
    ours = Clinical({"er": Cutoffs(1, 50, True, "ours")})
    both = {v.name: (v.protocol, w.protocol) for v, w in zip(ours.values, Clinical().values, strict=True)}
    assert both["clinical_accuracy"] == (
        "npi/h0.1-dab0.2-area0.01/er[1,50]",
        "npi/h0.1-dab0.2-area0.01/er[1,10]-ki67(5,30)-pr[1,10]",
    )
    assert {name for name, (own, usual) in both.items() if own == usual} == {"npi_mae", "h_score_mae"}


def test_a_label_that_is_a_category_goes_before_a_fraction() -> None:
    rows = [
        Clinical().per_image(pair(20, 0, stain="er", category="0", positive_fraction="0.5")),
        Clinical().per_image(pair(20, 0, stain="er", positive_fraction="0.5")),
        Clinical().per_image(pair(20, 0, stain="her2", category="2")),
        Clinical().per_image(pair(20, 0, stain="er")),
    ]
    np.testing.assert_array_equal([row["category_label"] for row in rows], [0, 2, 2, np.nan])
    np.testing.assert_array_equal([row["label_agreement"] for row in rows], [0, 100, np.nan, np.nan])


@pytest.mark.parametrize(
    ("label", "text"), [("category", "3"), ("category", "0.5"), ("positive_fraction", "12"), ("positive_fraction", "x")]
)
def test_an_impossible_label_is_named(label: str, text: str) -> None:
    with pytest.raises(DataError, match=rf"a: label {label} is '{text}'; expected a number of 0 to [12]"):
        Clinical().per_image(pair(1, 1, stain="er", **{label: text}))


def test_agreement_is_scikit_learns() -> None:
    random = np.random.default_rng(3)
    real = random.integers(0, 3, 60).astype(float)
    fake = np.where(random.random(60) < 0.6, real, random.integers(0, 2, 60))  # never too high: not symmetric
    seen = fake.copy()
    seen[:5] = np.nan
    table = categories(seen, real)
    results = Clinical().finish(table, {})
    kappa = cohen_kappa_score(real[5:], fake[5:], weights="quadratic")
    assert results["clinical_kappa"] == results["label_kappa"] == pytest.approx(kappa, abs=1e-12)
    assert results["clinical_accuracy"] == pytest.approx(100 * accuracy_score(real[5:], fake[5:]))
    assert results["clinical_undefined"] == 5
    np.testing.assert_array_equal(confusion(table), confusion_matrix(real[5:], fake[5:], labels=[0, 1, 2]))
    constant = np.array([[0, 3, 0], [0, 4, 0], [0, 0, 0]])
    assert quadratic_kappa(constant) == cohen_kappa_score([0] * 3 + [1] * 4, [1] * 7, weights="quadratic") == 0


@pytest.mark.parametrize("stain", [{"stain": "her2"}, {"stain": "cd3"}, {}])
def test_without_a_rule_for_the_stain_everything_is_absent(stain: dict[str, str]) -> None:
    results = Clinical().finish(table_of([pair(10, 20, **stain), pair(90, 0, **stain)]), {})
    for name, result in results.items():
        if name == "clinical_undefined":
            assert result == 2
        else:
            assert isinstance(result, Absent)
            assert "labels" in result.reason or "the rule is for er, ki67, pr (HER2 is scored by" in result.reason


def test_kappa_is_absent_where_the_real_images_are_of_one_category() -> None:
    one, two = np.zeros(4), np.array([0.0, 2.0, 1.0, 0.0])
    absent = Clinical().finish(categories(two, one), {})["clinical_kappa"]
    assert isinstance(absent, Absent)
    assert "all real images are of one category" in absent.reason
    assert Clinical().finish(categories(one, two), {})["clinical_kappa"] == 0  # a generator that sees nothing
    labels = Clinical().finish(categories(two, one), {})["label_kappa"]
    assert isinstance(labels, Absent)
    assert "all labels are of one category" in labels.reason
