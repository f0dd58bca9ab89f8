"""Tiny pairs, and methods as small as they go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.method import Method
from vsbench.registry import load

COMMON: dict[str, Any] = {"steps": 4, "crop_size": 32, "width": 4, "batch_size": 2, "discriminator_layers": 1}
CONTRASTIVE: dict[str, Any] = {"blocks": 1, "taps": (0, 4, 8, 12), "patches": 16}
TINY: dict[str, dict[str, Any]] = {
    "pix2pix": {"downs": 3},
    "cyclegan": {"blocks": 1, "pool_size": 3},  # smaller than what four steps put into it
    "cut": CONTRASTIVE,
    "usigan": {**CONTRASTIVE, "discriminator_width": 4, "iterations": 5},
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """``tiny("cut", lr=1e-4)``: the options of a small method, on top of its ``cpu`` preset."""
    return lambda name, **more: COMMON | TINY[name] | more


@pytest.fixture(scope="session")
def build(tiny: Callable[..., dict[str, Any]]) -> Callable[..., Method[Any]]:
    """``build("cut", width=8)``: a small method."""

    def make(name: str, **more: Any) -> Method[Any]:
        method = load("vsbench.methods", name)
        return method(method.configure("cpu", tiny(name, **more)))

    return make


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training pairs for the data set ``folder``, 40 × 44, of random colours in blocks."""
    root, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        (root / side / "train").mkdir(parents=True)
        for name in "abcde":
            blocks = rng.integers(60, 256, (10, 11, 3), dtype=np.uint8)
            pixels = blocks.repeat(4, axis=0).repeat(4, axis=1)
            Image.fromarray(pixels).save(root / side / "train" / f"{name}.png")
    return root
