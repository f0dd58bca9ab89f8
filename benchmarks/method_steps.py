"""The training step of every registered method: as vsbench takes it, written plainly, and its floor.

    python -m benchmarks.method_steps [METHOD …]

prints, all measured in one run at the published widths with 128² crops and two images: seconds of processor time of
all threads, and the peak memory of ours.

plain: in CUT's family each term encodes its own inputs, as the official codes do; everywhere torch's Adam and
convolutions as they are by default. floor: the passes that our step makes, each alone, with the gradients it needs, and
neither losses nor optimizers.
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.measuring import machine, peak_above_now, peak_of, time_rounds
from benchmarks.passes import recorded, replay
from vsbench import registry
from vsbench.checks._training import drawn_for, stained_batch, step
from vsbench.method import Batch, Method
from vsbench.nn import TiledConvolution

SIDE = 128
SEED = 10  # with which UNSB walks two steps of its four at most, the mean
SIDES = {"pspstain": 176}  # its five scales of MS-SSIM need more
VARIANTS = {"tdkstain": "label_free"}  # as published it needs pictures that were made elsewhere
Features = list[Tensor]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=registry.names("vsbench.methods"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", help="only print the peak memory of two steps of this method, in bytes")
    arguments = parser.parse_args()
    if arguments.peak:
        run = ours(*method_and_batch(arguments.peak))
        print(peak_above_now(lambda: (run(), run())))
        return
    print(machine())
    print(f"{'':14}{'ours s':>9}{'plain s':>9}{'floor s':>9}{'plain/ours':>12}{'ours/floor':>12}{'peak MB':>9}")
    for name in arguments.methods:
        variants = {kind: make(*method_and_batch(name)) for kind, make in KINDS.items()}
        timed = time_rounds(variants, arguments.rounds, time.process_time)
        peak = peak_of("benchmarks.method_steps", "--peak", name)
        seconds = "".join(f"{timed[kind].median:9.2f}" for kind in KINDS)
        faster, over = timed["ours"].ratio(timed["plain"]), 1 / timed["ours"].ratio(timed["floor"])
        print(f"{name:14}{seconds}{faster:12.2f}{over:12.2f}{peak / 1e6:9.0f}", flush=True)


def method_and_batch(name: str) -> tuple[Method[Any], Batch]:
    """A method at its published widths, and images of ``SIDE`` or the least multiple of what its networks need."""
    torch.manual_seed(0)
    method_class: Any = registry.load("vsbench.methods", name)
    method: Method[Any] = method_class(method_class.configure(options={"variant": VARIANTS.get(name, "")}))
    method.equip(drawn_for(method))
    return method.train(), stained_batch(method, side=SIDES.get(name, SIDE))


def ours(method: Method[Any], batch: Batch) -> Callable[[], object]:
    """The step as it is."""
    return functools.partial(same_step, method, method.optimizers(), batch)


def same_step(method: Method[Any], optimizers: dict[str, Any], batch: Batch) -> None:
    """A step with the same random numbers each time: how far UNSB walks is one of them."""
    torch.manual_seed(SEED)
    step(method, optimizers, batch)


def plain(method: Method[Any], batch: Batch) -> Callable[[], object]:
    """The same losses, nothing shared."""
    optimizers = method.optimizers()
    for group in (group for optimizer in optimizers.values() for group in optimizer.param_groups):
        group["fused"] = False

    def run() -> None:
        with (
            mock.patch("vsbench.methods._contrastive.Seen", Unshared),
            mock.patch.object(TiledConvolution, "forward", nn.Conv2d.forward),
        ):
            same_step(method, optimizers, batch)

    return run


def floor(method: Method[Any], batch: Batch) -> Callable[[], object]:
    """The bare passes."""
    optimizers = method.optimizers()
    driven: list[set[int]] = []

    def take(over: Callable[[], None]) -> None:
        for phase in method.training_step(batch):
            groups = [group for name in phase.drives for group in optimizers[name].param_groups]
            driven.append({id(p) for group in groups for p in group["params"]})
            over()

    torch.manual_seed(SEED)
    passes = recorded(method, batch, take)
    return functools.partial(replay, passes, driven)


KINDS: dict[str, Callable[[Method[Any], Batch], Callable[[], object]]] = {"ours": ours, "plain": plain, "floor": floor}


class Unshared:
    """``Seen`` of CUT's family, where whoever asks for features has the image encoded for himself."""

    def __init__(self, generator: Any, taps: Any, batch: Batch, passes: Any) -> None:
        self.he, self.ihc, self.place, self.taps, self.mirrored = (
            batch.he,
            batch.ihc,
            batch.place,
            taps,
            passes.mirrored,
        )
        self.generator = generator
        inputs = self.he.flip(3) if self.mirrored else self.he
        made = generator(torch.cat([inputs, self.ihc]) if passes.identity else inputs)
        self.fake, self.identity = made[: len(self.he)], made[len(self.he) :]

    def encoded(self, image: Tensor) -> Features:
        """Features of an image."""
        return self.generator.features(image, self.taps)

    @property
    def of_he(self) -> Features:
        """Of the H&E."""
        return self.encoded(self.he)

    @property
    def of_ihc(self) -> Features:
        """Of the real IHC."""
        return self.encoded(self.ihc)

    @property
    def of_fake(self) -> Features:
        """Of G(he)."""
        features = self.encoded(self.fake)
        return [f.flip(3) for f in features] if self.mirrored else features

    @property
    def of_identity(self) -> Features:
        """Of G(ihc)."""
        return self.encoded(self.identity)


if __name__ == "__main__":
    main()
