"""Decoding: right pixels from every format, and one clear line for every kind of bad file."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from vsbench.data.augment import read_tile
from vsbench.data.decode import MAX_PIXELS, read_image, read_rgb, read_size, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.data.tile_cache import TileCache
from vsbench.errors import DataError

RGB = np.random.default_rng(5).integers(0, 256, (11, 7, 3), dtype=np.uint8)
RGB16 = np.random.default_rng(6).integers(0, 65536, (11, 7, 3), dtype=np.uint16)


def png(pixels: NDArray[np.generic], colour: int, shape: tuple[int, int] | None = None, extra: bytes = b"") -> bytes:
    """A PNG file written by hand after the specification; ``shape`` lets the header lie."""
    height, width = shape or pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">"))
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file in the seven passes of Adam7, (first row, first column, row step, column step) each."""
    height, width = pixels.shape[:2]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [pixels[top::down, left::right] for top, left, down, right in passes]
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for part in parts for row in part))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(pixels: NDArray[np.generic], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", **options)
    return buffer.getvalue()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pillow(mode: str) -> Image.Image:
    return Image.fromarray(RGB).convert(mode)


JPEG: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(pillow("RGB"), "JPEG"),
    "jpeg, progressive": lambda: saved(pillow("RGB"), "JPEG", progressive=True),
}
LOSSLESS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png(RGB, 2),
    "png, interlaced": lambda: interlaced(RGB),
    "png, opaque": lambda: png(np.dstack([RGB, np.full_like(RGB[..., 0], 255)]), 6),
    "tiff": lambda: tiff(RGB),
    "tiff, big-endian": lambda: tiff(RGB, byteorder=">"),
    "tiff, deflated": lambda: tiff(RGB, compression="deflate"),
    "tiff, planes": lambda: tiff(np.moveaxis(RGB, -1, 0), planarconfig="separate"),
    "bmp": lambda: saved(pillow("RGB"), "BMP"),
    "webp": lambda: saved(pillow("RGB"), "WEBP", lossless=True),
}
MORE: dict[str, Callable[[], bytes]] = {
    "transparent": lambda: png(np.dstack([RGB, RGB[..., 1]]), 6),
    "turned": lambda: tiff(RGB, extratags=[(274, "H", 1, 6, True)]),
}

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty file"),
    "web page": (lambda: b"<!DOCTYPE html><title>quota exceeded</title>", "no image that can be read"),
    "archive": (lambda: b"PK\3\4" + bytes(100), "no image that can be read"),
    "gif": (lambda: saved(pillow("P"), "GIF"), "no image that can be read"),
    "grey": (lambda: saved(pillow("L"), "PNG"), "grey image"),
    "grey jpeg": (lambda: saved(pillow("L"), "JPEG"), "grey image"),
    "grey, alpha": (lambda: saved(pillow("LA"), "PNG"), "grey image"),
    "grey, 16 bits": (lambda: saved(Image.fromarray(RGB16[..., 0]), "PNG"), "grey"),
    "black-and-white": (lambda: saved(pillow("1"), "TIFF"), "black-and-white image"),
    "palette": (lambda: saved(pillow("P"), "PNG"), "palette image"),
    "cmyk jpeg": (lambda: saved(pillow("CMYK"), "JPEG"), "CMYK image"),
    "cmyk tiff": (lambda: saved(pillow("CMYK"), "TIFF"), "CMYK image"),
    "lab": (lambda: saved(pillow("LAB"), "TIFF"), "LAB image"),
    "png, 16 bits": (lambda: png(RGB16, 2), "16-bit RGB image"),
    "png, 16 bits, alpha": (lambda: png(np.dstack([RGB16, RGB16[..., 0]]), 6), "16-bit RGB image"),
    "tiff, 16 bits": (lambda: tiff(RGB16), "16-bit RGB image"),
    "tiff, 16 bits, big-endian": (lambda: tiff(RGB16, byteorder=">"), "16-bit RGB image"),
    "tiff, 16 bits, deflated": (lambda: tiff(RGB16, compression="deflate"), "16-bit RGB image"),
    "tiff, 16 bits, planes": (lambda: tiff(np.moveaxis(RGB16, -1, 0), planarconfig="separate"), "16-bit RGB image"),
    "tiff, float": (lambda: tiff(RGB.astype(np.float32)), "no image that can be read"),
    "tiff, pages": (lambda: tiff(np.stack([RGB, RGB])), "holds 2 images"),
    "animated png": (
        lambda: saved(pillow("RGB"), "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "holds 2 images",
    ),
    "jpegs in one file": (
        lambda: saved(pillow("RGB"), "MPO", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "holds 2 images",
    ),
    "whole slide": (lambda: png(RGB, 2, shape=(30_000, 30_000)), "cut it into tiles"),
    "huge": (lambda: png(RGB, 2, shape=(1, MAX_PIXELS + 1)), "cut it into tiles"),
}


def pair(path: Path) -> Pair:
    return Pair("tile", path, path, None, "train")


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels_whatever_the_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tile.jpg"
    path.write_bytes(LOSSLESS[kind]())
    image = read_rgb(path)
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert read_size(path) == (11, 7)


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_one_line_that_names_the_file(kind: str, tmp_path: Path) -> None:
    write, reason = BAD[kind]
    path = tmp_path / "tile 7.png"
    path.write_bytes(write())
    for read in (
        read_rgb,
        read_size,
        lambda path: read_tile(path, 5),
        lambda path: TileCache.of([pair(path)], tmp_path),
    ):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [*LOSSLESS, *JPEG, "transparent", "turned"])
