"""The audit's figures: planted faults found, false alarms, null distributions behind the thresholds, cost of a pair.

    python -m benchmarks.audit [SAMPLES]

The planted set is made of the phantom: slides of clean tiles, and among them copies (as they are, JPEG, lightened),
tiles that overlap, shifted by a quarter to a half of the side, IHC moved by known pixels, blanks, slides in both
splits, a slide stained too strongly. SAMPLES: a folder with ``cima/{he,ihc}`` and ``bci/{HE,IHC}/test``, for nulls of
real tissue.
"""

import argparse
import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vsbench import registry
from vsbench.audit.duplicates import fine_structure, lay_over
from vsbench.audit.fingerprints import ONES
from vsbench.audit.page import findings
from vsbench.audit.registration import residual_shift
from vsbench.audit.run import Audit, audit
from vsbench.audit.tiles import KINDS, Kind, Measured, find_stain, measure, reduced
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.stain.density import optical_density, transmitted_intensity

Picture = NDArray[np.uint8]
Tile = tuple[str, str]  # split and id
STAIN = "ki67"
SLIDE = r"^[^_]+"
SHIFTS = ((1 / 4, 0), (0, 1 / 4), (1 / 2, 0), (0, 1 / 2), (1 / 4, 1 / 4), (1 / 2, 1 / 2), (0.37, 0.21))  # of the side
MOVES = ((1 / 16, 0), (0, -1 / 12), (-1 / 8, 1 / 16), (1 / 10, 1 / 10), (-3 / 16, 0), (1 / 8, -1 / 8))


@dataclass
class Planted:
    """A folder of pairs and the faults in it."""

    root: Path
    alike: set[frozenset[Tile]] = field(default_factory=set)
    shifted: set[Tile] = field(default_factory=set)
    blank: set[Tile] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    drifting: set[str] = field(default_factory=set)

    def save(self, tile: Tile, he: Picture, ihc: Picture) -> Tile:
        """Write a pair."""
        for kind, image in (("he", he), ("ihc", ihc)):
            path = self.root / kind / tile[0] / f"{tile[1]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path, compress_level=1)
        return tile

    def pairs(self) -> list[Pair]:
        """All pairs, as the data set ``folder`` reads them."""
        return [
            Pair(he.stem, he, self.root / "ihc" / split / he.name, slide_of(he.stem), split)
            for split in ("train", "test")
            for he in sorted((self.root / "he" / split).iterdir())
        ]


def slide_of(name: str) -> str:
    """The slide in a planted tile's name."""
    found = re.search(SLIDE, name)
    assert found is not None
    return found[0]


