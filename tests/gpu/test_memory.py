"""What a step takes on the GPU, and what a dry run says it takes: published sizes."""

from collections.abc import Callable

import pytest

from vsbench.checks.devices import estimated_peak, step_peak
from vsbench.engine.step import Execution
from vsbench.registry import load

TOLERANCE = 0.15  # work space of convolutions can't be known beforehand
WAYS = {
    "32-true": ("32-true", Execution()),
    "bf16-mixed, channels last": ("bf16-mixed", Execution(channels_last=True)),
    "recomputed": ("32-true", Execution(checkpoint_activations=True)),
}


@pytest.mark.parametrize("name", ["usigan", "cut", "pix2pix", "cyclegan", "unsb"])
@pytest.mark.parametrize("way", WAYS)
def test_a_dry_run_says_what_a_step_takes(
    device: str, name: str, way: str, record_property: Callable[[str, object], None]
) -> None:
    method = load("vsbench.methods", name)
    taken = step_peak(method, method.configure(), device, *WAYS[way])
    estimated = estimated_peak(method, method.configure(), *WAYS[way])
    record_property("taken", taken)
    record_property("estimated", estimated)
    assert taken == pytest.approx(estimated, rel=TOLERANCE)
