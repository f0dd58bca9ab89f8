"""Judged as a stream, a slide has the numbers that its image has when it is measured whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vsbench.data.seams import Seams
from vsbench.engine.tiles import Tiling, spans
from vsbench.errors import DataError
from vsbench.metric import Sample
from vsbench.metrics.agreement import Agreement
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.masks import compared, stained_area
from vsbench.metrics.places import block_correlation, summed_density
from vsbench.metrics.seams import relative_jump
from vsbench.slides import judge
from vsbench.slides.hot_spots import hot_spots
from vsbench.slides.judge import OpenPair, Totals, add_up
from vsbench.slides.pair_list import SlidePair
from vsbench.slides.pyramid import TILE, Format, Pyramid
from vsbench.slides.reading import open_slide
from vsbench.slides.seams import BESIDE, seams_said, slide_seams
from vsbench.slides.slide_values import slide_columns
from vsbench.stain.balanced import level_counts, read_transmission
from vsbench.stain.dab import POSITIVE_LEVEL, dab8, density_of
from vsbench.stain.light import find_light

Make = Callable[..., Any]
SIZE = 1100, 1290  # pixels of 4 µm: windows of 1024 and what is left of them; 20 fields of 1 mm² and what is left
PIXEL = 4.0
SEAMS = Seams((300, 1024, 1080), (512,))


def stained(seed: int, spots: int = 400) -> Any:
    """Tissue all over, with brown spots, more of them to the right; (H, W, 3)."""
    rng = np.random.default_rng(seed)
    image = np.tile(np.uint8([160, 140, 170]), (*SIZE, 1)) - rng.integers(0, 12, (*SIZE, 1), dtype=np.uint8)
    y, x = rng.integers(0, SIZE[0], spots), (SIZE[1] * rng.random(spots) ** 0.6).astype(int)
    for top, left in zip(y, x, strict=True):
        image[top : top + 20, left : left + 25] = [110, 70, 40]
    return image


def with_glass(image: Any, glass: int) -> Any:
    """The same with glass around a disc."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    image = image.copy()
    image[np.hypot(y - SIZE[0] / 2, x - SIZE[1] / 2) > 480] = glass
    return image


def write(file: Path, image: Any, description: str = "") -> Path:
    pyramid = Pyramid(file, Format(*image.shape[:2], PIXEL, None, description=description), {})
    for number, top in enumerate(range(0, len(image), TILE)):
        pyramid.append(number, image[top : top + TILE])
    pyramid.finish()
    return file


def judged(pair: SlidePair) -> Totals:
    assert pair.generated is not None
    with OpenPair() as opening:
        return add_up(opening.frame(pair, pair.generated, None, "he-to-ihc"))


def pair_of(he: Path, real: Path, generated: Path, transform: Path | None = None) -> SlidePair:
    return SlidePair(he, real, "ki67", "P1", "S1", "test", transform, generated=generated)


@pytest.fixture(scope="module")
def images() -> dict[str, Any]:
    return {"he": stained(0, 0), "real": stained(1), "fake": stained(2)}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, images: dict[str, Any]) -> SlidePair:
    """Tissue all over; the generated slide says where it was stitched."""
    folder = tmp_path_factory.mktemp("judge")
    said = {"fake": f"vsbench-seams: {SEAMS.words}"}
    files = {name: write(folder / f"{name}.tif", image, said.get(name, "")) for name, image in images.items()}
    return pair_of(files["he"], files["real"], files["fake"])


@pytest.fixture(scope="module")
def columns(pair: SlidePair) -> dict[str, float]:
    (found,), _ = slide_columns([judged(pair)])
    return found


def test_densities_are_those_of_the_whole_image(columns: dict[str, float], images: dict[str, Any]) -> None:
    sample = Sample("s", images["fake"], images["real"], images["he"])
    for metric in (DabDensity(), Agreement()):
        for name, value in metric.per_image(sample).items():
            assert columns[name] == pytest.approx(value, rel=1e-12), name
    assert columns["tissue_mm2"] == pytest.approx(SIZE[0] * SIZE[1] * 16e-6)


