"""Time of the network metrics: one pass for all methods against the chain that measures every method alone.

    python -m benchmarks.network_metrics

Features for FID and KID by torch-fidelity's own extractor, LPIPS by the package's own forward, and ResNet-50's layer
means for PHV by torchvision's network: the chain runs them on both sides of every method. Ours is the metrics' own
``update`` on samples of which all methods judge the same real images. *Bare* are the passes that ours can't do without,
15 per network in the place of 28, and nothing else. All from the same images in memory, in batches alike, with random
weights; the arithmetic on sets of features, which takes torch-fidelity seconds, is in neither. The numbers must agree.

Goals: ours ≤ 0.56 × the chain, and ≤ 1.10 × bare.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import machine
from vsbench.metric import Image, Metric, Sample
from vsbench.metrics._network import NetworkMetric, exact, tensor
from vsbench.metrics.fid import Fid
from vsbench.metrics.lpips import LpipsDistance
from vsbench.metrics.phv import Phv, layer_means, normalised

METHODS = 14
Numbers = dict[str, NDArray[np.floating]]
Pass = Callable[[torch.Tensor], object]


def main() -> None:
    """Check that all agree, then take turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    print(f"{METHODS} methods, {arguments.pairs} pairs of {arguments.side}², random weights; s, median of rounds")
    print(f"{'':10}{'chain':>8}{'ours':>8}{'bare':>8}{'ours/chain':>12}{'ours/bare':>11}{'difference':>12}")
    real, fakes = images(arguments.pairs, arguments.side)
    families: dict[str, NetworkMetric] = {"fid, kid": Fid(), "lpips": LpipsDistance(), "phv": Phv()}
    totals = np.zeros((arguments.rounds, 3))
    with exact():
        for name, metric in families.items():
            metric.use_random_weights(0)
            network = metric.ready()
            bare_pass(name, network)(tensor(real, "cpu"))  # to warm up
            timed = [time_round(name, network, metric, real, fakes) for _ in range(arguments.rounds)]
            seconds = np.array([one for one, _ in timed])
            totals += seconds
            print_row(name, seconds, f"{max(difference for _, difference in timed):12.1e}")
    print_row("together", totals, "")


def time_round(
    name: str, network: Any, metric: Metric, real: Sequence[Image], fakes: Sequence[Sequence[Image]]
) -> tuple[list[float], float]:
    """Seconds of the chain, of ours and of the bare passes, and how far the first two differ."""
    begun = time.perf_counter()
    expected = chain(name, network, real, fakes)
    chained = time.perf_counter()
    found = one_pass(metric, real, fakes)
    ours = time.perf_counter()
    bare(bare_pass(name, network), real, fakes, single=name == "lpips")
    ended = time.perf_counter()
    return [chained - begun, ours - chained, ended - ours], largest_difference(expected, found)


def images(pairs: int, side: int) -> tuple[list[Image], list[list[Image]]]:
    """Real images, and those of each method."""
    random = np.random.default_rng(0)
    made = random.integers(0, 256, (METHODS + 1, pairs, side, side, 3), dtype=np.uint8)
    return list(made[0]), [list(method) for method in made[1:]]


def one_pass(metric: Metric, real: Sequence[Image], fakes: Sequence[Sequence[Image]]) -> list[Numbers]:
    """By the metric: the first method's samples, and the same with the images of the others."""
    base = [Sample(f"{n}", fake, image, image) for n, (fake, image) in enumerate(zip(fakes[0], real, strict=True))]
    found = []
    for fake in fakes:
        update = metric.update([sample.judging(image) for sample, image in zip(base, fake, strict=True)])
        columns = {name: np.array(column) for name, column in update.columns.items()}
        found.append({**columns, **update.features})
    return found


def chain(name: str, network: Any, real: Sequence[Image], fakes: Sequence[Sequence[Image]]) -> list[Numbers]:
    """Every method alone, both sides each time."""
    return [CHAIN[name](network, tensor(fake, "cpu"), tensor(real, "cpu")) for fake in fakes]


def torch_fidelitys(network: Any, fake: torch.Tensor, real: torch.Tensor) -> Numbers:
    """Features of both sets."""
    return {"fid_fake": network(fake)[0].numpy(), "fid_real": network(real)[0].numpy()}


def lpips_packages(network: Any, fake: torch.Tensor, real: torch.Tensor) -> Numbers:
    """Distances of the pairs."""
    return {"lpips": network(fake / 127.5 - 1, real / 127.5 - 1).flatten().numpy()}


def plain_phv(network: Any, fake: torch.Tensor, real: torch.Tensor) -> Numbers:
    """The mean over the layers of the share of channels that differ."""
    means = [layer_means(network, normalised(images, released=True)) for images in (fake, real)]
    shares = [(np.abs(f - r) > np.float32(0.01)).mean(axis=1) for f, r in zip(*means, strict=True)]
    return {"phv_avg": np.mean(shares, axis=0)}


CHAIN: Mapping[str, Callable[[Any, torch.Tensor, torch.Tensor], Numbers]] = {
    "fid, kid": torch_fidelitys,
    "lpips": lpips_packages,
    "phv": plain_phv,
}


def bare_pass(name: str, network: Any) -> Pass:
    """Images through the network, as it is."""
    if name == "lpips":
        return lambda x: network.net(network.scaling_layer(x / 127.5 - 1))
    return network if name == "fid, kid" else lambda x: layer_means(network, normalised(x, released=True))


def bare(run: Pass, real: Sequence[Image], fakes: Sequence[Sequence[Image]], single: bool) -> None:
    """One pass of the real images and one of each method's; ``single``: image by image."""
    for batch in (real, *fakes):
        for part in [[image] for image in batch] if single else [batch]:
            run(tensor(part, "cpu"))


def largest_difference(expected: Any, found: Any) -> float:
    """Relative to the largest number of its kind; raises AssertionError where it is more than rounding."""
    assert len(expected) == len(found) == METHODS
    worst = max(
        float(np.abs(theirs[key] - ours[key]).max() / np.abs(theirs[key]).max())
        for theirs, ours in zip(expected, found, strict=True)
        for key in theirs
    )
    assert worst < 1e-5, f"the results differ by {worst}"
    return worst


def print_row(name: str, seconds: NDArray[np.float64], rest: str) -> None:
    """Medians over the rounds of (rounds, 3) seconds, and of their ratios."""
    times = "".join(f"{median:8.2f}" for median in np.median(seconds, axis=0))
    of_chain, of_bare = (np.median(seconds[:, 1] / seconds[:, other]) for other in (0, 2))
    print(f"{name:10}{times}{of_chain:12.3f}{of_bare:11.3f}{rest}", flush=True)


if __name__ == "__main__":
    main()
