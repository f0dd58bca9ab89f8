"""Masks of DAB: overlap and outlines against scikit-learn, SciPy and scikit-image, shifts by trying all of them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from skimage.color import rgb2hed
from sklearn.metrics import f1_score, jaccard_score, recall_score

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Sample
from vsbench.metrics._masks import NEAR, Mask, Outlined, Searched, apart, best_shift, nearest, overlap, shifts_of
from vsbench.metrics.masks import BEST, KINDS, UNKNOWN, Masks, compared
from vsbench.metrics.masks_hed import HedMasks
from vsbench.metrics.true_masks import TrueMasks
from vsbench.stain.dab import optical_density_dab

BROWN, PALE = (120, 60, 30), (235, 230, 228)


def spots(share: float, size: tuple[int, int] = (70, 90), seed: int = 0, blur: float = 2.0) -> Mask:
    """A share of the pixels, in round spots."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=size), blur)
    return np.asarray(field > np.quantile(field, 1 - share))


def picture(mask: Mask) -> Image:
    return np.where(mask[..., None], BROWN, PALE).astype(np.uint8)


def directed(of: Mask, to: Mask) -> NDArray[np.float64]:
    """As MONAI has it: from the outline of one mask to that of the other, by SciPy's erosion and transform."""
    edges = [mask ^ binary_erosion(mask) for mask in (of, to)]
    return np.asarray(distance_transform_edt(~edges[1]))[edges[0]]


@pytest.mark.parametrize(("made", "wanted"), [(0.1, 0.3), (0.5, 0.02), (0.9, 0.8)])
def test_overlap_is_scikit_learns(made: float, wanted: float) -> None:
    fake, real = spots(made), spots(wanted, seed=1)
    found, flat = overlap(fake, real), (real.ravel(), fake.ravel())
    assert found.dice == pytest.approx(f1_score(*flat))
    assert found.iou == pytest.approx(jaccard_score(*flat))
    assert found.sensitivity == pytest.approx(recall_score(*flat))
    assert found.specificity == pytest.approx(recall_score(*flat, pos_label=False))


@pytest.mark.parametrize("blur", [0.0, 1.0, 4.0])  # from speckle to blobs
@pytest.mark.parametrize(("made", "wanted"), [(0.2, 0.2), (0.6, 0.01), (0.002, 0.3)])
def test_distances_are_those_of_scipys_transform(made: float, wanted: float, blur: float) -> None:
    fake, real = spots(made, (190, 260), blur=blur), spots(wanted, (190, 260), seed=1, blur=blur)
    there, back = directed(fake, real), directed(real, fake)
    found = apart(Outlined(fake), Outlined(real))
    assert found.mean == pytest.approx(np.concatenate([there, back]).mean())
    assert found.hd95 == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)))
    np.testing.assert_allclose(nearest(Outlined(fake).points, Outlined(real)), there)


def test_distances_beyond_the_columns_looked_at_are_exact() -> None:
    """Points at all distances around ``NEAR``, in one column, in one row and aslant."""
    fake, real = np.zeros((2, 3 * NEAR, 3 * NEAR), np.bool_)
    real[0, 0] = True
    fake[::7, ::5] = True
    fake[:, 0] = fake[0] = True
    np.testing.assert_allclose(nearest(Outlined(fake).points, Outlined(real)), directed(fake, real))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 40), (15, 15)])
def test_small_images_have_all_values(size: tuple[int, int]) -> None:
    full = picture(np.ones(size, np.bool_))
    found = Masks().per_image(Sample("a", full, full, full))
    assert found["mask_dice"] == found["mask_dice_best"] == 1
    assert found["mask_msd"] == found["mask_hd95_best"] == 0


DISTANCES = ("mask_hd95", "mask_msd")
EMPTY = {"mask_dice": 0, "mask_iou": 0, "mask_hd95": 50, "mask_msd": 50}


