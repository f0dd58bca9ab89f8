"""The parts of the audit on images of which the answer is known without it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr

from vsbench.audit import registration
from vsbench.audit.document import Heading, Text
from vsbench.audit.duplicates import find_duplicates
from vsbench.audit.fingerprints import candidates, fingerprint
from vsbench.audit.page import build_page, findings, table_one
from vsbench.audit.registration import SURE, Shift, residual_shift
from vsbench.audit.run import audit
from vsbench.audit.slides import robust_z, slide_rows
from vsbench.audit.tiles import measure
from vsbench.data.pairs import Pair

Grey = NDArray[np.float64]


def texture(seed: int, height: int = 160, width: int = 160) -> Grey:
    """(H, W) grey levels with spots a few pixels wide."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((height, width)), 3, mode="wrap")
    return np.clip(170 + 45 * noise / noise.std(), 0, 255)


def save(path: Path, grey: Grey) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)).save(path)
    return path


def pair_of(folder: Path, name: str, he: Grey, ihc: Grey, slide: str | None = None, split: str = "train") -> Pair:
    return Pair(name, save(folder / f"{name}-he.png", he), save(folder / f"{name}-ihc.png", ihc), slide, split)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (9, -14), (-30, 20)])
@pytest.mark.parametrize("shape", [(160, 160), (125, 160)], ids=["even", "odd"])
def test_a_known_shift_is_measured_to_the_pixel(dy: int, dx: int, shape: tuple[int, int]) -> None:
    tissue, (height, width) = texture(0, 240, 240), shape
    he = tissue[40 : 40 + height, 40 : 40 + width]
    ihc = tissue[40 - dy : 40 - dy + height, 40 - dx : 40 - dx + width]
    found = residual_shift([he], [0.5 * ihc + 40])
    assert found is not None
    assert (found.dy, found.dx) == (dy, dx)
    assert found.confidence > 2 * SURE


def test_a_shift_that_is_not_found_again_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for again, expected in ((Shift(9, 0, 3.0), Shift(20, 0, 1.0)), (Shift(-1, 2, 3.0), Shift(19, 2, 3.0))):
        peaks = iter([Shift(20, 0, 2.0), again])
        monkeypatch.setattr(registration, "_highest_peak", lambda he, ihc, peaks=peaks: next(peaks))
        assert residual_shift([texture(0)], [texture(0)]) == expected


def test_an_empty_tile_gives_no_shift_and_no_fingerprint() -> None:
    white = np.full((160, 160), 255.0)
    assert residual_shift([white], [texture(0)]) is None
    assert residual_shift([texture(0)], [white]) is None
    assert len(fingerprint(white.astype(np.float32)).hashes) == 0


@pytest.mark.parametrize("size", [20, 32, 33])
def test_a_tile_too_small_for_a_window_has_no_fingerprint_or_few(size: int) -> None:
    assert len(fingerprint(texture(0)[:size, :size].astype(np.float32)).hashes) <= 1


def test_candidates_say_where_the_second_tile_lies() -> None:
    tissue = texture(1, 300, 300).astype(np.float32)
    tiles = [tissue[:160, :160], texture(2).astype(np.float32), tissue[37:197, 70:230]]
    (found,) = candidates([fingerprint(tile) for tile in tiles])
    assert (found.first, found.second, found.dy, found.dx) == (0, 2, -37, -70)
    assert candidates([]) == []


def test_one_accidental_match_is_no_candidate() -> None:
    first, second = (fingerprint(texture(seed).astype(np.float32)) for seed in (3, 4))
    forged = replace(second, hashes=np.concatenate([first.hashes[:1], second.hashes[1:]]))
    assert candidates([first, forged]) == []


def test_candidates_that_do_not_register_are_dropped(tmp_path: Path) -> None:
    """Equal hashes at equal places, yet other pixels."""
    pairs = [pair_of(tmp_path, str(seed), texture(seed), texture(seed + 50)) for seed in (5, 6)]
    first, second = (measure(pair, "ki67") for pair in pairs)
    forged = replace(second, prints={**second.prints, "he": first.prints["he"]})
    assert candidates([first.prints["he"], forged.prints["he"]]) != []
    assert find_duplicates([first, forged]) == []


def test_identical_images_are_found_even_where_blank(tmp_path: Path) -> None:
    white = np.full((96, 96), 255.0)
    pairs = [pair_of(tmp_path, name, white, texture(n, 96, 96)) for n, name in enumerate("ab")]
    (found,) = find_duplicates([measure(pair, "er") for pair in pairs])
    assert (found.kind, found.image, found.id, found.other_id, found.across) == ("identical", "he", "a", "b", False)


