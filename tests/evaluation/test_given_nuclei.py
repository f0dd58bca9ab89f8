"""Nuclei outlined elsewhere in place of the detector's: for whom they are, and under which protocol."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.engine.run import Run
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.evaluate import Outcome, evaluate_images, evaluate_references
from vsbench.evaluation.given_nuclei import GivenNuclei
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.sizes import CommonSize
from vsbench.metrics.nuclei import NucleiKept

SIDE = 48
IDS = "abc"


def numbered(count: int) -> Image.Image:
    """Squares of 4 × 4 pixels, row by row."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number in range(count):
        y, x = (6 * place for place in divmod(number, 8))
        labels[y : y + 4, x : x + 4] = number + 1
    return Image.fromarray(labels)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Pairs to test on, images of a method, and nuclei: 20 of each real image, 16 of each H&E, 12 of each generated."""
    rng = np.random.default_rng(0)
    for folder in ("own/he/test", "own/ihc/test", "made"):
        (tmp_path / folder).mkdir(parents=True)
        for name in IDS:
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    for row, count in (("real", 20), ("he", 16), ("mine", 12)):
        (tmp_path / "nuclei" / row).mkdir(parents=True)
        for name in IDS:
            numbered(count).save(tmp_path / "nuclei" / row / f"{name}.tif")
    return tmp_path


def evaluated(place: Path, stain: str = "er") -> dict[str, Outcome]:
    given = GivenNuclei(place / "nuclei")
    metric = NucleiKept()
    metric.use_nuclei(given.digest)
    group = Group("folder", {}, stain, place / "own", place / "results", nuclei=given)
    outcomes, failures = evaluate_images(place / "made", "mine", group, Instrument({"nuclei": metric}))
    assert not failures, failures
    return {outcome.summary.row: outcome for outcome in outcomes}


def values(outcome: Outcome) -> dict[str, float | None]:
    return {name: reading.value for name, reading in outcome.summary.values.items()}


def test_given_nuclei_are_those_that_are_counted(place: Path) -> None:
    found = evaluated(place)
    mine = values(found["mine"])
    assert mine["nuclei_count_error"] == pytest.approx(40)
    assert mine["nuclei_f1"] == pytest.approx(2 * 12 / 28)
    assert values(found["real-ihc"])["nuclei_count_error"] == 0
    assert values(found["he"])["nuclei_f1"] == 1
    shuffled = found["shuffled"].summary.values["nuclei_f1"]
    assert (shuffled.value, shuffled.reason) == (None, "no nuclei of these images were given")


def test_whose_nuclei_they_are_is_in_protocol_and_record_and_others_are_measured_anew(place: Path) -> None:
    first = evaluated(place)["mine"]
    protocol = first.summary.values["nuclei_f1"].protocol
    assert protocol.startswith("nuclei-f1/given:")
    assert protocol != NucleiKept.values[0].protocol
    assert (first.summary.provenance or {})["nuclei of the real images"][:12] in protocol
    assert evaluated(place)["mine"].cached
    numbered(16).save(place / "nuclei" / "mine" / "a.tif")
    again = evaluated(place)["mine"]
    assert not again.cached
    assert again.summary.values["nuclei_f1"].protocol == protocol  # of the real images they are the same
    numbered(19).save(place / "nuclei" / "real" / "a.tif")
    assert evaluated(place)["mine"].summary.values["nuclei_f1"].protocol != protocol


def test_without_those_of_the_he_there_is_no_f1_and_without_those_of_the_real_nothing(place: Path) -> None:
    shutil.rmtree(place / "nuclei" / "he")
    reading = evaluated(place)["mine"].summary.values["nuclei_f1"]
    assert (reading.value, reading.reason) == (None, "no nuclei of the H&E were given")
    shutil.rmtree(place / "nuclei" / "real")
    with pytest.raises(DataError, match="real: no such folder"):
        GivenNuclei(place / "nuclei")


def test_each_seed_has_its_own_and_cellpose_may_name_them(place: Path) -> None:
    given = GivenNuclei(place / "nuclei")
    run = Run(place / "results/runs/folder-er/cut/seed-1")
    assert given.of_row(run, IDS) == {}
    folder = place / "nuclei/cut/seed-1"
    folder.mkdir(parents=True)
    for name in IDS:
        numbered(3).save(folder / f"{name}_cp_masks.png")
    assert given.of_row(run, IDS) == {name: folder / f"{name}_cp_masks.png" for name in IDS}
    numbered(3).save(folder / "a.png")
    with pytest.raises(DataError, match=r"a_cp_masks\.png: a\.png is of the same image"):
        given.of_row(run, IDS)
    shutil.copytree(folder, place / "nuclei/src")
    for seed in (0, 1):
        (place / f"results/runs/folder-er/src/seed-{seed}").mkdir(parents=True)
    with pytest.raises(DataError, match="several seeds"):
        given.of_row(Run(place / "results/runs/folder-er/src/seed-0"), IDS)


def test_files_that_are_missing_or_belong_to_nobody_are_named(place: Path) -> None:
    (place / "nuclei/mine/a.tif").rename(place / "nuclei/mine/z.tif")
    with pytest.raises(DataError, match=r"mine: no nuclei of a;"):
        evaluated(place)
    numbered(3).save(place / "nuclei/mine/a.tif")
    with pytest.raises(DataError, match="mine: belongs to no test pair: z;"):
        evaluated(place)


def test_damaged_ones_end_their_row_alone_and_those_of_real_images_all(place: Path) -> None:
    (place / "nuclei/mine/b.tif").write_bytes(b"II*\0")
    given = GivenNuclei(place / "nuclei")
    metric = NucleiKept()
    metric.use_nuclei(given.digest)
    group = Group("folder", {}, "er", place / "own", place / "results", nuclei=given)
    outcomes, failures = evaluate_images(place / "made", "mine", group, Instrument({"nuclei": metric}))
    assert "mine" not in {outcome.summary.row for outcome in outcomes}
    assert outcomes
    assert len(failures) == 1
    assert "mine/b.tif" in failures[0]
    (place / "nuclei/real/b.tif").write_bytes(b"II*\0")
    group = Group("folder", {}, "er", place / "own", place / "others", nuclei=GivenNuclei(place / "nuclei"))
    with pytest.raises(DataError, match=r"real/b\.tif"):
        evaluate_references(group, Instrument({"nuclei": metric}))


def test_they_are_of_the_images_at_their_own_size(place: Path) -> None:
    size = CommonSize(SIDE // 2, SIDE // 2, "box")
    with pytest.raises(UsageError, match="leave out --size"):
        Group("folder", {}, "er", place / "own", place / "results", size, nuclei=GivenNuclei(place / "nuclei"))