@pytest.mark.parametrize(
    ("made", "wanted", "expected"),
    [
        (0, 0, {**dict.fromkeys(KINDS, 1), "mask_sensitivity": None, "mask_hd95": 0, "mask_msd": 0}),
        (1, 1, {**dict.fromkeys(KINDS, 1), "mask_specificity": None, "mask_hd95": 0, "mask_msd": 0}),
        (0, 1, {**EMPTY, "mask_sensitivity": 0, "mask_specificity": None}),
        (1, 0, {**EMPTY, "mask_sensitivity": None, "mask_specificity": 0}),
    ],
)
def test_what_empty_and_full_masks_are_worth(made: int, wanted: int, expected: dict[str, float | None]) -> None:
    """The diagonal of 30 by 40 is 50; None does not exist."""
    fake, real = (np.full((30, 40), bool(share)) for share in (made, wanted))
    found = compared(Outlined(fake), Outlined(real), pixel_size=1.0)
    expected |= {f"{name}_um": expected[name] for name in DISTANCES}
    assert {name: None if np.isnan(number) else number for name, number in found.items()} == expected


def test_a_method_that_stains_nothing_is_not_spared() -> None:
    """Its only image without a number is the one that has nothing to find."""
    real = [picture(spots(share)) for share in (0, 0.2, 0.3)]
    blank = picture(np.zeros((70, 90), np.bool_))
    metric = Masks()
    table = pd.DataFrame(metric.update([Sample(f"{n}", blank, one, one) for n, one in enumerate(real)]).columns)
    values = metric.finish(table, {})
    assert values["mask_dice"] == pytest.approx(1 / 3)
    assert values["mask_sensitivity"] == 0
    assert values["mask_hd95"] == pytest.approx(2 / 3 * np.hypot(70, 90))


def test_distances_in_um_are_those_in_pixels_times_the_size_of_one() -> None:
    """By every rule, strict and best, against the real and the true IHC; nothing else depends on the size."""
    images = [picture(spots(0.2, seed=seed)) for seed in range(3)]
    sample = Sample("a", images[0], images[1], images[1], images[2])
    for metric in (Masks(), HedMasks(), TrueMasks()):
        unknown, known, larger = (metric.per_image(replace(sample, pixel_size=size)) for size in (None, 0.25, 0.5))
        in_um = {value.name for value in metric.values if value.unit == "µm"}
        assert {name for name, number in unknown.items() if np.isnan(number)} == in_um
        assert {name: number for name, number in known.items() if name not in in_um} == {
            name: number for name, number in larger.items() if name not in in_um
        }
        for name in in_um:
            in_pixels = known[name.replace("_um", "")]
            assert known[name] == 0.25 * in_pixels > 0
            assert larger[name] == 0.5 * in_pixels


def test_protocols_of_distances_say_the_unit() -> None:
    units = {value.protocol: value.unit for metric in (Masks, HedMasks, TrueMasks) for value in metric.values}
    assert {protocol.endswith("-um") == (unit == "µm") for protocol, unit in units.items()} == {True}


def test_values_that_no_image_has_are_absent_with_the_reason() -> None:
    metric, full = Masks(), picture(np.ones((70, 90), np.bool_))
    values = metric.finish(pd.DataFrame(metric.update([Sample("a", full, full, full)]).columns), {})
    assert isinstance(values["mask_specificity"], Absent)
    assert values["mask_hd95_um"] == values["mask_msd_um_best"] == Absent(UNKNOWN)
    assert values["mask_sensitivity"] == 1


