"""Precision, recall, density and coverage against torch-fidelity's code, and against what the package prdc gave."""

import numpy as np
import pytest
import torch
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_prc import prc_features_to_metric

from vsbench.metric import Absent
from vsbench.metrics._neighbours import neighbourhoods
from vsbench.neighbours import MIN_IMAGES, NEIGHBOURS, shares


def sets(n: int, m: int, d: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Features of generated and real images by formula: spread unevenly, overlapping, of two widths."""
    i, j = np.ogrid[1 : n + m + 1, 1 : d + 1]
    z = 43758.5453 * np.sin(12.9898 * i + 78.233 * j)
    x = 2 * (z - np.floor(z)) ** 2 + 0.02 * j
    fake, real = x[:n], x[n:]
    return (0.8 * fake + shift).astype(np.float32), real.astype(np.float32)


def means(fake: np.ndarray, real: np.ndarray) -> dict[str, float]:
    return {name: float(column.mean()) for name, column in shares(fake, real).items()}


# prdc 0.2, compute_prdc(real_features=real, fake_features=fake, nearest_k=3): precision, recall, density, coverage
PRDC = {
    (40, 40, 4, 0.0): (1.0, 0.85, 1.25, 0.825),
    (60, 50, 12, 0.15): (1.0, 0.62, 1.9333333333333331, 1.0),
    (30, 80, 3, 0.4): (0.9666666666666667, 0.5875, 1.0555555555555554, 0.4375),
    (200, 150, 40, 0.05): (1.0, 0.15333333333333332, 3.0566666666666666, 0.9866666666666667),
}


@pytest.mark.parametrize(("n", "m", "d", "shift"), PRDC)
def test_all_four_are_those_of_prdc(n: int, m: int, d: int, shift: float) -> None:
    found = means(*sets(n, m, d, shift))
    found["density_excess"] += 1
    assert tuple(found.values()) == pytest.approx(PRDC[n, m, d, shift], abs=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 5), (40, 70, 64), (300, 280, 12), (5, 4, 30)])
@pytest.mark.parametrize("in_parts", [False, True])
def test_precision_and_recall_are_torch_fidelitys(n: int, m: int, d: int, in_parts: bool) -> None:
    assert DEFAULTS["prc_neighborhood"] == NEIGHBOURS
    fake, real = sets(n, m, d, 0.1)
    tensors = (torch.from_numpy(part.astype(np.float64)) for part in (fake, real))
    options = {"prc_neighborhood": NEIGHBOURS, "prc_batch_size": 16, "save_cpu_ram": in_parts, "verbose": False}
    expected = prc_features_to_metric(*tensors, **options)
    found = means(fake, real)
    assert found["precision"] == pytest.approx(expected["precision"], abs=1e-6)
    assert found["recall"] == pytest.approx(expected["recall"], abs=1e-6)


def test_by_its_definition() -> None:
    """Image by image, with distances that are no products of matrices."""
    fake, real = (part.astype(np.float64) for part in sets(25, 20, 6, 0.2))

    def ball(part: np.ndarray, at: int) -> float:
        return sorted(np.linalg.norm(part[at] - other) for k, other in enumerate(part) if k != at)[NEIGHBOURS - 1]

    def near(x: np.ndarray, y: np.ndarray, reach: float) -> bool:
        return bool(np.linalg.norm(x - y) < reach)

    of_real = [ball(real, at) for at in range(len(real))]
    of_fake = [ball(fake, at) for at in range(len(fake))]
    inside = np.array([[near(x, y, reach) for y, reach in zip(real, of_real, strict=True)] for x in fake])
    found = shares(fake, real)
    assert found["precision"].tolist() == inside.any(axis=1).tolist()
    assert found["recall"].tolist() == [any(near(y, x, r) for x, r in zip(fake, of_fake, strict=True)) for y in real]
    assert found["density_excess"] == pytest.approx(inside.sum(axis=1) / NEIGHBOURS - 1)
    assert found["coverage"].tolist() == inside.any(axis=0).tolist()


def test_the_real_images_themselves_are_perfect_however_far_from_zero() -> None:
    _, real = sets(0, 50, 300, 0)
    far = real + np.float32(1000)
    for part in (real, far):
        assert means(part, part.copy()) == pytest.approx(
            {"precision": 1, "recall": 1, "density_excess": 0, "coverage": 1}, abs=1e-12
        )
    assert means(np.tile(real[:1], (50, 1)), real)["coverage"] < 0.5  # one image again and again


def test_few_or_equal_images_have_no_neighbourhoods() -> None:
    _, real = sets(0, MIN_IMAGES, 8, 0)
    assert not any(isinstance(value, Absent) for value in neighbourhoods(real, real, "x").values())
    few = neighbourhoods(real[1:], real[1:], "x")
    alike = neighbourhoods(real, np.tile(real[:1], (MIN_IMAGES, 1)), "x")
    for found, why in ((few, "at least 4 images, here are 3"), (alike, "no extent")):
        assert list(found) == ["precision_x", "recall_x", "density_excess_x", "coverage_x"]
        for value in found.values():
            assert isinstance(value, Absent)
            assert why in value.reason
