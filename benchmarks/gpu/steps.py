"""Training steps at published size: how long, how much memory, what share of the card's matrix products' speed."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.parts import Bench, Row, Tell, guarded
from benchmarks.plain_usigan import plain_step
from vsbench import registry
from vsbench.checks.devices import AtWork, convolutions, estimated_peak, one_process, seeded_method
from vsbench.engine.fit import meta_optimizers, on_meta
from vsbench.engine.repetition import repeatable
from vsbench.engine.step import Execution, take_step
from vsbench.engine.surroundings import forget_peak_memory, peak_memory
from vsbench.method import Method

WARM, STEPS = 3, 12
SEED = 10  # of each step, with which UNSB walks two of its four steps at most, the mean
# as published a dry run can't tell what they need: TDKStain wants pictures made elsewhere
VARIANTS = {"tdkstain": "label_free"}
SMALL: dict[str, Any] = {"width": 4, "load_size": 32, "crop_size": 32, "blocks": 1, "taps": (0, 4, 8), "patches": 8}


@dataclass(frozen=True)
class Combination:
    """How a step is carried out. ``kind``: of ``card.KINDS``, what its convolutions multiply in."""

    name: str
    kind: str
    precision: str = "32-true"
    execution: Execution = field(default_factory=Execution)
    plain: bool = False
    tuned: bool = False  # cuDNN tries its algorithms and takes the quickest, which vsbench leaves as torch has it: off


LAST, RECOMPUTED = Execution(channels_last=True), Execution(channels_last=True, checkpoint_activations=True)
COMPILED = Execution(channels_last=True, compile=True)
COMBINATIONS = (
    Combination("bf16, channels last", "bfloat16", "bf16-mixed", LAST),
    Combination("TF32 (torch's default)", "TF32"),
    Combination("plain, TF32", "TF32", plain=True),
    Combination("plain, bf16", "bfloat16", "bf16-mixed", plain=True),
    Combination("bf16", "bfloat16", "bf16-mixed"),
    Combination("TF32, channels last", "TF32", execution=LAST),
    Combination("float32", "float32"),
    Combination("16-mixed, channels last", "float16", "16-mixed", LAST),
    Combination("bf16, channels last, recomputed", "bfloat16", "bf16-mixed", RECOMPUTED),
    Combination("TF32, deterministic", "TF32", execution=Execution(deterministic=True)),
    Combination("bf16, channels last, cudnn.benchmark", "bfloat16", "bf16-mixed", LAST, tuned=True),
    Combination("TF32, cudnn.benchmark", "TF32", tuned=True),
)
WITH_COMPILER = (
    Combination("bf16, channels last, compiled", "bfloat16", "bf16-mixed", COMPILED),
    Combination("TF32, compiled", "TF32", execution=Execution(compile=True)),
)
OTHERS = COMBINATIONS[:2]


def usigan(bench: Bench, tell: Tell) -> None:
    """The published step in every useful combination, beside the plainly written one."""
    for combination in COMBINATIONS:
        tell(measured(bench, "usigan", combination))


def others(bench: Bench, tell: Tell) -> None:
    """The same, short, of every other method, in half precision first."""
    for combination in OTHERS:
        for name in other_methods():
            tell(measured(bench, name, combination, steps=STEPS // 3))


def compiled(bench: Bench, tell: Tell) -> None:
    """With torch.compile, whose first step takes long: said too."""
    for combination in WITH_COMPILER:
        tell(measured(bench, "usigan", combination))


def estimates(bench: Bench, tell: Tell) -> None:
    """What a dry run says of each of USIGAN's, and how much there is to compute; on CPUs, meanwhile."""
    for combination in COMBINATIONS:
        if not combination.plain and not combination.tuned:
            tell(guarded(bench, about("usigan", combination), partial(estimated, bench, "usigan", combination)))


def other_estimates(bench: Bench, tell: Tell) -> None:
    """The same of the other methods."""
    for combination in OTHERS:
        for name in other_methods():
            tell(guarded(bench, about(name, combination), partial(estimated, bench, name, combination)))


def other_methods() -> list[str]:
    """All but USIGAN."""
    return [name for name in registry.names("vsbench.methods") if name != "usigan"]


def about(name: str, combination: Combination) -> Row:
    """What tells the rows apart, here and in the estimates."""
    return {"method": name, "way": combination.name, "kind": combination.kind}


def config(name: str, small: bool) -> tuple[type[Method[Any]], Any]:
    """A method with the published settings."""
    method: type[Method[Any]] = registry.load("vsbench.methods", name)
    options = {"variant": VARIANTS.get(name, "")}
    return method, method.configure("cpu" if small else "paper", options | (SMALL if small else {}))


def estimated(bench: Bench, name: str, combination: Combination) -> Row:
    """Bytes at the peak, and floating-point operations of matrix products and convolutions."""
    method, settings = config(name, bench.small)
    return {
        "estimated_bytes": estimated_peak(method, settings, combination.precision, combination.execution),
        "flops": flops_of(name, bench.small),
    }


@cache
def flops_of(name: str, small: bool) -> int:
    """Of the matrix products and convolutions of a step, forward and backward."""
    method, batch = on_meta(*config(name, small))
    optimizers, fabric = meta_optimizers(method), one_process("cpu", "32-true")
    with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
        torch.manual_seed(SEED)
        take_step(fabric, method, batch, optimizers, Execution())
    return int(counter.get_total_flops())


def measured(bench: Bench, name: str, combination: Combination, steps: int = STEPS) -> Row:
    """A row of seconds and bytes."""
    return guarded(bench, about(name, combination), partial(time_steps, bench, name, combination, steps))


def time_steps(bench: Bench, name: str, combination: Combination, steps: int) -> Row:
    """The median of ``steps`` after some to warm up, or of as many as there is time for."""
    with repeatable(combination.execution), convolutions(combination.kind == "TF32", combination.tuned):
        before = bench.allocated
        work, first = begun(bench, name, combination)
        forget_peak_memory(torch.device(bench.device))
        steps = 1 if bench.small else steps
        seconds = [timed(bench, partial(same_step, work)) for _ in range(WARM + steps) if bench.left > 0]
    images, peak = len(work.batch.he), peak_memory(torch.device(bench.device))
    median = statistics.median(seconds[WARM:] or seconds)
    return {
        "s": median,
        "images_per_s": images / median,
        "first_s": first,
        "steps": len(seconds),
        "bytes": None if peak is None else peak - before,
        "crop": work.batch.he.shape[-1],
        "batch": images,
    }


def begun(bench: Bench, name: str, combination: Combination) -> tuple[AtWork, float]:
    """A training whose first step is done, and how long that took: libraries set themselves up, compilers compile."""
    method = seeded_method(*config(name, bench.small))
    if combination.plain:
        method.training_step = partial(plain_step, method)  # type: ignore[method-assign]
    work = AtWork.of(method, bench.device, combination.precision, combination.execution)
    return work, timed(bench, partial(same_step, work))


def same_step(work: AtWork) -> None:
    """A step with the same random numbers each time."""
    torch.manual_seed(SEED)
    work.step()


def timed(bench: Bench, work: Callable[[], object]) -> float:
    """Seconds, until the device is done."""
    bench.synchronize()
    since = time.perf_counter()
    work()
    bench.synchronize()
    return time.perf_counter() - since
