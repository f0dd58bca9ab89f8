"""Jumps across the seams of stitched images, and that what was not stitched has none."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from vsbench.data.seams import Seams
from vsbench.metric import Absent, Image, Sample
from vsbench.metrics.seams import BESIDE, SeamJump, relative_jump

SEAMS = Seams(rows=(24,), columns=(20, 40))


def tissue(seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(100, 120, (48, 60, 3))


def stitched(step: int, seed: int = 0) -> Image:
    """Tiles that differ in their level."""
    image = tissue(seed)
    image[24:] += step
    image[:, 20:40] += step
    return image.astype(np.uint8)


def value(*samples: Sample) -> float | Absent:
    metric = SeamJump()
    return metric.finish(pd.DataFrame(metric.update(samples).columns), {})["seam_jump"]


def sample(fake: Image, seams: Seams | None = SEAMS) -> Sample:
    real = tissue(1).astype(np.uint8)
    return Sample("a", fake, real, real, seams=seams)


def test_it_is_the_jump_across_over_those_beside() -> None:
    image = stitched(30).astype(int)
    rows, columns = (np.abs(np.diff(image, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (0, 1))  # of each line
    across = [rows[23], columns[19], columns[39]]
    near = {place + side * off for place in (20, 40) for off in BESIDE for side in (-1, 1)}
    beside = [*(rows[24 + side * off - 1] for off in BESIDE for side in (-1, 1))]
    beside += [columns[place - 1] for place in near if 0 < place < 60]
    assert relative_jump(stitched(30), SEAMS) == pytest.approx(np.mean(across) / np.mean(beside))


def test_tiles_of_another_level_jump_and_equal_ones_do_not() -> None:
    small, large = (value(sample(stitched(step))) for step in (10, 40))
    none = value(sample(stitched(0)))
    assert isinstance(small, float)
    assert isinstance(large, float)
    assert isinstance(none, float)
    assert abs(none) < 15 < 50 < small < large
    real = sample(stitched(0))
    assert value(real.judging(real.real, SEAMS)) == 0


def test_smoothed_seams_are_below_zero() -> None:
    image = stitched(0).astype(float)
    image[22:26] = image[22:26].mean(axis=0)
    image[:, 18:22] = image[:, 18:22].mean(axis=1, keepdims=True)
    image[:, 38:42] = image[:, 38:42].mean(axis=1, keepdims=True)
    found = value(sample(image.astype(np.uint8)))
    assert isinstance(found, float)
    assert found < -50


def test_what_was_not_stitched_has_no_value_and_says_why() -> None:
    whole, flat = sample(stitched(0), None), sample(np.full((48, 60, 3), 200, np.uint8))
    assert value(whole) == value(flat) == Absent("no image is known to be stitched, with tissue at its seams")
    both = value(whole, sample(stitched(30)))
    assert both == value(sample(stitched(30)))
    assert whole.judging(whole.real).seams is None


def test_seams_near_the_edge_have_fewer_lines_beside_them() -> None:
    assert relative_jump(stitched(0), Seams(rows=(1, 47))) > 0
    assert np.isnan(relative_jump(stitched(0)[:3], Seams(rows=(1,))))  # none
