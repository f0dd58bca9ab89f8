"""What every method must fulfil. Authors of plugins run these on their own: each check takes ``make``, which builds the
method fresh, with its ``cpu`` preset and the options that the check gives.

    for check in method_checks():
        check(maker(MyMethod))
"""

import contextlib
import io
import json
import os
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.config import config_type
from vsbench.engine.checkpoint import load_state, load_weights, save_checkpoint, save_weights
from vsbench.engine.log import HEAD
from vsbench.errors import UsageError
from vsbench.method import Batch, Card, Method, Phase

Make = Callable[..., Method[Any]]  # make(lr=1e-4): a method with this setting
Check = Callable[[Make], None]

SIDE = 32  # pixels, where the method's networks allow it
# Optical densities in red, green and blue of the test images' two stains; mid-grey, where networks begin, is no way there
VIOLET, BROWN = (0.55, 0.62, 0.38), (0.35, 0.75, 1.15)
STEPS = 60
RATES = (2e-4, 1e-5)  # spectrally normalised networks want the small one: the raw weights they divide by are small


def maker(method: type[Method[Any]], **smaller: Any) -> Make:
    """A ``make`` for a method: its ``cpu`` preset, the options ``smaller``, and those a check gives, which win."""

    def make(**options: Any) -> Method[Any]:
        return method(method.configure("cpu", smaller | options))

    return make


def method_checks() -> list[Check]:
    """All checks, each to be called with ``make``; AssertionError says what is wrong."""
    return [
        check_card,
        check_presets_and_variants,
        check_options,
        check_losses,
        check_weights_switch_off,
        check_parameters,
        check_translate,
        check_repeats,
        check_weights_file,
        check_resume,
        check_device,
        check_leaves_no_trace,
        check_learns_the_stain,
    ]


def check_card(make: Make) -> None:
    """The card is complete, and its parameter counts are those of the published defaults."""
    method_class = type(make())
    card = method_class.card
    for field in ("title", "citation", "origin", "licence", "compute"):
        assert getattr(card, field).strip(), f"the card's {field} is empty"
    assert all(reason.strip() for reason in card.deviations), "the card holds an empty deviation"
    pairings = get_args(get_type_hints(Card)["pairing"])
    assert card.pairing in pairings, f"pairing is {card.pairing!r}, not one of {pairings}"
    assert card.losses, "the card names no loss"
    assert len(set(card.losses)) == len(card.losses), f"the card names a loss twice: {card.losses}"
    for loss in card.losses:
        assert loss.isidentifier(), f"{loss!r} can't be a column name everywhere"
        assert loss not in HEAD, f"log.csv has a column {loss} of its own"
    with torch.device("meta"):  # the published networks, without their memory
        published = method_class(method_class.configure())
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in published.named_children()}
    counts = {name: count for name, count in counts.items() if count > 0}
    assert counts == card.parameters, f"trainable parameters are {counts}, the card says {card.parameters}"


def check_presets_and_variants(make: Make) -> None:
    """Each preset with each variant is a valid configuration that survives JSON and builds; each variant can train."""
    method_class = type(make())
    assert "cpu" in method_class.presets, "no preset 'cpu'"
    configurations = {}
    for variant in ("", *method_class.variants):
        for preset in ("paper", *method_class.presets):
            name = f"variant {variant!r}, preset {preset!r}"
            try:
                config = method_class.configure(preset, {"variant": variant})
            except UsageError as error:
                raise AssertionError(f"{name}: {error}") from error
            assert config.variant == variant, f"{name}: the configuration says variant {config.variant!r}"
            assert all(config != other for other in configurations.values()), f"{name}: equals another of them"
            configurations[name] = config
            options = json.loads(config.model_dump_json())
            assert method_class.configure(options=options) == config, f"{name}: changed by JSON"
            with torch.device("meta"):
                multiple = method_class(config).size_multiple
            assert config.crop_size % multiple == 0, (
                f"{name}: crop_size {config.crop_size} is no multiple of {multiple}"
            )
        names = list(_losses(make(variant=variant)))
        expected = [loss for loss in method_class.card.losses if loss in names]
        assert names == expected, f"variant {variant!r} logs {names}, the card lists {method_class.card.losses}"


