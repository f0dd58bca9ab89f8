"""Whether a training that is repeated, or resumed, gives the same bits, and what must be set for that on a GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vsbench.engine.step import Execution
from vsbench.records.run import EXACT

WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # cuBLAS adds up in one order only with work space of a fixed size
MAY_DIFFER = "to rounding: {} adds up in no fixed order, so that last bits may differ; --deterministic gives equal ones"


def repetition(execution: Execution, device: torch.device) -> str:
    """What a repetition on the same device, in the same versions, gives; for the record."""
    if device.type == "cpu" or execution.deterministic:
        return EXACT
    return MAY_DIFFER.format(device.type.upper())


@contextmanager
def repeatable(execution: Execution) -> Iterator[None]:
    """Within, PyTorch takes algorithms that repeat bit for bit, or raises, where ``execution`` asks for them."""
    if not execution.deterministic:
        yield
        return
    own = {name: value for name, value in WORKSPACE.items() if name not in os.environ}
    os.environ.update(own)
    before = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warns)
        for name in own:
            del os.environ[name]
