"""Images made elsewhere: each file goes to its pair or is named, and no size changes unasked."""

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.cli.evaluate import evaluate
from vsbench.data.pairs import Pair
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.outside import (
    RULES,
    THEIR_CAP,
    Found,
    find,
    foreign_inputs,
    lossy_warning,
    reader,
    resize,
    resize_warning,
)

IDS = ("a", "a_1", "b.x")
SHEET = ("real_A", "fake_B", "rec_A", "idt_A", "real_B", "fake_A", "rec_B", "idt_B")


def write(folder: Path, *names: str) -> Path:
    """Files that hold their name: finding opens none."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(found: Found) -> dict[str, str]:
    return {stem: path.name for stem, path in found.files.items()}


def pattern(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blocks of random colours, about as different from one another as those of tissue."""
    coarse = np.random.default_rng(seed).integers(100, 240, (height // 4, width // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def saved(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def test_by_the_pairs_names_whatever_the_endings(tmp_path: Path) -> None:
    found = find(write(tmp_path, "a.png", "a_1.tif", "b.x.jpg", "notes.txt"), IDS)
    assert names(found) == {"a": "a.png", "a_1": "a_1.tif", "b.x": "b.x.jpg"}
    assert not found.inputs
    assert not found.rule


def test_names_with_folders_are_sought_in_folders(tmp_path: Path) -> None:
    found = find(write(tmp_path, "s1/images/t_x.png", "s2/t_x.png"), ("s1/images/t", "s2/t"), suffix="_x")
    assert found.files == {"s1/images/t": tmp_path / "s1/images/t_x.png", "s2/t": tmp_path / "s2/t_x.png"}


def test_missing_and_strange_names_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "a.png", "b.x.png")
    with pytest.raises(DataError, match=r"is missing: a_1;"):
        find(folder, IDS)
    write(folder, "a_1.png", "c.png")
    with pytest.raises(DataError, match=r"belongs to no test pair: c;"):
        find(folder, IDS)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "a.png", "a.jpg", "a_1.png", "b.x.png")
    with pytest.raises(DataError, match=r"a\.png: a\.jpg has the same stem"):
        find(folder, IDS)
    folder = write(tmp_path / "suffixed", "a_y.png", "a_y.jpg", "a_1_y.png", "b.x_y.png")
    with pytest.raises(DataError, match=r"a_y\.png: a_y\.jpg has the same stem"):
        find(folder, IDS, suffix="_y")


def test_no_folder_and_no_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such folder"):
        find(tmp_path / "none", IDS)
    with pytest.raises(DataError, match="holds no image"):
        find(write(tmp_path, "readme.txt"), IDS)


def test_a_stated_suffix_leaves_other_files_out_and_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path, *(f"{name}{end}.png" for name in IDS for end in ("", "_fake_B", "_out")), "legend.png")
    found = find(folder, IDS, suffix="_out")
    assert names(found) == {"a": "a_out.png", "a_1": "a_1_out.png", "b.x": "b.x_out.png"}
    assert found.rule == "*_out of 10 files"
    (folder / "a_1_out.png").unlink()
    with pytest.raises(DataError, match=r"is missing: a_1;.*_out"):
        find(folder, IDS, suffix="_out")
    write(folder, "a_1_out.png", "c_out.png")
    with pytest.raises(DataError, match=r"belongs to no test pair: c;"):
        find(folder, IDS, suffix="_out")


def test_a_suffix_that_no_file_has_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    folder = write(tmp_path, *(f"{name}_fake.png" for name in IDS), "a_he.png")
    with pytest.raises(UsageError) as caught:
        find(folder, IDS, suffix="_fake_B")
    assert str(caught.value) == (
        f"--suffix _fake_B: no image in {folder} has it; after the names of test pairs come _fake (3), _he (1)"
    )
    with pytest.raises(UsageError, match="no image there has a name that begins with a test pair's: 17, 18"):
        find(write(tmp_path / "other", "17.png", "18.png"), IDS, suffix="_fake")


def test_the_suffix_that_would_do_is_offered(tmp_path: Path) -> None:
    folder = write(tmp_path, *(f"{name}_generated.png" for name in IDS))
    with pytest.raises(DataError, match=r"try --suffix _generated$"):
        find(folder, IDS)


@pytest.mark.parametrize("below", [".", "images"])
def test_cyclegan_result_folders_are_recognised(tmp_path: Path, below: str) -> None:
    write(tmp_path / below, *(f"{name}_{label}.png" for name in IDS for label in SHEET))
    write(tmp_path, "index.html", ".trash.png")
    found = find(tmp_path, IDS)
    assert names(found) == {name: f"{name}_fake_B.png" for name in IDS}
    assert {stem: path.name for stem, path in found.inputs.items()} == {name: f"{name}_real_A.png" for name in IDS}
    assert found.rule == "CycleGAN result folder: *_fake_B of 24 files"


