"""How fast the phantom is rendered on one core, against reading the same images back.

OMP_NUM_THREADS=1 python -m benchmarks.phantom [TILES]
"""

import argparse
import importlib
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import machine
from vsbench import registry
from vsbench.data.decode import read_rgb


def main() -> None:
    """Print seconds of processor time per tile of 256², each stain's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=int, nargs="?", default=24, metavar="TILES")
    tiles = parser.parse_args().tiles
    dataset = registry.load("vsbench.datasets", "phantom")
    phantom: Any = importlib.import_module(dataset.__module__)
    print(machine())
    print(f"{'':6s}{'s/tile':>10s}{'tiles/s':>10s}{'× reading':>12s}")
    for stain in dataset.stains:
        config = phantom.PhantomConfig(tiles_per_slide=1, slides_train=tiles, slides_test=1)
        names = phantom.tile_names(config, "train")
        phantom.render_tile(config, stain, names[0])  # warm up
        begun = time.process_time()
        for name in names:
            phantom.render_tile(config, stain, name)
        rendering = (time.process_time() - begun) / tiles
        with tempfile.TemporaryDirectory() as folder:
            pairs = dataset(config).pairs(Path(folder), stain, "train")
            begun = time.process_time()
            for pair in pairs:
                for path in pair.images:
                    read_rgb(path)
            reading = (time.process_time() - begun) / tiles
        print(f"{stain:6s}{rendering:10.3f}{1 / rendering:10.1f}{rendering / reading:12.1f}")


if __name__ == "__main__":
    main()
