"""Translation of images of any size by a trained method: whole, or in tiles beyond memory."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vsbench.data.decode import read_rgb
from vsbench.data.seams import Seams
from vsbench.data.tensors import to_images, to_tensor
from vsbench.engine.memory import available_memory, bytes_per_pixel
from vsbench.engine.statistics import Statistics, imposing, recording
from vsbench.engine.tiles import Tiling, joints, mosaics, padded_pixels, spans, thumbnail
from vsbench.errors import DataError, RunError
from vsbench.files import atomic
from vsbench.method import Method

AUTOMATIC_TILES = (2048, 1024, 512, 256)  # pixels a side, in the order in which they are tried
GB = 1e9

RGB = NDArray[np.uint8]
TileStatistics = Literal["tile", "image", "sample"]
Translate = Callable[[Method[Any], RGB, torch.device], RGB]


class NotFiniteError(RunError):
    """What a method makes of an image is no image."""


@dataclass
class Stopwatch:
    """How long translations took, from pixels to pixels: neither reading nor writing files counts.

    Nor does the first image, at which libraries set themselves up. ``seconds`` are of ``images``.
    """

    seconds: float = 0.0
    images: int = 0
    warm: bool = False

    def timed(self, translate: Translate) -> Translate:
        """``translate``, each call of it measured. It ends with pixels in main memory, so that a GPU is done too."""

        def measured(method: Method[Any], he: RGB, device: torch.device) -> RGB:
            begun = time.perf_counter()
            fake = translate(method, he, device)
            if self.warm:
                self.seconds += time.perf_counter() - begun
                self.images += 1
            self.warm = True
            return fake

        return measured


def translate_image(method: Method[Any], he: RGB, device: torch.device) -> RGB:
    """(H, W, 3) uint8 H&E → IHC of the same size, the whole image at once.

    Sides that are no multiple of what the network needs are padded (see ``padded_pixels``) and cut back. Raises
    RunError when memory is short.
    """
    height, width, _ = he.shape
    try:
        fake = translated(method, [he], device)
    except torch.OutOfMemoryError:
        raise RunError(
            f"out of memory translating {height}×{width} pixels at once; vsbench translate --tile cuts them into tiles"
        ) from None
    return to_images(fake[..., :height, :width])[0]


def translate_tiles(
    method: Method[Any],
    he: RGB,
    device: torch.device,
    tiling: Tiling,
    statistics: TileStatistics = "sample",
    stitched: Callable[[Seams], None] | None = None,
) -> RGB:
    """(H, W, 3) uint8 H&E → IHC of the same size in overlapping tiles; what fits into one tile is translated whole.

    ``statistics``: what normalisation by the input's own statistics (instance norm) uses. ``tile``: each tile's own,
    so that its colours depend on where it was cut. ``image``: those of the whole image, reduced to the size of a tile;
    fine texture, and with it variance, is lost. ``sample``: those of small pieces at full resolution from all over the
    image. Beside the images, memory for a row of tiles is taken. ``stitched``: told where, once that is done. Raises
    RunError when memory is short.
    """
    height, width, _ = he.shape
    rows, columns = spans(height, tiling), spans(width, tiling)
    if len(rows) == len(columns) == 1:
        return translate_image(method, he, device)
    try:
        known = Statistics()
        record_statistics(method, he, device, tiling, known, statistics)
        image = np.empty_like(he)
        strip = torch.zeros(1, 3, len(rows[0].pixels), columns[-1].start + len(columns[-1].pixels))
        for row, below in zip_longest(rows, rows[1:]):
            for column in columns:
                with normalising(method, known):
                    fake = translated(method, [he[np.ix_(row.pixels, column.pixels)]], device)
                weights = torch.from_numpy(np.outer(row.weights, column.weights))
                strip[..., column.start : column.start + len(column.pixels)] += fake.float().cpu() * weights
            done = (below.start if below else height) - row.start
            image[row.start : row.start + done] = to_images(strip[..., :done, :width])[0]
            strip = torch.cat([strip[..., done:, :], torch.zeros_like(strip[..., :done, :])], dim=2)
    except torch.OutOfMemoryError:
        raise RunError(f"out of memory in tiles of {tiling.size} pixels; take smaller ones (--tile)") from None
    if stitched is not None:
        sides = (joints([span.start for span in of], len(of[0].pixels)) for of in (rows, columns))
        stitched(Seams(*map(tuple, sides)))
    return image


def record_statistics(
    method: Method[Any],
    he: RGB,
    device: torch.device,
    tiling: Tiling,
    known: Statistics,
    statistics: TileStatistics = "sample",
) -> None:
    """Pool into ``known`` what normalisation by the input meets in (H, W, 3) uint8 H&E, looked at in tiles."""
    for stand_in in _stand_ins(he, tiling, statistics):
        with recording(method, known):
            translated(method, [stand_in], device)


def translate_fitting(
    method: Method[Any],
    he: RGB,
    device: torch.device,
    statistics: TileStatistics = "sample",
    say: Callable[[str], None] = print,
    stitched: Callable[[Seams], None] | None = None,
) -> RGB:
    """(H, W, 3) uint8 H&E → IHC of the same size: whole where memory allows, else in the largest tiles that fit.

    ``say`` is told of tiles, and why; ``stitched`` as in ``translate_tiles``. On CPU what is needed is estimated;
    elsewhere it is tried. Raises RunError when not even the smallest tiles fit.
    """
    height, width, _ = he.shape
    tilings = [Tiling(s, s // 4, method.size_multiple) for s in AUTOMATIC_TILES if _suits(s, method.size_multiple)]
    tilings = [tiling for tiling in tilings if tiling.size < max(height, width)]
    reason = ""
    if device.type == "cpu" and tilings:
        reason, tilings = _by_estimate(method, height, width, tilings, device)
    if not reason:
        try:
            return translate_image(method, he, device)
        except NotFiniteError:
            raise
        except RunError:
            if not tilings:
                raise
        reason = "more than memory holds at once"
    for tiling, smaller in zip_longest(tilings, tilings[1:]):
        say(
            f"{height}×{width} pixels: {reason}; in tiles of {tiling.size} pixels with an overlap of {tiling.overlap}, "
            f"normalised by statistics of: {statistics}"
        )
        try:
            return translate_tiles(method, he, device, tiling, statistics, stitched)
        except NotFiniteError:
            raise
        except RunError:
            if not smaller:
                raise
    raise AssertionError("no tiles to try")


def translate_files(
    method: Method[Any],
    files: Iterable[tuple[Path, Path]],
    device: torch.device,
    done: Callable[[Path], None] | None = None,
    translate: Translate = translate_image,
    bad: Callable[[DataError], None] | None = None,
    seams: Callable[[], Seams | None] = lambda: None,
) -> None:
    """Translate H&E files to PNG files (lossless, written atomically), calling ``done`` with each path written.

    ``bad``: told of an H&E that can't be read, and the next is taken; without it the error is raised. ``seams``: where
    the image translated last was stitched, which its file then tells. Raises RunError
    naming the H&E for which memory is short, or whose translation is not finite.
    """
    method = method.to(device).eval()
    for source, target in files:
        try:
            he = read_rgb(source)
        except DataError as error:
            if bad is None:
                raise
            bad(error)
            continue
        try:
            fake = translate(method, he, device)
        except RunError as error:
            raise RunError(f"{source}: {error}") from None
        found = seams()
        with atomic(target) as temporary:
            Image.fromarray(fake).save(temporary, format="PNG", pnginfo=found.text() if found is not None else None)
        if done is not None:
            done(target)


def translated(method: Method[Any], images: list[RGB], device: torch.device) -> Tensor:
    """(H, W, 3) uint8 images of one size → (B, 3, H', W') in [−1, 1], with the padding at the end of both sides.

    Raises RunError where a value is not finite: as a pixel it would be black.
    """
    rows, columns = (padded_pixels(side, method.size_multiple) for side in images[0].shape[:2])
    with torch.inference_mode():
        fake = method.translate(to_tensor([image[np.ix_(rows, columns)] for image in images]).to(device))
        if not fake.isfinite().all():
            raise NotFiniteError(
                f"the output of {type(method).__name__} is not finite (NaN or infinite), so there is no image; take an "
                "earlier checkpoint, or train with a lower lr or a higher precision"
            )
    return fake


def _stand_ins(he: RGB, tiling: Tiling, statistics: TileStatistics) -> Iterator[RGB]:
    """Images as small as a tile with the statistics of the whole."""
    if statistics == "image":
        yield thumbnail(he, tiling.size)
    elif statistics == "sample":
        yield from mosaics(he, tiling)


def normalising(method: Method[Any], known: Statistics) -> AbstractContextManager[None]:
    """Normalise by these statistics where there are any, else by each image's own."""
    return imposing(method, known) if known.images else nullcontext()


def _suits(size: int, multiple: int) -> bool:
    return size % multiple == 0 and size - size // 4 >= multiple


def _by_estimate(
    method: Method[Any], height: int, width: int, tilings: list[Tiling], device: torch.device
) -> tuple[str, list[Tiling]]:
    """Why an image does not fit into main memory ("" if it does), and the tiles that do; the smallest in any case."""
    available = available_memory()
    if available is None:
        return "", tilings
    each = bytes_per_pixel(method, device)
    if each * height * width <= available:
        return "", tilings
    reason = f"about {each * height * width / GB:.1f} GB at once, of which {available / GB:.1f} are free"
    return reason, [tiling for tiling in tilings if each * tiling.size**2 <= available] or tilings[-1:]
