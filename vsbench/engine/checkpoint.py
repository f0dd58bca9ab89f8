"""Checkpoints: weights as safetensors with the configuration inside, and beside them the training state.

checkpoints/step-00000400.state.pt           optimizers, random generators, image pools; written first
checkpoints/step-00000400.state.pt.sha256    its digest, for us and for sha256sum -c
checkpoints/step-00000400.safetensors        weights; its presence makes the checkpoint complete

The weights file holds a digest of its own contents, which the state names: so one flipped bit in either of them, or a
state of another writing, is found when they are read. Runs are compared by that digest, not by that of the file:
safetensors puts the entries of a file's head in any order.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vsbench import __version__, registry
from vsbench.engine.run import Run
from vsbench.engine.training_state import restore, training_state
from vsbench.errors import RunError, UserError
from vsbench.files import atomic, file_digest, parse_json, read_text, require_bearable, write_text
from vsbench.method import Method
from vsbench.names import brief, said
from vsbench.records.run import ImportedRecord

IMPORTED = "imported.safetensors"  # in place of checkpoints: the network that translates, alone

DIGEST_BYTES = 1 << 12  # at most, of the file that holds a digest and a name


class DamagedError(RunError):
    """A checkpoint's file is not what was written: the checkpoint before it may still be."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk."""

    weights: Path

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.weights.stem.removeprefix("step-"))

    @property
    def state(self) -> Path:
        """The training state that belongs to the weights."""
        return self.weights.with_name(f"{self.weights.stem}.state.pt")

    @property
    def state_digest(self) -> Path:
        """The SHA-256 of the training state."""
        return self.weights.with_name(f"{self.weights.stem}.state.pt.sha256")


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints of a folder, oldest first."""
    return [Checkpoint(path) for path in sorted(folder.glob("step-*.safetensors"))]


def chosen_checkpoint(run: Run) -> Checkpoint:
    """The checkpoint that stands for a run: the one its record names, which is the last unless it was selected.

    While the training is not finished, the newest. Raises RunError where there is none.
    """
    found = {checkpoint.step: checkpoint for checkpoint in checkpoints(run.checkpoints)}
    step = run.trained.chosen_step or max(found, default=0)
    if step not in found:
        raise RunError(f"{run.folder}: holds no checkpoint" + (f" of step {step}, which was chosen" if step else ""))
    return found[step]


def weights_of(run: Run) -> Path:
    """The weights that stand for a run: its chosen checkpoint's, or what was imported. Raises RunError."""
    if not isinstance(run.record, ImportedRecord):
        return chosen_checkpoint(run).weights
    weights = run.checkpoints / IMPORTED
    if not weights.is_file():
        raise RunError(f"{weights}: missing; import the generator again (vsbench import)")
    return weights


def require_whole(checkpoint: Checkpoint) -> str:
    """The digest of a checkpoint's weights. Raises DamagedError where a file of it is not what was written."""
    _, metadata = _read_weights(checkpoint.weights)
    try:
        whole = file_digest(checkpoint.state) == read_text(checkpoint.state_digest, DIGEST_BYTES).split()[0]
    except (OSError, ValueError, IndexError) as error:
        raise DamagedError(f"{checkpoint.state}: damaged training state ({said(error)})") from None
    if not whole:
        raise DamagedError(f"{checkpoint.state}: damaged training state (not what was written)")
    return metadata.get("digest", "")


def save_checkpoint(
    folder: Path,
    step: int,
    name: str,
    method: Method[Any],
    optimizers: dict[str, Any],
    engine: dict[str, Any] | None = None,
) -> Checkpoint:
    """Write a checkpoint; ``engine`` is what ``load_state`` gives back.

    Raises RunError, leaving those that are there alone, where it cannot be written, and where a weight is no finite
    number: nothing could go on from there.
    """
    for key, value in method.state_dict().items():
        if not value.isfinite().all():
            raise RunError(
                f"step {step}: {key} is not finite, so no checkpoint is written; lower lr or raise precision"
            )
    checkpoint = Checkpoint(folder / f"step-{step:08d}.safetensors")
    tensors, metadata = _contents(name, method)
    state = {"weights": metadata["digest"], **training_state(method, optimizers, engine or {})}
    try:
        with atomic(checkpoint.state) as temporary:
            with temporary.open("wb") as file:  # given a path, torch would not say why it can't write
                torch.save(state, file)
            total = file_digest(temporary)
        write_text(checkpoint.state_digest, f"{total}  {checkpoint.state.name}\n")
        with atomic(checkpoint.weights) as temporary:
            save_file(tensors, temporary, metadata)
    except (OSError, RuntimeError, SafetensorError) as error:  # each writer has its own for a full disk
        why = said(error.__context__ if isinstance(error.__context__, OSError) else error)
        raise RunError(f"{checkpoint.weights}: cannot be written ({why}); mend it and go on with --resume") from None
    return checkpoint


