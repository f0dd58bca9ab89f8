"""A common size: what is measured is what Pillow's rule makes of the files, and no aspect ratio changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vsbench.data.seams import Seams
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.evaluate import Outcome, evaluate_images, evaluate_runs
from vsbench.evaluation.group import Group
from vsbench.evaluation.instrument import Instrument
from vsbench.evaluation.sizes import RULES, CommonSize, brought_to, options_of

SIDES = (48, 64)  # height, width, as stored
HALF = (24, 32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``pairs`` of (48, 64) pixels with a test split alone, and ``made`` of half that size."""
    for variable in ("VSBENCH_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        (tmp_path / "pairs" / side / "test").mkdir(parents=True)
    (tmp_path / "made").mkdir()
    for name in "abc":
        for file, size in (("pairs/he/test", SIDES), ("pairs/ihc/test", SIDES), ("made", HALF)):
            pixels = rng.integers(0, 256, (size[0] // 4, size[1] // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(pixels).save(tmp_path / file / f"{name}.png")
    return tmp_path


def shrink(place: Path, rule: str, *folders: str) -> None:
    """The files of these folders, by Pillow, with nothing of ours."""
    for folder in folders:
        for file in (place / folder).iterdir():
            Image.open(file).resize((HALF[1], HALF[0]), getattr(Image.Resampling, rule.upper())).save(file)


def evaluate(place: Path, size: CommonSize | None, name: str = "made", **more: Any) -> list[Outcome]:
    group = Group("folder", {}, "er", place / "pairs", place / "results", size)
    outcomes, failures = evaluate_images(place / "made", name, group, Instrument.build("cpu"), **more)
    if failures:
        raise DataError(failures[0])
    return outcomes


def numbers(outcome: Outcome) -> dict[str, float | None]:
    return {name: reading.value for name, reading in outcome.summary.values.items()}


@pytest.mark.parametrize("rule", RULES)
def test_all_rows_are_measured_as_if_the_files_had_that_size(place: Path, rule: str) -> None:
    """Real and generated alike; the size and the rule stand in the protocol of each number."""
    here = evaluate(place, CommonSize(*HALF, rule))
    for outcome in here:
        assert outcome.summary.sizes == ["24x32"]
        assert outcome.summary.protocol == f"size-24x32-{rule}"
        assert all(value.protocol.endswith(f"+size-24x32-{rule}") for value in outcome.summary.values.values())
        assert f"all images, real and generated, are measured at 24×32, by Pillow's {rule}" in outcome.summary.warnings
    assert "stored at 24×32 (3)" in here[-1].summary.warnings
    shrink(place, rule, "pairs/he/test", "pairs/ihc/test")
    assert [numbers(outcome) for outcome in here] == [numbers(outcome) for outcome in evaluate(place, None)]


def test_generated_images_may_be_stored_larger_than_the_real_ones(place: Path) -> None:
    shrink(place, "box", "pairs/he/test", "pairs/ihc/test")
    for file in (place / "made").iterdir():
        Image.open(file).resize((SIDES[1] * 2, SIDES[0] * 2), Image.Resampling.NEAREST).save(file)
    here = evaluate(place, CommonSize(*HALF, "box"))
    assert "stored at 96×128 (3)" in here[-1].summary.warnings
    shrink(place, "box", "made")
    assert numbers(here[-1]) == numbers(evaluate(place, None)[-1])


def test_an_evaluation_at_a_common_size_leaves_the_others_as_they_are(place: Path) -> None:
    first = evaluate(place, None, resize="bicubic")
    evaluate(place, CommonSize(*HALF, "box"))
    kept = first[-1].run.record
    assert kept.resize == "bicubic"  # type: ignore[union-attr]  # the rule for the size of the real IHC is another matter
    again = evaluate(place, None, resize="bicubic")
    assert all(outcome.cached for outcome in again)
    assert [numbers(outcome) for outcome in again] == [numbers(outcome) for outcome in first]
    assert all(outcome.cached for outcome in evaluate(place, CommonSize(*HALF, "box")))
    assert not any(outcome.cached for outcome in evaluate(place, CommonSize(*HALF, "bicubic")))


@pytest.mark.parametrize("file", ["pairs/he/test/b.png", "made/b.png"])
def test_the_aspect_ratio_of_no_image_changes(place: Path, file: str) -> None:
    Image.new("RGB", (40, 40)).save(place / file)
    if file.startswith("pairs"):
        Image.new("RGB", (40, 40)).save(place / "pairs/ihc/test/b.png")
    with pytest.raises(DataError, match=r"b\.png: 40×40 pixels: --size 24x32 would change the aspect ratio"):
        evaluate(place, CommonSize(*HALF, "box"))


def test_what_holds_at_the_images_own_size_alone_is_not_measured_at_another(tmp_path: Path) -> None:
    """True cells are known by their pixels, and draws spread around what was measured there."""
    small = {"size": 96, "slides_train": 1, "slides_test": 1, "tiles_per_slide": 1}
    where = ("phantom", small, "ki67", tmp_path / "phantom", tmp_path / "results")
    assert all(pair.cells is not None for pair in Group(*where).pairs)
    size = CommonSize(48, 48, "box")
    at_size = Group(*where, size)
    assert all(pair.cells is None and pair.truth is not None for pair in at_size.pairs)
    with pytest.raises(UsageError, match="--draws are measured at the images' own size: leave out --size"):
        evaluate_runs([], None, tmp_path, Instrument.build("cpu"), torch.device("cpu"), draws=2, size=size)


@pytest.mark.parametrize("how", [{"size": CommonSize(*HALF, "box")}, {"size": None, "resize": "box"}])
def test_a_bad_image_is_skipped_at_another_size_too(place: Path, how: dict[str, Any]) -> None:
    (place / "made/b.png").write_bytes(b"nothing")
    made = evaluate(place, on_bad="skip", **how)[-1].summary
    assert (made.n, list(made.skipped)) == (2, ["b"])
    assert any("stored at 24×32 (2)" in warning for warning in made.warnings)


def test_sizes_as_they_are_written() -> None:
    assert CommonSize.parse("256", "box") == CommonSize(256, 256, "box")
    assert CommonSize.parse("48x64", "lanczos") == CommonSize.parse("48×64", "lanczos") == CommonSize(48, 64, "lanczos")
    for wrong in ("", "x", "0", "-4", "4x", "x4", "4x4x4", "1e3", "4.0", "٤", "99999", "4 x 4", "0x4"):
        with pytest.raises(UsageError, match=f"--size '{wrong}': HEIGHTxWIDTH"):
            CommonSize.parse(wrong, "box")
    with pytest.raises(UsageError, match=r"--size 4x5: say by which rule, --resize bicubic\|box"):
        CommonSize.parse("4x5", None)
    with pytest.raises(UsageError, match="--resize 'cubic': no such rule"):
        CommonSize.parse("4", "cubic")
    with pytest.raises(UsageError, match="--size 0"):
        CommonSize(0, 4, "box")


def test_a_protocol_tells_its_options() -> None:
    size = CommonSize(48, 64, "nearest")
    assert options_of(size.protocol) == ["--size", "48x64", "--resize", "nearest"]
    assert brought_to(size.protocol, (480, 640)) == size
    assert options_of("resize-box") == ["--resize", "box"]
    assert brought_to("resize-box", (480, 640)) == CommonSize(480, 640, "box")
    for other in ("native", "size-48x64-", "size-99999x9-box", "resize-; rm", "size-4x4-box2"):
        assert (options_of(other), brought_to(other, (480, 640))) == ([], None)


def test_seams_are_looked_at_where_images_are_measured_as_they_are_stored(place: Path) -> None:
    """At another size they would lie elsewhere, smoothed."""
    shrink(place, "box", "pairs/he/test", "pairs/ihc/test")
    for file in (place / "made").iterdir():
        with Image.open(file) as image:
            image.save(file, pnginfo=Seams(rows=(12,)).text())
    *references, stitched = (numbers(outcome)["seam_jump"] for outcome in evaluate(place, None))
    assert isinstance(stitched, float)
    assert set(references) == {None}
    assert numbers(evaluate(place, None, "resized", resize="box")[-1])["seam_jump"] is None
    assert numbers(evaluate(place, CommonSize(12, 16, "box"), "small")[-1])["seam_jump"] is None
