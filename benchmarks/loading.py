"""How fast tiles are loaded: ours against torchvision's ``ImageFolder`` and the transforms of CUT, images/s.

    python -m benchmarks.loading [--images FOLDER]     batches, as a training takes them
    python -m benchmarks.loading --decoders            one decoder after another, one process

Both: two worker processes, shuffled, pixels scaled to [−1, 1], two images a batch (ours: one pair, cut alike). The
transforms are bicubic resize to load_size, random crop, random flip, ToTensor, Normalize. Of each kind, tiles of 1024²
from the page cache: the JPEG files of FOLDER (the BCI samples beside the repository), and the same pixels as PNG. The
clock runs from the eighth batch on, when the workers are there; processor time is of all processes, from the first on.
Goal: at least twice as fast.

"cached": the second and later epochs of ``TileCache``. Decoders besides Pillow and torchvision are tried if installed;
"equal" says whether they give the pixels of ``read_rgb``.
"""

import argparse
import importlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measuring import Timed, machine
from vsbench.data.augment import Augmentation, read_tile
from vsbench.data.decode import read_rgb
from vsbench.data.loader import Augmentations, Draws, TrainingBatches, stream
from vsbench.data.pairs import Pair
from vsbench.data.tensors import to_tensor
from vsbench.data.tile_cache import TileCache

IMAGES = Path(__file__).parents[2] / "shared" / "data" / "bci"
SETTINGS = ((1024, 512), (286, 256), (512, 512))  # load and crop size: of USIGAN, of CUT, of USIGAN's second half
WORKERS, WARM_UP = 2, 8
BASELINE = "ImageFolder + CUT's"


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of JPEG files (searched whole)")
    parser.add_argument("--decoders", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=48, help="more than 8")
    arguments = parser.parse_args()
    sources = [file for file in sorted(arguments.images.rglob("*.*")) if file.read_bytes().startswith(b"\xff\xd8")]
    if not sources:
        parser.error(f"{arguments.images}: no JPEG files there; give --images FOLDER")
    torch.set_num_threads(1)
    print(machine())
    print("load average", *(f"{load:.1f}" for load in os.getloadavg()))
    with tempfile.TemporaryDirectory() as name:
        folders = lay_out(sources, Path(name), arguments.pairs)
        if arguments.decoders:
            print_decoders(folders, arguments.rounds)
        else:
            print_loading(folders, Path(name) / "cache", arguments.rounds)


def lay_out(sources: list[Path], root: Path, pairs: int) -> dict[str, Path]:
    """Folders ``JPEG`` and ``PNG``, in each ``he`` and ``ihc`` of ``pairs`` names for the few images that there are."""
    from PIL import Image

    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png")):
        made = []
        for number, source in enumerate(sources):
            made.append(root / f"{number}.{suffix}")
            if kind == "JPEG":
                made[-1].write_bytes(source.read_bytes())
            else:
                Image.fromarray(read_rgb(source)).save(made[-1])
        for shift, side in enumerate(("he", "ihc")):
            (root / kind / side).mkdir(parents=True)
            for number in range(pairs):
                os.link(made[(number + shift) % len(made)], root / kind / side / f"{number:03}.{suffix}")
    return {kind: root / kind for kind in ("JPEG", "PNG")}


def print_loading(folders: dict[str, Path], cache: Path, rounds: int) -> None:
    """Images/s of each way to load, in rounds in which each has its turn."""
    print(f"{'':5}{'load':>5}{'crop':>5}  {'':22}{'images/s':>9}{'ratio':>7}{'processor ms':>14}{'ratio':>7}")
    for kind, folder in folders.items():
        pairs = [Pair(he.stem, he, folder / "ihc" / he.name, None, "train") for he in sorted((folder / "he").iterdir())]
        kept = TileCache.of(pairs, cache)
        for load_size, crop_size in SETTINGS:
            variants: dict[str, Callable[[], Iterator[Any]]] = {
                BASELINE: partial(baseline, folder, load_size, crop_size),
                "ours": partial(ours, pairs, load_size, crop_size),
                "ours, cached": partial(ours, pairs, load_size, crop_size, kept),
            }
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
            for number in range(rounds + 1):
                for name, make in variants.items():
                    times = seconds_per_image(make())
                    if number:  # the first is for warming up, and fills the cache
                        taken[name].append(times)
            clock, processor = (
                {name: Timed(tuple(times[part] for times in values)) for name, values in taken.items()}
                for part in (0, 1)
            )
            for name in variants:
                print(
                    f"{kind:5}{load_size:5}{crop_size:5}  {name:22}{1 / clock[name].median:9.0f}"
                    f"{clock[name].ratio(clock[BASELINE]):7.2f}{1000 * processor[name].median:14.1f}"
                    f"{processor[name].ratio(processor[BASELINE]):7.2f}",
                    flush=True,
                )


