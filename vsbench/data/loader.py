"""Training batches, each a pure function of the seed and its number: a resumed run goes on with the very next one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vsbench.data.augment import Augmentation
from vsbench.data.decode import read_rgb, require_equal_sizes
from vsbench.data.pairs import Pair
from vsbench.data.tensors import to_tensor
from vsbench.errors import UsageError

Sampled = tuple[Tensor, Tensor, tuple[str, ...]]  # H&E and IHC (B, 3, H, W) in [−1, 1], ids of the H&E tiles


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
        ihc = he if self.aligned else rng.integers(self.pairs, size=self.pairs)
        here = slice(position * self.batch_size, (position + 1) * self.batch_size)
        return list(zip(he[here].tolist(), ihc[here].tolist(), strict=True))


class TrainingBatches(Dataset[Sampled]):
    """Item *k* is batch *k*, decoded and augmented. Of R ranks, rank r has the r-th of R equal pieces of the batch.

    Parameters
    ----------
    augmentation : for each step, what is done to its tiles.
    rank, ranks : this process among those that share each batch.
    """

    def __init__(
        self, pairs: Sequence[Pair], draws: Draws, augmentations: "Augmentations", rank: int = 0, ranks: int = 1
    ) -> None:
        self.pairs = pairs
        self.draws = draws
        self.augmentations = augmentations
        assert draws.batch_size % ranks == 0, f"{draws.batch_size} tiles cannot be shared by {ranks} ranks"
        share = draws.batch_size // ranks
        self.places = range(rank * share, (rank + 1) * share)

    def __getitem__(self, step: int) -> Sampled:
        """Batch number ``step``. Raises DataError naming a bad file."""
        augmentation = self.augmentations.at(step)
        he, ihc, ids = [], [], []
        drawn = self.draws.indices(step)
        for place in self.places:
            he_index, ihc_index = drawn[place]
            rng = np.random.default_rng([self.draws.seed, 1, step, place])
            he_path, ihc_path = self.pairs[he_index].he, self.pairs[ihc_index].ihc
            if self.draws.aligned:
                images = {path: read_rgb(path) for path in (he_path, ihc_path)}
                require_equal_sizes(images)
                he_crop, ihc_crop = augmentation.apply(images, rng)
            else:
                (he_crop,) = augmentation.apply({he_path: read_rgb(he_path)}, rng)
                (ihc_crop,) = augmentation.apply({ihc_path: read_rgb(ihc_path)}, rng)
            he.append(he_crop)
            ihc.append(ihc_crop)
            ids.append(self.pairs[he_index].id)
        return to_tensor(he), to_tensor(ihc), tuple(ids)


@dataclass(frozen=True)
class Augmentations:
    """The constant phase's augmentation, and the one from step ``decay_from`` on."""

    constant: Augmentation
    decay: Augmentation
    decay_from: int

    def at(self, step: int) -> Augmentation:
        """What is done to the tiles of a step."""
        return self.decay if step >= self.decay_from else self.constant


def stream(batches: TrainingBatches, start: int, stop: int, workers: int, pin_memory: bool) -> Iterator[Sampled]:
    """Batches ``start`` … ``stop`` − 1 in order, prepared ahead by ``workers`` processes (0: none)."""
    loader: DataLoader[Sampled] = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_one_thread,
        persistent_workers=False,
        generator=torch.Generator(),  # the loader must not draw its base seed from the training's generator
    )
    return ((he, ihc, tuple(ids)) for he, ihc, ids in loader)  # the loader makes lists of tuples


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
