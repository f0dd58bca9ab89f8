"""Slides are read whole, at any scale, without seams; what is no slide is refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from vsbench.errors import DataError
from vsbench.slides.reading import frame, open_slide, scaled

SMALL = np.random.default_rng(0).integers(0, 256, (96, 80, 3), np.uint8)
Make = Callable[..., Any]


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_all_levels_are_read_with_their_pixel_size(tmp_path: Path, ending: str, write: Make, tissue: Make) -> None:
    image = tissue(700, 1100)
    with open_slide(write(tmp_path / f"s{ending}", image, 0.25)) as slide:
        assert [(level.height, level.width) for level in slide.levels] == [(700, 1100), (350, 550), (175, 275)]
        assert slide.pixel_size == pytest.approx(0.25, rel=1e-4)
        np.testing.assert_array_equal(slide.region(0, 500, 500, 200, 600), image[500:700, 500:1100])


def test_beyond_the_slide_all_is_white(disc: Path) -> None:
    with open_slide(disc) as slide:
        around = slide.region(0, -10, 690, 30, 40)
        assert (around[:10] == 255).all()
        assert (around[:, 10:] == 255).all()
        assert (around[10:, :10] != 255).all()


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.9, 4.0, 13.3])
def test_windows_meet_without_a_seam(disc: Path, scale: float) -> None:
    with open_slide(disc) as slide:
        height, width = frame(slide, scale)
        whole = scaled(slide, scale, 0, 0, height, width)
        cut = height // 3
        parts = [scaled(slide, scale, 0, 0, cut, width), scaled(slide, scale, cut, 0, height - cut, width)]
        differs = np.abs(np.concatenate(parts).astype(int) - whole)
        assert differs.max() <= 1  # rounding


def test_a_scale_shows_the_same_place(disc: Path) -> None:
    """The middle of a smooth image stays where it is, whatever level it comes from."""

    def middle(image: Any) -> Any:
        dark = 255.0 - image.mean(axis=2)
        return [np.average(np.arange(n) + 0.5, weights=dark.sum(axis=1 - axis)) for axis, n in enumerate(dark.shape)]

    with open_slide(disc) as slide:
        wanted = middle(slide.region(0, 0, 0, 1100, 700))
        for scale in (1.5, 3.0, 6.0):
            found = middle(scaled(slide, scale, 0, 0, *frame(slide, scale)))
            np.testing.assert_allclose(np.multiply(found, scale), wanted, atol=0.6)


def test_levels_that_are_left_out_are_made_from_finer_ones(disc: Path, tmp_path: Path) -> None:
    """A pyramid of two levels far apart shows the same at a scale between them."""
    with open_slide(disc) as slide, tifffile.TiffWriter(tmp_path / "gap.tif") as out:
        levels = [slide.region(n, 0, 0, slide.levels[n].height, slide.levels[n].width) for n in (0, 2)]
        for number, level in enumerate(levels):
            out.write(level, tile=(64, 64), photometric="rgb", subfiletype=number)
        wanted = scaled(slide, 2.5, 0, 0, *frame(slide, 2.5))
    with open_slide(tmp_path / "gap.tif") as slide:
        assert len(slide.levels) == 2
        found = scaled(slide, 2.5, 0, 0, *frame(slide, 2.5))
    assert np.abs(found.astype(int) - wanted).mean() < 1


Write = Callable[[Path], Any]


def _tiff(*images: Any, **how: Any) -> Write:
    def write(file: Path) -> None:
        with tifffile.TiffWriter(file, ome=how.pop("ome", None)) as out:
            for image in images:
                out.write(image, **({"photometric": "rgb"} | how))

    return write


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_tiff(SMALL.astype(np.uint16)), "16 bits"),
        (_tiff(SMALL[..., 0], photometric="minisblack"), "1 channel of 8 bits"),
        (_tiff(np.moveaxis(SMALL, 2, 0), photometric="minisblack", ome=True, metadata={"axes": "CYX"}), "fluorescence"),
        (_tiff(np.moveaxis(SMALL, 2, 0), planarconfig="separate"), "stored apart"),
        (_tiff(np.dstack([SMALL, SMALL[..., :1]]), extrasamples=["unassalpha"]), "without transparency"),
        (_tiff(SMALL, SMALL), "2 images of 96×80 pixels or more"),
        (_tiff(SMALL[:50, :40], SMALL), "2 images of 50×40 pixels or more"),
        (_tiff(np.stack([SMALL] * 3), ome=True, metadata={"axes": "ZYXS"}), "3 images of 96×80 pixels or more"),
        (_tiff(SMALL, resolution=(20000, 30000), resolutionunit="CENTIMETER"), "not square"),
        (lambda file: file.write_bytes(b"no slide at all"), "no whole slide"),
        (lambda file: file.write_bytes(b"II*\0" + bytes(40)), "damaged"),
        (lambda file: file.mkdir(), "cannot be read"),
        (lambda file: None, "cannot be read"),
    ],
)
def test_what_is_no_slide_is_refused_by_name(tmp_path: Path, make: Write, says: str) -> None:
    file = tmp_path / "slide.ome.tif"
    make(file)
    with pytest.raises(DataError, match=says) as caught:
        open_slide(file)
    assert str(caught.value).startswith(str(file))


def test_a_slide_of_one_huge_strip_is_refused(tmp_path: Path, write: Make) -> None:
    """What is stored in one piece would have to be decoded whole for each window."""
    file = tmp_path / "slide.tif"
    with tifffile.TiffWriter(file, bigtiff=True) as out:
        strip = iter([b"x" * 100])
        out.write(
            strip, shape=(100_000, 100_000, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=100_000,
            compression="zlib",
        )  # fmt: skip
    with pytest.raises(DataError, match="100000×100000"):
        open_slide(file)


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_a_slide_cut_anywhere_is_refused(tmp_path: Path, ending: str, write: Make, tissue: Make) -> None:
    whole = write(tmp_path / f"whole{ending}", tissue(600, 700)).read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9, 0.999):
        (tmp_path / f"cut{ending}").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError):
            open_slide(tmp_path / f"cut{ending}")


def test_a_damaged_tile_is_named_when_it_is_read(tmp_path: Path, write: Make, tissue: Make) -> None:
    file = write(tmp_path / "s.ome.tif", tissue(600, 700), quality=90)
    data = bytearray(file.read_bytes())
    with tifffile.TiffFile(file) as tiff:
        offset = tiff.pages[0].dataoffsets[1]  # type: ignore[union-attr]
    data[offset : offset + 400] = bytes(400)
    file.write_bytes(data)
    with open_slide(file) as slide, pytest.raises(DataError, match=r"s\.ome\.tif: damaged"):
        slide.region(0, 0, 0, 600, 700)


@pytest.mark.parametrize("how", [{"tile": (32, 32)}, {"rowsperstrip": 7}], ids=["tiles", "strips"])
@pytest.mark.parametrize("compression", [None, "zlib", "jpeg2000"])
def test_other_ways_to_store_rgb_are_read(tmp_path: Path, how: dict[str, Any], compression: str | None) -> None:
    args = {"compressionargs": {"reversible": True, "level": 0}} if compression == "jpeg2000" else {}
    tifffile.imwrite(tmp_path / "s.tif", SMALL, photometric="rgb", compression=compression, **args, **how)
    with open_slide(tmp_path / "s.tif") as slide:
        np.testing.assert_array_equal(slide.region(0, 3, 5, 90, 70), SMALL[3:93, 5:75])


@pytest.mark.parametrize("how", [{}, {"resolution": (72, 72), "resolutionunit": "INCH"}, {"resolution": (1, 1)}])
def test_a_printers_resolution_is_no_magnification(tmp_path: Path, how: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "s.tif", SMALL, photometric="rgb", tile=(32, 32), **how)
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.pixel_size is None


def test_a_real_slide_is_read_and_no_part_of_it_taken_for_the_whole(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "slides" / "cmu-1-small-region.svs"
    with open_slide(file) as slide:
        assert slide.pixel_size == pytest.approx(0.499)
        assert (slide.levels[0].height, slide.levels[0].width) == (2967, 2220)
        assert 100 < slide.region(0, 1000, 1000, 200, 200).mean() < 240
    data = file.read_bytes()
    for share in (0.001, 0.2, 0.5, 0.85, 0.95, 0.99):
        (tmp_path / "cut.svs").write_bytes(data[: int(share * len(data))])
        with pytest.raises(DataError):
            open_slide(tmp_path / "cut.svs")
