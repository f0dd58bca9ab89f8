"""Are the right cells stained: against scikit-learn and plain arithmetic, on tissue made for it and on the phantom."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from vsbench.data.true_cells import TrueCells, read_true_cells
from vsbench.errors import DataError
from vsbench.evaluation.onepass import read_pair
from vsbench.metric import Absent, Sample
from vsbench.metrics.true_cells import WIDTH, TrueCellStain, amounts_of_dab
from vsbench.registry import load
from vsbench.stain.density import DAB, HAEMATOXYLIN, stain_matrix, transmitted_intensity

SIDE, ACROSS = 64, 8  # pixels of an image, cells in a row


def tissue(amounts: np.ndarray, counterstain: float = 0.2) -> np.ndarray:
    """(SIDE, SIDE, 3) image with one amount of DAB for each of ACROSS² square cells."""
    dab = np.kron(amounts.reshape(ACROSS, ACROSS), np.ones((SIDE // ACROSS, SIDE // ACROSS)))
    density = np.stack([np.full_like(dab, counterstain), dab], -1) @ stain_matrix(HAEMATOXYLIN, DAB)
    return np.rint(transmitted_intensity(density)).astype(np.uint8)


def squares(positive: np.ndarray) -> TrueCells:
    cell = np.kron(np.arange(ACROSS**2).reshape(ACROSS, ACROSS), np.ones((SIDE // ACROSS,) * 2, int)).ravel()
    return TrueCells(np.arange(SIDE**2), cell, positive)


def samples(seed: int, images: int = 4) -> tuple[list[Sample], np.ndarray, np.ndarray, np.ndarray]:
    """Samples, and by image and cell: made amount, true amount, whether positive."""
    rng = np.random.default_rng(seed)
    positive = rng.random((images, ACROSS**2)) < np.linspace(0.2, 0.6, images)[:, None]
    true = rng.uniform(0.05, 0.4, positive.shape) + 0.3 * positive
    made = true + rng.normal(0, 0.2, true.shape).clip(-0.25, 0.6)
    found = []
    for number in range(images):
        fake, truth = tissue(made[number].clip(0, 1)), tissue(true[number])
        found.append(Sample(f"{number}", fake, truth, truth, truth, cells=squares(positive[number])))
    return found, made.clip(0, 1), true, positive


def values(found: list[Sample]) -> dict[str, float | Absent]:
    metric = TrueCellStain()
    update = metric.update(found)
    return metric.finish(pd.DataFrame(index=range(len(found))), update.features)


def test_values_are_those_of_scikit_learn() -> None:
    found, made, true, positive = samples(0)
    told = values(found)
    assert told["cell_auc"] == pytest.approx(roc_auc_score(positive.ravel(), made.ravel()), abs=2e-3)
    false, right, cuts = roc_curve(positive.ravel(), true.ravel(), drop_intermediate=False)
    cut = cuts[np.argmax(right - false)] - WIDTH / 2
    stained = made > cut
    shares = 100 * stained.mean(axis=1), 100 * positive.mean(axis=1)
    assert told["cell_sensitivity"] == pytest.approx(stained[positive].mean(), abs=0.03)
    assert told["cell_specificity"] == pytest.approx(1 - stained[~positive].mean(), abs=0.03)
    assert told["cell_share_mae"] == pytest.approx(np.abs(shares[0] - shares[1]).mean(), abs=2)
    assert told["cell_share_r"] == pytest.approx(100 * np.corrcoef(*shares)[0, 1], abs=5)


def test_what_tells_nothing_is_at_a_half_and_what_is_turned_round_below() -> None:
    found, _, true, _ = samples(1)
    blank = np.full((SIDE, SIDE, 3), 200, np.uint8)
    assert values([s.judging(blank) for s in found])["cell_auc"] == 0.5
    assert values([s.judging(blank) for s in found])["cell_sensitivity"] == 0
    turned = [s.judging(tissue(0.8 - a)) for s, a in zip(found, true, strict=True)]
    right, wrong = (values(those)["cell_auc"] for those in ([s.judging(s.truth) for s in found], turned))
    assert right + wrong == pytest.approx(1, abs=2e-3)
    assert right > 0.9


def test_amounts_are_those_that_were_mixed_and_go_below_zero() -> None:
    amounts = np.linspace(0, 1, ACROSS**2)
    image = tissue(amounts)
    told = squares(amounts > 0).means(amounts_of_dab(image, np.arange(SIDE**2)))
    np.testing.assert_allclose(told, amounts, atol=0.01)
    blue = np.full((1, 1, 3), (100, 120, 255), np.uint8)  # less DAB than none
    assert amounts_of_dab(blue, np.array([0]))[0] < -0.1


def test_without_cells_of_both_kinds_nothing_is_said() -> None:
    found, *_ = samples(2)
    for kind, word in ((True, "negative"), (False, "positive")):
        cells = squares(np.full(ACROSS**2, kind))
        told = values([Sample(s.id, s.fake, s.real, s.he, s.truth, cells=cells) for s in found])
        assert all(isinstance(value, Absent) and word in value.reason for value in told.values())
    told = values([Sample(s.id, s.fake, s.real, s.he, s.truth) for s in found])
    assert all(isinstance(value, Absent) and "no true cell is known" in value.reason for value in told.values())


@pytest.mark.parametrize("stain", ["ki67", "her2"])
def test_the_phantom_s_true_ihc_shows_its_positive_cells(stain: str, tmp_path: Path) -> None:
    phantom = load("vsbench.datasets", "phantom").from_options({"size": 128, "slides_test": 1, "tiles_per_slide": 3})
    pairs = phantom.pairs(tmp_path, stain, "test")
    read = [read_pair(pair) for pair in pairs]
    assert all(isinstance(value, float) for value in values([s.judging(s.truth) for s in read]).values())
    assert values([s.judging(s.truth) for s in read])["cell_auc"] > 0.95
    for pair in pairs:
        table = pd.read_csv(pair.he.parents[1] / "cells" / f"{pair.id}.csv")
        cells = read_true_cells(pair.cells, 128 * 128)
        np.testing.assert_array_equal(cells.positive, table["positive"])
        shown = np.flatnonzero(cells.seen)
        if stain == "ki67":  # nuclei lie where the table has their centres
            y, x = np.divmod(cells.pixel, 128)
            middle = [np.array([y[cells.cell == c].mean(), x[cells.cell == c].mean()]) for c in shown]
            inside = [6 < table["y"][c] < 121 and 6 < table["x"][c] < 121 for c in shown]
            far = np.linalg.norm(np.array(middle) - table.loc[shown, ["y", "x"]], axis=1)
            assert far[inside].max() < 4


def test_a_damaged_file_of_cells_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    cells = squares(np.ones(ACROSS**2, bool))
    cells.write(file)
    first = file.read_bytes()
    cells.write(file)
    assert file.read_bytes() == first
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        read_true_cells(file, 100)  # pixels outside of the image
    for content in (b"", first[:200], first[:-200], b"PK" + first[2:300]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz: "):
            read_true_cells(file, SIDE**2)
    with pytest.raises(DataError, match=r"b\.npz: no such file"):
        read_true_cells(tmp_path / "b.npz", SIDE**2)
