"""These tests need a SLURM cluster of their own: ``make test-cluster`` starts one and runs them in it."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def _in_a_cluster() -> None:
    if "VSBENCH_TEST_CLUSTER" not in os.environ:
        pytest.skip("needs a SLURM cluster of its own: make test-cluster, as root on Debian")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs of 32² for training, two for the test, of random colours in blocks, for the data set ``folder``."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, names in (("train", "abcd"), ("test", "ef")):
            (root / side / split).mkdir(parents=True)
            for name in names:
                pixels = rng.integers(60, 256, (8, 8, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
                Image.fromarray(pixels).save(root / side / split / f"{name}.png")
    return root
