"""How well H&E and IHC match: mutual information against scikit-learn's, and nuclei that both sections share."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from vsbench.audit import nuclei
from vsbench.audit.nuclei import Agreement, count_correlation
from vsbench.audit.run import audit
from vsbench.metrics._grey import BINS, mutual_information
from vsbench.registry import load


def test_mutual_information_is_scikit_learns_in_bits() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 70), dtype=np.uint8)
    y = (x // 2 + rng.integers(0, 100, x.shape)).astype(np.uint8)
    bins = [image.ravel() // (256 // BINS) for image in (x, y)]
    assert mutual_information(x, y) == pytest.approx(mutual_info_score(*bins) / np.log(2))
    assert mutual_information(x, y) == pytest.approx(mutual_information(y, x))
    assert mutual_information(x, np.zeros_like(x)) == pytest.approx(0, abs=1e-12)


def test_counts_are_correlated_over_pairs_and_equal_ones_are_not() -> None:
    found = [Agreement(10, 21, None), Agreement(20, 39, None), Agreement(30, 62, None)]
    assert count_correlation(found) == pytest.approx(np.corrcoef([10, 20, 30], [21, 39, 62])[0, 1])
    assert count_correlation(found[:2]) is None
    assert count_correlation([Agreement(10, n, None) for n in (1, 2, 3)]) is None


def test_sections_of_one_tissue_share_nuclei_and_only_some_pairs_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantom = load("vsbench.datasets", "phantom")
    near = {"size": 128, "slides_train": 1, "slides_test": 2, "tiles_per_slide": 3, "delta": 0, "misregistration": 0}
    found = {}
    for name, options in (("near", near), ("far", near | {"delta": 16, "misregistration": 6})):
        pairs = list(phantom.from_options(options).pairs(tmp_path, "ki67", "test"))
        found[name] = audit(pairs, "ki67").summary
    for value in ("nuclei_density_r", "mutual_information", "pearson_r"):
        assert found["near"][value] > found["far"][value], value
    assert found["near"]["nuclei_density_r"] > 0.8
    assert found["near"]["pairs_with_nuclei_counted"] == 6
    monkeypatch.setattr(nuclei, "PAIRS", 2)
    some = audit(pairs, "ki67")
    assert [row.he_nuclei is not None for row in some.tiles] == [True, False, False, False, False, True]
    assert some.summary["pairs_with_nuclei_counted"] == 2
    assert some.summary["nuclei_count_r"] is None