def check_options(make: Make) -> None:
    """What cannot be is refused, and the error names the field: a misspelt option, a negative weight, too large a crop."""
    method = make()
    wrong: list[tuple[str, dict[str, Any], Sequence[str]]] = [
        ("cpu", {"no_such_option": 1}, ["no_such_option"]),
        ("cpu", {"load_size": 64, "crop_size": 128}, ["crop_size", "load_size"]),
        ("cpu", {"variant": "no-such-variant"}, list(method.variants)),
        ("no-such-preset", {}, list(method.presets)),
        *(("cpu", {weight: -1.0}, [weight]) for weight in _weights(method)),
        *(("cpu", {field: 0}, [field]) for field in ("batch_size", "crop_size", "lr")),
    ]
    for preset, options, expected in wrong:
        try:
            type(method).configure(preset, options)
        except UsageError as error:
            assert "\n" not in str(error), f"the error has more than one line: {error}"
            assert all(name in str(error) for name in expected), f"{options}: {error} does not name {expected}"
        else:
            raise AssertionError(f"preset {preset!r} with {options} passes in silence")


def check_losses(make: Make) -> None:
    """One step logs the losses of the card, in its order: scalars, finite, each driving an optimizer; all are driven."""
    method = _complete(make)
    optimizers = method.optimizers()
    phases: list[Phase] = []
    _step(method, optimizers, stained_batch(method), phases.append)
    for phase in phases:
        assert phase.drives, f"the phase of {list(phase.losses)} drives no optimizer"
        assert phase.losses, f"the phase that drives {phase.drives} has no loss"
        for name, loss in phase.losses.items():
            assert loss.ndim == 0, f"{name} has the shape {tuple(loss.shape)}, not that of a scalar"
            assert loss.isfinite(), f"{name} is {loss.item()}"
    names = [name for phase in phases for name in phase.losses]
    assert len(set(names)) == len(names), f"a loss is named twice: {names}"
    assert tuple(names) == method.card.losses, f"the step logs {tuple(names)}, the card lists {method.card.losses}"
    idle = optimizers.keys() - {name for phase in phases for name in phase.drives}
    assert not idle, f"optimizers that no phase drives: {sorted(idle)}"


def check_weights_switch_off(make: Make) -> None:
    """A weight ``lambda_*`` of 0 takes its terms out of the log, and the rest goes on."""
    method = _complete(make)
    whole = method.card.losses
    on = {weight: getattr(method.config, weight) for weight in _weights(method)}
    gone: set[str] = set()
    for weight in on:
        names = list(_losses(make(**(on | {weight: 0.0}))))
        assert names, f"{weight} = 0: no loss is left"
        assert names == [name for name in whole if name in names], f"{weight} = 0 logs {names}"
        assert len(names) < len(whole), f"{weight} = 0 removes nothing from the log"
        gone |= set(whole) - set(names)
    kept = set(whole) - gone
    assert not (on and kept), f"no weight switches {sorted(kept)} off"


def check_parameters(make: Make) -> None:
    """Every trainable parameter gets a finite gradient in a step, moves, and belongs to exactly one optimizer."""
    method = _complete(make)
    optimizers = method.optimizers()
    driven = [p for optimizer in optimizers.values() for group in optimizer.param_groups for p in group["params"]]
    owners = [id(p) for p in driven]
    reached: set[int] = set()
    parameters = {name: p for name, p in method.named_parameters() if p.requires_grad}
    for parameter in parameters.values():
        parameter.register_post_accumulate_grad_hook(lambda p: reached.add(id(p)))
    _step(method, optimizers, stained_batch(method))
    for name, parameter in parameters.items():
        count = owners.count(id(parameter))
        assert count == 1, f"{name} belongs to {count} optimizers"
        assert id(parameter) in reached, f"{name} gets no gradient"
        assert parameter.isfinite().all(), f"{name} is not finite after a step"
    assert len(owners) == len(parameters), "an optimizer holds a parameter that is not the method's, or not trainable"


def check_translate(make: Make) -> None:
    """Shape and range kept; same input, same bits; one by one as in a batch; input, weights and generator untouched."""
    method = make().eval()
    multiple, side = method.size_multiple, stained_batch(method).he.shape[-1]
    he = stained_batch(method, width=side + multiple).he  # not square
    before, generator = he.clone(), torch.get_rng_state()
    weights = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with torch.inference_mode():
        fake, again = method.translate(he), method.translate(he)
        single = torch.cat([method.translate(image[None]) for image in he])
    assert fake.shape == he.shape, f"{tuple(he.shape)} becomes {tuple(fake.shape)}"
    assert fake.dtype == he.dtype, f"{he.dtype} becomes {fake.dtype}"
    assert fake.abs().max() <= 1, f"leaves [−1, 1]: up to {fake.abs().max().item()}"
    assert torch.equal(fake, again), "the same input gives another output"
    assert torch.equal(he, before), "changes its input in place"
    assert torch.equal(torch.get_rng_state(), generator), "draws from the global generator"
    for name, tensor in method.state_dict().items():
        assert torch.equal(tensor, weights[name]), f"changes {name}"
    torch.testing.assert_close(single, fake, rtol=0, atol=1e-5, msg=lambda text: f"depends on the batch: {text}")


