"""A first step with compiled networks is that of networks that are not."""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from vsbench.checks.devices import COMPILED, apart
from vsbench.checks.methods import maker
from vsbench.registry import load


@pytest.mark.parametrize("name", ["cyclegan", "usigan"])  # a minute each: strided, and antialiased with taps
def test_it_is_the_same(device: str, name: str, record_property: Callable[[str, object], None]) -> None:
    found = apart(maker(load("vsbench.methods", name)), device, COMPILED, 2)
    for key, value in asdict(found).items():
        record_property(key, value)
    found.require(COMPILED)
