"""Each method's first step on the GPU, in each way to carry it out, against the CPU's own in float32."""

from collections.abc import Callable
from dataclasses import asdict

import pytest
from torch import Tensor

from vsbench.checks.devices import WAYS, Way, apart, first_step
from vsbench.checks.methods import maker
from vsbench.registry import load, names

GROUP = "vsbench.methods"
CASES = [(way, size) for way in WAYS for size in way.sizes]
Note = Callable[[str, object], None]


@pytest.fixture(scope="module")
def cpus() -> Callable[[str, int], dict[str, Tensor]]:
    """The CPU's first step of a method, taken once."""
    taken: dict[tuple[str, int], dict[str, Tensor]] = {}

    def take(name: str, size: int) -> dict[str, Tensor]:
        if (name, size) not in taken:
            taken[name, size] = first_step(maker(load(GROUP, name)), "cpu", WAYS[0], size)
        return taken[name, size]

    return take


@pytest.mark.parametrize("name", names(GROUP))
@pytest.mark.parametrize(("way", "size"), CASES, ids=lambda value: getattr(value, "name", value))
def test_it_is_the_cpus(
    device: str, name: str, way: Way, size: int, cpus: Callable[[str, int], dict[str, Tensor]], record_property: Note
) -> None:
    found = apart(maker(load(GROUP, name)), device, way, size, cpus(name, size))
    for key, value in asdict(found).items():
        record_property(key, value)
    found.require(way)