def plant(root: Path, size: int, slides: int, tiles: int, faults: int, seed: int = 0) -> Planted:
    """Tiles of ``size`` on ``slides`` train and half as many test slides, and ``faults`` of each kind among them."""
    planted, rng = Planted(root), np.random.default_rng(seed)
    clean = {split: list(phantom(root, split, size, slides, tiles, seed)) for split in ("train", "test")}
    large = iter(list(phantom(root, "train", size * 3 // 2, 3, faults, seed + 1)))  # for crops that overlap
    shutil.rmtree(root / "phantom")
    drifting = clean["train"][0][0][:3]
    planted.drifting.add(drifting)
    for split, found in clean.items():
        for name, he, ihc in found:
            strong = name.startswith(drifting)
            planted.save((split, name), stronger(he) if strong else he, ihc)
    homes = cycle(sorted({slide_of(name) for name, *_ in clean["train"]} - planted.drifting))
    there = cycle(sorted({slide_of(name) for name, *_ in clean["test"]}))
    for number, (name, he, ihc) in enumerate(clean["test"][:faults]):  # leaks
        change = (lambda image: image, jpeg, lighter)[number % 3]
        copy = planted.save(("train", f"{next(homes)}_copy_{number}"), change(he), change(ihc))
        planted.alike.add(frozenset({("test", name), copy}))
    ordinary = [each for each in clean["train"] if not each[0].startswith(drifting)]
    for number, (name, he, ihc) in enumerate(ordinary[:faults]):  # doubles
        double = planted.save(("train", f"{slide_of(name)}_double_{number}"), jpeg(he), jpeg(ihc))
        planted.alike.add(frozenset({("train", name), double}))
    for number in range(faults):  # half of them within the training set
        y, x = (round(size * share) for share in SHIFTS[number % len(SHIFTS)])
        _, he, ihc = next(large)
        first = planted.save(("train", f"{next(homes)}_left_{number}"), *(image[:size, :size] for image in (he, ihc)))
        where = ("test", next(there)) if number % 2 else ("train", next(homes))
        crops = (image[y : y + size, x : x + size] for image in (he, ihc))
        planted.alike.add(frozenset({first, planted.save((where[0], f"{where[1]}_right_{number}"), *crops)}))
    edge = size // 4
    for number in range(faults):
        dy, dx = (round(size * share) for share in MOVES[number % len(MOVES)])
        _, he, ihc = next(large)
        tile = ("train", f"{next(homes)}_moved_{number}")
        moved = ihc[edge - dy : edge - dy + size, edge - dx : edge - dx + size]
        planted.shifted.add(planted.save(tile, he[edge : edge + size, edge : edge + size], moved))
    for number in range(faults):  # every other one has tissue in the H&E
        _, he, _ = next(large)
        glass = [np.rint(rng.normal(244, 1.5, (size, size, 3))).astype(np.uint8) for _ in range(2)]
        images = (he[:size, :size] if number % 2 else glass[0], glass[1])
        planted.blank.add(planted.save(("train", f"{next(homes)}_blank_{number}"), *images))
    for name, he, ihc in list(phantom(root, "test", size, 4, tiles, seed + 2)):  # two slides of test alone, in both
        slide = "S" + slide_of(name)
        split = "train" if int(name[-1]) % 2 else "test"
        planted.save((split, "S" + name), he, ihc)
        planted.shared.add(slide)
    shutil.rmtree(root / "phantom")
    return planted


def phantom(
    root: Path, split: str, size: int, slides: int, tiles: int, seed: int
) -> Iterator[tuple[str, Picture, Picture]]:
    """(name, H&E, IHC) of the phantom's tiles."""
    options = {"seed": seed, "size": size, "slides_train": slides, "slides_test": max(1, slides // 2)}
    source = registry.load("vsbench.datasets", "phantom").from_options({**options, "tiles_per_slide": tiles})
    for pair in source.pairs(root / "phantom", STAIN, split):
        yield pair.id, *(np.asarray(Image.open(path).convert("RGB")) for path in (pair.he, pair.ihc))


def jpeg(image: Picture) -> Picture:
    """As a JPEG of quality 60 shows it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def lighter(image: Picture) -> Picture:
    """Lighter by a twelfth and 5 levels; what is white already is cut off."""
    return np.clip(np.rint(image * 1.08 + 5), 0, 255).astype(np.uint8)


def stronger(image: Picture) -> Picture:
    """With 1.8 times the stain."""
    return np.rint(transmitted_intensity(1.8 * optical_density(image))).astype(np.uint8)


@dataclass(frozen=True)
class Score:
    """Of one kind of fault: how many were planted and found, and how many of the clean things were flagged."""

    planted: int
    found: int
    clean: int
    false: int


def score(planted: Planted, found: Audit) -> dict[str, Score]:
    """What the audit found of what was planted."""
    tiles = {(row.split, row.id) for row in found.tiles}
    alike = {frozenset(d.tiles) for d in found.duplicates}
    innocent = tiles - {tile for pair in planted.alike for tile in pair}
    accused = {tile for pair in alike - planted.alike for tile in pair}
    scores = {
        "tissue in common": Score(
            len(planted.alike), len(planted.alike & alike), len(innocent), len(accused & innocent)
        )
    }
    for name, truth, said in (
        ("shifted pair", planted.shifted, {(r.split, r.id) for r in found.tiles if r.shifted}),
        ("blank", planted.blank, {(r.split, r.id) for r in found.tiles if r.blank}),
    ):
        scores[name] = Score(len(truth), len(truth & said), len(tiles - truth), len(said - truth))
    slides = {s.slide for s in found.slides}
    for name, those, flagged in (
        ("slide in two splits", planted.shared, {s.slide for s in found.slides if s.shared}),
        ("slide that drifts", planted.drifting, {s.slide for s in found.slides if s.drifts}),
    ):
        scores[name] = Score(len(those), len(those & flagged), len(slides - those), len(flagged - those))
    return scores


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("data", nargs="?", type=Path, help="folder that holds cima/ and bci/")
    parser.add_argument("--seed", type=int, default=0, help="of the phantom and the faults")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        planted = plant(Path(folder), size=256, slides=5, tiles=7, faults=14, seed=arguments.seed)
        pairs = planted.pairs()
        print(f"planted set: {len(pairs)} pairs of 256², made in {time.perf_counter() - begun:.0f} s")
        begun = time.perf_counter()
        found = audit(pairs, STAIN)
        print(f"audited in {time.perf_counter() - begun:.1f} s")
        scores = score(planted, found)
        for name, s in scores.items():
            print(f"  {name:20s} found {s.found:3d} of {s.planted:3d}; false alarms {s.false} of {s.clean}")
        total = [sum(getattr(s, key) for s in scores.values()) for key in ("found", "planted", "false", "clean")]
        print(f"  all: found {total[0] / total[1]:.1%}, false alarms {total[2] / total[3]:.2%}")
        strange = {tile for pair in planted.alike for tile in pair} | planted.blank | planted.shifted
        clean = [pair for pair in pairs if (pair.split, pair.id) not in strange]
        print("unrelated tiles, phantom:", null_distribution(clean, lambda pair: pair.slide))
        if arguments.data is not None:
            sets = real_sets(arguments.data)
            print("unrelated tiles, CIMA:", null_distribution(sets["CIMA"], lambda pair: pair.slide))
            for name, real in sets.items():
                print(f"{name}: {findings(audit(real, name))[-1]}")
        print(f"cost of a pair of 1024² JPEG on one core: {1000 * seconds_of_a_pair(Path(folder), clean):.0f} ms")


def real_sets(data: Path) -> dict[str, list[Pair]]:
    """The pairs of CIMA, whose names begin with the tissue, and of BCI, whose slides are unknown."""
    folders = {"CIMA": ("cima/he", "cima/ihc"), "BCI": ("bci/HE/test", "bci/IHC/test")}
    return {
        name: [
            Pair(p.stem, p, data / ihc / p.name, p.stem.partition("_")[0] if name == "CIMA" else None, "test")
            for p in sorted((data / he).iterdir())
        ]
        for name, (he, ihc) in folders.items()
    }


def null_distribution(pairs: list[Pair], group: Callable[[Pair], str | None], n: int = 200) -> str:
    """Of tiles of different groups: least bits apart, correlation of chance overlays, confidence of a shift."""
    rng, measured = np.random.default_rng(0), [measure(pair, STAIN) for pair in pairs]
    he, ihc = ([landmarks(m, kind) for m in measured] for kind in KINDS)
    fine = [fine_structure(m.pair.he, m.factor) for m in measured]
    bits: list[int] = []
    correlations: list[float] = []
    confidences: list[float] = []
    while len(correlations) < n:
        i, j = (int(place) for place in rng.integers(len(measured), size=2))
        first, second = measured[i], measured[j]
        if group(first.pair) == group(second.pair):
            continue
        a, b = first.prints["he"].hashes, second.prints["he"].hashes
        differ = ONES[(a[:, None] ^ b).view(np.uint16).reshape(len(a), len(b), 4)].sum(axis=-1, dtype=np.int64)
        bits.append(int(differ.min(initial=64)))
        dy, dx = rng.integers(-192, 193, size=2)
        overlay = lay_over(fine[i], fine[j], int(dy), int(dx))
        shift = residual_shift(he[i], ihc[j])
        if overlay is not None and shift is not None:
            correlations.append(overlay.correlation)
            confidences.append(shift.confidence)
    limits = np.quantile(confidences, [0.5, 0.99, 1])
    return (
        f"bits apart ≥ {min(bits)}; correlation ≤ {max(correlations):.3f}; "
        f"confidence median {limits[0]:.2f}, 99 % {limits[1]:.2f}, highest {limits[2]:.2f}"
    )


def landmarks(measured: Measured, kind: Kind) -> list[NDArray[np.float64]]:
    """The maps by which one of the images of a pair is registered."""
    image = read_rgb(getattr(measured.pair, kind))
    return find_stain(reduced(image, measured.factor), kind, measured.lights[kind]).landmarks


def seconds_of_a_pair(folder: Path, pairs: list[Pair]) -> float:
    """Median seconds to measure a pair of 1024² JPEG, put together from tiles of 256²."""
    large = {}
    for kind in ("he", "ihc"):
        tiles = [np.asarray(Image.open(getattr(pair, kind))) for pair in pairs[:16]]
        rows = [np.concatenate(tiles[i : i + 4], axis=1) for i in range(0, 16, 4)]
        large[kind] = folder / f"large-{kind}.jpg"
        Image.fromarray(np.concatenate(rows)).save(large[kind], quality=90)
    pair, seconds = Pair("large", large["he"], large["ihc"], None, "test"), []
    for _ in range(5):
        begun = time.perf_counter()
        measure(pair, STAIN)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


if __name__ == "__main__":
    main()
