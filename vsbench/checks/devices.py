"""A first training step on a GPU, against the CPU's: for each method, and each way to carry a step out.

    for way in WAYS:
        for size in way.sizes:
            print(way.name, apart(maker(MyMethod), "cuda", way, size))

The step starts from the same weights, sees the same images and draws the same random numbers, which a GPU's own
generator would not: they are drawn on the CPU, and carried over.
"""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.nn import functional as F

from vsbench.checks._training import Make, drawn_for, stained_batch
from vsbench.engine.estimate import step_bytes
from vsbench.engine.fit import on_meta
from vsbench.engine.repetition import repeatable
from vsbench.engine.step import Execution, finite, prepare, take_step
from vsbench.engine.surroundings import forget_peak_memory
from vsbench.method import Batch, Method

STEPS = 12  # enough for a scale of the loss that begins too high
DRAWS = ("rand", "randn", "randint", "randperm")
LEAST = 1e-4  # of the sum of all losses, against which smaller ones are held: correlations of one image are rounding


@dataclass(frozen=True)
class Way:
    """A way to carry out a step, and how far it may be from the CPU's own in float32.

    ``losses``: relative, the worst of them. ``gradients``: those of an optimizer as one vector, the norm of the
    difference over the norm. None: said, and not held to anything. ``sizes``: of the batch.
    """

    name: str
    losses: float
    gradients: float | None
    precision: str = "32-true"
    execution: Execution = field(default_factory=Execution)
    tf32: bool = False
    sizes: tuple[int, ...] = (2,)


# Seen on a CPU: another order of memory changes losses by 5e-6 and gradients by 3e-3 at most, bfloat16, with 7 bits of
# mantissa, losses by 5e-2 and gradients by 0.4. A GPU's own order of adding up is of the first kind. TF32 and float16
# have 10 bits, an eighth of bfloat16's error; the gradients of 16-mixed are scaled, or infinite where that is too much.
WAYS = (
    Way("float32", 1e-3, 2e-2, sizes=(1, 2)),
    Way("channels last", 1e-3, 2e-2, execution=Execution(channels_last=True), sizes=(1, 2)),
    Way("recomputed", 1e-3, 2e-2, execution=Execution(checkpoint_activations=True)),
    Way("deterministic", 1e-3, 2e-2, execution=Execution(deterministic=True)),
    Way("TF32", 2e-2, 0.1, tf32=True),
    Way("bf16-mixed", 0.15, 0.6, "bf16-mixed"),
    Way("bf16-mixed, channels last", 0.15, 0.6, "bf16-mixed", Execution(channels_last=True), sizes=(1, 2)),
    Way("16-mixed", 2e-2, None, "16-mixed"),
)
COMPILED = Way("compiled", 1e-3, 2e-2, execution=Execution(compile=True))


@dataclass(frozen=True)
class Apart:
    """How far two first steps are apart, as ``Way`` has it."""

    losses: float
    worst: str  # which loss that is
    gradients: float

    def require(self, way: Way) -> None:
        """Raise AssertionError where that is farther than the way allows, or no number."""
        assert self.losses <= way.losses, f"{way.name}: {self.worst} is off by {self.losses:.1e} (at most {way.losses})"
        if way.gradients is not None:
            assert self.gradients <= way.gradients, f"{way.name}: gradients off by {self.gradients:.1e}"


@contextmanager
def exactly() -> Iterator[None]:
    """Within, float32 without TF32, and algorithms that repeat bit for bit."""
    with convolutions(), repeatable(Execution(deterministic=True)):
        yield


