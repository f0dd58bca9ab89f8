"""What translating a whole slide costs beside its network: tiles/s against the floor, memory by size; and kills.

    python -m benchmarks.slide [--speed 2048] [--memory 8192x8192 16384x16384] [--tissue 1] [--kills 5]

Slides are a window of the phantom's H&E, side by side, all tissue, as JPEG pyramids; for memory, which is that of some
rows, ``--tissue`` 0.1 leaves all rows but the first tenth glass, and takes a tenth of the time. *floor*: the network
alone, on tiles that are in memory already, as often as the slide asks for them; CUT with its ``cpu`` preset. Goal: the
stream takes at most 1.25 times as long. Clocks: the wall's, and the processor's of all threads, which other work on the
machine moves less. Memory: the rise of the process's resident size over all of a translation, with a network so small
that it is the stream's; each size in a process of its own. Goal: at most 2 GB at 20,000². Kills: SIGKILL at a random
moment after the next strip of a slide is there, and the same command again; in the end the bytes must be those of a
translation that nobody disturbed.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import machine, peak_of
from vsbench import registry
from vsbench.checks.methods import maker
from vsbench.engine.tiles import Tiling
from vsbench.engine.translate import translated
from vsbench.method import Method
from vsbench.slides.pyramid import TILE, Format, Pyramid, part_folder
from vsbench.slides.reading import open_slide
from vsbench.slides.translate import Settings, translate_slide

CPU = torch.device("cpu")
WINDOW = 1024  # pixels a side of what is repeated
KILLED = 4096  # pixels a side of what is killed


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", type=int, nargs="*", default=[2048], help="pixels a side")
    parser.add_argument("--memory", nargs="*", default=["8192x8192", "16384x16384"], metavar="HEIGHTxWIDTH")
    parser.add_argument("--tissue", type=float, default=1.0, help="share of the rows, for --memory")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=Path, nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.peak is not None:
        height, width = map(int, chosen.peak.split("x"))
        print(_rise(height, width, chosen.tissue))
        return
    if chosen.stream is not None:
        _translate(_method("regression", width=4, downs=2), *chosen.stream)
        return
    print(machine())
    for side in chosen.speed:
        _print_speed(side)
    print("       pixels  peak MB")
    for size in chosen.memory:
        print(
            f"{size:>13}  {peak_of('benchmarks.slide', '--tissue', str(chosen.tissue), '--peak', size) / 1e6:7.0f}",
            flush=True,
        )
    if chosen.kills:
        _print_kills(chosen.kills)


def _translate(method: Method[Any], source: Path, target: Path) -> int:
    """Translate a slide; how many tiles that took."""
    settings = Settings(Tiling(512, 128, method.size_multiple))
    with open_slide(source) as slide:
        return translate_slide(
            method, slide, target, settings, 1.0, 0.5, (CPU,), {}, say=lambda line: None
        ).tiles  # fmt: skip


def _print_kills(kills: int) -> None:
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        source = _slide(Path(folder) / "he.tif", KILLED, KILLED)
        whole, target = (Path(folder) / name / "out.ome.tif" for name in ("whole", "killed"))
        command = [sys.executable, "-m", "benchmarks.slide", "--stream", str(source)]
        subprocess.run([*command, str(whole)], check=True)
        for kill in range(1, kills + 1):
            before = _strips(target)
            process = subprocess.Popen([*command, str(target)])
            while _strips(target) <= before and process.poll() is None:
                time.sleep(0.05)
            time.sleep(draw.random() / 4)
            process.kill()
            process.wait()
            print(f"kill {kill}: {_strips(target)} of {KILLED // TILE} strips, whole: {target.exists()}", flush=True)
        subprocess.run([*command, str(target)], check=True)
        print(f"equal bytes: {target.read_bytes() == whole.read_bytes()}")


def _strips(target: Path) -> int:
    return len(list((part_folder(target) / "level-0").glob("*.tiles")))


def _print_speed(side: int) -> None:
    method = _method("cut")
    with tempfile.TemporaryDirectory() as folder:
        source = _slide(Path(folder) / "he.tif", side, side)
        begun = time.perf_counter(), time.process_time()
        tiles = _translate(method, source, Path(folder) / "out.ome.tif")
        ours = time.perf_counter() - begun[0], time.process_time() - begun[1]
        with open_slide(source) as slide:
            tile = slide.region(0, 0, 0, 512, 512)
        begun = time.perf_counter(), time.process_time()
        for _ in range(tiles + 4):  # 4: the mosaics of the statistics
            translated(method, [tile], CPU)
        floor = time.perf_counter() - begun[0], time.process_time() - begun[1]
    print(f"{side}×{side}, {tiles} tiles of 512 pixels, one thread")
    print("          tiles/s  time/floor  processor s  /floor")
    for name, (wall, processor) in (("stream", ours), ("floor", floor)):
        rates = f"{tiles / wall:7.2f}  {wall / floor[0]:10.2f}  {processor:11.1f}  {processor / floor[1]:6.2f}"
        print(f"{name:<9} {rates}", flush=True)


def _rise(height: int, width: int, tissue: float) -> int:
    """Bytes by which a translation raises this process's resident size at its peak."""
    method = _method("regression", width=4, downs=2)
    with tempfile.TemporaryDirectory() as folder:
        source = _slide(Path(folder) / "he.tif", height, width, tissue)
        translated(method, [np.zeros((512, 512, 3), np.uint8)], CPU)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak so far is forgotten
        before = resource.getpagesize() * int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        _translate(method, source, Path(folder) / "out.ome.tif")
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) - before


def _method(name: str, **options: Any) -> Method[Any]:
    torch.manual_seed(0)  # the same after a kill
    return maker(registry.load("vsbench.methods", name))(**options).eval()


def _slide(file: Path, height: int, width: int, tissue: float = 1.0) -> Path:
    """A pyramid of one window of the phantom, side by side, down to a share of the height; glass below."""
    phantom = registry.load("vsbench.datasets", "phantom").from_options({})
    window = phantom.slide("ki67", "bench", 4 * WINDOW, {}).window("he", WINDOW, WINDOW, WINDOW, WINDOW)
    line = np.tile(window, (1, -(-width // WINDOW), 1))[:, :width]
    pyramid = Pyramid(file, Format(height, width, 0.5), {})
    glass = np.full((TILE, width, 3), 244, np.uint8)
    for number, top in enumerate(range(0, height, TILE)):
        if top >= tissue * height:
            pyramid.append(number, glass[: height - top])
            continue
        pyramid.append(number, line[top % WINDOW : top % WINDOW + min(TILE, height - top)])
    pyramid.finish()
    return file


if __name__ == "__main__":
    main()