@pytest.mark.parametrize("size", [(64, 96), (70, 50)])
def test_the_best_shift_is_the_best_of_all(size: tuple[int, int]) -> None:
    """Pixel by pixel in images of less than 384, whose sides a margin need not divide."""
    for seed in range(4):
        fake, real = spots(0.2, size, seed=2 * seed), spots(0.3, size, seed=2 * seed + 1)
        margins = [side // 16 for side in size]
        inner = fake[margins[0] : size[0] - margins[0], margins[1] : size[1] - margins[1]]
        found = []
        for down, right in product(*(range(-margin, margin + 1) for margin in margins)):
            top, left = margins[0] + down, margins[1] + right
            there = real[top : top + inner.shape[0], left : left + inner.shape[1]]
            found.append((-f1_score(there.ravel(), inner.ravel()), down**2 + right**2, down, right))
        assert best_shift(Searched(fake, True), Searched(real, False)) == min(found)[2:]


def test_large_images_are_searched_in_steps() -> None:
    """Three pixels down and five to the right; 1/16 of the side at most."""
    down, right = shifts_of((771, 1285))
    assert (down.tolist(), right.tolist()) == (list(range(-48, 49, 3)), list(range(-80, 81, 5)))
    whole = spots(0.2, (771 + 100, 1285 + 100), blur=6)
    fake, real = whole[50:-50, 50:-50], whole[50 - 33 : -50 - 33, 50 + 45 : -50 + 45]
    assert best_shift(Searched(fake, True), Searched(real, False)) == (33, -45)
    found = Masks().per_image(Sample("a", picture(fake), picture(real), picture(real)))
    assert found["mask_dice_best"] == found["mask_iou_best"] == found["mask_specificity_best"] == 1
    assert found["mask_hd95_best"] == 0
    assert found["mask_dice"] < 0.5
    assert found["mask_hd95"] > 5


def test_distances_at_a_shift_are_of_the_points_inside_the_margin() -> None:
    """To all of the other outline: the edge of the margin is none."""
    fake, real = spots(0.2, (64, 96)), spots(0.3, (64, 96), seed=1)
    edges = [mask ^ binary_erosion(mask) for mask in (fake, real)]
    moved, back = np.roll(edges[1], (-3, 5), axis=(0, 1)), np.roll(edges[0], (3, -5), axis=(0, 1))
    there = distance_transform_edt(~moved[: 64 - 3, 5:])[4:60, 6 - 5 : 90 - 5][edges[0][4:60, 6:90]]
    home = distance_transform_edt(~back[3:, : 96 - 5])[4 + 3 - 3 : 63 - 3, 1:85][edges[1][7:63, 1:85]]
    found = apart(Outlined(fake), Outlined(real), (3, -5))
    assert found.mean == pytest.approx(np.concatenate([there, home]).mean())
    assert found.hd95 == pytest.approx(max(np.quantile(there, 0.95), np.quantile(home, 0.95)))


def test_outlines_outside_of_the_margin_are_alike_inside() -> None:
    fake, real = np.zeros((2, 64, 64), np.bool_)
    fake[1, 1] = True
    assert apart(Outlined(fake), Outlined(real), (2, 2)) == apart(Outlined(real), Outlined(real), (2, 2))
    assert apart(Outlined(fake), Outlined(real)).mean == pytest.approx(np.hypot(64, 64))
    real[62, 62] = True
    assert apart(Outlined(fake), Outlined(real), (2, 2)).mean == 0
    assert apart(Outlined(fake), Outlined(real), (0, 0)) == apart(Outlined(real), Outlined(fake), (0, 0))


def test_stained_pixels_of_large_windows_are_all_counted() -> None:
    """More rows in a row than 8 bits can count."""
    searched = Searched(np.ones((600, 700), np.bool_), inner=False)
    assert (searched.areas == (600 - 2 * 37) * (700 - 2 * 43)).all()


def test_the_area_rule_is_that_of_the_positive_area() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    found = Masks().per_image(Sample("a", image, np.zeros_like(image), image))  # black holds DAB: all of it is stained
    assert found["mask_sensitivity"] == np.mean(optical_density_dab(image) >= 0.4065)


def test_the_hed_rule_is_scikit_images() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), axis=-1).reshape(52, -1, 3)
    other = colours[::-1]
    masks = [rgb2hed(image)[..., 2] > 0.07 for image in (colours, other)]
    found = HedMasks().per_image(Sample("a", colours, other, other))
    assert found["mask_dice_hed"] == pytest.approx(f1_score(*(mask.ravel() for mask in masks[::-1])))
    assert set(found) == {f"{name}_hed{end}" for name in KINDS for end in ("", BEST)}


def test_the_truth_is_what_true_masks_are_held_against() -> None:
    fake, real, truth = (spots(0.2, seed=seed) for seed in range(3))
    sample = Sample("a", picture(fake), picture(real), picture(real), picture(truth))
    found, expected = TrueMasks().per_image(sample), compared(Outlined(fake), Outlined(truth))
    for end in ("", "_hed"):  # brown is brown
        np.testing.assert_equal({name: found[f"true_{name}{end}"] for name in KINDS}, expected)
    with pytest.raises(DataError, match="no true IHC"):
        TrueMasks().per_image(Sample("a", picture(fake), picture(real), picture(real)))
