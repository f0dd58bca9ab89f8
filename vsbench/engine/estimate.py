"""What a training would take, found out without training: steps, parameters, memory, disk. Writes nothing."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from vsbench.engine.fit import meta_optimizers, on_meta, require_all
from vsbench.engine.memory import Storages, tensors_of
from vsbench.engine.repetition import repeatable
from vsbench.engine.request import Request, Resolved, resolve
from vsbench.engine.step import Execution, prepare, take_step
from vsbench.engine.trainer import SHEET_PAIRS, SHEET_SIZE, Rhythm, draw
from vsbench.method import Batch, Method

MOMENTS = 2  # numbers that Adam keeps for each parameter
# What autocast computes in half precision; the rest follows, or is small
HALVED = ("conv2d", "conv_transpose2d", "linear", "matmul", "__matmul__", "mm", "bmm", "einsum")


class _Autocast(TorchFunctionMode):
    """Autocast to 16 bits for ``meta``, which has none; ``full_precision`` switches it off, as it does the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[int, Tensor] = {}  # one copy of each, as autocast keeps it

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in HALVED:
            args, kwargs = tree_map(self._halved, (args, kwargs))
        return func(*args, **(kwargs or {}))

    def _halved(self, thing: Any) -> Any:
        if not isinstance(thing, Tensor) or thing.dtype != torch.float32:
            return thing
        if not (isinstance(thing, nn.Parameter) and torch.is_grad_enabled()):
            return thing.bfloat16()
        if id(thing) not in self.weights:
            self.weights[id(thing)] = thing.bfloat16()
        return self.weights[id(thing)]


def step_bytes(method: Method[Any], batch: Batch, execution: Execution, halved: bool = False) -> int:
    """The most that lives on the device in a step, weights, gradients, optimizers and images included, in bytes.

    All phases with their backward passes and optimizers, in the step after the first, when optimizers have their
    moments. ``method`` and ``batch`` (one micro-batch) are on the device meta. ``halved``: under autocast to 16 bits.
    """
    whole = batch.each(lambda x: x.repeat(execution.accumulate, 1, 1, 1))
    optimizers = meta_optimizers(method)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=LightningEnvironment())  # whoever else was started
    storages = Storages(whole.he.device, tensors_of(method, whole))
    with torch.random.fork_rng(devices=[]), storages:
        torch.manual_seed(0)  # the same plan each time, and the program's own random numbers as they were
        for _ in range(2):
            storages.peak = storages.now
            with _Autocast() if halved else nullcontext():
                take_step(fabric, method, whole, optimizers, execution)
    return storages.peak


def estimate(request: Request, fabric: Fabric, rhythm: Rhythm) -> dict[str, Any]:
    """The resolved configuration and what its training takes. Raises UsageError and DataError as ``start`` does."""
    found = resolve(request)
    require_all(found)
    return estimate_resolved(found, fabric, rhythm)


def estimate_resolved(found: Resolved, fabric: Fabric, rhythm: Rhythm) -> dict[str, Any]:
    """The same of settings that fit together (``require_fit``), whether weights and images are here or not."""
    request = found.request
    method, batch = on_meta(found.method_class, found.config)
    prepare(method, replace(request.execution, compile=False))  # which changes no size
    accumulate = request.execution.accumulate
    draws, schedule = draw(method, found.pairs.train, request.seed, fabric.world_size, accumulate)
    halved = str(fabric.strategy.precision.precision) in ("16-mixed", "bf16-mixed")
    with repeatable(request.execution):  # whose algorithms take other memory
        peak = step_bytes(method, batch, request.execution, halved)
    trained = sum(_bytes(p) for p in method.parameters() if p.requires_grad)
    own = sum(map(_bytes, (*method.parameters(), *method.buffers())))
    frozen = sum(_bytes(p) for network in method.frozen.values() for p in network.parameters())
    averaged = sum(map(_bytes, method.parameters())) if found.config.average > 0 else 0  # kept beside the weights
    memory = {"weights": own + frozen, "gradients": trained, "optimizers": MOMENTS * trained}
    memory["activations"] = peak - sum(memory.values())  # and whatever else lives then
    memory["weights"] += averaged
    checkpoint = own + averaged + MOMENTS * trained
    return {
        "folder": str(found.run.folder),
        "there": _there(found),
        "method": request.method,
        "config": found.config.model_dump(mode="json"),
        "set_aside": found.set_aside,
        "dataset": request.dataset,
        "stain": request.stain,
        "warnings": found.not_read,
        "train_pairs": len(found.pairs.train),
        "validation_pairs": len(found.pairs.validation),
        "select": request.select,
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in method.named_children()},
        "devices": fabric.world_size,
        "precision": str(fabric.strategy.precision.precision),
        "steps": schedule.steps,
        "steps_per_epoch": draws.batches_per_epoch,
        "epochs": round(schedule.steps / draws.batches_per_epoch, 2),
        "memory_bytes": memory | {"total": sum(memory.values())},
        "checkpoints_kept": checkpoints_kept(request, rhythm, schedule.steps),
        "disk_bytes": disk_bytes(request, rhythm, schedule.steps, checkpoint, found.config.load_size),
    }


