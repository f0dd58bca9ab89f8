"""Training batches, each a pure function of the seed and its number: a resumed run goes on with the very next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsbench.data.augment import Augmentation, TileReader, read_tile
from vsbench.data.decode import require_one_size
from vsbench.data.pairs import Pair
from vsbench.data.tensors import scaled
from vsbench.data.workers import Ahead
from vsbench.errors import UsageError

Sampled = tuple[Tensor, Tensor, tuple[str, ...]]  # H&E and IHC (B, 3, H, W) in [−1, 1], ids of the H&E tiles
Levels = tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]  # the same with images as (B, H, W, 3)


@dataclass(frozen=True)
class Draws:
    """Which tiles make up which batch.

    ``aligned``: the IHC is the H&E's partner, cut alike; else any, cut on its own. ``replace``: H&E tiles come with
    replacement; else each epoch is a permutation. An incomplete last batch of an epoch is left out.
    """

    pairs: int
    batch_size: int
    seed: int
    aligned: bool = True
    replace: bool = False
    ihc_tiles: int | None = None  # for unaligned draws, where their number is not that of the pairs

    def __post_init__(self) -> None:
        if self.pairs < self.batch_size:
            raise UsageError(f"batch_size {self.batch_size} exceeds the {self.pairs} training pairs; lower it")

    @property
    def batches_per_epoch(self) -> int:
        """Complete batches in one epoch."""
        return self.pairs // self.batch_size

    def indices(self, step: int) -> list[tuple[int, int]]:
        """(H&E tile, IHC tile) of batch number ``step``, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.batches_per_epoch)
        rng = np.random.default_rng([self.seed, 0, epoch])
        he = rng.integers(self.pairs, size=self.pairs) if self.replace else rng.permutation(self.pairs)
        ihc = he if self.aligned else rng.integers(self.ihc_tiles or self.pairs, size=self.pairs)
        here = slice(position * self.batch_size, (position + 1) * self.batch_size)
        return list(zip(he[here].tolist(), ihc[here].tolist(), strict=True))


class TrainingBatches:
    """Item *k* is batch *k*, decoded and augmented. Of R ranks, rank r has the r-th of R equal pieces of the batch.

    Parameters
    ----------
    augmentation : for each step, what is done to its tiles.
    rank, ranks : this process among those that share each batch.
    tile : decodes a tile, or has it from a ``TileCache``.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        draws: Draws,
        augmentations: "Augmentations",
        rank: int = 0,
        ranks: int = 1,
        tile: TileReader = read_tile,
    ) -> None:
        self.pairs = pairs
        self.ihc = list(dict.fromkeys(pair.ihc for pair in pairs))  # each once: unpaired ones come round
        self.draws = draws
        self.augmentations = augmentations
        self.tile = tile
        assert draws.batch_size % ranks == 0, f"{draws.batch_size} tiles cannot be shared by {ranks} ranks"
        share = draws.batch_size // ranks
        self.places = range(rank * share, (rank + 1) * share)

    def __getitem__(self, step: int) -> Sampled:
        """Batch number ``step``. Raises DataError naming a bad file."""
        he, ihc, ids = self.levels(step)
        return scaled(he), scaled(ihc), ids

    def levels(self, step: int) -> Levels:
        """The same before it is scaled."""
        augmentation = self.augmentations.at(step)
        he, ihc, ids = [], [], []
        drawn = self.draws.indices(step)
        for place in self.places:
            he_index, ihc_index = drawn[place]
            rng = np.random.default_rng([self.draws.seed, 1, step, place])
            he_path = self.pairs[he_index].he
            ihc_path = self.pairs[ihc_index].ihc if self.draws.aligned else self.ihc[ihc_index]
            if self.draws.aligned:
                tiles = {path: self.tile(path, augmentation.load_size) for path in (he_path, ihc_path)}
                require_one_size({path: tile.stored for path, tile in tiles.items()})
                he_crop, ihc_crop = augmentation.apply(tiles, rng)
            else:
                (he_crop,) = augmentation.apply({he_path: self.tile(he_path, augmentation.load_size)}, rng)
                (ihc_crop,) = augmentation.apply({ihc_path: self.tile(ihc_path, augmentation.load_size)}, rng)
            he.append(augmentation.coloured(he_crop, rng))
            ihc.append(ihc_crop)
            ids.append(self.pairs[he_index].id)
        return np.stack(he), np.stack(ihc), tuple(ids)


@dataclass(frozen=True)
class Augmentations:
    """The constant phase's augmentation, and the one from step ``decay_from`` on."""

    constant: Augmentation
    decay: Augmentation
    decay_from: int

    @property
    def load_sizes(self) -> set[int]:
        """Of both phases."""
        return {self.constant.load_size, self.decay.load_size}

    def at(self, step: int) -> Augmentation:
        """What is done to the tiles of a step."""
        return self.decay if step >= self.decay_from else self.constant


def stream(
    batches: TrainingBatches,
    start: int,
    stop: int,
    workers: int,
    pin_memory: bool,
    waiting: Callable[[], None] = lambda: None,
) -> Ahead[Sampled]:
    """Batches ``start`` … ``stop`` − 1 in order, prepared ahead by ``workers`` processes (0: none).

    ``waiting``: called while the next one is not there, and may raise. They are scaled here, pinned for a GPU if
    wanted: four times the bytes from process to process would cost more than all else but decoding.
    """

    def at_once(levels: Levels) -> Sampled:
        he, ihc, ids = levels
        return scaled(he, pin_memory), scaled(ihc, pin_memory), ids

    numbers = range(start, stop)
    return Ahead(batches.levels, numbers, workers, begin=_one_thread, waiting=waiting, then=at_once)


def _one_thread() -> None:
    torch.set_num_threads(1)