def check_repeats(make: Make) -> None:
    """The same seed gives the same losses and the same images, bit for bit, whatever ran before in the process."""
    first = _outcome(make, seed=0, steps=2)
    other = _outcome(make, seed=1, steps=1)
    again = _outcome(make, seed=0, steps=2)
    _assert_equal(again, first, "the same seed gives another training")
    assert not torch.equal(other["images"], first["images"]), "another seed gives the same training"


def check_weights_file(make: Make) -> None:
    """Weights saved and loaded into a fresh method translate the same."""
    method, fresh = make(), make()
    he = stained_batch(method).he
    _step(method, method.optimizers(), stained_batch(method))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, "checked", method)
        load_weights(path, fresh)
    with torch.inference_mode():
        images, expected = fresh.eval().translate(he), method.eval().translate(he)
    assert torch.equal(images, expected), "the weights file does not hold all that translate needs"


def check_resume(make: Make) -> None:
    """Stopped after step 2 and resumed from a checkpoint: step 4 equals that of the training that never stopped."""
    expected = _outcome(make, seed=0, steps=4)
    _assert_equal(_outcome(make, seed=0, steps=4, stop_after=2), expected, "a resumed training is another training")


def check_device(make: Make) -> None:
    """A whole step and a translation on the device ``meta``: no tensor is made on the CPU, no value is read."""
    method = _complete(make).to("meta")
    batch = stained_batch(method)
    batch = Batch(batch.he.to("meta"), batch.ihc.to("meta"), batch.ids)
    no_autocast = mock.patch.object(torch, "autocast", return_value=contextlib.nullcontext())  # meta knows none
    try:
        with no_autocast:
            losses = _step(method, method.optimizers(), batch)
        with torch.inference_mode():
            fake = method.eval().translate(batch.he)
    except RuntimeError as error:
        raise AssertionError(
            f"fails on the device meta: a tensor is made on the CPU (give it device=he.device), or a value is read, "
            f"which would make a GPU wait: {error}"
        ) from error
    elsewhere = [name for name, loss in losses.items() if not loss.is_meta]
    assert not elsewhere, f"losses that are not on the batch's device: {elsewhere}"
    assert fake.is_meta, f"translate moves images to {fake.device}"


def check_leaves_no_trace(make: Make) -> None:
    """Building, a step and a translation change no global setting, print nothing, write no file, use no network."""
    before, folder = _surroundings(), Path.cwd()
    refuse = mock.Mock(side_effect=AssertionError("opens a network connection"))
    printed = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as empty,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
    ):
        os.chdir(empty)
        try:
            method = make()
            batch = stained_batch(method)
            _step(method, method.optimizers(), batch)
            with torch.inference_mode():
                method.eval().translate(batch.he)
            here, written = Path.cwd(), sorted(Path(empty).iterdir())
        finally:
            os.chdir(folder)
        assert here == Path(empty).resolve(), f"changes the working folder to {here}"
        assert not written, f"writes {written[0].name} into the working folder"
    assert not printed.getvalue(), f"prints {printed.getvalue().splitlines()[0]!r}"
    for name, value in _surroundings().items():
        assert value == before[name], f"changes {name} from {before[name]} to {value}"


def check_learns_the_stain(make: Make) -> None:
    """Two pairs of one structure, violet and brown: within 60 steps the translation's mean colour is, and stays for ten
    steps, less than half as far from the brown as the violet is. At one of two learning rates; losses are finite.
    """
    shares = {}
    for rate in RATES:
        shares[rate] = [round(share, 2) for share in _way_left(make, rate)]
        if max(shares[rate][-2:]) <= 0.5:
            return
    raise AssertionError(f"does not learn the stain; way left after every ten steps, by learning rate: {shares}")


def _way_left(make: Make, rate: float) -> Iterator[float]:
    """Every ten steps, how far the mean colour is from the IHC's (1: as far as the H&E's); ends when it has come near."""
    torch.manual_seed(0)
    method = make(lr=rate)
    optimizers, batch = method.optimizers(), stained_batch(method)
    target = _mean_colour(batch.ihc)
    whole = (_mean_colour(batch.he) - target).norm()
    near = 0
    for number in range(1, STEPS + 1):
        for name, loss in _step(method, optimizers, batch).items():
            assert loss.isfinite(), f"step {number} at learning rate {rate}: {name} is {loss.item()}"
        if number % 10 == 0:
            with torch.inference_mode():
                fake = method.eval().translate(batch.he)
            method.train()
            share = float((_mean_colour(fake) - target).norm() / whole)
            near = near + 1 if share <= 0.5 else 0
            yield share
            if near == 2:
                return


