"""A section whose place is known is found, turned, mirrored and bent; other tissue is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from vsbench.errors import DataError
from vsbench.slides.alignment import Alignment
from vsbench.slides.registration import Registration, register, require_trusted
from vsbench.slides.resemblance import lead

RGB = NDArray[np.uint8]
Array = NDArray[np.float64]
SIDE, PIXEL = 240, 8.0
HE, IHC = np.array([70.0, 120.0, 60.0]), np.array([90.0, 100.0, 110.0])  # what full density takes from white


def density(seed: int) -> Array:
    """(H, W) in [0, 1]: glands and cells in a lobed outline on glass."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[:SIDE, :SIDE] - SIDE / 2) / (SIDE / 2)
    angle = np.arctan2(y, x)
    outline = 0.68 + 0.1 * np.cos(2 * angle + rng.uniform(0, 6)) + 0.06 * np.cos(3 * angle + rng.uniform(0, 6))
    coarse, fine = (gaussian_filter(rng.standard_normal((SIDE, SIDE)), s) for s in (7, 2))
    texture = 0.5 + 0.16 * coarse / coarse.std() + 0.06 * fine / fine.std()
    return np.clip(np.where(np.hypot(y, x) < outline, np.clip(texture, 0.15, 1), 0), 0, 1)


def stained(values: Array, colour: Array, seed: int) -> RGB:
    noise = np.random.default_rng(seed).normal(0, 2, (SIDE, SIDE, 1))
    return np.clip(245 - values[..., None] * colour + noise, 0, 255).astype(np.uint8)


def there(places: Array, degrees: float, mirrored: bool) -> Array:
    """Where places (…, 2) x, y of the H&E lie in the IHC: turned, grown, shifted, bent."""
    angle = np.deg2rad(degrees)
    turn = 1.04 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        turn = turn @ np.diag([-1.0, 1.0])
    bent = 1.5 * np.sin(2 * np.pi * places[..., ::-1] / SIDE)
    return (places + bent - SIDE / 2) @ turn.T + SIDE / 2 + [6.0, -4.0]


def adjacent(values: Array, degrees: float, mirrored: bool) -> Array:
    """The density of the section that ``there`` describes: the H&E's, looked up by turning ``there`` round."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    wanted = np.stack([x, y], axis=-1)
    places = wanted.copy()
    slope = (there(np.eye(2) * 1e-3, degrees, mirrored) - there(np.zeros((2, 2)), degrees, mirrored)) / 1e-3
    for _ in range(40):
        places += 0.7 * (wanted - there(places, degrees, mirrored)) @ np.linalg.inv(slope)
    assert np.abs(there(places, degrees, mirrored) - wanted)[80:160, 80:160].max() < 0.01
    return np.asarray(map_coordinates(values, [places[..., 1] - 0.5, places[..., 0] - 0.5], order=1))


@pytest.fixture(scope="module")
def tissue() -> Array:
    return density(0)


def errors(found: Registration, tissue: Array, degrees: float, mirrored: bool) -> Array:
    y, x = np.nonzero(tissue > 0)
    places = np.stack([x, y], axis=-1)[::37] + 0.5
    return PIXEL * np.linalg.norm(found.alignment(places) - there(places, degrees, mirrored), axis=-1)


def test_a_section_turned_bent_and_mirrored_is_found(tissue: Array) -> None:
    degrees, mirrored = -70.0, True
    ihc = stained(0.8 * adjacent(tissue, degrees, mirrored), IHC, 2)
    found = register(stained(tissue, HE, 1), ihc, PIXEL)
    require_trusted(found)
    assert found.alignment.mirrored == mirrored
    wrong = errors(found, tissue, degrees, mirrored)
    assert np.median(wrong) <= 10
    assert np.quantile(wrong, 0.95) <= 20
    assert found.median <= 10
    assert found.confidence > 0.5
    assert not found.lost
    assert found.degrees == pytest.approx(degrees, abs=3)


def test_a_part_that_is_gone_is_told_of(tissue: Array) -> None:
    """Torn off at the right, on glass there now."""
    kept = tissue.copy()
    kept[:, 150:] = 0
    found = register(stained(tissue, HE, 1), stained(0.8 * kept, IHC, 2), PIXEL)
    require_trusted(found)
    (part,) = found.lost
    assert part.share == pytest.approx((tissue > 0)[:, 150:].sum() / (tissue > 0).sum(), abs=0.1)
    x = np.nonzero(tissue[:, 150:] > 0)[1].mean() + 150
    assert (part.x, part.y) == pytest.approx((x * PIXEL / 1000, SIDE / 2 * PIXEL / 1000), abs=0.1)


def test_other_tissue_is_refused(tissue: Array) -> None:
    found = register(stained(tissue, HE, 1), stained(density(1), IHC, 2), PIXEL)
    with pytest.raises(DataError, match=r"^not registered: the ways there and back agree on \d+% of the tissue"):
        require_trusted(found)


def test_other_tissue_of_the_same_outline_is_refused_though_both_ways_agree(tissue: Array) -> None:
    rng, inside = np.random.default_rng(5), tissue > 0
    texture = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 3)
    other = np.where(inside, np.clip(0.5 + 0.2 * texture / texture.std(), 0.15, 1), 0)
    straight, agreeing = Alignment(np.eye(3)), np.where(inside, 0.0, np.nan)
    for there, trusted in ((tissue, True), (other, False)):
        leads = lead([tissue, there], [inside, inside], straight, 2)
        found = Registration(straight, straight, agreeing, leads, PIXEL, 0.0)
        if trusted:
            require_trusted(found)
            assert found.confidence > 0.9
        else:
            assert found.agreed == 1
            with pytest.raises(DataError, match=r"and [0-9]% of it was found again beyond doubt"):
                require_trusted(found)


def test_a_blank_slide_is_said(tissue: Array) -> None:
    with pytest.raises(DataError, match="the IHC shows no tissue"):
        register(stained(tissue, HE, 1), stained(np.zeros((SIDE, SIDE)), IHC, 2), PIXEL)
