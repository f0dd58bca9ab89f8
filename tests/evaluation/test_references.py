"""Rows that need no training: they learn from the training split only, and are what their titles say."""

import json
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.decode import read_rgb
from vsbench.data.pairs import Pair
from vsbench.errors import DataError
from vsbench.evaluation import references
from vsbench.evaluation.references import REFERENCES, Training, descriptor
from vsbench.stain import transfer
from vsbench.stain.density import DAB, HAEMATOXYLIN, SCANNER_EOSIN, SCANNER_HAEMATOXYLIN, stain_matrix
from vsbench.stain.density import transmitted_intensity as transmitted

Pixels = NDArray[np.uint8]
SIDE = 64


def tissue(seed: int, size: tuple[int, int], *vectors: NDArray[np.float64]) -> Pixels:
    """Blobs of two stains, of a strength and coarseness of their own."""
    rng = np.random.default_rng(seed)
    coarse = int(rng.integers(2, 7))
    amounts = rng.gamma(2, rng.uniform(0.1, 0.3), (*size, 2)).repeat(coarse, 0).repeat(coarse, 1)
    return np.rint(transmitted(amounts[: size[0], : size[1]] @ stain_matrix(*vectors))).astype(np.uint8)


def make_pairs(folder: Path, split: str, sizes: Sequence[tuple[int, int]], slides: Sequence[str | None]) -> list[Pair]:
    """Pairs on disk, ids a, b, c, …"""
    pairs = []
    for number, (size, slide) in enumerate(zip(sizes, slides, strict=True)):
        name, seed = f"{split}-{chr(97 + number)}", 2 * number + 1000 * (split == "test")
        he, ihc = (folder / side / split / f"{name}.png" for side in ("he", "ihc"))
        for file, stains in ((he, (SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)), (ihc, (HAEMATOXYLIN, DAB))):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(tissue(seed + (file == ihc), size, *stains)).save(file)
        pairs.append(Pair(name, he, ihc, slide, split))
    return pairs


@pytest.fixture
def train(tmp_path: Path) -> list[Pair]:
    return make_pairs(tmp_path, "train", [(SIDE, SIDE)] * 4 + [(SIDE, SIDE + 8)], "vvwwx")


@pytest.fixture
def test(tmp_path: Path) -> list[Pair]:
    pairs = make_pairs(tmp_path, "test", [(SIDE, SIDE)] * 4, "yyzz")
    return [replace(pair, best=other.ihc) for pair, other in zip(pairs, pairs[::-1], strict=True)]  # any image will do


def made(name: str, pair: Pair, train: Sequence[Pair], test: Sequence[Pair]) -> Pixels:
    """The image of a row, by way of its state as it is stored."""
    row = REFERENCES[name]
    state = json.loads(json.dumps(row.fit(Training(train), test), allow_nan=False))
    return row.maker(state, test)(pair, read_rgb(pair.he), read_rgb(pair.ihc))


@pytest.mark.parametrize("name", REFERENCES)
def test_a_row_is_an_image_of_the_pair_s_size_and_reads_what_it_says(
    name: str, train: list[Pair], test: list[Pair]
) -> None:
    """Without training images where it says so, and the images that it was given are left as they were."""
    row = REFERENCES[name]
    assert row.name == name
    he, real = read_rgb(test[0].he), read_rgb(test[0].ihc)
    he.setflags(write=False)
    real.setflags(write=False)
    image = row.maker(row.fit(Training(train if row.needs_train else []), test), test)(test[0], he, real)
    assert image.shape == real.shape
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, made(name, test[0], train, test))


def test_unchanged_rows_are_the_very_images(test: list[Pair]) -> None:
    """So that what is known of them is not worked out again."""
    he, real = read_rgb(test[0].he), read_rgb(test[0].ihc)
    assert REFERENCES["he"].maker({}, test)(test[0], he, real) is he
    assert REFERENCES["real-ihc"].maker({}, test)(test[0], he, real) is real


def test_mean_colour_fills_the_image(train: list[Pair], test: list[Pair]) -> None:
    image = made("mean-colour", test[0], train, test)
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [np.rint(Training(train).colours.mean).tolist()]


def test_colours_are_learnt_from_the_training_ihc_alone(train: list[Pair], test: list[Pair]) -> None:
    ihc = [read_rgb(p.ihc) for p in train]
    he = read_rgb(test[2].he)
    expected = transfer.reinhard(he, *transfer.mean_and_deviation(ihc))
    np.testing.assert_array_equal(made("reinhard", test[2], train, test), expected)
    pixels = np.concatenate([image.reshape(-1, 3) for image in ihc])
    stains = transfer.find_stains(transfer.pixel_density(pixels))
    assert stains is not None
    np.testing.assert_array_equal(made("macenko", test[2], train, test), transfer.macenko(he, stains))