def stained_batch(method: Method[Any], width: int | None = None) -> Batch:
    """Two pairs as small as the method's networks allow (32² or more): one structure in violet, and in brown."""
    multiple = method.size_multiple
    side = -(-SIDE // multiple) * multiple
    generator = torch.Generator().manual_seed(20)
    coarse = torch.rand((2, 1, 8, 8), generator=generator)
    density = 0.1 + 0.9 * F.interpolate(coarse, size=(side, width or side), mode="bilinear")
    he, ihc = (2 * 10 ** (-density * torch.tensor(stain)[:, None, None]) - 1 for stain in (VIOLET, BROWN))
    return Batch(he, ihc, ("first", "second"))


def _step(
    method: Method[Any], optimizers: dict[str, Any], batch: Batch, look: Callable[[Phase], None] = lambda _: None
) -> dict[str, Tensor]:
    """One training step as the engine takes it, showing each phase to ``look``; the losses by name."""
    logged: dict[str, Tensor] = {}
    for phase in method.training_step(batch):
        look(phase)
        driven = [optimizers[name] for name in phase.drives]
        parameters = [p for optimizer in driven for group in optimizer.param_groups for p in group["params"]]
        for optimizer in driven:
            optimizer.zero_grad()
        torch.stack(list(phase.losses.values())).sum().backward(inputs=parameters)
        for optimizer in driven:
            optimizer.step()
        logged |= {name: loss.detach() for name, loss in phase.losses.items()}
    return logged


def _losses(method: Method[Any]) -> dict[str, Tensor]:
    """The losses of a first step; asserts that they are finite."""
    losses = _step(method, method.optimizers(), stained_batch(method))
    for name, loss in losses.items():
        assert loss.isfinite(), f"{name} is {loss.item()}"
    return losses


def _weights(method: Method[Any]) -> list[str]:
    return [name for name in type(method.config).model_fields if name.startswith("lambda_")]


def _complete(make: Make) -> Method[Any]:
    """The method with all terms switched on: weights that are 0 become 1."""
    method = make()
    off = [weight for weight in _weights(method) if getattr(method.config, weight) == 0]
    return make(**dict.fromkeys(off, 1.0)) if off else method


def _mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(0, 2, 3))


def _outcome(make: Make, seed: int, steps: int, stop_after: int | None = None) -> dict[str, Tensor]:
    """What a training gives: the losses of its steps, the images then translated, and the optimizers' state."""
    torch.manual_seed(seed)
    method = make()
    optimizers, batch = method.optimizers(), stained_batch(method)
    outcome: dict[str, Tensor] = {}
    for number in range(1, steps + 1):
        for name, loss in _step(method, optimizers, batch).items():
            outcome[f"{name} in step {number}"] = loss
        if number == stop_after:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint = save_checkpoint(Path(folder), number, "checked", method, optimizers)
                torch.manual_seed(seed + 1)
                method = make()
                optimizers = method.optimizers()
                load_state(checkpoint, method, optimizers)
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()["state"]
        for number, values in state.items():
            outcome |= {f"{key} {number} of {name}": torch.as_tensor(value) for key, value in values.items()}
    outcome |= dict(_tensors(method.training_state(), "training state"))
    with torch.inference_mode():
        outcome["images"] = method.eval().translate(batch.he)
    return outcome


def _tensors(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors and numbers in nested dictionaries and lists."""
    if isinstance(state, dict):
        for key, value in state.items():
            yield from _tensors(value, f"{name}, {key}")
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            yield from _tensors(value, f"{name}, {number}")
    elif isinstance(state, Tensor | int | float):
        yield name, torch.as_tensor(state)


def _assert_equal(outcome: dict[str, Tensor], expected: dict[str, Tensor], complaint: str) -> None:
    differing = outcome.keys() ^ expected.keys()
    assert not differing, f"{complaint}: {sorted(differing)[0]} is in one of them only"
    for name, value in expected.items():
        assert torch.equal(outcome[name], value), f"{complaint}: {name} differs"


def _surroundings() -> dict[str, Any]:
    """Global settings that a method has no business with."""
    return {
        "the default dtype": torch.get_default_dtype(),
        "the default device": torch.get_default_device(),
        "gradient mode": torch.is_grad_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "the number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32 precision": torch.get_float32_matmul_precision(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "warnings filters": list(warnings.filters),
        "the environment": dict(os.environ),
    }