def test_masks_and_places_are_those_of_the_whole_image(columns: dict[str, float], images: dict[str, Any]) -> None:
    sample = Sample("s", images["fake"], images["real"], images["he"])
    whole = compared(stained_area(sample, "fake"), stained_area(sample, "real"))
    for name in ("mask_dice", "mask_iou", "mask_sensitivity", "mask_specificity"):
        assert columns[name] == whole[name], name
    sums = [summed_density(dab8(images[name])) for name in ("fake", "real")]
    for n in (4, 8, 16):
        assert columns[f"r_block_{n}"] == pytest.approx(100 * block_correlation(*sums, n), rel=1e-12)


def test_seams_are_those_of_the_whole_image(columns: dict[str, float], images: dict[str, Any]) -> None:
    fake, real = (relative_jump(images[name], SEAMS, BESIDE) for name in ("fake", "real"))
    assert columns["seam_jump"] == pytest.approx(100 * (fake - real), rel=1e-12)


@pytest.mark.parametrize("side", [8, 16], ids=["blocks", "of halved colour"])
def test_the_blocks_of_a_codec_are_no_seam(side: int) -> None:
    """A seam lies on the border of blocks, as ``vsbench translate`` has them, and is no worse than the others."""
    blocks = np.random.default_rng(0).integers(100, 180, (512 // side, 512 // side, 3)).astype(np.uint8)
    image = blocks.repeat(side, axis=0).repeat(side, axis=1)
    seams = Seams((64, 448), (64, 448))
    assert relative_jump(image, seams, BESIDE) == pytest.approx(1, abs=0.1)
    image[64:448] //= 2
    assert relative_jump(image, seams, BESIDE) > 1.5


def test_hot_spots_are_those_of_the_fields_cut_out(columns: dict[str, float], images: dict[str, Any]) -> None:
    shares = []
    for name in ("fake", "real"):
        positive = dab8(images[name])[:1000, :1250] <= POSITIVE_LEVEL
        shares.append(positive.reshape(4, 250, 5, 250).mean(axis=(1, 3)).ravel())
    hottest = [set(np.argsort(one)[-10:]) for one in shares]
    assert columns["hotspot_fields"] == 20
    assert columns["hotspot_overlap"] == pytest.approx(10 * len(hottest[0] & hottest[1]))
    assert columns["hotspot_rank"] == pytest.approx(100 * stats.spearmanr(*shares).statistic)
    means = [np.sort(one)[-10:].mean() for one in shares]
    assert columns["hotspot_error"] == pytest.approx(100 * abs(means[0] - means[1]))


def test_glass_is_left_out_and_tells_the_light(tmp_path: Path, images: dict[str, Any]) -> None:
    grey = {name: with_glass(image, 225) for name, image in images.items()}
    files = [write(tmp_path / f"{name}.tif", grey[name]) for name in ("he", "real", "fake")]
    totals = judged(pair_of(*files))
    (found,), _ = slide_columns([totals])
    inside = totals.pixels
    assert inside == pytest.approx(np.pi * 480**2, rel=0.02)
    tissue = np.zeros(SIZE, bool)
    with OpenPair() as opening:
        tissue[:] = opening.frame(pair_of(*files), files[2], None, "he-to-ihc").tissue.inside(0, 0, *SIZE)
    light = find_light(np.asarray(grey["fake"][::2, ::2]))
    assert light is not None
    assert found["light"] == pytest.approx(light.brightness, abs=0.5)
    for end, name in (("", "fake"), ("_real", "real")):
        own = grey[name][tissue][None]
        assert found[f"intden{end}"] == pytest.approx(density_of(np.bincount(dab8(own)[0], minlength=256)).intden)
        known = totals.lights[name]
        assert known is not None
        balanced = density_of(level_counts(read_transmission(own), known)).intden
        assert found[f"intden_balanced{end}"] == pytest.approx(balanced)
        assert balanced < 0.99 * found[f"intden{end}"], "grey glass is no stain"


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_real_slide_is_laid_by_its_transform(tmp_path: Path, images: dict[str, Any], scale: float) -> None:
    """The slide itself, moved and turned on another glass: judged against itself it is perfect."""
    image = with_glass(images["real"], 244)
    turned = np.rot90(image, -1) if scale == 1 else np.rot90(image, -1).repeat(2, axis=0).repeat(2, axis=1)
    matrix = [[0, -scale, scale * SIZE[0]], [scale, 0, 0], [0, 0, 1]]
    (tmp_path / "m.json").write_text(json.dumps({"maps": "he-to-ihc", "matrix": matrix}))
    he, fake = (write(tmp_path / f"{name}.tif", image) for name in ("he", "fake"))
    real = write(tmp_path / "real.tif", np.ascontiguousarray(turned))
    pair = pair_of(he, real, fake, tmp_path / "m.json")
    (found,), _ = slide_columns([judged(SlidePair(**{**vars(pair), "ihc_mpp": PIXEL / scale}))])
    assert found["mask_dice"] > 0.99
    assert found["r_block_16"] > 99.9
    assert abs(found["intden"] / found["intden_real"] - 1) < 0.01


def test_hot_spots_in_closed_form() -> None:
    rising = np.arange(25) / 100
    same, turned = hot_spots(rising, rising), hot_spots(rising[::-1], rising)
    assert (same["hotspot_overlap"], same["hotspot_rank"], same["hotspot_error"]) == (100, pytest.approx(100), 0)
    assert (turned["hotspot_overlap"], turned["hotspot_rank"]) == (0, pytest.approx(-100))
    assert turned["hotspot_error"] == pytest.approx(0), "as hot, in other places"
    blank = hot_spots(np.zeros(25), rising)
    assert blank["hotspot_overlap"] == pytest.approx(100 * 10 / 25), "what chance gives"
    assert blank["hotspot_error"] == pytest.approx(100 * rising[-10:].mean())
    assert np.isnan(blank["hotspot_rank"])
    tied = np.r_[np.zeros(10), np.ones(6), np.full(8, 0.5), 2]  # seven hotter, eight that may be the last three
    assert hot_spots(tied, tied)["hotspot_overlap"] == pytest.approx(10 * (7 + 8 * (3 / 8) ** 2))


def test_windows_are_no_larger_than_a_tile(pair: SlidePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with the slide."""
    asked = []
    whole = judge.Overlay.window

    def window(self: Any, scale: float, y: int, x: int, height: int, width: int) -> Any:
        asked.append(max(height, width))
        return whole(self, scale, y, x, height, width)

    monkeypatch.setattr(judge.Overlay, "window", window)
    judged(pair)
    assert len(asked) == 8
    assert max(asked) <= 1025


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_a_slide_keeps_its_seams(tmp_path: Path, ending: str) -> None:
    said = seams_said(*(spans(side, Tiling(256, 64, 4)) for side in (600, 500)))
    file = write(tmp_path / f"s{ending}", np.zeros((600, 500, 3), np.uint8), said)
    assert slide_seams(file, (600, 500)) == Seams((214, 386), (188, 310)), said
    assert slide_seams(file, (300, 250)) is None, "of another image"
    with open_slide(file) as slide:
        assert slide.pixel_size == pytest.approx(PIXEL)


def test_what_can_not_be_judged_is_said(tmp_path: Path, pair: SlidePair, images: dict[str, Any]) -> None:
    half = write(tmp_path / "half.tif", images["real"][:, :600])
    blank = write(tmp_path / "blank.tif", np.full((*SIZE, 3), 240, np.uint8))
    (tmp_path / "mm.txt").write_text("0.004 0 0 0 0.004 0 0 0 1")
    assert pair.generated is not None
    for other, why in (
        (pair_of(pair.he, pair.ihc, half), "a generated slide shows what its H&E's slide shows"),
        (pair_of(pair.he, half, pair.generated), "not of one frame; give a column transform"),
        (pair_of(pair.he, blank, pair.generated), "no tissue lies over the other's"),
        (pair_of(pair.he, pair.ihc, pair.generated, tmp_path / "mm.txt"), "mm.txt: .* 0.004 times as large"),
    ):
        with pytest.raises(DataError, match=why):
            judged(other)
