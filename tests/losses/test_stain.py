"""Focal optical density against its closed form, with the stains mixed by Beer–Lambert."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vsbench.losses.stain import FLOOR, GREY, STAINS, density_gap, focal_calibration, focal_optical_density

ALPHA = 1.8
CALIBRATIONS = [0.0, focal_calibration(ALPHA)]


def stained(haematoxylin: float, eosin: float, dab: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """(1, 3, 2, 2) transmitted light of a uniform mixture; amounts in units of −ln FLOOR."""
    density = np.array([haematoxylin, eosin, dab]) @ np.array(STAINS)
    return torch.tensor(FLOOR**density, dtype=dtype)[None, :, None, None].expand(1, 3, 2, 2).clone()


def closed_form(dab: float, calibration: float, alpha: float = ALPHA) -> float:
    grey = np.dot(GREY, FLOOR ** (dab * np.array(STAINS[2]))) + calibration
    return max(0.0, -np.log10(grey)) ** alpha


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("alpha", [1.0, 1.8, 3.0])
@pytest.mark.parametrize("dab", [0.01, 0.2, 0.9])
def test_dab_alone_has_its_closed_form(dab: float, alpha: float, calibration: float) -> None:
    density = focal_optical_density(stained(0, 0, dab), alpha, calibration)
    assert density.shape == (1, 2, 2)
    np.testing.assert_allclose(density, closed_form(dab, calibration, alpha), rtol=1e-9)


@pytest.mark.parametrize("counterstain", [(0.3, 0.0), (0.0, 0.3), (0.2, 0.15)])
def test_counterstains_do_not_count(counterstain: tuple[float, float]) -> None:
    np.testing.assert_allclose(
        focal_optical_density(stained(*counterstain, 0.25), ALPHA), closed_form(0.25, 0.0), rtol=1e-9
    )


@pytest.mark.parametrize("colour", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.4, 0.0), (0.3, 0.2, -0.1)])
def test_no_dab_no_density(colour: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(focal_optical_density(stained(*colour), ALPHA), 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_black_is_the_floor(calibration: float) -> None:
    """Every channel has the density 1; the DAB in it solves the mixing equations."""
    dab = np.linalg.solve(np.array(STAINS).T, np.ones(3))[2]
    black = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    np.testing.assert_allclose(
        focal_optical_density(black, ALPHA, calibration), closed_form(dab, calibration), rtol=1e-9
    )


def test_more_dab_is_denser() -> None:
    densities = [focal_optical_density(stained(0.1, 0.1, dab), ALPHA).mean() for dab in (0.05, 0.1, 0.3, 0.6)]
    assert densities == sorted(densities)
    assert len(set(densities)) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("value", [-1.0, 0.0, 1e-6, 0.5, 1.0])
def test_gradient_is_finite_at_every_grey(value: float, calibration: float, dtype: torch.dtype) -> None:
    """Black, white and, as the released code has it, negative intensities among them."""
    image = torch.full((1, 3, 2, 2), value, dtype=dtype, requires_grad=True)
    density = focal_optical_density(image, ALPHA, calibration)
    density.sum().backward()
    assert density.isfinite().all()
    assert image.grad is not None
    assert image.grad.isfinite().all()


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_gradient_is_that_of_the_differences(calibration: float) -> None:
    image = (stained(0.05, 0.05, 0.2) * torch.tensor([0.9, 1.0, 1.1, 1.2], dtype=torch.float64).view(2, 2)).clamp(0, 1)
    assert torch.autograd.gradcheck(
        lambda x: focal_optical_density(x, ALPHA, calibration), image.requires_grad_(), eps=1e-7
    )


def test_density_gap_is_the_squared_difference_of_the_means() -> None:
    real, fake = torch.full((2, 4, 4), 0.5), torch.full((2, 4, 4), 0.5, requires_grad=True)
    assert density_gap(real, fake) == 0
    shift = torch.tensor([0.2, -0.4])[:, None, None]
    assert density_gap(real, fake + shift).item() == pytest.approx((0.2**2 + 0.4**2) / 2)
    real.requires_grad_()
    density_gap(real, fake + shift).backward()
    assert real.grad is None