def test_a_pair_in_numbers(tmp_path: Path) -> None:
    """Half of the H&E is glass; nothing is lost to reduction in the paired rate."""
    he, ihc = texture(7, 520, 520), texture(7, 520, 520) * 0.5 + texture(8, 520, 520) * 0.5
    he[:, :260] = 250  # the paler spots of the other half are called glass too
    row = measure(pair_of(tmp_path, "a", he, ihc, "S1"), "ki67").row
    assert 0.4 < row.he_tissue < 0.5
    assert row.ihc_tissue > 0.9
    assert not row.blank
    pixels = (grey.astype(np.uint8).ravel() for grey in (he, ihc))
    assert row.pearson_r == pytest.approx(pearsonr(*pixels)[0], abs=1e-9)
    assert (row.height, row.width, row.slide) == (520, 520, "S1")


def test_a_constant_image_has_no_paired_rate(tmp_path: Path) -> None:
    found = audit([pair_of(tmp_path, "a", np.full((96, 96), 250.0), texture(0, 96, 96))], "er")
    assert found.tiles[0].pearson_r is None
    assert found.tiles[0].blank
    assert found.summary["pearson_r"] is None
    assert found.summary["slides"] is None
    assert found.summary["pairs_without_slide"] == 1


def test_a_pair_that_cannot_be_read_is_named_and_hides_no_other(tmp_path: Path) -> None:
    pairs = [pair_of(tmp_path, name, texture(n, 96, 96), texture(n + 9, 96, 96)) for n, name in enumerate("abc")]
    pairs[0].he.write_bytes(b"nothing")
    save(pairs[1].ihc, texture(0, 64, 64))
    found = audit(pairs, "er")
    assert [row.id for row in found.tiles] == ["c"]
    assert [str(pairs[0].he) in found.unreadable[0], str(pairs[1].ihc) in found.unreadable[1]] == [True, True]


def test_a_slide_apart_is_seen_and_usual_differences_are_not() -> None:
    assert [round(z or 0, 1) for z in robust_z([1.0, 1.0, 1.01, 0.99, 1.0, 1.5])] == [0, 0, 0.1, -0.1, 0, 5.0]
    assert robust_z([1.0, 1.0, 1.0, 9.0]) == [None] * 4
    assert robust_z([1.0, None, 1.0, 1.0, 1.0, 1.0])[1] is None
    assert robust_z([0.0] * 6) == [None] * 6


def test_slides_are_counted_by_split_and_shared_ones_named(tmp_path: Path) -> None:
    where = [("a", "S1", "train"), ("b", "S1", "test"), ("c", "S2", "test"), ("d", None, "test")]
    rows = [
        measure(pair_of(tmp_path, name, texture(n, 96, 96), texture(n + 9, 96, 96), slide, split), "er").row
        for n, (name, slide, split) in enumerate(where)
    ]
    assert [(s.slide, s.splits, s.shared) for s in slide_rows(rows, {})] == [
        ("S1", "test:1 train:1", True),
        ("S2", "test:1", False),
    ]


def test_of_two_stains_what_is_the_same_is_said_once(tmp_path: Path) -> None:
    pairs = [pair_of(tmp_path, f"p{i}", texture(i), 0.5 * texture(i) + 40, f"S{i}") for i in range(2)]
    other = [pair_of(tmp_path, f"q{i}", texture(7 + i), 0.5 * texture(7 + i) + 90, f"S{i}") for i in range(2)]
    audits = [audit(pairs, "ki67"), audit(other, "her2")]
    assert findings(audits[0]) == findings(audits[1])
    page = build_page(audits, "Own")
    assert next(block.text for block in page.blocks if isinstance(block, Text) and block.points) == "Ki67, HER2:"
    table = table_one(audits, "Own")
    assert table.head[0] == "Staining type"
    assert "Dataset" not in table.head
    assert not any(len(set(column)) == 1 for column in zip(*table.rows, strict=True))
    assert "All: Dataset Own, No. WSI 2, No. pairs (train) 2" in table.note


def test_nothing_is_said_of_pairs_that_are_not_there(tmp_path: Path) -> None:
    pairs = [pair_of(tmp_path, f"p{i}", texture(i), 0.5 * texture(i) + 40, f"S{i}") for i in range(2)]
    assert "no shift is known" not in findings(audit(pairs, "er"))[-1]
    blank = np.full((160, 160), 255.0)
    more = [*pairs, pair_of(tmp_path, "u", blank, blank, "S2")]
    assert "of the others no shift is known" in findings(audit(more, "er"))[-1]
    page = build_page([audit([pair_of(tmp_path, "b", texture(1), texture(1), "S0")], "er")], "Own")
    headings = [block.text for block in page.blocks if isinstance(block, Heading)]
    assert "ER: evidence" in headings
    empty = replace(audit([pair_of(tmp_path, "c", blank, blank, "S0")], "er"), tiles=[], slides=[])
    assert "ER: evidence" not in [
        block.text for block in build_page([empty], "Own").blocks if isinstance(block, Heading)
    ]
