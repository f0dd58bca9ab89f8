"""USIGAN's training step: written plainly, as vsbench takes it, and the floor below which no sharing can go.

    python -m benchmarks.usigan_step

prints losses, seconds and peak memory of each, measured in one run at the published widths, 128² crops, batch 2.
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measuring import machine, peak_above_now, peak_of, time_rounds
from benchmarks.plain_usigan import plain_step
from vsbench import registry
from vsbench.checks._training import step
from vsbench.method import Batch

SIZE, BATCH = 128, 2
VARIANTS = ("plain", "ours", "recomputed", "floor")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak", choices=VARIANTS, help="only print the peak memory of this variant, in bytes")
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_above_now(lambda: two_steps(arguments.peak)))
        return

    print(machine())
    print(f"largest relative difference of a loss: {difference(torch.float64):.1e} in float64, ", end="")
    print(f"{difference(torch.float32):.1e} in float32")
    timed = time_rounds({name: variant(name) for name in VARIANTS}, arguments.rounds)
    peaks = {name: peak_of("benchmarks.usigan_step", "--peak", name) for name in VARIANTS}
    print(f"{'':12}{'s/step':>8}{'× plain':>9}{'time/floor':>12}{'peak MB':>9}{'peak/plain':>12}")
    for name in VARIANTS:
        speed, over = timed[name].ratio(timed["plain"]), 1 / timed[name].ratio(timed["floor"])
        share = peaks[name] / peaks["plain"]
        print(f"{name:12}{timed[name].median:8.2f}{speed:9.2f}{over:12.2f}{peaks[name] / 1e6:9.0f}{share:12.2f}")


def two_steps(name: str) -> None:
    """All that a training holds: weights, gradients and optimizer states too, which the first step makes."""
    run = variant(name)
    run()
    run()


def variant(name: str) -> Callable[[], object]:
    """A function that takes one step of a variant."""
    method, batch = method_and_batch(torch.float32)
    if name == "floor":
        return lambda: floor(method, batch)
    if name == "plain":
        method.training_step = lambda batch: plain_step(method, batch)
    if name == "recomputed":
        for module in method.modules():
            if hasattr(module, "recompute"):
                module.recompute = True
    optimizers = method.optimizers()
    return lambda: step(method, optimizers, batch)


def floor(method: Any, batch: Batch) -> None:
    """What no sharing can save: forward of both stains, encoder pass of what came out, D, one backward; no losses."""
    generator, discriminator, taps = method.generator, method.discriminator, method.config.taps
    outputs, _ = generator.forward_with_features(torch.cat([batch.he, batch.ihc]), taps)
    fake = outputs[: len(batch.he)]
    judged = discriminator(torch.cat([batch.ihc, fake.detach()]))
    judged.backward(torch.ones_like(judged), inputs=list(discriminator.parameters()))
    ends = [discriminator(fake), *generator.features(outputs, taps)]
    torch.autograd.backward(ends, [torch.ones_like(end) for end in ends], inputs=list(generator.parameters()))
    for parameter in method.parameters():
        parameter.grad = None


def difference(dtype: torch.dtype) -> float:
    """Largest relative difference between the losses of the plain step and ours, from equal weights and draws."""
    method, batch = method_and_batch(dtype)
    plain = copy.deepcopy(method)
    plain.training_step = lambda batch: plain_step(plain, batch)
    torch.manual_seed(1)
    ours = step(method, method.optimizers(), batch)
    torch.manual_seed(1)
    theirs = step(plain, plain.optimizers(), batch)
    assert ours.keys() == theirs.keys()
    return max(abs(float(ours[name] - theirs[name]) / float(theirs[name])) for name in theirs)


def method_and_batch(dtype: torch.dtype) -> tuple[Any, Batch]:
    """USIGAN with published widths, and random images."""
    torch.manual_seed(0)
    usigan: Any = registry.load("vsbench.methods", "usigan")
    method = usigan(usigan.configure(options={"load_size": 2 * SIZE, "crop_size": SIZE, "batch_size": BATCH}))
    he, ihc = (torch.rand(BATCH, 3, SIZE, SIZE, dtype=dtype) * 2 - 1 for _ in range(2))
    return method.to(dtype).train(), Batch(he, ihc)


if __name__ == "__main__":
    main()