def lines(plan: dict[str, Any]) -> list[str]:
    """An estimate to read."""
    memory, disk = ({name: f"{size / 2**20:,.0f} MiB" for name, size in plan[key].items()} for key in
                    ("memory_bytes", "disk_bytes"))  # fmt: skip
    parts = ", ".join(f"{name} {size}" for name, size in memory.items() if name != "total")
    networks = ", ".join(f"{name} {count:,}" for name, count in plan["parameters"].items())
    held_out = f", {plan['validation_pairs']} held out" if plan["validation_pairs"] else ""
    return [
        f"folder       {plan['folder']} ({plan['there']})",
        *(f"  {key} = {value}" for key, value in plan["config"].items()),
        *(f"  {sentence}" for sentence in plan["set_aside"]),
        f"pairs        {plan['train_pairs']}{held_out}; the {plan['select']} checkpoint stands for the run",
        f"parameters   {networks}",
        f"steps        {plan['steps']:,} = {plan['epochs']} epochs of {plan['steps_per_epoch']:,}",
        f"memory       {memory['total']} per device at a step's peak: {parts}; without what can't be known beforehand: "
        "work space of convolutions, fragmentation, messages between devices",
        f"disk         {disk['total']}, estimated: {plan['checkpoints_kept']} checkpoints of {disk['checkpoint']}, "
        f"sheets {disk['sheets']}",
        *(f"warning: {warning}" for warning in plan["warnings"]),
        "dry run: no results are written",
    ]


def _there(found: Resolved) -> str:
    if not found.run.record_file.exists():
        return "new"
    return "holds a finished run" if found.run.trained.finished else "holds an unfinished run"


def disk_bytes(request: Request, rhythm: Rhythm, steps: int, checkpoint: int, load_size: int) -> dict[str, int]:
    """What a training of so many steps leaves: a ``checkpoint`` of so many bytes, all that stay, and the sheets."""
    side = min(SHEET_SIZE, load_size or SHEET_SIZE)
    checkpoints = checkpoints_kept(request, rhythm, steps) * checkpoint
    sheets = (steps // rhythm.sheet + 1) * SHEET_PAIRS * 3 * side**2 * 3
    return {"checkpoint": checkpoint, "checkpoints": checkpoints, "sheets": sheets, "total": checkpoints + sheets}


def checkpoints_kept(request: Request, rhythm: Rhythm, steps: int) -> int:
    """The checkpoints that are there at the end."""
    every = request.validate_every or rhythm.checkpoint if request.validates else rhythm.checkpoint
    periods = {rhythm.checkpoint, every, rhythm.keep_every or every}
    # as many as may be the newest, of each: all there are may be more than memory holds
    written = {steps, *(step for period in periods for step in range(period, steps, period)[-rhythm.keep :])}
    newest = sorted(written)[-rhythm.keep :]
    forever = steps // rhythm.keep_every if rhythm.keep_every else 0
    others = [step for step in newest if not rhythm.keep_every or step % rhythm.keep_every]
    return forever + len(others) + request.validates  # the best may be none of these


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
