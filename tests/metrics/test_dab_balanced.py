"""Grey glass: Fiji's values reward who copies the light, the balanced ones don't. Tiles in the way of real ones.

Of the two tiles of a slide the first shows glass, the second none.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from vsbench.data.pairs import Pair
from vsbench.evaluation.onepass import Measured, measure, set_values
from vsbench.metric import Absent, Metric, Sample
from vsbench.metrics.agreement import Agreement
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.dab_balanced import SUFFIX, BalancedDensity
from vsbench.stain.density import DAB, HAEMATOXYLIN, stain_matrix, transmitted_intensity

Image = NDArray[np.uint8]
Light = tuple[int, int, int]
METRICS: dict[str, Metric] = {"dab": DabDensity(), "agreement": Agreement(), "dab_balanced": BalancedDensity()}
WHITE: Light = (255, 255, 255)
GREYS: dict[str, Light] = {"a": (180, 180, 180), "b": (200, 190, 170), "c": (215, 222, 230), "d": (190, 201, 196)}
SIZE = 64
Found = dict[str, float | Absent]
Values = Callable[..., tuple[Found, pd.DataFrame]]


def photograph(number: int, light: Light, dose: float = 1.0, glass: bool | None = None) -> Image:
    """The IHC of a tile: of each slide the first shows glass, unless ``glass`` says otherwise."""
    rng = np.random.default_rng(number)
    nuclei, brown = (np.kron(rng.random((16, 16)), np.ones((4, 4))) > share for share in (0.6, 0.85))
    amounts = np.stack([0.3 * nuclei, (0.3 + 0.1 * number) * dose * brown], axis=-1) @ stain_matrix(HAEMATOXYLIN, DAB)
    amounts += np.abs(rng.normal(0.03, 0.02, (SIZE, SIZE, 1)))
    if number % 2 == 0 if glass is None else glass:
        amounts[:, SIZE // 2 :] = 0
    return np.clip(np.rint(np.array(light) / 255 * transmitted_intensity(amounts)), 0, 255).astype(np.uint8)


@pytest.fixture
def found(tmp_path: Path) -> Values:
    """Set values and table of two tiles of each of the slides; ``fake(number, slide)`` gives the generated image."""

    def values(
        lights: dict[str, Light], fake: Callable[[int, str], Image], known: bool = True, glass: bool | None = None
    ) -> tuple[Found, pd.DataFrame]:
        pairs, images = [], {}
        for place, (slide, light) in enumerate(lights.items()):
            for number in (2 * place, 2 * place + 1):
                file = tmp_path / f"{slide}{number}.png"
                Picture.fromarray(photograph(number, light, glass=glass)).save(file)
                pairs.append(Pair(file.stem, file, file, slide if known else None, "test"))
                images[file.stem] = fake(number, slide)
        measured = measure(pairs, {"row": lambda pair, he, real: images[pair.id]}, METRICS)["row"]
        assert isinstance(measured, Measured)
        assert not measured.failed
        return set_values(METRICS, measured), measured.table

    return values


def number(value: float | Absent) -> float:
    assert not isinstance(value, Absent), value
    return value


@pytest.mark.parametrize("lights", [dict.fromkeys(GREYS, WHITE), GREYS], ids=["white", "grey"])
def test_a_method_that_copies_the_light_is_ahead_in_fiji_s_values_and_not_in_the_balanced(
    found: Values, lights: dict[str, Light]
) -> None:
    right, _ = found(lights, lambda n, slide: photograph(n, WHITE))
    half, _ = found(lights, lambda n, slide: photograph(n, lights[slide], dose=0.5))
    assert number(right["iod_mae_balanced"]) < 0.02 * number(half["iod_mae_balanced"])
    assert abs(number(right["iod_bias_balanced"])) < 0.7
    assert number(half["iod_bias_balanced"]) == pytest.approx(-42, abs=3)
    assert number(right["r_p_balanced"]) > 99.9
    assert number(right["ccc_balanced"]) > 0.999 > 0.8 > number(half["ccc_balanced"])
    assert (number(right["iod_mae"]) > number(half["iod_mae"])) == (lights is GREYS)


def test_balanced_values_are_the_same_under_white_and_grey_light(found: Values) -> None:
    white, table = found(dict.fromkeys(GREYS, WHITE), lambda n, slide: photograph(n, WHITE, dose=0.7))
    grey, other = found(GREYS, lambda n, slide: photograph(n, GREYS[slide], dose=0.7))
    for name in ("iod", "iod_rel", "iod_bias", "iod_mae", "r_p", "ccc"):
        assert number(white[name + SUFFIX]) == pytest.approx(number(white[name]), rel=1e-9)  # white light: Fiji's
        assert number(grey[name + SUFFIX]) == pytest.approx(number(white[name]), rel=0.01), name
    assert table["mean_od_balanced_real"].to_numpy() == pytest.approx(other["mean_od_balanced_real"], rel=0.01)
    assert other["light_real"].to_numpy() == pytest.approx([np.mean(light) for light in GREYS.values() for _ in "12"])


def test_where_slides_are_unknown_a_tile_without_glass_has_no_value_and_is_counted(found: Values) -> None:
    values, table = found(GREYS, lambda n, slide: photograph(n, WHITE), known=False)
    assert values["light_unknown"] == 4
    assert table["intden_balanced_real"].isna().tolist() == [False, True] * 4
    assert number(values["iod_mae_balanced"]) < 0.0005  # of the others, not of the palest tissue
    assert number(values["iod_mae"]) > 0.03


def test_without_any_glass_there_is_no_value_and_the_reason_says_on_which_side(found: Values) -> None:
    values, _ = found(GREYS, lambda n, slide: photograph(n, WHITE), glass=False)
    assert values["light_unknown"] == 8
    for name in ("iod", "iod_rel", "iod_bias", "iod_mae", "r_p", "ccc"):
        assert values[name + SUFFIX] == Absent(
            "no glass in sight on the real images of any slide: the light is not known"
        )
    values, _ = found(GREYS, lambda n, slide: photograph(n, WHITE, glass=False))
    assert "generated" in str(values["iod_balanced"])
    assert isinstance(values["iod"], float)


def test_what_is_read_from_a_real_image_is_read_once_for_all_methods() -> None:
    real, metric = photograph(0, GREYS["a"]), BalancedDensity()
    first = Sample("1", photograph(0, WHITE), real, real)
    metric.update([first])
    (known,) = first.features("real").values()
    known.flags.writeable = False
    again = first.judging(photograph(0, WHITE, dose=0.5))
    assert again.features("real") is first.features("real")
    assert np.array_equal(metric.update([again]).features["_balanced_real"][0], known)
