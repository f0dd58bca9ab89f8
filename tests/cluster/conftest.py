"""These tests need a SLURM cluster of their own: ``make test-cluster`` starts one and runs them in it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _in_a_cluster() -> None:
    if "VSBENCH_TEST_CLUSTER" not in os.environ:
        pytest.skip("needs a SLURM cluster of its own: make test-cluster, as root on Debian")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory, draw_pairs: Callable[..., Path]) -> Path:
    """Four pairs of 32² for training, two for the test."""
    return draw_pairs(tmp_path_factory.mktemp("pairs"), (32, 32), train="abcd", test="ef")
