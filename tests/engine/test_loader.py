"""Batches: which tiles, which part of them, and that each is a function of seed and number alone.

Test tiles tell where each pixel comes from: red is the row, green the column, blue the tile (IHC: 100 more).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.augment import Augmentation, Changes, read_tile
from vsbench.data.loader import Augmentations, Draws, Sampled, TrainingBatches, stream
from vsbench.data.pairs import Pair
from vsbench.data.tensors import to_images, to_tensor
from vsbench.data.tile_cache import TileCache
from vsbench.engine.run import Run
from vsbench.errors import DataError, UsageError

SIDE, CROP = 40, 16
TILES = 6


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    folder = tmp_path_factory.mktemp("tiles")
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = []
    for number in range(TILES):
        pair = Pair(f"tile-{number}", folder / f"he-{number}.png", folder / f"ihc-{number}.png", None, "train")
        for file, mark in ((pair.he, number), (pair.ihc, number + 100)):
            pixels = np.stack([rows, columns, np.full_like(rows, mark)], axis=2)
            Image.fromarray(pixels.astype(np.uint8)).save(file)
        made.append(pair)
    return made


def batches_of(
    pairs: list[Pair],
    size: int = 2,
    seed: int = 0,
    aligned: bool = True,
    rank: int = 0,
    ranks: int = 1,
    cache: TileCache | None = None,
    load_size: int = 0,
) -> TrainingBatches:
    crop = Augmentation(load_size, CROP, flip=True)
    draws = Draws(len(pairs), size, seed, aligned)
    tile = read_tile if cache is None else cache.tile
    return TrainingBatches(pairs, draws, Augmentations(crop, crop, decay_from=10**9), rank, ranks, tile)


def assert_equal(left: Sampled, right: Sampled) -> None:
    assert left[2] == right[2]
    assert torch.equal(left[0], right[0])
    assert torch.equal(left[1], right[1])


def origin(crop: NDArray[np.uint8]) -> tuple[int, int, bool]:
    """(top, left, mirrored) of a crop of a test tile; asserts that it is a whole, straight piece."""
    mirrored = bool(crop[0, 0, 1] > crop[0, -1, 1])
    straight = crop[:, ::-1] if mirrored else crop
    top, left = int(straight[0, 0, 0]), int(straight[0, 0, 1])
    rows, columns = np.mgrid[top : top + CROP, left : left + CROP]
    np.testing.assert_array_equal(straight[..., 0], rows)
    np.testing.assert_array_equal(straight[..., 1], columns)
    return top, left, mirrored


def tile(crop: NDArray[np.uint8]) -> int:
    (number,) = set(crop[..., 2].flat)
    return int(number)


@pytest.mark.parametrize("aligned", [True, False])
def test_the_same_seed_gives_the_same_batches(pairs: list[Pair], aligned: bool) -> None:
    first, second, other = (batches_of(pairs, seed=seed, aligned=aligned) for seed in (3, 3, 4))
    for step in range(6):
        assert_equal(first[step], second[step])
    assert not all(torch.equal(first[step][0], other[step][0]) for step in range(6))


def test_a_batch_is_a_function_of_its_number(pairs: list[Pair]) -> None:
    """Whatever came before, and whoever asks: this is what a resumed training relies on."""
    batches = batches_of(pairs, aligned=False)
    expected = [batches[step] for step in range(8)]
    for step in (7, 2, 7, 0):
        assert_equal(batches_of(pairs, aligned=False)[step], expected[step])
    for workers in (0, 2):
        resumed = stream(batches, start=3, stop=8, workers=workers, pin_memory=False)
        for found, step in zip(resumed, range(3, 8), strict=True):
            assert_equal(found, expected[step])


def test_streaming_leaves_the_training_its_random_numbers(pairs: list[Pair]) -> None:
    before = torch.get_rng_state()
    list(stream(batches_of(pairs), 0, 3, workers=0, pin_memory=False))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("tiles", "size"), [(7, 1), (6, 2), (7, 3)])
def test_an_epoch_is_a_permutation(tiles: int, size: int) -> None:
    """Each tile at most once, all of them but an incomplete last batch's, in another order each time."""
    draws = Draws(tiles, size, seed=0)
    epochs = []
    for epoch in range(20):
        steps = range(epoch * draws.batches_per_epoch, (epoch + 1) * draws.batches_per_epoch)
        epochs.append(tuple(he for step in steps for he, _ in draws.indices(step)))
        assert len(set(epochs[-1])) == len(epochs[-1]) == size * (tiles // size)
        assert set(epochs[-1]) <= set(range(tiles))
    assert len(set(epochs)) > 10
    assert {he for epoch in epochs for he in epoch} == set(range(tiles))  # none is left out for ever


def test_with_replacement_tiles_come_at_random() -> None:
    draws = Draws(8, 2, seed=0, replace=True)
    drawn = [he for step in range(1000) for he, _ in draws.indices(step)]
    counts = Counter(drawn)
    assert set(counts) == set(range(8))
    assert max(abs(count - 250) for count in counts.values()) < 75  # 5 standard deviations
    epochs = [drawn[start : start + 8] for start in range(0, len(drawn), 8)]
    assert any(len(set(epoch)) < 8 for epoch in epochs)


def test_aligned_partners_belong_together() -> None:
    draws = Draws(8, 2, seed=0, aligned=True)
    assert all(he == ihc for step in range(12) for he, ihc in draws.indices(step))


def test_unaligned_partners_are_any() -> None:
    """All 64 combinations come up, about equally often; the H&E's order is that of the aligned loader."""
    draws = Draws(8, 2, seed=0, aligned=False)
    counts = Counter(pair for step in range(3200) for pair in draws.indices(step))
    assert len(counts) == 64
    assert max(abs(count - 100) for count in counts.values()) < 50
    aligned = replace(draws, aligned=True)
    for step in range(12):
        assert [he for he, _ in draws.indices(step)] == [he for he, _ in aligned.indices(step)]


def test_more_tiles_in_a_batch_than_there_are() -> None:
    with pytest.raises(UsageError, match=r"batch_size 4 .* 3 training pairs"):
        Draws(3, 4, seed=0)


def test_ranks_share_each_batch(pairs: list[Pair]) -> None:
    for aligned in (True, False):
        whole = batches_of(pairs, size=4, aligned=aligned)
        parts = [batches_of(pairs, size=4, aligned=aligned, rank=rank, ranks=2) for rank in (0, 1)]
        for step in range(3):
            he, ihc, ids = whole[step]
            for rank, part in enumerate(parts):
                here = slice(2 * rank, 2 * rank + 2)  # so that one after the other they are the whole batch
                assert_equal(part[step], (he[here], ihc[here], ids[here]))


def crops(batches: TrainingBatches, steps: Sequence[int]) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    made = []
    for step in steps:
        he, ihc, ids = batches[step]
        assert he.shape == ihc.shape == (len(ids), 3, CROP, CROP)
        for he_crop, ihc_crop, name in zip(to_images(he), to_images(ihc), ids, strict=True):
            assert name == f"tile-{tile(he_crop)}"
            made.append((he_crop, ihc_crop))
    return made


def test_aligned_crops_are_the_same_piece_of_both(pairs: list[Pair]) -> None:
    origins = []
    for he, ihc in crops(batches_of(pairs), range(60)):
        assert origin(he) == origin(ihc)
        assert tile(ihc) == tile(he) + 100
        origins.append(origin(he))
    assert_random(origins)


def test_unaligned_crops_are_cut_on_their_own(pairs: list[Pair]) -> None:
    made = [(origin(he), origin(ihc)) for he, ihc in crops(batches_of(pairs, aligned=False), range(60))]
    assert_random([he for he, _ in made])
    assert_random([ihc for _, ihc in made])
    for part in range(3):  # top, left and mirroring of one say nothing about the other
        he, ihc = (np.array([origins[side][part] for origins in made], dtype=float) for side in (0, 1))
        assert abs(np.corrcoef(he, ihc)[0, 1]) < 0.35


def assert_random(origins: list[tuple[int, int, bool]]) -> None:
    """120 origins: all over the tile, mirrored half of the time, within five standard deviations."""
    tops, lefts, mirrored = (np.array(part) for part in zip(*origins, strict=True))
    for places in (tops, lefts):
        assert places.min() >= 0
        assert places.max() <= SIDE - CROP
        assert len(set(places.tolist())) > 15
        assert abs(places.mean() - (SIDE - CROP) / 2) < 3.5
    assert abs(mirrored.mean() - 0.5) < 0.25


def test_without_flip_nothing_is_mirrored(pairs: list[Pair]) -> None:
    crop = Augmentation(load_size=0, crop_size=CROP, flip=False)
    batches = TrainingBatches(pairs, Draws(TILES, 2, seed=0), Augmentations(crop, crop, 0))
    assert not any(origin(he)[2] for he, _ in crops(batches, range(20)))


def test_shrinking_takes_the_whole_tile_from_the_decay_on(pairs: list[Pair]) -> None:
    crop, shrink = Augmentation(0, CROP, flip=True), Augmentation(CROP, CROP, flip=True)
    batches = TrainingBatches(pairs, Draws(TILES, 1, seed=0), Augmentations(crop, shrink, decay_from=4))
    for step in range(8):
        he, ihc, (name,) = batches[step]
        if step < 4:
            assert origin(to_images(he)[0]) == origin(to_images(ihc)[0])
            continue
        pair = next(pair for pair in pairs if pair.id == name)
        for image, file in ((he, pair.he), (ihc, pair.ihc)):
            with Image.open(file) as opened:
                whole = np.asarray(opened.resize((CROP, CROP), Image.Resampling.BICUBIC))
            (made,) = to_images(image)
            assert any(np.array_equal(made, candidate) for candidate in (whole, whole[:, ::-1]))


def test_tiles_are_enlarged_to_the_load_size(pairs: list[Pair]) -> None:
    """Twice the size: neighbouring pixels are half a row or column apart."""
    crop = Augmentation(load_size=2 * SIDE, crop_size=CROP, flip=False)
    (image,) = crop.apply({pairs[0].he: read_tile(pairs[0].he, 2 * SIDE)}, np.random.default_rng(0))
    assert abs(int(image[-1, 0, 0]) - int(image[0, 0, 0]) - CROP / 2) <= 1
    assert abs(int(image[0, -1, 1]) - int(image[0, 0, 1]) - CROP / 2) <= 1


def test_a_tile_smaller_than_the_crop_is_named(pairs: list[Pair]) -> None:
    crop = Augmentation(load_size=0, crop_size=SIDE + 1, flip=True)
    batches = TrainingBatches(pairs, Draws(TILES, 1, seed=0), Augmentations(crop, crop, 0))
    with pytest.raises(DataError, match=rf"he-\d\.png: {SIDE}×{SIDE} pixels hold no crop of {SIDE + 1}"):
        batches[0]


def test_partners_of_unequal_size_are_named(pairs: list[Pair], tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.new("RGB", (SIDE, SIDE - 1)).save(small)
    odd = [replace(pair, ihc=small) for pair in pairs]
    with pytest.raises(DataError, match=r"small\.png: 39×40 pixels, but .*he-\d\.png has 40×40"):
        batches_of(odd)[0]


def test_images_become_tensors_as_networks_want_them() -> None:
    """Mirrored views and read-only memory too, without a warning: −1 is black, 1 is white, rounding as in float32."""
    levels = np.arange(256, dtype=np.uint8)
    image = np.stack([levels, levels[::-1], levels // 2], axis=1)[:, None]  # (256, 1, 3)
    image.flags.writeable = False
    tensor = to_tensor([image, image[::-1]])
    assert tensor.shape == (2, 3, 256, 1)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = torch.arange(256).to(torch.float32) / 127.5 - 1
    assert torch.equal(tensor[0, 0, :, 0], expected)
    assert torch.equal(tensor[1, 1, :, 0], expected)
    np.testing.assert_array_equal(to_images(tensor)[0], image)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("load_size", [0, CROP, 2 * SIDE])
def test_a_cache_changes_no_batch(pairs: list[Pair], tmp_path: Path, load_size: int, aligned: bool) -> None:
    """Neither while tiles are written, nor when they are there, nor for processes that write the same ones."""
    expected = [batches_of(pairs, aligned=aligned, load_size=load_size)[step] for step in range(6)]
    cached = batches_of(pairs, aligned=aligned, load_size=load_size, cache=TileCache.of(pairs, tmp_path))
    for workers in (2, 0, 2):
        for found, batch in zip(stream(cached, 0, 6, workers, pin_memory=False), expected, strict=True):
            assert_equal(found, batch)


def test_cached_tiles_are_not_decoded_again(pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TileCache.of(pairs, tmp_path)
    first = cache.tile(pairs[0].he, 0)
    monkeypatch.setattr("vsbench.data.tile_cache.read_tile", None)
    again = TileCache.of(pairs, tmp_path).tile(pairs[0].he, 0)
    np.testing.assert_array_equal(np.asarray(again.pixels), np.asarray(first.pixels))
    assert again.size == again.stored == (SIDE, SIDE)
    with pytest.raises(TypeError):  # another size has to be made
        cache.tile(pairs[0].he, CROP)


def test_a_cache_says_beforehand_what_it_takes(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = TileCache.of(pairs, tmp_path / "tiles")
    whole = 2 * TILES * SIDE * SIDE * 3
    shrunk = 2 * TILES * CROP * CROP * 3
    assert cache.require_room([0, SIDE]) == whole  # one size in two words
    assert cache.require_room([0, CROP]) == whole + shrunk
    cache.tile(pairs[0].he, 0)
    assert cache.require_room([0]) == whole - SIDE * SIDE * 3
    assert sum(file.stat().st_size for file in cache.folder.rglob("*.rgb")) == SIDE * SIDE * 3
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=whole - 1))
    with pytest.raises(UsageError, match=r"tiles.*: the tiles take 0\.0 GiB"):
        cache.require_room([0, CROP])
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(UsageError, match=r"file/.*: no tiles can be kept there"):
        TileCache.of(pairs, blocked).require_room([0])


def test_a_changed_image_is_another_tile_and_a_cut_one_is_made_again(pairs: list[Pair], tmp_path: Path) -> None:
    path = tmp_path / "he.png"
    pair = replace(pairs[0], he=path)
    for mark in (3, 4):
        Image.new("RGB", (SIDE, SIDE), (mark, 0, 0)).save(path)
        assert read_red(TileCache.of([pair], tmp_path), path) == mark
    for kept in tmp_path.rglob("*.rgb"):
        kept.write_bytes(kept.read_bytes()[:-1])
    cache = TileCache.of([pair], tmp_path)
    assert read_red(cache, path) == read_red(cache, path) == 4
    assert sum(kept.stat().st_size == SIDE * SIDE * 3 for kept in tmp_path.rglob("*.rgb")) == 1


def test_a_full_disk_ends_no_training(pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vsbench.data.tile_cache.atomic", full)
    cached = batches_of(pairs, cache=TileCache.of(pairs, tmp_path))
    assert_equal(cached[0], batches_of(pairs)[0])
    assert not list(tmp_path.rglob("*.rgb"))


def test_a_training_with_cached_tiles_ends_with_the_same_weights(
    train: Callable[..., Run],
    whole: Callable[[str], Run],
    assert_same_end: Callable[[Run, Run], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tiles = tmp_path / "tiles"
    run = train(tmp_path, "pix2pix", request={"cache_tiles": tiles})
    assert_same_end(run, whole("pix2pix"))
    assert list(tiles.rglob("*.rgb"))
    assert f"{tiles}: decoded tiles are kept here" in capsys.readouterr().out


def read_red(cache: TileCache, path: Path) -> int:
    (red,) = set(cache.tile(path, 0).cut(0, 0, SIDE)[..., 0].flat)
    return int(red)


def test_partners_of_unequal_size_are_named_by_a_cache_too(pairs: list[Pair], tmp_path: Path) -> None:
    """As in their files, though both are kept at one load size."""
    small = tmp_path / "small.png"
    Image.new("RGB", (SIDE, SIDE - 1)).save(small)
    odd = [replace(pair, ihc=small) for pair in pairs]
    batches = batches_of(odd, load_size=CROP, cache=TileCache.of(odd, tmp_path))
    for _ in range(2):
        with pytest.raises(DataError, match=r"small\.png: 39×40 pixels, but .*he-\d\.png has 40×40"):
            batches[0]


def changed(pairs: list[Pair], changes: Changes, aligned: bool = True) -> TrainingBatches:
    crop = Augmentation(0, CROP, flip=True, changes=changes)
    return TrainingBatches(pairs, Draws(len(pairs), 2, 0, aligned), Augmentations(crop, crop, decay_from=10**9))


@pytest.mark.parametrize("aligned", [True, False])
def test_other_colours_are_the_h_and_es_alone_and_move_no_crop(pairs: list[Pair], aligned: bool) -> None:
    plain, coloured = (changed(pairs, Changes(he_colours=width), aligned) for width in ((0, 0, 0), (0.3, 0.3, 0.2)))
    differ = 0
    for step in range(10):
        (he, ihc, ids), (other, same, others) = plain.levels(step), coloured.levels(step)
        assert ids == others
        np.testing.assert_array_equal(ihc, same)
        differ += sum(not np.array_equal(a, b) for a, b in zip(he, other, strict=True))
        assert_equal(coloured[step], changed(pairs, Changes(he_colours=(0.3, 0.3, 0.2)), aligned)[step])
    assert differ > 15


def test_half_of_the_crops_are_turned_upside_down_both_of_a_pair_alike(pairs: list[Pair]) -> None:
    plain, turned, count = changed(pairs, Changes()), changed(pairs, Changes(flip_vertical=True)), 0
    for step in range(40):
        for he, ihc in zip(*turned.levels(step)[:2], strict=True):
            upside_down = he[0, 0, 0] > he[-1, 0, 0]
            count += upside_down
            straight = [image[::-1] if upside_down else image for image in (he, ihc)]
            assert origin(straight[0]) == origin(straight[1])
    assert 25 < count < 55
    assert all(he[0, 0, 0] < he[-1, 0, 0] for step in range(10) for he in plain.levels(step)[0])
