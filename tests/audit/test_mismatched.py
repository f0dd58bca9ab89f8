"""The level of a trusted shift comes from the set's own mismatched pairs, and so does the rate of false alarms."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest

from vsbench.audit import mismatched as room
from vsbench.audit.mismatched import ALLOWED, PAIRS, Mismatched, mismatched
from vsbench.audit.page import findings
from vsbench.audit.registration import SURE, Shift
from vsbench.audit.run import audit
from vsbench.audit.tiles import measure
from vsbench.data.pairs import Pair

Grey = NDArray[np.float64]


def texture(seed: int, lattice: float = 0.0) -> Grey:
    """(128, 128) spots, and over them those of a lattice that all tiles have in common."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((128, 128)), 2, mode="wrap")
    shared = gaussian_filter(np.random.default_rng(999).standard_normal((128, 128)), 2, mode="wrap")
    field = noise / noise.std() + lattice * shared / shared.std()
    return np.clip(150 + 40 * field / field.std(), 0, 255)


def pair_of(folder: Path, number: int, he: Grey, ihc: Grey, slide: str | None) -> Pair:
    files = [folder / f"{number}-{kind}.png" for kind in ("he", "ihc")]
    for file, grey in zip(files, (he, ihc), strict=True):
        Image.fromarray(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)).save(file)
    return Pair(str(number), *files, slide, "test")


def test_the_level_leaves_one_in_a_hundred_and_is_never_below_the_usual_one() -> None:
    found = Mismatched(tuple(np.linspace(1, 3, 200)))
    assert found.level > SURE
    assert (found.reached, found.rate) == (2, ALLOWED)
    assert found.at_most == pytest.approx(binomtest(2, 200).proportion_ci(method="exact").high)
    quiet = Mismatched((1.0, 1.1, 1.2))
    assert (quiet.level, quiet.reached, quiet.rate) == (SURE, 0, 0)
    assert quiet.at_most == pytest.approx(0.708, abs=0.001)  # three pairs tell little
    few = Mismatched((1.0, 1.1, 2.2))
    assert few.level > 2.2
    none = Mismatched(())
    assert (none.level, none.rate, none.at_most) == (SURE, None, None)


def test_partners_are_of_other_slides_and_share_no_tissue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair_of(tmp_path, n, texture(n), texture(n + 50), f"S{n // 2}") for n in range(6)]
    tiles = [measure(pair, "er") for pair in pairs]
    laid: list[tuple[float, float]] = []
    monkeypatch.setattr(room, "_landmarks", lambda tile: ([float(tile.pair.id)], [float(tile.pair.id)]))

    def together(he: list[float], ihc: list[float]) -> Shift:
        laid.append((he[0], ihc[0]))
        return Shift(0, 0, 1.2)

    monkeypatch.setattr(room, "residual_shift", together)
    found = mismatched(tiles, {frozenset({("test", "0"), ("test", "4")})})
    expected = {(a, b) for a in range(6) for b in range(6) if a // 2 != b // 2 and {a, b} != {0, 4}}
    assert sorted(laid) == sorted(expected)
    assert len(found.confidences) == len(expected) <= PAIRS
    laid.clear()
    unknown = [measure(pair_of(tmp_path, n, texture(n), texture(n + 50), None), "er") for n in range(3)]
    mismatched(unknown, set())
    assert len(laid) == 6


def test_tissue_that_repeats_itself_raises_its_own_level(tmp_path: Path) -> None:
    """A pattern that all tiles have in common registers unrelated ones; what is said of them follows."""
    plain = audit([pair_of(tmp_path, n, texture(n), texture(n), f"S{n}") for n in range(6)], "er")
    alike = audit([pair_of(tmp_path, n, texture(n, 1.5), texture(n + 50, 1.5), f"S{n}") for n in range(6)], "er")
    assert plain.summary["shift_confidence"] < 1.2 * SURE
    assert plain.summary["registered"] == 6
    assert plain.summary["false_alarm_rate"] == 0
    assert np.median(alike.mismatched.confidences) > SURE
    assert alike.summary["shift_confidence"] > 2 * SURE
    assert alike.summary["registered"] < 6
    (said,) = [line for line in findings(plain) if "registered" in line]
    assert said.startswith("6 of 6 pairs could be registered (confidence 1.5")
    assert said.endswith("; so could 0 of 30 mismatched pairs: false alarms 0.0%, at most 11.6% at 95 %")


def test_one_pair_has_no_partner_to_exchange(tmp_path: Path) -> None:
    found = audit([pair_of(tmp_path, 0, texture(0), texture(0), "S1")], "er")
    assert found.summary["false_alarm_rate"] is None
    assert any("no mismatched pairs to tell" in line for line in findings(found))
