"""Random weights mark every number they touch, and networks are built once for all families that run them."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from vsbench.errors import UsageError
from vsbench.metric import Sample
from vsbench.metrics import _network
from vsbench.registry import load, names
from vsbench.weights import MANIFEST
from vsbench.weights.seeded import ARCHITECTURES, SHAPES, seed_of, seeded

GROUP = "vsbench.metrics"
WITH_NETWORKS = [name for name in names(GROUP) if load(GROUP, name).needs]


def test_option_names_a_seed() -> None:
    assert seed_of("random:12") == 12
    for wrong in ("random", "random:", "random:-1", "random:x", "12", "random:1 2"):
        with pytest.raises(UsageError, match=re.escape(f"--weights {wrong}: expected random:SEED")):
            seed_of(wrong)


def test_every_weights_that_are_needed_can_be_drawn() -> None:
    assert {need for name in WITH_NETWORKS for need in load(GROUP, name).needs} <= ARCHITECTURES.keys() | SHAPES.keys()
    assert {weights.name for weights in MANIFEST.values() if not weights.stands_for} == {*ARCHITECTURES, *SHAPES}


@pytest.mark.parametrize("name", names(GROUP))
def test_protocols_say_so_where_a_network_runs_and_nowhere_else(name: str) -> None:
    published, metric = load(GROUP, name)(), load(GROUP, name)()
    for _ in range(2):  # asked twice, said once
        metric.use_random_weights(3)
    suffix = "@random:3" if name in WITH_NETWORKS else ""
    assert [v.protocol for v in metric.values] == [v.protocol + suffix for v in published.values]
    assert [v.name for v in metric.values] == [v.name for v in published.values]
    assert [v.protocol for v in load(GROUP, name).values] == [v.protocol for v in published.values]
    if name in WITH_NETWORKS:
        assert metric.unavailable() is None
        assert metric.provenance()[metric.needs[0]] == "random:3"


def test_tensors_follow_from_the_seed() -> None:
    """And from nothing else; the caller's random numbers stay as they were."""
    state = torch.get_rng_state()
    first, again, other = (seeded("resnet50-imagenet1k-v1", seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    kernel = first["layer1.0.conv2.weight"]
    assert not torch.equal(kernel, other["layer1.0.conv2.weight"])
    assert kernel.std().item() == pytest.approx(np.sqrt(2 / kernel[0].numel()), rel=0.02)
    assert len(first) == 320


def test_features_of_random_networks_are_kept_apart() -> None:
    """From one another, and from those of the published weights, which are stored under the protocol alone."""
    random = np.random.default_rng(0)
    fake, real = random.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    sample = Sample("a", fake, real, real)
    metric = load(GROUP, "phv")()
    for seed in (0, 1):
        metric.use_random_weights(seed)
        columns = metric.update([sample]).columns
        assert all(np.isfinite(column).all() for column in columns.values())
        assert columns == metric.update([Sample("a", fake, real, real)]).columns
    assert [key.partition("@")[2] for key in sample.features("real")] == ["random:0", "random:1"]
    first, second = sample.features("real").values()
    assert not np.array_equal(first, second)


def test_families_share_a_network_as_long_as_its_weights_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(tensors: Any) -> torch.nn.Module:
        built.append(tensors["content"])
        return torch.nn.Identity()

    content = ["one"]
    monkeypatch.setattr(_network.weights, "digest", lambda name: f"{name}-{content[0]}")
    monkeypatch.setattr(_network.weights, "load", lambda name: {"content": content[0]})
    classes = [load(GROUP, name) for name in ("phv", "phv_imagenet")]
    for family in classes:
        monkeypatch.setattr(family, "build", staticmethod(build))
    first = [family().ready() for family in classes]
    assert first[0] is first[1]
    content[0] = "two"
    second = [family().ready() for family in classes]
    assert second[0] is second[1]
    assert second[0] is not first[0]
    assert built == ["one", "two"]
