"""DISTS equals what the authors' package (DISTS-pytorch 0.1, resize=True) gave for the same network and images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vsbench.metric import Image, Sample
from vsbench.metrics.dists import Dists, dists_network
from vsbench.weights.seeded import seeded


def image(phase: float, height: int, width: int) -> Image:
    c, i, j = np.ogrid[:3, :height, :width]
    waves = np.sin(0.37 * phase + 0.11 * c + 0.013 * i * (j + 1) / 8)
    return np.floor(127.5 + 127.4 * waves).astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def dists() -> Dists:
    """With random convolutions, and weights by a formula."""
    tensors, k = seeded("vgg16-imagenet1k-v1", 0), torch.arange(1475.0)
    tensors |= {"alpha": 0.1 + 0.05 * torch.sin(k), "beta": 0.1 + 0.05 * torch.cos(k)}
    return Dists(network=dists_network(tensors))


def between(dists: Dists, fake: Image, real: Image) -> float:
    (found,) = dists.update([Sample("a", fake, real, real)]).columns["dists"]
    return found


@pytest.mark.parametrize(("size", "expected"), [((48, 64), 0.08005637), ((300, 280), 0.04355693)])
def test_distances_are_those_of_the_authors_package(dists: Dists, size: tuple[int, int], expected: float) -> None:
    assert between(dists, image(0, *size), image(1, *size)) == pytest.approx(expected, abs=1e-6)


def test_texture_drawn_anew_is_nearer_than_its_mean(dists: Dists) -> None:
    one, other = (np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8) for seed in (0, 1))
    flat = np.full_like(one, 127)
    assert between(dists, one.copy(), one) == pytest.approx(0, abs=1e-6)
    assert between(dists, other, one) < 0.5 * between(dists, flat, one)


def test_both_weights_are_needed_and_named(store: Path) -> None:
    for needed in Dists.needs:
        assert needed in str(Dists().unavailable())
    metric = Dists()
    metric.use_random_weights(2)
    assert metric.unavailable() is None
    assert set(metric.needs) <= metric.provenance().keys()