def prune(folder: Path, step: int, newest: int, every: int | None, chosen: int | None) -> None:
    """Remove the checkpoints that need not stay, ``step`` being the one just written.

    The ``newest`` up to it stay, all whose step is a multiple of ``every``, and the ``chosen``. Later ones, which a
    resumed training passed over because they are damaged, do not count as new.
    """
    before = [checkpoint for checkpoint in checkpoints(folder) if checkpoint.step <= step]
    for old in before[:-newest]:
        if old.step != chosen and (every is None or old.step % every):
            old.weights.unlink()  # first: without it the checkpoint is none
            old.state.unlink(missing_ok=True)
            old.state_digest.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written. Only while the run is locked."""
    whole = {path for checkpoint in checkpoints(folder) for path in (checkpoint.state, checkpoint.state_digest)}
    for path in [*folder.glob(".step-*"), *(found for found in folder.glob("step-*.state.*") if found not in whole)]:
        path.unlink()


def restore_newest(
    folder: Path,
    name: str,
    method: Method[Any],
    optimizers: dict[str, Any],
    say: Callable[[str], None],
    but: Sequence[str] = (),
) -> tuple[int, dict[str, Any]]:
    """Go to the newest checkpoint that is whole, saying which are not: (its step, its ``engine``); (0, {}) if none is.

    Raises RunError as ``load_state`` does where one is whole, but of another training. Settings in ``but`` may differ.
    """
    for checkpoint in reversed(checkpoints(folder)):
        try:
            return checkpoint.step, load_state(checkpoint, method, optimizers, name, but)
        except DamagedError as error:
            say(f"{error}; going back to the checkpoint before, or to the start where there is none")
    return 0, {}


def load_state(
    checkpoint: Checkpoint,
    method: Method[Any],
    optimizers: dict[str, Any],
    name: str | None = None,
    but: Sequence[str] = (),
) -> dict[str, Any]:
    """Take weights, optimizers, image pools and random generators back to where they were; returns ``engine``.

    Raises DamagedError, having changed nothing, where a file is not what was written, and RunError where they are of
    another method than ``name`` or another configuration, settings in ``but`` aside.
    """
    tensors, metadata = _read_weights(checkpoint.weights)
    _require_same_training(checkpoint.weights, metadata, method, name, but)
    try:
        if file_digest(checkpoint.state) != read_text(checkpoint.state_digest, DIGEST_BYTES).split()[0]:
            raise ValueError("not what was written")
        state = torch.load(checkpoint.state, map_location="cpu", weights_only=True)
        if state["weights"] != metadata.get("digest"):
            raise ValueError("not the one written with the weights")
    except Exception as error:
        raise DamagedError(
            f"{checkpoint.state}: damaged training state ({type(error).__name__}: {said(error)})"
        ) from None
    _fill(checkpoint.weights, method, tensors)
    try:
        return restore(state, method, optimizers)
    except Exception as error:
        raise RunError(
            f"{checkpoint.state}: training state of another version of {type(method).__name__} or of vsbench "
            f"({type(error).__name__}: {said(error)}); go on with that version, or remove the run folder"
        ) from None


def save_weights(path: Path, name: str, method: Method[Any]) -> None:
    """Write weights with the method's name and configuration inside, atomically."""
    tensors, metadata = _contents(name, method)
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def save_translator(path: Path, name: str, method: Method[Any]) -> None:
    """The same of the network alone that translates: nothing can be trained on from it."""
    tensors, metadata = _contents(name, method)
    own = {key: value for key, value in tensors.items() if key.startswith(f"{method.translator}.")}
    del metadata["digest"]
    metadata["holds"] = method.translator
    with atomic(path) as temporary:
        save_file(own, temporary, metadata | {"digest": _digest(own, metadata)})


def load_weights(path: Path, method: Method[Any]) -> None:
    """Fill a method with weights.

    Raises RunError where the file is damaged, holds other tensors or other kinds of numbers, or any that is not finite.
    """
    _fill(path, method, _read_weights(path)[0])


def start_from(path: Path, name: str, method: Method[Any]) -> None:
    """Fill a method with weights to begin a training with; the configuration inside may be another.

    Raises RunError where the file is damaged, of another method than ``name``, or its networks are of other shapes.
    """
    tensors, metadata = _read_weights(path)
    if metadata.get("method") != name:
        other = said(metadata.get("method", "no method of vsbench"))
        raise RunError(f"{path}: weights of {other}, not of {name}; a training starts from weights of its own method")
    if "holds" in metadata:
        raise RunError(
            f"{path}: holds the {said(metadata['holds'])} alone; a training starts from weights of all networks"
        )
    _fill(path, method, tensors)


