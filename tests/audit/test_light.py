"""The light of an audited set: by slide, in its tissue shares, and as a share of the density."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.audit.page import build_page, findings
from vsbench.audit.run import Audit, audit
from vsbench.data.pairs import Pair
from vsbench.stain.density import DAB, EOSIN, HAEMATOXYLIN, stain_matrix, transmitted_intensity

LIGHTS = {"S1": (255, 255, 255), "S2": (190, 190, 190), "S3": (212, 205, 190)}
SIDE = 128


def pair_of(folder: Path, number: int, slide: str, glass: bool, light: tuple[int, ...], known: bool) -> Pair:
    """A tile of which a third is glass, or none; H&E and IHC under one light."""
    rng = np.random.default_rng(number)
    nuclei, brown = (np.kron(rng.random((32, 32)), np.ones((4, 4))) > share for share in (0.7, 0.9))
    noise = np.abs(rng.normal(0.08, 0.03, (SIDE, SIDE)))
    files = {}
    for kind, vectors, amounts in (
        ("he", (HAEMATOXYLIN, EOSIN), (0.5 * nuclei, 0.3 + noise)),
        ("ihc", (HAEMATOXYLIN, DAB), (0.3 * nuclei + noise, 0.6 * brown)),
    ):
        density: NDArray[np.float64] = np.stack(amounts, axis=-1) @ stain_matrix(*vectors)
        if glass:
            density[:, -SIDE // 3 :] = 0
        levels = np.rint(np.array(light) / 255 * transmitted_intensity(density)).astype(np.uint8)
        files[kind] = folder / f"{slide}-{number}-{kind}.png"
        Image.fromarray(levels).save(files[kind])
    return Pair(f"{slide}-{number}", files["he"], files["ihc"], slide if known else None, "test")


@pytest.fixture
def found(tmp_path: Path) -> Audit:
    return audited(tmp_path, known=True)


def audited(folder: Path, known: bool, glass: bool = True) -> Audit:
    """Of each slide one tile with glass and one without."""
    pairs = [
        pair_of(folder, 2 * place + more, slide, glass and not more, light, known)
        for place, (slide, light) in enumerate(LIGHTS.items())
        for more in (0, 1)
    ]
    return audit(pairs, "er")


def test_a_slide_s_light_is_that_of_its_glass_and_holds_for_all_its_tiles(found: Audit) -> None:
    for row, light in zip(found.tiles, [light for light in LIGHTS.values() for _ in "12"], strict=True):
        assert row.ihc_light == row.he_light == pytest.approx(np.mean(light))
    assert [s.ihc_light for s in found.slides] == pytest.approx([np.mean(light) for light in LIGHTS.values()])
    assert all(s.ihc_light_spread == pytest.approx(0, abs=1e-6) for s in found.slides)


def test_grey_glass_is_no_tissue(found: Audit) -> None:
    with_glass, without = found.tiles[::2], found.tiles[1::2]
    for row in with_glass:
        assert row.he_tissue == pytest.approx(2 / 3, abs=0.02)
        assert row.ihc_tissue < 0.7
    assert all(row.he_tissue > 0.99 for row in without)


def test_stain_is_measured_under_the_light_there_was(found: Audit) -> None:
    """No slide differs from the others by its lamp."""
    for name in ("he_haematoxylin", "he_eosin", "ihc_haematoxylin", "ihc_dab"):
        first, *others = (getattr(slide, name) for slide in found.slides)
        assert others == pytest.approx([first, first], rel=0.15), name


def test_the_share_of_density_that_light_explains_is_told(found: Audit, tmp_path: Path) -> None:
    white, grey, yellow = found.slides
    assert white.ihc_light_share == pytest.approx(0, abs=1e-9)
    assert 0.4 < float(grey.ihc_light_share or 0) < 0.8
    assert 0.4 < float(yellow.ihc_light_share or 0) < 0.8
    share = found.summary["light_share_of_density"]
    rows = [(row.ihc_density, row.ihc_light_share or 0.0) for row in found.tiles]
    assert share == pytest.approx(sum(d * s for d, s in rows) / sum(d for d, _ in rows))
    (said,) = [line for line in findings(found) if "glass is not white" in line]
    assert f"light is {share:.0%} of the density" in said
    page = build_page([found], "Own").markdown()
    assert "### Light by slide" in page
    assert "| S2 | 190 | 190 ± 0.0 |" in page


def test_where_slides_are_unknown_a_tile_without_glass_has_no_light_and_that_is_said(tmp_path: Path) -> None:
    found = audited(tmp_path, known=False)
    assert [row.ihc_light is None for row in found.tiles] == [False, True] * 3
    assert found.tiles[3].ihc_tissue > 0.99  # white is taken
    assert found.summary["pairs_without_light"] == 3
    assert "no glass in sight on the tile of 3 pairs: the light is unknown there" in findings(found)
    assert "### Light by tile" in build_page([found], "Own").markdown()


def test_without_glass_anywhere_no_share_is_told(tmp_path: Path) -> None:
    found = audited(tmp_path, known=True, glass=False)
    assert found.summary["light_share_of_density"] is None
    assert not any("not white" in line for line in findings(found))
    assert "no glass in sight on the slide of 6 pairs: the light is unknown there" in findings(found)
