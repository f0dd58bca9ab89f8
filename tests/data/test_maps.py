"""Pictures that follow from a tile: cut and mirrored with it, made once, ready ones found before they are needed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vsbench.data.augment import Augmentation, TileReader, read_tile
from vsbench.data.loader import Augmentations, Draws, TrainingBatches, stream
from vsbench.data.maps import MappedTiles, Memory, TileMaps, pictures_digest, ready_pictures, require_maps
from vsbench.data.pairs import Pair
from vsbench.data.tile_cache import TileCache
from vsbench.errors import DataError, UsageError
from vsbench.method import Batch, Place

SIDE, CROP, TILES = 24, 16, 4
Pixels = NDArray[np.uint8]


def derived(tile: Pixels) -> Pixels:
    """Two channels that tell each pixel of a tile from its neighbours."""
    return np.stack([tile[..., 0] // 2 + tile[..., 1] // 2, 255 - tile[..., 2]], axis=2)


def with_ready(tile: Pixels, ready: Pixels) -> Pixels:
    return np.concatenate([derived(tile), ready[..., None]], axis=2)


class Counted:
    """A function of maps that counts its calls."""

    def __init__(self, make: Callable[..., Pixels] = derived) -> None:
        self.make, self.calls = make, 0

    def __call__(self, *given: Pixels) -> Pixels:
        self.calls += 1
        return self.make(*given)


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    rng, made = np.random.default_rng(0), []
    for number in range(TILES):
        files = [tmp_path / side / f"tile-{number}.png" for side in ("he", "ihc")]
        for file in files:
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file)
        made.append(Pair(f"tile-{number}", *files, None, "train"))
    return made


def mapped(pairs: list[Pair], make: Callable[..., Pixels] = derived, read: TileReader = read_tile) -> MappedTiles:
    maps = TileMaps(2, "derived 1", make)
    return MappedTiles(read, maps, ready_pictures(maps, pairs))


def batches_of(pairs: list[Pair], tile: TileReader, aligned: bool = True, load_size: int = 0) -> TrainingBatches:
    crop = Augmentation(load_size, CROP, flip=True)
    return TrainingBatches(pairs, Draws(TILES, 2, 0, aligned), Augmentations(crop, crop, 10**9), tile=tile)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("load_size", [0, 20])
@pytest.mark.parametrize("workers", [0, 1])
def test_maps_are_cut_and_mirrored_with_their_tile(
    pairs: list[Pair], aligned: bool, load_size: int, workers: int
) -> None:
    """What is made of each pixel alone is the same before and after cutting."""
    plain = batches_of(pairs, read_tile, aligned, load_size)
    for expected, (he, ihc, ids) in zip(
        stream(plain, 0, 8, 0, pin_memory=False),
        stream(batches_of(pairs, mapped(pairs), aligned, load_size), 0, 8, workers, pin_memory=False),
        strict=True,
    ):
        batch = Batch.of(he, ihc, ids, Place())
        assert batch.ids == expected[2]
        assert torch.equal(batch.he, expected[0])
        assert torch.equal(batch.ihc, expected[1])
        assert batch.maps is not None
        levels = ((batch.ihc + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        wanted = np.stack([derived(tile) for tile in levels]).transpose(0, 3, 1, 2)
        torch.testing.assert_close(batch.maps, torch.from_numpy(wanted) / 255, rtol=0, atol=1e-6)
        assert batch.maps.min() >= 0
        assert batch.maps.max() <= 1


def test_a_batch_without_maps_has_none(pairs: list[Pair]) -> None:
    assert Batch.of(*batches_of(pairs, read_tile)[0], Place()).maps is None


def test_maps_of_a_tile_are_made_once_while_there_is_room(pairs: list[Pair]) -> None:
    make = Counted()
    tiles = mapped(pairs, make)
    for _ in range(3):
        for pair in pairs:
            assert np.array_equal(tiles(pair.ihc, 0).maps, derived(np.asarray(tiles(pair.ihc, 0).pixels)))
            assert tiles(pair.he, 0).maps is None
    assert make.calls == TILES
    tiles(pairs[0].ihc, 20)  # another size is another tile
    assert make.calls == TILES + 1


def test_memory_keeps_no_more_than_fits(pairs: list[Pair]) -> None:
    make = Counted()
    tiles = replace(mapped(pairs, make), keep=Memory(room=3 * 2 * SIDE**2))
    for _ in range(2):
        for pair in pairs:
            tiles(pair.ihc, 0)
    assert make.calls == TILES + 1  # three are kept


def test_a_cache_keeps_maps_with_their_tiles_by_key(pairs: list[Pair], tmp_path: Path) -> None:
    make, folder = Counted(), tmp_path / "cache"
    cache = TileCache.of(pairs, folder)
    tiles = replace(mapped(pairs, make, cache.tile), keep=cache.kept)
    needed = cache.require_room([0], tiles.names)
    assert needed == TILES * SIDE**2 * (2 * 3 + 2)
    expected = [mapped(pairs)(pair.ihc, 0).maps for pair in pairs]
    for again in (tiles, replace(tiles, keep=TileCache.of(pairs, folder).kept)):
        for pair, maps in zip(pairs, expected, strict=True):
            again(pair.he, 0)
            assert np.array_equal(again(pair.ihc, 0).maps, maps)
    assert make.calls == TILES
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) == needed
    assert cache.require_room([0], tiles.names) == 0
    other = replace(tiles, maps=replace(tiles.maps, key="derived 2"))
    other(pairs[0].ihc, 0)
    assert make.calls == TILES + 1


@pytest.fixture
def ready(pairs: list[Pair], tmp_path: Path) -> TileMaps:
    """Maps that take a grey picture of each tile, of which the level is 10 times the tile's number."""
    folder = tmp_path / "ready"
    folder.mkdir()
    for number, pair in enumerate(pairs):
        Image.new("L", (SIDE, SIDE), 10 * number).save(folder / f"{pair.id}.png")
    return TileMaps(3, "ready 1", with_ready, str(folder), "draw them")