def test_macenko_needs_few_pixels_of_each_image(
    train: list[Pair], test: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = REFERENCES["macenko"].fit(Training(train), test)
    monkeypatch.setattr(references, "MACENKO_PIXELS", 5 * 600)
    few = REFERENCES["macenko"].fit(Training(train), test)
    assert few["vectors"] != whole["vectors"]
    np.testing.assert_allclose(few["vectors"], whole["vectors"], atol=0.02)
    np.testing.assert_allclose(few["reach"], whole["reach"], rtol=0.2)


def test_macenko_tells_which_images_it_leaves_as_they_are(train: list[Pair], test: list[Pair]) -> None:
    Image.new("RGB", (SIDE, SIDE), (250, 249, 251)).save(test[1].he)
    assert REFERENCES["macenko"].fit(Training(train), test)["unchanged"] == [test[1].id]
    np.testing.assert_array_equal(made("macenko", test[1], train, test), read_rgb(test[1].he))


def test_macenko_without_stain_to_learn_from_does_not_exist(train: list[Pair], test: list[Pair]) -> None:
    for pair in train:
        Image.new("RGB", (SIDE, SIDE), (250, 249, 251)).save(pair.ihc)
    with pytest.raises(DataError, match="no two stains in the training IHC"):
        REFERENCES["macenko"].fit(Training(train), test)


def test_the_nearest_of_a_training_image_is_itself(train: list[Pair]) -> None:
    for pair in train:
        np.testing.assert_array_equal(made("nearest", pair, train, train), read_rgb(pair.ihc))


def test_the_nearest_is_the_same_tissue_with_other_noise(train: list[Pair], test: list[Pair]) -> None:
    """And of the same size: the last training image, the test image twice, has another."""
    noise = np.random.default_rng(0).integers(-6, 7, (SIDE, SIDE, 3))
    for pair, like in zip(test, (2, 0, 3, 1), strict=True):
        image = np.clip(read_rgb(train[like].he) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(pair.he)
        Image.fromarray(np.tile(image, (1, 2, 1))).save(train[4].he)
        np.testing.assert_array_equal(made("nearest", pair, train, test), read_rgb(train[like].ihc))


def test_every_part_of_the_descriptor_counts_alike(train: list[Pair], test: list[Pair]) -> None:
    """In units of its deviation over the training images, not of its own."""
    state = REFERENCES["nearest"].fit(Training(train), test)["nearest"]
    known = np.stack([descriptor(read_rgb(p.he)) for p in train])
    for pair in test:
        gaps = (known - descriptor(read_rgb(pair.he))) / known.std(axis=0)
        nearest = train[int((gaps[:4] ** 2).sum(axis=1).argmin())]
        assert (pair.ihc.parent / state[pair.id]).resolve() == nearest.ihc.resolve()


def test_a_descriptor_knows_no_up_and_down(train: list[Pair]) -> None:
    he = tissue(5, (64, 96), SCANNER_HAEMATOXYLIN, SCANNER_EOSIN)
    turned = np.ascontiguousarray(he[::-1, ::-1].transpose(1, 0, 2))
    np.testing.assert_allclose(descriptor(turned), descriptor(he), atol=1e-12)
    others = [descriptor(read_rgb(p.he)) for p in train]
    assert min(np.abs(descriptor(he) - other).max() for other in others) > 0.01


def test_what_was_retrieved_is_found_where_the_data_were_moved(
    tmp_path: Path, train: list[Pair], test: list[Pair]
) -> None:
    state = REFERENCES["nearest"].fit(Training(train), test)
    expected = read_rgb(train[0].ihc)
    state["nearest"][test[0].id] = state["nearest"][test[0].id].rpartition("/")[0] + f"/{train[0].ihc.name}"
    for side in ("he", "ihc"):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.move(tmp_path / side, tmp_path / "moved" / side)
    moved = [
        Pair(p.id, *(tmp_path / "moved" / s / "test" / p.he.name for s in ("he", "ihc")), None, "test") for p in test
    ]
    image = REFERENCES["nearest"].maker(state, moved)(moved[0], read_rgb(moved[0].he), read_rgb(moved[0].ihc))
    np.testing.assert_array_equal(image, expected)


def test_retrieval_is_among_images_of_one_size(tmp_path: Path, train: list[Pair]) -> None:
    odd = make_pairs(tmp_path / "odd", "test", [(SIDE, SIDE - 4)], "y")
    with pytest.raises(DataError, match=rf"test-a\.png: no training image is {SIDE}×{SIDE - 4} pixels"):
        REFERENCES["nearest"].fit(Training(train), odd)


def test_a_retrieved_image_of_another_size_is_named(train: list[Pair], test: list[Pair]) -> None:
    """A training IHC that is not of the size of its H&E."""
    state = REFERENCES["nearest"].fit(Training(train), test)
    for pair in train:
        Image.new("RGB", (9, 9)).save(pair.ihc)
    with pytest.raises(DataError, match=r"9×9 pixels, but .*test-a\.png has"):
        REFERENCES["nearest"].maker(state, test)(test[0], read_rgb(test[0].he), read_rgb(test[0].ihc))


def given(pairs: Sequence[Pair]) -> dict[str, str]:
    return REFERENCES["shuffled"].fit(Training([]), pairs)["given"]


@pytest.mark.parametrize(
    ("slides", "at_home"),
    [
        ("yyzz", 0),
        ("yyyzz!", 0),  # no slide has more than half of the tiles
        ("yyyyz", 3),  # five tiles: only two can be exchanged with the other slide's
        ("yyyy", 4),
        ("????", 0),
        ("y?y?y", 1),
    ],
)
def test_every_tile_gets_another_s_ihc_and_of_another_slide_where_one_is_left(
    tmp_path: Path, slides: str, at_home: int
) -> None:
    known = [None if slide == "?" else slide for slide in slides]
    pairs = make_pairs(tmp_path, "test", [(8, 8)] * len(known), known)
    of = {p.id: p.slide for p in pairs}
    found = given(pairs)
    assert sorted(found) == sorted(found.values()) == sorted(of)
    assert all(own != other for own, other in found.items())
    assert sum(of[own] is not None and of[own] == of[other] for own, other in found.items()) == at_home
    image = made("shuffled", pairs[1], [], pairs)
    np.testing.assert_array_equal(image, read_rgb(next(p for p in pairs if p.id == found[pairs[1].id]).ihc))


def test_the_shuffled_order_is_of_the_names_alone(test: list[Pair]) -> None:
    assert given(test[::-1]) == given(test)


def test_shuffling_is_among_images_of_one_size(tmp_path: Path) -> None:
    sizes = [(8, 8), (8, 16), (8, 8), (8, 16), (8, 8)]
    pairs = make_pairs(tmp_path, "test", sizes, "abcde")
    size = dict(zip((p.id for p in pairs), sizes, strict=True))
    assert all(size[own] == size[other] for own, other in given(pairs).items())
    with pytest.raises(DataError, match=r"test-b\.png: no other test IHC is 8×16 pixels"):
        given(pairs[:3])


@pytest.mark.parametrize("name", ["macenko", "nearest", "shuffled"])
def test_a_bad_test_image_loses_no_other(name: str, train: list[Pair], test: list[Pair]) -> None:
    """Whether it stops the evaluation is not for the row to say; a bad training image is named."""
    for file in (test[3].he, test[3].ihc):
        file.write_bytes(b"no image")
    for pair in test[:3]:
        assert made(name, pair, train, test).shape == (SIDE, SIDE, 3)
    for file in (train[1].he, train[1].ihc):
        file.write_bytes(b"no image")
    if REFERENCES[name].needs_train:
        with pytest.raises(DataError, match=r"train-b\.png"):
            REFERENCES[name].fit(Training(train), test)


def test_memory_does_not_grow_with_the_number_of_images(
    train: list[Pair], test: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the images that were read, no more than two are ever alive at once."""
    alive: list[weakref.ref[Pixels]] = []
    most = 0

    def counted(path: Path) -> Pixels:
        nonlocal most
        image = read_rgb(path)
        alive.append(weakref.ref(image))
        most = max(most, sum(reference() is not None for reference in alive))
        return image

    monkeypatch.setattr(references, "read_rgb", counted)
    for row in REFERENCES.values():
        row.fit(Training(train), test)
    assert len(alive) > 5
    assert most <= 2


def test_all_rows_together_read_each_training_ihc_once(
    train: list[Pair], test: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []
    monkeypatch.setattr(references, "read_rgb", lambda path: files.append(path) or read_rgb(path))
    once, alone = Training(train), {name: row.fit(Training(train), test) for name, row in REFERENCES.items()}
    files.clear()
    assert {name: row.fit(once, test) for name, row in REFERENCES.items()} == alone
    assert [file for file in files if file in {p.ihc for p in train}] == [p.ihc for p in train]


def test_the_best_prediction_is_a_row_only_where_it_is_known(train: list[Pair], test: list[Pair]) -> None:
    assert REFERENCES["best"].exists(test)
    assert not REFERENCES["best"].exists([*test[1:], replace(test[0], best=None)])
    np.testing.assert_array_equal(made("best", test[0], train, test), read_rgb(test[-1].ihc))
    assert all(row.exists(train) for name, row in REFERENCES.items() if name != "best")
