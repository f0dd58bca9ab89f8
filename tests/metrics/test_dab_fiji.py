"""The DAB chain against Fiji's own output (``oracles/fiji``), and against the physics it is made of."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from vsbench.data.decode import read_rgb
from vsbench.stain import dab

TABLE_DIGEST = "f5f2106fa47c68416c8b5587f8297a8bb74f3ed2d05ab0a46c5ec4cdf97e4cf6"
FILES = 32


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "oracles" / "fiji" / "oracle.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_image_measures_as_in_fiji(rows: list[dict[str, str]], shared: Path) -> None:
    """PNG, TIFF with and without resolution, JPEG with and without chroma subsampling, RGBA, 60 pixels."""
    assert len(rows) == FILES
    for row in rows:
        name = row["filename"]
        rgb = read_rgb(shared / "oracles" / "fiji" / "images" / name)
        found = dab.measure_density(rgb)
        assert rgb.shape == (int(row["height"]), int(row["width"]), 3), name
        assert hashlib.sha256(dab.dab8(rgb).tobytes()).hexdigest() == row["dab8_sha256"], name
        assert dab.integrated_density(rgb) == pytest.approx(float(row["IntDen"]), rel=1e-9, abs=0), name
        assert found.pixels == float(row["Area"]), name
        assert found.mean == pytest.approx(float(row["Mean"]), rel=1e-9, abs=0), name
        assert (found.minimum, found.maximum) == (float(row["Min"]), float(row["Max"])), name
        if row["lim_Area"]:
            assert found.positive_pixels == float(row["lim_Area"]), name
            # Fiji prints NaN where no pixel is selected; the sum over none of them is 0
            limited = float(row["lim_IntDen"]) if found.positive_pixels else 0.0
            assert found.positive_intden == pytest.approx(limited, rel=1e-9, abs=0), name


def test_table_of_all_colours() -> None:
    assert hashlib.sha256(dab.dab_table().tobytes()).hexdigest() == TABLE_DIGEST
    assert not dab.dab_table().flags.writeable


def test_exponents_are_the_inverse_of_the_stain_matrix() -> None:
    stains = np.array([(0.650, 0.704, 0.286), (0.268, 0.570, 0.776)])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    third = np.sqrt(np.maximum(0, 1 - (stains**2).sum(axis=0)))
    matrix = np.vstack([stains, third / np.linalg.norm(third)])
    np.testing.assert_allclose(np.linalg.inv(matrix)[:, 1], dab.DAB_EXPONENTS, rtol=1e-12)


def test_pure_stains_by_beer_lambert() -> None:
    """Pure DAB reads as the optical density it was made with, pure haematoxylin as none; up to 8-bit rounding."""
    amounts = np.linspace(0, 1, 21)[None, :, None]
    unit = {"h": np.array([0.650, 0.704, 0.286]), "dab": np.array([0.268, 0.570, 0.776])}
    images = {
        name: np.clip(np.rint(255 * 10 ** -(amounts * v / np.linalg.norm(v))), 0, 255).astype(np.uint8)
        for name, v in unit.items()
    }
    np.testing.assert_allclose(dab.optical_density_dab(images["dab"])[0], amounts[0, :, 0], atol=0.02)
    np.testing.assert_allclose(dab.optical_density_dab(images["h"])[0], 0, atol=0.02)


def test_positive_level_is_the_density_it_says() -> None:
    assert dab.density_table()[dab.POSITIVE_LEVEL] == pytest.approx(0.4065, abs=5e-5)
    assert dab.density_table()[255] == 0
    assert dab.density_table()[0] == pytest.approx(np.log10(255 / 0.5), rel=1e-7)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_anything_but_eight_bit_rgb_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        dab.dab8(image)