def test_a_ready_picture_goes_with_its_tile_at_the_size_it_is_loaded(pairs: list[Pair], ready: TileMaps) -> None:
    tiles = MappedTiles(read_tile, ready, ready_pictures(ready, pairs))
    for load_size in (0, 20):
        for number, pair in enumerate(pairs):
            maps = tiles(pair.ihc, load_size).maps
            assert maps is not None
            assert maps.shape == (load_size or SIDE, load_size or SIDE, 3)
            assert (maps[..., 2] == 10 * number).all()
    require_maps(ready, pairs)


def test_a_ready_picture_that_changes_is_read_again(pairs: list[Pair], ready: TileMaps, tmp_path: Path) -> None:
    cache = TileCache.of(pairs, tmp_path / "cache")
    for keep in (Memory(), cache.kept):
        tiles = MappedTiles(read_tile, ready, ready_pictures(ready, pairs), keep)
        for level in (33, 44):
            Image.new("L", (SIDE, SIDE), level).save(Path(ready.folder) / "tile-1.png")
            maps = tiles(pairs[1].ihc, 0).maps
            assert maps is not None
            assert (maps[..., 2] == level).all()


def test_the_digest_of_ready_pictures_is_that_of_their_content(pairs: list[Pair], ready: TileMaps) -> None:
    before = pictures_digest(ready, pairs)
    assert before == pictures_digest(ready, pairs)
    Image.new("L", (SIDE, SIDE), 200).save(Path(ready.folder) / "tile-3.png")
    assert pictures_digest(ready, pairs) != before
    assert pictures_digest(replace(ready, folder=""), pairs) is None


def test_missing_ready_pictures_are_named_with_the_mend(pairs: list[Pair], ready: TileMaps) -> None:
    for name in ("tile-0", "tile-2"):
        (Path(ready.folder) / f"{name}.png").unlink()
    with pytest.raises(DataError, match="no ready map named after tile-0, tile-2; draw them"):
        require_maps(ready, pairs)
    with pytest.raises(DataError, match=r"nowhere: no such folder, .*; draw them"):
        require_maps(replace(ready, folder="nowhere"), pairs)


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        (Image.new("L", (SIDE, SIDE - 1)), "23×24 pixels, but"),
        (Image.new("RGB", (SIDE, SIDE)), "RGB image; convert it to 8-bit grey"),
        (Image.new("I;16", (SIDE, SIDE)), "more than 8 bits"),
        (None, "empty file"),
    ],
)
def test_a_ready_picture_that_does_not_fit_is_named(
    pairs: list[Pair], ready: TileMaps, picture: Image.Image | None, complaint: str
) -> None:
    file = Path(ready.folder) / "tile-2.png"
    if picture is None:
        file.write_bytes(b"")
    else:
        picture.save(file)
    with pytest.raises(DataError, match=rf"tile-2\.png: .*{complaint}"):
        require_maps(ready, pairs)
    with pytest.raises(DataError, match=rf"tile-2\.png: .*{complaint}"):
        MappedTiles(read_tile, ready, ready_pictures(ready, pairs))(pairs[2].ihc, 0)


def test_a_cache_counts_the_room_for_maps(pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, tiles = TileCache.of(pairs, tmp_path / "cache"), mapped(pairs)
    room = TILES * SIDE**2 * 2 * 3
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": room})())
    assert cache.require_room([0]) == room
    with pytest.raises(UsageError, match="choose another folder"):
        cache.require_room([0], tiles.names)
