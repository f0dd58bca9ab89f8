"""How far registered sections lie from where they are: hand-set landmarks on serial sections, and phantom slides.

    python -m benchmarks.registration LANDMARKS [--phantom HE IHC CSV] [--pixel 3.48]

LANDMARKS: a folder of images and CSV files of one name, the H&E's ending in ``He``; point k of one file is the same
place as point k of any other, in pixels of an image ten times as large. Errors are relative to the image's diagonal, as
ANHIR has them. *floor*: each landmark against a smooth map (thin plates) through all others: how well the points agree
among themselves. *phantom*: what ``vsbench data phantom-slide`` writes; errors in µm, over the tissue.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from vsbench.data.decode import read_rgb
from vsbench.slides.reading import open_slide
from vsbench.slides.registration import Registration, register
from vsbench.slides.tiles import register_slides, thumbnail_pixel

Array = NDArray[np.float64]
TENTH = 10  # of the landmarks' pixels
SMOOTHING = 1e4  # of the thin plates


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("landmarks", type=Path, nargs="?")
    parser.add_argument("--pixel", type=float, default=3.48, help="µm of the landmarks' images")
    parser.add_argument("--phantom", type=Path, nargs=3, metavar=("HE", "IHC", "CSV"))
    given = parser.parse_args()
    if given.landmarks:
        serial_sections(given.landmarks, given.pixel)
    if given.phantom:
        phantom(*given.phantom)


def serial_sections(folder: Path, pixel: float) -> None:
    """Print median and 90th percentile of the relative error, of every stain against the H&E."""
    (he_file,) = folder.glob("*He.csv")
    he, he_points = read_rgb(he_file.with_suffix(".jpg")), points(he_file, ("X", "Y")) / TENTH
    names = ("unregistered", "affine", "ours", "floor")
    print(f"{'relative error, median/90th':28s}{''.join(f'{name:>16s}' for name in names)}   found  confidence")
    for file in sorted(folder.glob("*.csv")):
        if file == he_file:
            continue
        ihc, there = read_rgb(file.with_suffix(".jpg")), points(file, ("X", "Y")) / TENTH
        found = register(he, ihc, pixel)
        guesses = (he_points, found.affine(he_points), found.alignment(he_points), left_out(he_points, there))
        diagonal = float(np.hypot(*ihc.shape[:2]))
        errors = [np.linalg.norm(guess - there, axis=1) / diagonal for guess in guesses]
        cells = "".join(f"{f'{np.median(e):.4f}/{np.quantile(e, 0.9):.4f}':>16s}" for e in errors)
        print(f"{file.stem:28s}{cells}  {found.found:6.0%}  {found.confidence:10.0%}", flush=True)


def left_out(here: Array, there: Array) -> Array:
    """Each point where a smooth map through the others puts it."""
    numbers = np.arange(len(here))
    return np.array(
        [
            RBFInterpolator(here[numbers != k], there[numbers != k], smoothing=SMOOTHING)(here[k : k + 1])[0]
            for k in numbers
        ]
    )


def phantom(he_file: Path, ihc_file: Path, landmarks: Path) -> None:
    """Print median and 95th percentile of the error in µm."""
    with open_slide(he_file) as he, open_slide(ihc_file) as ihc:
        assert he.pixel_size is not None
        assert ihc.pixel_size is not None
        pixels = he.pixel_size, ihc.pixel_size
        found = register_slides(he, ihc, pixels)
        pixel = thumbnail_pixel(he, ihc, pixels)
        size = np.array([he.levels[0].width, he.levels[0].height])
    place = points(landmarks, ("he_x", "he_y")) + 0.5
    there = points(landmarks, ("ihc_x", "ihc_y")) + 0.5
    inside = on_tissue(found, place / size)
    grow = pixel / pixels[0], pixel / pixels[1]
    print(f"{'µm, median/95th':28s}{'unregistered':>16s}{'affine':>16s}{'ours':>16s}   found  confidence")
    guesses = (place, *(a.scaled(*grow)(place) for a in (found.affine, found.alignment)))
    errors = [pixels[0] * np.linalg.norm(guess - there, axis=1)[inside] for guess in guesses]
    cells = "".join(f"{f'{np.median(e):.1f}/{np.quantile(e, 0.95):.1f}':>16s}" for e in errors)
    print(f"{he_file.name:28s}{cells}  {found.found:6.0%}  {found.confidence:10.0%}")


def on_tissue(found: Registration, shares: Array) -> NDArray[np.bool_]:
    """Of places (N, 2), in shares of the H&E's sides."""
    rows, columns = (shares[:, ::-1] * found.residual.shape).astype(int).T
    return np.isfinite(found.residual[rows, columns])


def points(file: Path, columns: tuple[str, str]) -> Array:
    """(N, 2) of two columns of a CSV."""
    with file.open(encoding="utf-8", newline="") as opened:
        return np.array([[float(row[name]) for name in columns] for row in csv.DictReader(opened)])


if __name__ == "__main__":
    main()
