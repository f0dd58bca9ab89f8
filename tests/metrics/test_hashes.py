"""Perceptual hashes: imagehash's own on the files, and what they see."""

import importlib.util
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from vsbench.metric import Image, Sample
from vsbench.metrics.hashes import Hashes


def texture(seed: int, height: int = 90, width: int = 70) -> Image:
    """Squares of 10 pixels in random colours."""
    squares = np.random.default_rng(seed).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return np.repeat(np.repeat(squares, 10, axis=0), 10, axis=1)


def test_distances_are_imagehashs_own_on_the_files(tmp_path: Path) -> None:
    samples = [Sample(f"{n}", texture(2 * n), texture(2 * n + 1), texture(n)) for n in range(4)]
    expected: dict[str, list[float]] = {"phash": [], "dhash": []}
    for sample in samples:
        for name in ("fake", "real"):
            Pillow.fromarray(getattr(sample, name)).save(tmp_path / f"{name}.png")
        fake, real = (Pillow.open(tmp_path / f"{name}.png") for name in ("fake", "real"))
        for name, distances in expected.items():
            hashed = getattr(imagehash, name)
            assert hashed(real).hash.size == 64
            distances.append(int(hashed(fake) - hashed(real)))
    metric = Hashes()
    columns = metric.update(samples).columns
    assert columns == expected
    assert min(expected["phash"]) != max(expected["phash"])
    assert metric.finish(pd.DataFrame(columns), {}) == {name: np.mean(numbers) for name, numbers in expected.items()}


def test_identical_images_are_at_zero_and_a_negative_far_away() -> None:
    image = texture(3)
    assert Hashes().per_image(Sample("a", image, image.copy(), image)) == {"phash": 0, "dhash": 0}
    far = Hashes().per_image(Sample("b", 255 - image, image, image))
    assert min(far.values()) > 48  # of 64; every step and every frequency but the mean changes its sign


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Hashes().unavailable() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install imagehash" in str(Hashes().unavailable())
