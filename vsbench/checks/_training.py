"""Tiny trainings for the checks of methods: test images, the step as the engine takes it, and what a training gives."""

import pickle
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.data.maps import TileMaps
from vsbench.data.tensors import to_images
from vsbench.engine.checkpoint import load_state, save_checkpoint
from vsbench.engine.step import Execution, clear_gradients, prepare
from vsbench.method import Batch, Method, Phase
from vsbench.weights.seeded import drawn_like

Make = Callable[..., Method[Any]]  # make(lr=1e-4): a fresh method with this setting

SIDE = 32  # pixels, where the method's networks allow it
# optical densities of the images' two stains in red, green and blue; mid-grey, where networks begin, is far from brown
VIOLET, BROWN = (0.55, 0.62, 0.38), (0.35, 0.75, 1.15)


def drawn_for(method: Method[Any]) -> Callable[[str], dict[str, Tensor]]:
    """What stands for the files of a method's pretrained weights: random ones of their shapes, by a seed."""
    return lambda name: drawn_like(method.weights_needed()[name].state_dict(), 0)


def stained_batch(method: Method[Any], width: int | None = None, side: int = SIDE) -> Batch:
    """Two pairs as small as the method's networks allow (``side`` or more): one structure in violet, and in brown.

    They lie where the method does.
    """
    multiple = method.size_multiple
    side = -(-side // multiple) * multiple
    generator = torch.Generator().manual_seed(20)
    coarse = torch.rand((2, 1, 8, 8), generator=generator)
    density = 0.1 + 0.9 * F.interpolate(coarse, size=(side, width or side), mode="bilinear")
    he, ihc = (2 * 10 ** (-density * torch.tensor(stain)[:, None, None]) - 1 for stain in (VIOLET, BROWN))
    batch = Batch(he, ihc, ("first", "second"), maps=_made(method.maps(), ihc))
    return batch.each(lambda x: x.to(device_of(method)))


def device_of(method: Method[Any]) -> torch.device:
    """Where the method lies."""
    return next(method.parameters()).device


def _made(maps: TileMaps | None, ihc: Tensor) -> Tensor | None:
    """The maps of images in [−1, 1]. Asserts that they follow from the images alone, by a pure function."""
    if maps is None:
        return None
    assert not maps.folder, "the cpu preset's maps need ready pictures: a method must be able to train without"
    make = pickle.loads(pickle.dumps(maps)).make  # as a process that prepares batches has it
    made = []
    for tile in to_images(ihc):
        before = tile.copy()
        found, again = maps.make(tile), make(tile)
        assert np.array_equal(tile, before), "the maps' function changes the tile"
        expected = (*tile.shape[:2], maps.channels)
        assert (found.shape, found.dtype) == (expected, np.uint8), f"maps are {found.dtype} {found.shape}"
        assert np.array_equal(found, again), "the maps of a tile are not the same the second time"
        made.append(found)
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255


def step(
    method: Method[Any], optimizers: dict[str, Any], batch: Batch, look: Callable[[Phase], None] = lambda _: None
) -> dict[str, Tensor]:
    """One training step as the engine takes it, showing each phase to ``look``; the losses by name."""
    logged: dict[str, Tensor] = {}
    for phase in method.training_step(batch):
        look(phase)
        driven = [optimizers[name] for name in phase.drives]
        parameters = [p for optimizer in driven for group in optimizer.param_groups for p in group["params"]]
        clear_gradients(driven)
        torch.stack(list(phase.losses.values())).sum().backward(inputs=parameters)
        for optimizer in driven:
            optimizer.step()
        logged |= {name: loss.detach() for name, loss in phase.losses.items()}
    return logged


def first_losses(method: Method[Any]) -> dict[str, Tensor]:
    """The losses of a first step; asserts that they are finite."""
    losses = step(method, method.optimizers(), stained_batch(method))
    for name, loss in losses.items():
        assert loss.isfinite(), f"{name} is {loss.item()}"
    return losses


def step_in_double(
    make: Callable[[], Method[Any]], size: int, device: torch.device, execution: Execution
) -> dict[str, Tensor]:
    """One step in float64 with ``size`` pairs: its losses, and what each optimizer steps by, each as one vector.

    Of a vector, since single ones may be nothing but rounding: the gradient of a bias before a norm.
    """
    torch.manual_seed(0)
    method = make().double().to(device)
    prepare(method, execution)
    optimizers, batch = method.optimizers(), stained_batch(method)
    batch = batch.each(lambda x: x[:size].double().contiguous(memory_format=execution.memory_format))
    torch.manual_seed(1)
    losses = step(method, optimizers, batch)
    found = {"losses": torch.stack(list(losses.values()))}
    for name, optimizer in optimizers.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        found[f"gradient of {name}"] = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    return found


def outcome(make: Make, seed: int, steps: int, stop_after: int | None = None) -> dict[str, Tensor]:
    """What a training gives: losses of all steps, states of optimizers and method, and images then translated.

    With ``stop_after`` all goes to a checkpoint after that step, and a fresh method goes on from there.
    """
    batch = stained_batch(make())
    make = partial(make, crop_size=batch.he.shape[-1], load_size=0)  # a training state knows how large its images are
    torch.manual_seed(seed)
    method = make()
    optimizers = method.optimizers()
    found: dict[str, Tensor] = {}
    for number in range(1, steps + 1):
        for name, loss in step(method, optimizers, batch).items():
            found[f"{name} in step {number}"] = loss
        if number == stop_after:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint = save_checkpoint(Path(folder), number, "checked", method, optimizers)
                torch.manual_seed(seed + 1)
                method = make()
                optimizers = method.optimizers()
                load_state(checkpoint, method, optimizers)
    for name, optimizer in optimizers.items():
        found |= _numbers(optimizer.state_dict()["state"], f"state of optimizer {name}")
    found |= _numbers(method.training_state(), "training state")
    with torch.inference_mode():
        found["image"] = method.eval().translate(batch.he)
    return found


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], complaint: str) -> None:
    """Two outcomes are equal bit for bit, else ``complaint`` and the first thing that differs."""
    for name in (*expected, *found):
        assert name in found and name in expected, f"{complaint}: {name} is in one of them only"  # noqa: PT018
        assert torch.equal(found[name], expected[name]), f"{complaint}: {name} differs"


def _numbers(state: Any, name: str) -> dict[str, Tensor]:
    """The tensors and numbers in nested dictionaries and lists, by where they are."""
    return dict(_walk(state, name))


def _walk(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, dict | list | tuple):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from _walk(value, f"{name}, {key}")
    elif isinstance(state, Tensor | int | float):
        yield name, torch.as_tensor(state)