def test_result_folders_of_one_direction_are_recognised(tmp_path: Path) -> None:
    folder = write(tmp_path, *(f"{name}_{label}.png" for name in IDS for label in ("real", "fake")))
    assert names(find(folder, IDS)) == {name: f"{name}_fake.png" for name in IDS}
    folder = write(tmp_path / "pairs", *(f"{name}_{label}.png" for name in IDS for label in ("real_B", "fake_B")))
    assert names(find(folder, IDS)) == {name: f"{name}_fake_B.png" for name in IDS}


def test_pairs_that_are_called_like_results_keep_their_names(tmp_path: Path) -> None:
    ids = ("a_fake_B", "a_real_A")
    assert find(write(tmp_path, "a_fake_B.png", "a_real_A.png"), ids).files.keys() == set(ids)


def test_nothing_is_taken_for_a_result_folder_that_is_none(tmp_path: Path) -> None:
    """Generated images alone need the option; images of no result are named, a second candidate above all."""
    alone = write(tmp_path / "alone", *(f"{name}_fake_B.png" for name in IDS))
    with pytest.raises(DataError, match=r"is missing: a, .*; try --suffix _fake_B$"):
        find(alone, IDS)
    folder = write(tmp_path / "two", *(f"{name}_{label}.png" for name in IDS for label in SHEET), "a.png")
    with pytest.raises(DataError, match=r"goes with no \*_fake_B image: a;.*--suffix _fake_B"):
        find(folder, IDS)
    assert names(find(folder, IDS, suffix="_fake_B"))["a"] == "a_fake_B.png"


def test_a_result_folder_must_be_complete(tmp_path: Path) -> None:
    ids = [f"{n:03}" for n in range(THEIR_CAP + 2)]
    folder = write(tmp_path, *(f"{name}_{label}.png" for name in ids[:THEIR_CAP] for label in ("fake_B", "real_B")))
    with pytest.raises(DataError, match=r"is missing: 050, 051;.*stop at 50 images without --num_test"):
        find(folder, ids)


@pytest.mark.parametrize("below", [".", "images"])
def test_cut_result_folders_are_recognised(tmp_path: Path, below: str) -> None:
    write(tmp_path / below, *(f"{label}/{name}.png" for name in IDS for label in ("fake_B", "real_A", "real_B")))
    found = find(tmp_path, IDS)
    assert found.files == {name: tmp_path / below / "fake_B" / f"{name}.png" for name in IDS}
    assert found.inputs == {name: tmp_path / below / "real_A" / f"{name}.png" for name in IDS}
    assert found.rule.startswith("CUT result folder: fake_B/ of ")
    assert find(tmp_path / below / "fake_B", IDS).files == found.files
    (tmp_path / below / "fake_B" / "a_1.png").unlink()
    with pytest.raises(DataError, match=r": is missing: a_1; CUT result folder: fake_B/"):
        find(tmp_path, IDS)


def test_inputs_that_are_not_the_he_are_told(tmp_path: Path) -> None:
    """The same tissue as JPEG in half the size passes; other tissue does not."""
    tissue = [pattern(32, 24, seed).repeat(4, 0).repeat(4, 1) for seed in range(6)]
    pairs, inputs = [], {}
    for name, image in zip("abcde", tissue, strict=False):
        he = saved(tmp_path / f"he/{name}.png", image)
        pairs.append(Pair(name, he, he, None, "test"))
        inputs[name] = saved(tmp_path / f"real_A/{name}.jpg", resize(image, (64, 48), "bicubic"))
    assert foreign_inputs(Found({}, "", inputs), pairs) == []
    assert foreign_inputs(Found({}, "", {}), pairs) == []
    saved(inputs["c"], tissue[5])
    (warning,) = foreign_inputs(Found({}, "", inputs), pairs)
    assert warning.endswith("H&E: c")


@pytest.mark.parametrize("rule", RULES)
def test_resizing_is_pillows_and_says_its_rule(rule: str) -> None:
    image = pattern(32, 48)
    expected = Image.fromarray(image).resize((20, 10), getattr(Image.Resampling, rule.upper()))
    small = resize(image, (10, 20), rule)
    np.testing.assert_array_equal(small, np.asarray(expected))
    assert small.dtype == np.uint8
    assert resize(image, (32, 48), rule) is image


