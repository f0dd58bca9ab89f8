"""An image is whole where every row was decoded from bytes that are there; no other is read."""

import io
import os
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_image, read_rgb, read_size
from vsbench.errors import DataError

RGB = np.random.default_rng(5).integers(1, 256, (64, 48, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(RGB[:8, :6]).resize((48, 64), Image.Resampling.BICUBIC))  # as tissue is
Make = Callable[[], bytes]


def saved(kind: str, pixels: NDArray[np.uint8] = SMOOTH, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(stream: bytes, height: int = 64, width: int = 48, colour: int = 2, interlaced: int = 0) -> bytes:
    """A PNG with a sound head and sound checksums, whatever its stream holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def rows(pixels: NDArray[np.uint8]) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def passes(pixels: NDArray[np.uint8]) -> bytes:
    """Rows in the seven passes of Adam7."""
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (pixels[top::down, left::right] for top, left, down, right in starts)
    return b"".join(rows(part) for part in parts if part.size)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def closed(data: bytes, at: int) -> bytes:
    """A JPEG cut, with the mark of its end put back."""
    return data[:at] + b"\xff\xd9"


def hole(data: bytes, length: int = 60) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(length) + data[middle + length :]


def before_scan(data: bytes, number: int) -> int:
    """Where the tables of a JPEG's scan begin."""
    at = 0
    for _ in range(number + 1):
        last, at = at, data.index(b"\xff\xda", at + 1)
    tables = data.find(b"\xff\xc4", last + 2, at)
    return at if tables < 0 else tables


def planes_jpeg(pixels: NDArray[np.uint8], planes: int = 3) -> bytes:
    """A baseline JPEG of three components in a scan each, put together from three grey ones, and cut after some."""
    grey = [saved("JPEG", np.ascontiguousarray(pixels[..., n]), quality=90) for n in range(3)]
    height, width, _ = pixels.shape
    frame, scan, end = (grey[0].index(bytes([0xFF, mark])) for mark in (0xC0, 0xDA, 0xD9))
    components = b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    sof = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + components
    after = frame + 2 + int.from_bytes(grey[0][frame + 2 : frame + 4], "big")
    parts = [grey[0][:frame], sof, grey[0][after:scan]]
    for n, one in enumerate(grey[:planes]):
        start = one.index(b"\xff\xda")
        parts += [b"\xff\xda\0\x08\x01", bytes([n + 1, 0, 0, 63, 0]), one[start + 10 : -2]]
    assert end > scan
    return b"".join([*parts, b"\xff\xd9"])


def tiff(
    strips: list[bytes],
    compression: int,
    of_each: int = 16,
    lengths: list[int] | None = None,
    photometric: int = 2,
    tables: bytes = b"",
) -> bytes:
    """A TIFF of 64 × 48 pixels in strips, whatever these hold."""
    tags = {
        256: (4, [48]), 257: (4, [64]), 258: (3, [8, 8, 8]), 259: (3, [compression]), 262: (3, [photometric]),
        277: (3, [3]), 278: (4, [of_each]), 279: (4, lengths or [len(strip) for strip in strips]), 284: (3, [1]),
    }  # fmt: skip
    if tables:
        tags[347] = (7, list(tables))
    out, begins = bytearray(8), []
    for strip in strips:
        begins.append(len(out))
        out += strip + bytes(len(strip) % 2)
    tags[273] = (4, begins[: len(lengths)] if lengths else begins)
    entries = []
    for tag, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"<{len(values)}{ {3: 'H', 4: 'I', 7: 'B'}[kind] }", *values)
        if len(data) > 4:
            data, out = struct.pack("<I", len(out)), out + data + bytes(len(data) % 2)
        entries.append(struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0"))
    out[:8] = b"II*\0" + struct.pack("<I", len(out))
    return bytes(out) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def strips_of(kind: str, pixels: NDArray[np.uint8] = RGB) -> tuple[list[bytes], int, bytes]:
    """(strips as libtiff compresses them, compression, JPEG tables) of 16 rows each."""
    strips, compression, tables = [], 0, b""
    for top in range(0, len(pixels), 16):
        try:
            data = saved("TIFF", pixels[top : top + 16], compression=kind)
        except OSError:
            pytest.skip(f"this libtiff has no {kind}")
        with Image.open(io.BytesIO(data)) as image:
            tags: Any = image.tag_v2
        (begin,), (length,), compression = tags[273], tags[279], tags[259]
        strips.append(data[begin : begin + length])
        tables = tags.get(347, b"")
    return strips, compression, tables


def compressed(kind: str, change: Callable[[list[bytes]], list[bytes]] = list) -> bytes:
    strips, compression, tables = strips_of(kind)
    return tiff(change(strips), compression, tables=tables)


def tiled(change: Callable[[list[int]], list[int]] = list, **options: Any) -> bytes:
    """A TIFF by tifffile, with the byte counts of its tiles or strips changed."""
    buffer = io.BytesIO()
    planes = np.moveaxis(RGB, -1, 0) if options.get("planarconfig") == "separate" else RGB
    tifffile.imwrite(buffer, planes, photometric="rgb", **options)
    buffer.seek(0)
    with tifffile.TiffFile(buffer) as file:
        tags = file.pages[0].tags
        tag = tags.get(325) or tags.get(279)
        tag.overwrite(change(list(tag.value)))
        buffer.seek(0)
        return buffer.read()


def last_strip_short(kind: str) -> bytes:
    """The last strip is one of half the rows, and ends well."""
    half = strips_of(kind, RGB[48:56])[0]
    return compressed(kind, lambda strips: [*strips[:3], *half])


def webp_closed(lossless: bool, share: float) -> bytes:
    """A WebP cut, with the lengths mended."""
    data = saved("WEBP", lossless=lossless)
    kept = int(len(data) * share) // 2 * 2
    return data[:4] + struct.pack("<I", kept - 8) + data[8:16] + struct.pack("<I", kept - 20) + data[20:kept]


RAW = [RGB[top : top + 16].tobytes() for top in range(0, 64, 16)]
STREAM = zlib.compress(rows(RGB))
TOP = (np.arange(64) < 63).astype(np.uint8)[:, None, None]  # all rows but the last
ALPHA = np.dstack([RGB, RGB[..., 0]])
BASELINE, PROGRESSIVE = saved("JPEG", quality=95), saved("JPEG", quality=95, progressive=True)
TILED: dict[str, dict[str, Any]] = {
    "tiles": {"tile": (16, 32)},
    "tiles, deflated": {"tile": (16, 32), "compression": "zlib"},
    "tiles, planes": {"tile": (16, 32), "planarconfig": "separate"},
    "strips, planes": {"rowsperstrip": 7, "planarconfig": "separate"},
    "strips, predicted": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "big": {"tile": (16, 32), "bigtiff": True},
}
KINDS = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "jpeg")

WHOLE: dict[str, Make] = {
    "png": lambda: png(STREAM),
    "png, last row black": lambda: png(zlib.compress(rows(RGB * TOP))),
    "png, last row transparent": lambda: png(zlib.compress(rows(ALPHA * TOP)), colour=6),
    "png, interlaced": lambda: png(zlib.compress(passes(RGB)), interlaced=1),
    "png, narrow, interlaced": lambda: png(zlib.compress(passes(RGB[:3, :1])), 3, 1, interlaced=1),
    "png, junk after its end": lambda: png(STREAM) + b"junk",
    "png, more rows than its header says": lambda: png(zlib.compress(rows(RGB.repeat(2, 0)))),
    "png, more rows, the last that is asked for black": lambda: png(zlib.compress(rows(RGB * TOP) + rows(RGB))),
    "jpeg": lambda: BASELINE,
    "jpeg, progressive": lambda: PROGRESSIVE,
    "jpeg, scan by scan": lambda: planes_jpeg(SMOOTH),
    "jpeg, restarts": lambda: saved("JPEG", restart_marker_blocks=2),
    "jpeg, a trailer": lambda: BASELINE + bytes(100),
    "tiff": lambda: tiff(RAW, 1),
    **{f"tiff, {kind}": lambda kind=kind: compressed(kind) for kind in KINDS},
    **{f"tiff, {name}": lambda options=options: tiled(**options) for name, options in TILED.items()},
    "bmp": lambda: saved("BMP"),
    "webp": lambda: saved("WEBP"),
    "webp, lossless": lambda: saved("WEBP", lossless=True),
}  # fmt: skip

LENGTHS: dict[str, Make] = {  # which lengths alone tell
    "png, no end": lambda: png(STREAM)[:-12],
    "png, cut": lambda: png(STREAM)[:-300],
    "png, few bytes for many rows": lambda: png(zlib.compress(bytes(4000)), 60_000, 1000),
    "png, the same, interlaced": lambda: png(zlib.compress(bytes(4000)), 60_000, 1000, interlaced=1),
    "png, no data": lambda: png(b""),
    "jpeg, no end": lambda: BASELINE[:-2],
    "jpeg, cut": lambda: BASELINE[: len(BASELINE) // 2],
    "jpeg, cut, with a thumbnail": lambda: BASELINE[:2] + b"\xff\xe1\0\x08..\xff\xd9.." + BASELINE[2:-200],
    "tiff, a strip missing": lambda: tiff(RAW, 1, lengths=[2304] * 3),
    "tiff, a strip too short": lambda: tiff(RAW, 1, lengths=[2304, 2304, 2304, 100]),
    "tiff, a strip of nothing": lambda: compressed("packbits", lambda strips: [*strips[:3], b""]),
    "tiff, beyond the end": lambda: tiff(RAW, 1, lengths=[2304, 2304, 2304, 9_999]),
    "tiff, deflated, a strip missing": lambda: compressed("tiff_adobe_deflate", lambda strips: strips[:3]),
    **{
        f"tiff, {name}, the last is {what}": lambda options=options, change=change: tiled(change, **options)
        for name, options in TILED.items()
        for what, change in (("missing", lambda n: n[:-1]), ("of nothing", lambda n: [*n[:-1], 0]))
    },
    "bmp, cut": lambda: saved("BMP")[:-1],
    "webp, cut": lambda: saved("WEBP")[:-4],
}

SHORT: dict[str, Make] = {  # which only decoding tells
    "png, half of the rows": lambda: png(zlib.compress(rows(RGB[:32]))),
    "png, one row less": lambda: png(zlib.compress(rows(RGB[:63]))),
    "png, half of the last row": lambda: png(zlib.compress(rows(RGB)[:-70])),
    "png, half of the rows, alpha": lambda: png(zlib.compress(rows(ALPHA[:32])), colour=6),
    "png, two streams": lambda: png(zlib.compress(rows(RGB[:32])) + zlib.compress(rows(RGB[32:]))),
    "png, interlaced, one row less": lambda: png(zlib.compress(passes(RGB)[:-145]), interlaced=1),
    "png, interlaced, half": lambda: png(zlib.compress(passes(RGB)[:4000]), interlaced=1),
    "png, checksum of the data": lambda: flipped(png(STREAM), len(png(STREAM)) - 13),
    "jpeg, cut and closed": lambda: closed(BASELINE, len(BASELINE) // 2),
    "jpeg, a hole": lambda: hole(BASELINE, 200),
    "jpeg, progressive, cut and closed": lambda: closed(PROGRESSIVE, len(PROGRESSIVE) // 2),
    **{
        f"jpeg, progressive, {n} scans": lambda n=n: closed(PROGRESSIVE, before_scan(PROGRESSIVE, n))
        for n in range(1, 10)
    },
    "jpeg, one of three components": lambda: planes_jpeg(SMOOTH, 1),
    "jpeg, two of three components": lambda: planes_jpeg(SMOOTH, 2),
    **{f"tiff, {kind}, rows missing": lambda kind=kind: last_strip_short(kind) for kind in KINDS},
    **{
        f"tiff, {kind}, a strip cut": lambda kind=kind: compressed(kind, lambda strips: [*strips[:3], strips[3][:-90]])
        for kind in KINDS
    },
    "tiff, jpeg, a hole": lambda: compressed("jpeg", lambda strips: [*strips[:3], hole(strips[3])]),
    "webp, cut and closed": lambda: webp_closed(False, 0.5),
    "webp, cut late and closed": lambda: webp_closed(False, 0.9),
    "webp, lossless, cut and closed": lambda: webp_closed(True, 0.9),
}  # fmt: skip


@pytest.fixture
def used_memory() -> None:
    """Memory that holds something, for an image that is not filled."""
    for _ in range(3):
        Image.new("RGBA", (48, 64), (7, 7, 7, 7)).load()


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_images_have_the_pixels_that_pillow_gives(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    path.write_bytes(WHOLE[kind]())
    with Image.open(path) as image:
        white = Image.new("RGBA", image.size, "white")
        pixels = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))
    np.testing.assert_array_equal(read_rgb(path), pixels)
    np.testing.assert_array_equal(np.asarray(read_image(path)), pixels)
    assert read_size(path) == pixels.shape[:2]


@pytest.mark.parametrize("kind", LENGTHS | SHORT)
def test_what_is_not_whole_is_refused(kind: str, tmp_path: Path, used_memory: None, capfd: Any) -> None:
    path = tmp_path / "tile.png"
    path.write_bytes((LENGTHS | SHORT)[kind]())
    for read in (read_rgb, read_image, *([read_size] if kind in LENGTHS else [])):
        with pytest.raises(DataError, match=r"tile\.png: damaged image \(.*\); fetch the file again") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "libtiff speaks to the terminal by itself"


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("tables", bytes(5)),  # between the segments
        ("start", b"\xff\xe0\0\x10JFIF\0\3\1\0\0\1\0\1\0\0"),  # a version that nobody knows
        ("start", b"\xff\xfe\0\x06\xff\xd9\xff\xda"),  # marks within a comment
        ("scan", b"\0\0\0"),  # limits of a scan that has none
    ],
)
def test_oddities_of_a_jpegs_header_change_nothing(where: str, what: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tile.jpg"
    at = {"scan": BASELINE.index(b"\xff\xda") + 11, "tables": BASELINE.index(b"\xff\xdb"), "start": 2}[where]
    odd = BASELINE[:at] + what + BASELINE[at + (3 if where == "scan" else 0) :]
    path.write_bytes(odd)
    np.testing.assert_array_equal(read_rgb(path), np.asarray(Image.open(io.BytesIO(BASELINE))))
    path.write_bytes(closed(odd, len(odd) // 2))
    with pytest.raises(DataError, match="damaged image"):
        read_rgb(path)


@pytest.mark.parametrize(
    ("compression", "name"),
    [(50001, "WebP"), (33005, "JPEG 2000"), (34887, "LERC"), (6, "old-style JPEG"), (4711, "scheme 4711")],
)
def test_a_tiff_that_is_not_read_is_called_what_it_is(compression: int, name: str, tmp_path: Path) -> None:
    path = tmp_path / "tile.tif"
    path.write_bytes(tiff(RAW, compression))
    for read in (read_rgb, read_size):
        with pytest.raises(DataError, match=rf"tile\.tif: TIFF compressed by {name}, which is not read here; save it"):
            read(path)
    path.write_bytes(tiff([zlib.compress(strip) for strip in RAW], 8, photometric=6))
    with pytest.raises(DataError, match=r"TIFF of YCbCr, which is not read"):
        read_rgb(path)
    path.write_bytes(tiled(bigtiff=True, byteorder=">", rowsperstrip=7))
    with pytest.raises(DataError, match=r"big-endian BigTIFF, which is not read"):
        read_rgb(path)


def test_other_files_are_called_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    for content, name in (
        (saved("JPEG2000"), "JPEG 2000"),
        (saved("GIF"), "a GIF"),
        (b"<!DOCTYPE html>", "a web page or XML"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"tile\.png: no image that can be read \(PNG, .*\), but {name}$"):
            read_rgb(path)


def test_sides_and_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tile.png"
    path.write_bytes(png(STREAM, 65_536, 1))
    with pytest.raises(DataError, match=r"65536×1 pixels, more than .* a side; cut it into tiles"):
        read_rgb(path)
    path.write_bytes(png(STREAM))
    monkeypatch.setattr("vsbench.data.decode.MAX_BYTES", len(STREAM))
    with pytest.raises(DataError, match="bytes, more than"):
        read_rgb(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    os.mkfifo(path)
    for read in (read_rgb, read_size):
        with pytest.raises(DataError, match=r"tile\.png: a fifo, not a file"):
            read(path)


def test_a_user_sees_our_line_and_nothing_of_the_decoders(
    tmp_path: Path, vsbench: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    odd = bytearray(tiff(RAW, 1))
    struct.pack_into("<I", odd, odd.index(struct.pack("<HHI", 277, 3, 1)) + 8, 999)  # of which Pillow writes a log
    files = {"log.tif": bytes(odd), "said.tif": last_strip_short("tiff_lzw"), "warned.tif": tiff(RAW, 1)[:-30]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        done = vsbench("measure", name)
        assert done.returncode == 1
        assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error"], done.stderr