@contextmanager
def convolutions(tf32: bool = False, benchmark: bool = False) -> Iterator[None]:
    """Within, those of float32 with inputs of TF32, as torch has it by default, or not; ``benchmark``: cuDNN tries its
    algorithms, and takes the quickest.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=tf32, benchmark=benchmark):
        yield


@contextmanager
def _drawn_on_cpu() -> Iterator[None]:
    """Random numbers, dropout's too, come from the CPU's generator, wherever they are wanted.

    By patches, since what is recomputed runs in threads of autograd, which no mode of torch reaches.
    """

    def carried(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*arguments: Any, device: Any = None, **keywords: Any) -> Tensor:
            return draw(*arguments, device="cpu", **keywords).to(device or "cpu")

        return drawn

    with ExitStack() as patches:
        for name in DRAWS:
            patches.enter_context(mock.patch.object(torch, name, carried(getattr(torch, name))))
        patches.enter_context(mock.patch.object(F, "dropout", _dropped))
        yield


def _dropped(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training:
        return x
    kept = torch.rand(x.shape) >= p
    return x * kept.to(x.device) / (1 - p)


def first_step(make: Make, device: str, way: Way, size: int, carried: bool = True) -> dict[str, Tensor]:
    """The losses of a first step by name, and each optimizer's gradients as one vector, in float64 on the CPU.

    ``carried``: random numbers are the CPU's. Else they are the device's own, as networks that are compiled want it.
    """
    fabric = one_process(device, way.precision)
    torch.manual_seed(0)
    method = make().train()
    batch = stained_batch(method).each(lambda x: x[:size].to(device))
    prepare(method, way.execution)
    method.to(device)
    plain = method.optimizers()
    optimizers = {name: fabric.setup_optimizers(optimizer) for name, optimizer in plain.items()}
    torch.manual_seed(1)
    with ExitStack() as within:
        within.enter_context(convolutions(way.tf32))
        within.enter_context(repeatable(way.execution))
        within.enter_context(_drawn_on_cpu() if carried else nullcontext())
        losses = take_step(fabric, method, batch, optimizers, way.execution)
    found = {name: loss.double().cpu() for name, loss in losses.items()}
    for name, optimizer in plain.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad.flatten().double().cpu() for p in parameters if p.grad is not None]
        found[f"gradient of {name}"] = torch.cat(gradients)
    return found


def apart(make: Make, device: str, way: Way, size: int, expected: dict[str, Tensor] | None = None) -> Apart:
    """How far a way's first step on a device is from the CPU's own; ``make`` builds on the CPU.

    ``expected``: the CPU's, where it is known. Compiled networks, which draw their own random numbers, are held against
    those that are not, on the same device.
    """
    compiled = way.execution.compile
    if expected is None:
        expected = first_step(make, device if compiled else "cpu", WAYS[0], size, carried=not compiled)
    found = first_step(make, device, way, size, carried=not compiled)
    assert found.keys() == expected.keys(), f"{way.name}: {sorted(found)} in place of {sorted(expected)}"
    gradients = {name for name in expected if name.startswith("gradient of ")}
    least = LEAST * sum(float(loss.abs()) for name, loss in expected.items() if name not in gradients)
    errors = {
        name: _error(found[name], tensor, 0.0 if name in gradients else least) for name, tensor in expected.items()
    }
    worst = max(expected.keys() - gradients, key=lambda name: errors[name])
    return Apart(errors[worst], worst, max(errors[name] for name in gradients))


def one_process(device: str, precision: str) -> Fabric:
    """A Fabric of one process, whatever SLURM or torchrun have set around it."""
    return Fabric(accelerator=device, devices=1, precision=precision, plugins=LightningEnvironment())  # type: ignore[arg-type]  # a name of it


def _error(found: Tensor, expected: Tensor, least: float) -> float:
    """Relative to the expected, by the norm, and to no less than ``least``; infinite for what is no number."""
    size = max(float(expected.norm()), least)
    error = float((found - expected).norm())
    return error / size if math.isfinite(error) and size > 0 else (0.0 if error == 0 else math.inf)


def check_half_precision_trains(make: Make, device: str, precision: str = "16-mixed") -> None:
    """Some steps in half precision: all losses are finite, and in the end weights have moved and are finite.

    With ``16-mixed`` the loss's scale begins so high that first steps may be left out.
    """
    fabric = one_process(device, precision)
    torch.manual_seed(0)
    method = make().to(device).train()
    batch, before = stained_batch(method), [p.detach().clone() for p in method.parameters()]
    optimizers = {name: fabric.setup_optimizers(optimizer) for name, optimizer in method.optimizers().items()}
    for number in range(STEPS):
        finite(take_step(fabric, method, batch, optimizers, Execution()), number, batch.ids)
    assert all(bool(p.isfinite().all()) for p in method.parameters()), f"{precision}: weights are not finite"
    moved = sum(not torch.equal(p, old) for p, old in zip(method.parameters(), before, strict=True))
    assert moved > 0.5 * len(before), f"{precision}: of {len(before)} weights only {moved} have moved in {STEPS} steps"


@dataclass(frozen=True)
class AtWork:
    """A method on a device, with what it takes to train it, and images of random colours."""

    method: Method[Any]
    batch: Batch
    fabric: Fabric
    optimizers: dict[str, Any]
    execution: Execution

    @classmethod
    def of(cls, method: Method[Any], device: str, precision: str, execution: Execution) -> "AtWork":
        """``method``: freshly built, on the CPU; images are of its configuration's size and number."""
        fabric = one_process(device, precision)
        _, shapes = on_meta(type(method), method.config)
        prepare(method, execution)
        method.to(device).train()
        batch = shapes.each(lambda x: torch.rand(x.shape, device=device))
        optimizers = {name: fabric.setup_optimizers(optimizer) for name, optimizer in method.optimizers().items()}
        return cls(method, batch, fabric, optimizers, execution)

    def step(self) -> dict[str, float]:
        """One step as a training takes it, which waits for its losses."""
        return finite(take_step(self.fabric, self.method, self.batch, self.optimizers, self.execution), 0, ())


def seeded_method(method_class: type[Method[Any]], config: Any) -> Method[Any]:
    """A method with random weights of one seed, its frozen networks too."""
    torch.manual_seed(0)
    method = method_class(config)
    method.equip(drawn_for(method))
    return method


def estimated_peak(method_class: type[Method[Any]], config: Any, precision: str, execution: Execution) -> int:
    """Bytes that a dry run says a step takes at its peak."""
    method, batch = on_meta(method_class, config)
    prepare(method, replace(execution, compile=False))
    with repeatable(execution):
        return step_bytes(method, batch, execution, halved=precision != "32-true")


def step_peak(method_class: type[Method[Any]], config: Any, device: str, precision: str, execution: Execution) -> int:
    """Bytes that tensors take on a GPU at the peak of a step, the second one: optimizers have their moments then."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    forget_peak_memory(torch.device(device))
    with repeatable(execution):
        work = AtWork.of(seeded_method(method_class, config), device, precision, execution)
        for _ in range(2):
            work.step()
    return torch.cuda.max_memory_allocated(device) - before