def seconds_per_image(batches: Iterator[Any]) -> tuple[float, float]:
    """Seconds an image takes, two in a batch: by the clock from batch ``WARM_UP`` on, and of processors in all."""
    processors = sum(os.times()[:4])
    next(itertools.islice(batches, WARM_UP - 1, None))
    begun = time.perf_counter()
    count = sum(1 for _ in batches)  # at the end of which the workers have ended
    seconds = time.perf_counter() - begun
    return seconds / (2 * count), (sum(os.times()[:4]) - processors) / (2 * (count + WARM_UP))


def baseline(folder: Path, load_size: int, crop_size: int) -> Iterator[Any]:
    """Batches of two as torchvision and CUT's transforms make them."""
    chain = transforms.Compose(
        [
            transforms.Resize([load_size, load_size], transforms.InterpolationMode.BICUBIC),
            transforms.RandomCrop(crop_size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    return iter(DataLoader(ImageFolder(str(folder), chain), batch_size=2, shuffle=True, num_workers=WORKERS))


def ours(pairs: list[Pair], load_size: int, crop_size: int, cache: TileCache | None = None) -> Iterator[Any]:
    """Batches of one pair as a training has them."""
    augmentation = Augmentation(load_size, crop_size, flip=True)
    augmentations = Augmentations(augmentation, augmentation, decay_from=0)
    tile = read_tile if cache is None else cache.tile
    batches = TrainingBatches(pairs, Draws(len(pairs), 1, seed=0), augmentations, tile=tile)
    return iter(stream(batches, 0, len(pairs), WORKERS, pin_memory=False))


def print_decoders(folders: dict[str, Path], rounds: int) -> None:
    """Milliseconds of processor time to the whole array of a tile, and to a crop of 512² as a tensor."""
    print(f"{'':5}  {'':28}{'ms/image':>9}  equal")
    for kind, folder in folders.items():
        files = sorted((folder / "he").iterdir())[:6]
        decoders = dict(find_decoders(kind))
        crops: dict[str, Callable[[Path], Any]] = {
            "array, then crop, tensor": lambda path: to_tensor([read_rgb(path)[256:768, 256:768]]),
            "crop, then array, tensor": lambda path: to_tensor([read_tile(path, 0).cut(256, 256, 512)]),
        }
        taken: dict[str, list[float]] = {name: [] for name in decoders | crops}
        for _ in range(rounds):
            for name, run in (decoders | crops).items():
                taken[name] += [processor_seconds(run, file) for file in files]
        for name, seconds in taken.items():
            equal = ""
            if name in decoders:
                equal = str(all(np.array_equal(decoders[name](file), read_rgb(file)) for file in files))
            print(f"{kind:5}  {name:28}{1000 * statistics.median(seconds):9.1f}  {equal}")


def processor_seconds(run: Callable[[Path], object], file: Path) -> float:
    """What one file takes."""
    begun = time.process_time()
    run(file)
    return time.process_time() - begun


def find_decoders(kind: str) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Decoders that are installed, by name: file → (H, W, 3) RGB."""
    from torchvision.io import decode_image, read_file

    yield "Pillow (read_rgb)", read_rgb
    yield "torchvision", lambda path: decode_image(read_file(str(path))).permute(1, 2, 0).contiguous().numpy()
    if cv2 := optional("cv2"):
        cv2.setNumThreads(1)
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        yield "OpenCV", lambda path: cv2.imdecode(np.fromfile(path, np.uint8), flags)
    if imagecodecs := optional("imagecodecs"):
        decode = imagecodecs.jpeg8_decode if kind == "JPEG" else imagecodecs.png_decode
        yield "imagecodecs", lambda path: decode(path.read_bytes())
    if kind == "JPEG" and (simplejpeg := optional("simplejpeg")):
        yield "simplejpeg", lambda path: simplejpeg.decode_jpeg(path.read_bytes())


def optional(name: str) -> Any:
    """A module, None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
