"""What a training would take, found out without training: steps, parameters, memory, disk. Writes nothing."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vsbench.data.pairs import images_of, not_read
from vsbench.engine.fit import on_meta, require_all
from vsbench.engine.request import Request, Resolved, resolve
from vsbench.engine.step import prepare
from vsbench.engine.trainer import SHEET_PAIRS, SHEET_SIZE, Rhythm, plan
from vsbench.method import Batch, Method

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MOMENTS = 2  # numbers that Adam keeps for each parameter


class SavedTensors:
    """Bytes that are kept for the backward pass, now and at most: each tensor counted once, the weights not at all.

    Entered while a graph is made; what is kept until when is then known from when autograd lets go of it.
    """

    def __init__(self, *modules: nn.Module) -> None:
        self.weights = {_storage(tensor) for m in modules for tensor in (*m.parameters(), *m.buffers())}
        self.holders: dict[int, int] = {}  # storage → how many nodes of the graph keep it
        self.now = self.peak = 0
        self.hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor, self), lambda s: s.tensor)

    def __enter__(self) -> "SavedTensors":
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    def count(self, tensor: Tensor, holders: int) -> None:
        """A node more, or one less, keeps a tensor."""
        key = _storage(tensor)
        if key in self.weights:
            return
        before = self.holders.get(key, 0)
        self.holders[key] = before + holders
        if min(before, before + holders) == 0:  # the first or the last of its holders
            self.now += holders * tensor.untyped_storage().nbytes()
            self.peak = max(self.peak, self.now)


class _Saved:
    """A tensor in the graph; autograd drops it when the graph is freed."""

    def __init__(self, tensor: Tensor, ledger: SavedTensors) -> None:
        self.tensor, self.ledger = tensor, ledger
        ledger.count(tensor, 1)

    def __del__(self) -> None:
        self.ledger.count(self.tensor, -1)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # its identity: data pointers of meta tensors are all 0


def activation_bytes(method: Method[Any], batch: Batch) -> int:
    """The most that one step keeps for its backward passes, in bytes, at 32 bits. ``method`` is on the meta device."""
    optimizers = method.optimizers()
    with SavedTensors(method, *method.frozen.values()) as saved:
        for phase in method.training_step(batch):
            parameters = [
                p for name in phase.drives for group in optimizers[name].param_groups for p in group["params"]
            ]
            torch.autograd.grad(torch.stack(list(phase.losses.values())).sum(), parameters, allow_unused=True)
            del phase
    return saved.peak


def estimate(request: Request, fabric: "Fabric", rhythm: Rhythm) -> dict[str, Any]:
    """The resolved configuration and what its training takes. Raises UsageError and DataError as ``start`` does."""
    found = resolve(request)
    require_all(found)
    method, batch = on_meta(found.method_class, found.config)
    prepare(method, replace(request.execution, compile=False))  # which changes no size
    accumulate = request.execution.accumulate
    batches, schedule = plan(method, found.pairs.train, request.seed, 0, fabric.world_size, accumulate)
    trained = sum(_bytes(p) for p in method.parameters() if p.requires_grad)
    own = sum(map(_bytes, (*method.parameters(), *method.buffers())))
    frozen = sum(_bytes(p) for network in method.frozen.values() for p in network.parameters())
    averaged = sum(map(_bytes, method.parameters())) if found.config.average > 0 else 0  # kept beside the weights
    memory = {
        "weights": own + averaged + frozen,
        "gradients": trained,
        "optimizers": MOMENTS * trained,
        "activations": accumulate * activation_bytes(method, batch),
    }
    checkpoint = own + averaged + MOMENTS * trained
    kept = checkpoints_kept(request, rhythm, schedule.steps)
    side = min(SHEET_SIZE, found.config.load_size or SHEET_SIZE)
    sheets = schedule.steps // rhythm.sheet + 1
    disk = {
        "checkpoint": checkpoint,
        "checkpoints": kept * checkpoint,
        "sheets": sheets * SHEET_PAIRS * 3 * side**2 * 3,
    }
    return {
        "folder": str(found.run.folder),
        "there": _there(found),
        "method": request.method,
        "config": found.config.model_dump(mode="json"),
        "set_aside": found.set_aside,
        "dataset": request.dataset,
        "stain": request.stain,
        "warnings": not_read(images_of([*found.pairs.train, *found.pairs.validation])),
        "train_pairs": len(found.pairs.train),
        "validation_pairs": len(found.pairs.validation),
        "select": request.select,
        "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in method.named_children()},
        "devices": fabric.world_size,
        "precision": str(fabric.strategy.precision.precision),
        "steps": schedule.steps,
        "steps_per_epoch": batches.draws.batches_per_epoch,
        "epochs": round(schedule.steps / batches.draws.batches_per_epoch, 2),
        "memory_bytes": memory | {"total": sum(memory.values())},
        "checkpoints_kept": kept,
        "disk_bytes": disk | {"total": disk["checkpoints"] + disk["sheets"]},
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
        f"memory       {memory['total']} per device, estimated: {parts} (activations at 32 bits, without work space)",
        f"disk         {disk['total']}, estimated: {plan['checkpoints_kept']} checkpoints of {disk['checkpoint']}, "
        f"sheets {disk['sheets']}",
        *(f"warning: {warning}" for warning in plan["warnings"]),
        "dry run: nothing is written",
    ]


def _there(found: Resolved) -> str:
    if not found.run.record_file.exists():
        return "new"
    return "holds a finished run" if found.run.trained.finished else "holds an unfinished run"


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