def test_rules_differ_and_box_is_the_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    results = {rule: resize(image, (4, 8), rule) for rule in RULES}
    assert len({result.tobytes() for result in results.values()}) == len(RULES)
    means = image.reshape(4, 4, 8, 2, 3).mean(axis=(1, 3))
    assert np.abs(results["box"] - means).max() <= 1  # Pillow rounds after each of two passes


def test_an_unknown_rule_is_refused_before_anything_is_read() -> None:
    for use in (lambda: reader({}, "area"), lambda: resize(pattern(8, 8), (8, 8), "area")):
        with pytest.raises(UsageError, match=r"no such rule; one of bicubic, box, lanczos, nearest"):
            use()
    offered, _ = get_args(get_type_hints(evaluate)["resize"])
    assert set(get_args(offered)) == set(RULES)


def test_another_size_is_an_error_unless_a_rule_is_given(tmp_path: Path) -> None:
    real = pattern(32, 48)
    pair = Pair("a", tmp_path / "he.png", tmp_path / "ihc.png", None, "test")
    files = {"a": saved(tmp_path / "a.png", pattern(16, 24))}
    with pytest.raises(DataError) as caught:
        reader(files)(pair, real, real)
    assert str(caught.value) == (
        f"{files['a']}: 16×24 pixels, but {pair.ihc} has 32×48; the images of a pair must have one size, or say "
        "--resize bicubic|box|lanczos|nearest, with --size for all rows"
    )
    resized = reader(files, "lanczos")(pair, real, real)
    np.testing.assert_array_equal(resized, resize(pattern(16, 24), (32, 48), "lanczos"))
    saved(files["a"], pattern(32, 48, seed=3))
    np.testing.assert_array_equal(reader(files)(pair, real, real), pattern(32, 48, seed=3))


@pytest.mark.parametrize("size", [(32, 32), (31, 48), (48, 32), (64, 48), (16, 26)])
def test_resizing_never_changes_the_aspect_ratio(tmp_path: Path, size: tuple[int, int]) -> None:
    real, pair = pattern(32, 48), Pair("a", tmp_path / "he.png", tmp_path / "ihc.png", None, "test")
    files = {"a": saved(tmp_path / "a.png", np.zeros((*size, 3), np.uint8))}
    with pytest.raises(DataError) as caught:
        reader(files, "bicubic")(pair, real, real)
    assert str(caught.value) == (
        f"{files['a']}: {size[0]}×{size[1]} pixels, but the real IHC has 32×48: --resize bicubic would change the "
        "aspect ratio; crop or make it anew in the aspect ratio of the real IHC"
    )


@pytest.mark.parametrize(("stored", "wanted"), [((16, 24), (33, 49)), ((17, 25), (33, 49)), ((66, 98), (33, 49))])
def test_sides_in_whole_pixels_are_no_other_aspect_ratio(
    tmp_path: Path, stored: tuple[int, int], wanted: tuple[int, int]
) -> None:
    real, pair = np.zeros((*wanted, 3), np.uint8), Pair("a", tmp_path / "he.png", tmp_path / "ihc.png", None, "test")
    files = {"a": saved(tmp_path / "a.png", np.zeros((*stored, 3), np.uint8))}
    assert reader(files, "bicubic")(pair, real, real).shape == real.shape


def test_the_summary_can_say_what_was_resized(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n}.png", pattern(16, 24 if n else 32)) for n in range(3)]
    assert resize_warning(files, "box").startswith("stored at 16×24 (2), 16×32 (1); resized")


def test_images_in_lossy_formats_are_named_by_content(tmp_path: Path) -> None:
    image = Image.fromarray(pattern(32, 32))
    kept = {"a.png": "PNG", "b.tif": "TIFF", "c.bmp": "BMP"}
    lossy = {"d.jpg": "JPEG", "e.png": "JPEG", "f.webp": "WEBP", "g.webp": "WEBP"}
    for name, kind in (kept | lossy).items():
        image.save(tmp_path / name, kind)
    image.convert("RGBA").save(tmp_path / "g.webp", exif=b"Exif\0\0")  # in the extended form
    image.save(tmp_path / "h.webp", lossless=True)
    image.save(tmp_path / "i.tif", compression="jpeg")
    assert lossy_warning(tmp_path / name for name in (*kept, "h.webp")) == []
    kinds = {"JPEG": ["d.jpg", "e.png"], "lossy WebP": ["f.webp", "g.webp"], "TIFF of JPEG": ["i.tif"]}
    assert lossy_warning(sorted(tmp_path.iterdir())) == [
        f"{len(names)} of 9 images are {kind}, which changes the stain that is measured; save them as PNG: "
        + ", ".join(names)
        for kind, names in kinds.items()
    ]
