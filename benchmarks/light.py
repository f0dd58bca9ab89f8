"""What the light does to values of DAB: the phantom under white and under grey light, with the same tissue and stain.

    python -m benchmarks.light [--dim 0.35] [--vignette 0.0] [--jpeg 90] [--tiles 4]

*white*, *grey*: the values of images with a known share of the DAB, under the light of their slide, by Fiji's protocol
and balanced; *apart*: how far the two sets are apart, of the white one, but of the dose for errors of it. *own*,
*real*: the mean error of density of images with the right dose on white glass, and of half the dose under the section's
own light, where generated images are held against their own light, as in the protocol, or against the real section's.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsbench import registry
from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Maker, Measured, measure, set_values
from vsbench.metric import Absent, Metric
from vsbench.metrics.agreement import Agreement
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.dab_balanced import SUFFIX, BalancedDensity
from vsbench.stain.balanced import level_counts, read_transmission
from vsbench.stain.dab import density_of
from vsbench.stain.light import Light, find_light, light_of_slide

STAIN = "ki67"
DOSES = {"full": 1.0, "three quarters": 0.75, "half": 0.5}
METRICS: dict[str, Metric] = {"dab": DabDensity(), "agreement": Agreement(), "dab_balanced": BalancedDensity()}
VALUES = ("iod_rel", "iod_bias", "iod_mae", "r_p", "ccc")
DOSE = {"iod_rel": 1.0, "iod_bias": 100.0}  # the whole dose, in the unit of errors of it
Found = Mapping[str, float | Absent]
Image = NDArray[np.uint8]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--dim", type=float, default=0.35, help="share of the light that slides lack at most")
    parser.add_argument("--vignette", type=float, default=0.0, help="and that corners lack against the middle")
    parser.add_argument("--jpeg", type=int, default=90, help="quality; 100: none")
    parser.add_argument("--tiles", type=int, default=4, help="of each of six slides")
    given = parser.parse_args()
    options = {"slides_test": 6, "slides_train": 1, "tiles_per_slide": given.tiles, "jpeg": given.jpeg}
    with tempfile.TemporaryDirectory() as folder:
        sets = {
            "white": phantom(options, Path(folder)),
            "grey": phantom({**options, "dim": given.dim, "vignette": given.vignette}, Path(folder)),
        }
        found = {name: doses(*those) for name, those in sets.items()}
        compare_sets(found["white"], found["grey"])
        compare_rules(sets["white"], sets["grey"])


def phantom(options: Mapping[str, Any], folder: Path) -> tuple[Any, list[Pair]]:
    """The data set and its test pairs."""
    source = registry.load("vsbench.datasets", "phantom").from_options(dict(options))
    return source, list(source.pairs(folder, STAIN, "test"))


def stained(source: Any, pair: Pair, dose: float) -> Image:
    """The IHC of the H&E's section with a share of its DAB, under the light of its slide."""
    specimen = source.specimen(STAIN, pair.id)
    image: Image = specimen.stained(dose * specimen.cells["dab"].to_numpy())
    return image


def at_dose(source: Any, dose: float) -> Maker:
    """Makes the images with this share of the DAB."""
    return lambda pair, he, real: stained(source, pair, dose)


def doses(source: Any, pairs: Sequence[Pair]) -> dict[str, Found]:
    """The values of images with each of ``DOSES``, and the mean densities of the real IHC."""
    makers = {name: at_dose(source, dose) for name, dose in DOSES.items()}
    found: dict[str, Found] = {}
    for name, row in measure(pairs, makers, METRICS).items():
        assert isinstance(row, Measured), row
        found[name] = set_values(METRICS, row)
        real = {f"mean OD{end}": float(row.table[f"mean_od{end}_real"].mean()) for end in ("", SUFFIX)}
        found["real IHC"] = real
    return found


def compare_sets(white: Mapping[str, Found], grey: Mapping[str, Found]) -> None:
    """Print the values of both sets."""
    print(f"{'dose':16s}{'value':22s}{'white':>10s}{'grey':>10s}{'apart':>9s}")
    for row, values in white.items():
        for name in ("mean OD",) if row == "real IHC" else VALUES:
            for end in ("", SUFFIX):
                one, other = (number(found[f"{name}{end}"]) for found in (values, grey[row]))
                apart = abs(other - one) / DOSE.get(name, abs(one))
                print(f"{row:16s}{name + end:22s}{one:10.4f}{other:10.4f}{apart:9.1%}")


def compare_rules(white: tuple[Any, list[Pair]], grey: tuple[Any, list[Pair]]) -> None:
    """Print mean errors of density under both rules."""
    real = [read_rgb(pair.ihc) for pair in grey[1]]
    right = [stained(white[0], pair, 1.0) for pair in white[1]]
    half = [stained(grey[0], pair, 0.5) for pair in grey[1]]
    slides = [str(pair.slide) for pair in grey[1]]
    print(f"\n{'generated images':36s}{'own':>9s}{'real':>9s}")
    lights = slide_lights(real, slides)
    target = densities(real, slides, lights)
    for name, images in (("right dose, white glass", right), ("half the dose, the section's light", half)):
        errors = [
            np.abs(densities(images, slides, rule) - target).mean() for rule in (slide_lights(images, slides), lights)
        ]
        print(f"{name:36s}{errors[0]:9.4f}{errors[1]:9.4f}")


def slide_lights(images: Sequence[Image], slides: Sequence[str]) -> dict[str, Light]:
    """By slide; every slide of the phantom shows glass."""
    found: dict[str, Light] = {}
    for slide in dict.fromkeys(slides):
        light = light_of_slide(find_light(image) for image, own in zip(images, slides, strict=True) if own == slide)
        assert light is not None, f"{slide} shows no glass"
        found[slide] = light
    return found


def densities(images: Sequence[Image], slides: Sequence[str], lights: Mapping[str, Light]) -> NDArray[np.float64]:
    """(N,) mean densities under these lights."""
    return np.array(
        [
            density_of(level_counts(read_transmission(image), lights[slide])).mean
            for image, slide in zip(images, slides, strict=True)
        ]
    )


def number(value: float | Absent) -> float:
    """The value, which is there."""
    assert not isinstance(value, Absent), value
    return value


if __name__ == "__main__":
    main()