def inner_digest(path: Path) -> str:
    """SHA-256 over the tensors, method and settings of a weights file. RunError where it is damaged or has none."""
    metadata = _read_weights(path)[1]
    if not metadata.get("digest"):
        raise RunError(f"{path}: weights without a digest inside; export the run again")
    return metadata["digest"]


def load_method(path: Path) -> Method[Any]:
    """The trained method of a weights file, on the CPU, in evaluation mode. RunError where it is no such file."""
    tensors, metadata = _read_weights(path)
    if "method" not in metadata or "config" not in metadata:
        raise RunError(f"{path}: weights without method and configuration inside; not written by vsbench")
    options = _config_inside(path, metadata)
    try:
        method_class = registry.load("vsbench.methods", metadata["method"])
        config = method_class.restored(options)
    except UserError as error:
        raise RunError(f"{path}: method or settings inside are not known here: {said(error)}") from None
    alone = metadata.get("holds") == method_class.translator
    with torch.device("meta"):  # networks of any size have room there, until it is known that these are their weights
        _require_of(path, method_class(config), tensors, alone)
    method: Method[Any] = method_class(config)
    _fill(path, method, tensors, alone)
    return method.eval()


def _contents(name: str, method: Method[Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, metadata) of a weights file to be."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    metadata = {"vsbench": __version__, "method": name, "config": method.config.model_dump_json()}
    return tensors, metadata | {"digest": _digest(tensors, metadata)}


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, metadata) of a weights file, held against the digest inside, where there is one."""
    try:
        require_bearable(path)  # safetensors would wait for a FIFO's other end, too
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise DamagedError(f"{path}: not a weights file, or a damaged one ({said(error)})") from None
    if metadata.get("digest", "") not in ("", _digest(tensors, metadata)):
        raise DamagedError(f"{path}: damaged weights (not those that were written)")
    return tensors, metadata


def _require_of(path: Path, method: Method[Any], tensors: dict[str, Tensor], alone: bool) -> None:
    """Raise RunError unless the tensors are, by name and shape, a method's; ``alone``: its translator's."""
    own = f"{method.translator}." if alone else ""
    needed = {key: value.shape for key, value in method.state_dict().items() if key.startswith(own)}
    if needed != {key: value.shape for key, value in tensors.items()}:
        raise RunError(f"{path}: weights of another method or configuration than {type(method).__name__}'s")


def _fill(path: Path, method: Method[Any], tensors: dict[str, Tensor], alone: bool = False) -> None:
    """``alone``: the tensors are those of the network that translates."""
    there = method.state_dict()
    if alone:
        tensors = {key: value for key, value in there.items() if not key.startswith(f"{method.translator}.")} | tensors
    for key, value in tensors.items():
        if there.get(key, value).is_floating_point() != value.is_floating_point() or value.is_complex():
            dtype = str(value.dtype).removeprefix("torch.")
            raise RunError(f"{path}: {said(key)} holds {dtype}, not weights of {type(method).__name__}")
        if not value.float().isfinite().all():  # as single precision, in which it will be used
            raise RunError(f"{path}: {said(key)} is not finite (NaN or infinite); take a checkpoint before it")
    try:  # on the meta device, where a dry run looks at shapes only, too
        method.load_state_dict({key: value.to(there.get(key, value).device) for key, value in tensors.items()})
    except RuntimeError:
        raise RunError(f"{path}: weights of another method or configuration than {type(method).__name__}'s") from None


def _config_inside(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        options = parse_json(metadata.get("config", "{}"))
    except ValueError as error:
        raise RunError(f"{path}: damaged configuration inside ({said(error)})") from None
    if not isinstance(options, dict):
        raise RunError(f"{path}: damaged configuration inside (no JSON object)")
    return options


def _require_same_training(
    path: Path, metadata: dict[str, str], method: Method[Any], name: str | None, but: Sequence[str]
) -> None:
    """Weights of equal shapes may still be of another method, or trained with another learning rate."""
    if name is not None and metadata.get("method") != name:
        raise RunError(f"{path}: a checkpoint of {said(metadata.get('method'))}, not of {name}; move it away")
    there, here = _config_inside(path, metadata), json.loads(method.config.model_dump_json())
    changed = [k for k, v in here.items() if there.get(k) != v and k not in but]
    if differing := [f"{k} = {brief(there.get(k))} there, {brief(here[k])} here" for k in changed]:
        raise RunError(f"{path}: a checkpoint of another configuration ({', '.join(differing)}); move it away")


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over all of a weights file that means something, but for the digest itself."""
    total = hashlib.sha256()
    for key in sorted(metadata.keys() - {"digest"}):
        total.update(f"{key}\0{metadata[key]}\0".encode())
    for key, tensor in sorted(tensors.items()):
        total.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
