"""Every registered method under the checks that a device can fail."""

import pytest

from vsbench.checks.devices import check_half_precision_trains, exactly
from vsbench.checks.methods import Check, checks_on_a_device, maker
from vsbench.registry import load, names

GROUP = "vsbench.methods"


@pytest.mark.parametrize("name", names(GROUP))
@pytest.mark.parametrize("check", checks_on_a_device(), ids=lambda check: check.__name__)
def test_method(device: str, name: str, check: Check) -> None:
    with exactly():
        check(maker(load(GROUP, name), device))


@pytest.mark.parametrize("name", names(GROUP))
@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_trains(device: str, name: str, precision: str) -> None:
    check_half_precision_trains(maker(load(GROUP, name)), device, precision)
