"""Which card it is, and its two ceilings: how fast it multiplies matrices, and moves memory."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from benchmarks.measuring import machine
from vsbench.engine.surroundings import device_name, git_commit, versions

SIDE, ROUNDS = 8192, 8
KINDS = {  # what a step's convolutions are computed in → type of the numbers, and whether TF32 may be used
    "float32": (torch.float32, False),
    "TF32": (torch.float32, True),
    "bfloat16": (torch.bfloat16, False),
    "float16": (torch.float16, False),
}


def run(bench: Bench, tell: Tell) -> None:
    """The card and what it runs with, then its ceilings."""
    row: Row = {"what": "card", "name": device_name(torch.device(bench.device)), "machine": machine()}
    if bench.device == "cuda":
        of = torch.cuda.get_device_properties(0)
        row |= {
            "memory_bytes": of.total_memory,
            "multiprocessors": of.multi_processor_count,
            "capability": f"{of.major}.{of.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    tell(row | {"versions": versions(), "git": git_commit()})
    for kind in KINDS:
        tell(guarded(bench, {"what": "product", "kind": kind}, partial(product, bench, kind)))
    tell(guarded(bench, {"what": "copy"}, partial(copy, bench)))


def product(bench: Bench, kind: str) -> Row:
    """FLOP/s of products of large square matrices of random numbers."""
    side = 64 if bench.small else SIDE
    dtype, tf32 = KINDS[kind]
    a, b = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        seconds = median_seconds(bench, lambda: a @ b)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return {"flops_per_s": 2 * side**3 / seconds}


def copy(bench: Bench) -> Row:
    """Bytes read and written in a second by a copy on the device."""
    source = torch.randn(2**14 if bench.small else 2**30, device=bench.device)
    target = torch.empty_like(source)
    seconds = median_seconds(bench, lambda: target.copy_(source))
    return {"bytes_per_s": 2 * source.numel() * source.element_size() / seconds}


def median_seconds(bench: Bench, work: Callable[[], object], rounds: int = ROUNDS, warm: int = 2) -> float:
    """Of ``rounds`` turns, each waited for, after some to warm up."""
    seconds = []
    for number in range(warm + rounds):
        bench.synchronize()
        begun = time.perf_counter()
        work()
        bench.synchronize()
        if number >= warm:
            seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)