@pytest.mark.parametrize("load_size", [0, 5, 20])
def test_crops_have_the_pixels_of_the_array(kind: str, load_size: int, tmp_path: Path) -> None:
    """Cut before they become arrays, from tiles that are decoded, then written to a cache, then found there."""
    path = tmp_path / "tile.png"
    path.write_bytes((LOSSLESS | JPEG | MORE)[kind]())
    whole = read_rgb(path)
    if load_size:
        whole = np.asarray(Image.fromarray(whole).resize((load_size, load_size), Image.Resampling.BICUBIC))
    cache = TileCache.of([pair(path)], tmp_path)
    for tile in (read_tile(path, load_size), cache.tile(path, load_size), cache.tile(path, load_size)):
        assert tile.stored == read_size(path)
        assert tile.size == whole.shape[:2]
        for top, left in ((0, 0), (1, 2), (tile.size[0] - 3, tile.size[1] - 3)):
            np.testing.assert_array_equal(tile.cut(top, left, 3), whole[top : top + 3, left : left + 3])


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.png", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(DataError) as caught:
            read_rgb(path)
        assert str(caught.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("kind", [*LOSSLESS, *JPEG])
def test_truncated_files_are_refused(kind: str, tmp_path: Path) -> None:
    """Wherever the file is cut; where only a trailer is lost, the pixels must be whole."""
    whole = (LOSSLESS | JPEG)[kind]()
    path = tmp_path / "tile.png"
    path.write_bytes(whole)
    pixels, refused = read_rgb(path), 0
    cuts = np.linspace(0, len(whole) - 1, 40, dtype=int)
    for cut in cuts:
        path.write_bytes(whole[:cut])
        try:
            np.testing.assert_array_equal(read_rgb(path), pixels)
        except DataError:
            refused += 1
    assert refused > len(cuts) / 2


@pytest.mark.parametrize("kind", [*LOSSLESS, *JPEG])
def test_damaged_files_raise_nothing_but_data_errors(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsbench.data.decode.MAX_PIXELS", 10_000)  # damaged sizes must not fill the memory
    whole = (LOSSLESS | JPEG)[kind]()
    random = np.random.default_rng(8)
    path, refused = tmp_path / "tile.png", 0
    for _ in range(80):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(0, min(len(damaged), 200), 3)] = random.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            assert read_rgb(path).ndim == 3
        except DataError:
            refused += 1
    assert refused > 0


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    alpha = np.array([[0, 255, 128]], np.uint8)
    colour = np.array([[[10, 20, 30], [10, 20, 30], [10, 20, 30]]], np.uint8)
    path = tmp_path / "tile.png"
    path.write_bytes(png(np.dstack([colour, alpha]), 6))
    expected = 255 + (colour - 255.0) * alpha[..., None] / 255
    np.testing.assert_allclose(read_rgb(path), expected, atol=0.51)

    key = chunk(b"tRNS", struct.pack(">HHH", *RGB[3, 4].tolist()))  # one colour that stands for transparent
    path.write_bytes(png(RGB, 2, extra=key))
    expected = np.where((RGB[3, 4] == RGB).all(axis=2, keepdims=True), 255, RGB)
    np.testing.assert_array_equal(read_rgb(path), expected)


def test_a_progressive_jpeg_has_the_pixels_of_a_plain_one(tmp_path: Path) -> None:
    images = []
    for kind, write in JPEG.items():
        path = tmp_path / f"{kind}.png"
        path.write_bytes(write())
        images.append(read_rgb(path))
    np.testing.assert_array_equal(*images)


def test_pixels_are_those_stored_whatever_the_file_says_of_their_colour(tmp_path: Path) -> None:
    """As Fiji and the released scripts read them: no colour profile, no gamma."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    path = tmp_path / "tile.png"
    path.write_bytes(saved(pillow("RGB"), "PNG", icc_profile=profile))
    np.testing.assert_array_equal(read_rgb(path), RGB)
    path.write_bytes(png(RGB, 2, extra=chunk(b"gAMA", struct.pack(">I", 100_000))))
    np.testing.assert_array_equal(read_rgb(path), RGB)
    path.write_bytes(JPEG["jpeg"]())
    plain = read_rgb(path)
    path.write_bytes(saved(pillow("RGB"), "JPEG", icc_profile=profile))
    np.testing.assert_array_equal(read_rgb(path), plain)


UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


def described(kind: str, exif: int | None, xmp: int | None) -> bytes:
    """The stored pixels, with an orientation in EXIF, in XMP, in both or in none."""
    options: dict[str, Any] = {"WEBP": {"lossless": True}}.get(kind, {})
    if exif is not None and kind == "TIFF":
        options["tiffinfo"] = {274: exif}
    elif exif is not None:
        options["exif"] = Image.Exif()
        options["exif"][274] = exif
    if xmp is not None:
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{xmp}"/></x:xmpmeta>'
        if kind == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet)
        elif kind == "TIFF":
            options["tiffinfo"] = {**options.get("tiffinfo", {}), 700: packet.encode()}
        else:
            options["xmp"] = packet.encode()
    return saved(pillow("RGB"), kind, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("exif", "xmp"),
    [(None, None), *((n, None) for n in (0, *UPRIGHT, 9)), *((None, n) for n in UPRIGHT), (1, 6), (6, 3), (9, 6)],
)
def test_images_stand_upright_by_exif_else_by_xmp(kind: str, exif: int | None, xmp: int | None, tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    path.write_bytes(described(kind, None, None))
    stored = read_rgb(path)
    path.write_bytes(described(kind, exif, xmp))
    orientation = exif if exif is not None else xmp
    upright = UPRIGHT.get(orientation or 1, UPRIGHT[1])(stored)
    np.testing.assert_array_equal(read_rgb(path), upright)
    np.testing.assert_array_equal(np.asarray(read_image(path)), upright)
    assert read_size(path) == upright.shape[:2]


def test_a_png_may_tell_its_orientation_after_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    whole = png(RGB, 2)
    path.write_bytes(whole[:-12] + chunk(b"eXIf", exif) + whole[-12:])
    np.testing.assert_array_equal(read_rgb(path), UPRIGHT[6](RGB))
    assert read_size(path) == (7, 11)


def test_unequal_sizes_are_named() -> None:
    images = {Path("he.png"): RGB, Path("ihc.png"): RGB[:-1]}
    with pytest.raises(DataError, match=r"ihc\.png: 10×7 pixels, but he\.png has 11×7"):
        require_equal_sizes(images)
    require_equal_sizes({Path("he.png"): RGB, Path("ihc.png"): 255 - RGB})


def test_bci_bytes_are_jpeg_in_png_names(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data" / "bci").rglob("*.png"))
    assert len(files) == 6
    for path in files:
        data = path.read_bytes()
        assert data.startswith(b"\xff\xd8\xff"), "a JPEG begins with these bytes"
        (tmp_path / "tile.jpg").write_bytes(data)
        assert read_size(path) == (1024, 1024)
        np.testing.assert_array_equal(read_rgb(path), read_rgb(tmp_path / "tile.jpg"))
