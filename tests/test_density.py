"""Beer–Lambert both ways, and the stain vectors as others print them."""

import numpy as np
import pytest
from skimage.color import rgb_from_hdx, rgb_from_hed

from vsbench.stain.density import (
    BACKGROUND,
    DAB,
    DARKEST,
    EOSIN,
    HAEMATOXYLIN,
    optical_density,
    stain_matrix,
    transmitted_intensity,
)


def test_round_trip_over_all_levels() -> None:
    levels = np.arange(1, 256, dtype=np.uint8)
    np.testing.assert_allclose(transmitted_intensity(optical_density(levels)), levels, rtol=1e-12)
    density = np.linspace(0, 2.38, 50)  # darker than that is clamped
    np.testing.assert_allclose(optical_density(transmitted_intensity(density, 240.0), 240.0), density, atol=1e-12)


def test_closed_form() -> None:
    assert optical_density(25.5) == pytest.approx(1)
    assert optical_density(BACKGROUND) == 0
    assert transmitted_intensity(2.0) == pytest.approx(2.55)


def test_clamped_to_background_and_darkest() -> None:
    assert optical_density(250, background=240.0) == 0
    assert optical_density(np.uint8(0)) == optical_density(DARKEST) == pytest.approx(np.log10(255))


def test_layers_of_stain_add_as_densities() -> None:
    thin, thick = transmitted_intensity(0.2), transmitted_intensity(0.5)
    both = BACKGROUND * (thin / BACKGROUND) * (thick / BACKGROUND)
    assert optical_density(both) == pytest.approx(0.7)


def test_float64_from_bytes() -> None:
    assert optical_density(np.zeros((2, 3, 3), dtype=np.uint8)).dtype == np.float64
    assert optical_density(np.zeros((2, 3, 3), dtype=np.float32)).dtype == np.float64


def test_vectors_are_those_of_scikit_image() -> None:
    np.testing.assert_allclose([HAEMATOXYLIN, EOSIN], rgb_from_hed[:2], atol=0.005)  # it rounds to two digits
    np.testing.assert_allclose([HAEMATOXYLIN, DAB], rgb_from_hdx[:2], atol=0.005)


def test_matrix_has_unit_rows_in_the_given_directions() -> None:
    matrix = stain_matrix(HAEMATOXYLIN, [0, 2, 0])
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1)
    np.testing.assert_allclose(matrix[1], [0, 1, 0])
    np.testing.assert_allclose(np.cross(matrix[0], HAEMATOXYLIN), 0, atol=1e-12)
