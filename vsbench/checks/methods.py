"""What every method must fulfil. Authors of plugins run these on their own: each check takes ``make``, which builds the
method fresh, with its ``cpu`` preset and the options that the check gives.

    for check in method_checks():
        check(maker(MyMethod))
"""

import contextlib
import io
import itertools
import json
import os
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints
from unittest import mock

import torch
from torch import Tensor

from vsbench.checks._beyond import beyond
from vsbench.checks._training import (
    Make,
    assert_same,
    device_of,
    drawn_for,
    first_losses,
    outcome,
    stained_batch,
    step,
    step_in_double,
)
from vsbench.engine.checkpoint import load_weights, save_weights
from vsbench.engine.fit import meta_optimizers
from vsbench.engine.log import HEAD
from vsbench.engine.memory import Storages, tensors_of
from vsbench.engine.step import Execution
from vsbench.errors import UsageError
from vsbench.method import Card, Method, Phase
from vsbench.names import NAME
from vsbench.registry import load_all

Check = Callable[[Make], None]

STEPS = 60
RATES = (2e-4, 1e-5)  # spectrally normalised networks want the small one: the raw weights they divide by are small
FORMAT_ERROR = 1e-9  # relative, in float64: rounding gives 1e-15 or so


def maker(method: type[Method[Any]], device: str = "cpu") -> Make:
    """A ``make`` for a method: its ``cpu`` preset, and the options that a check gives, on a device.

    Frozen networks have random weights by a seed: what is checked holds for any.
    """

    def make(**options: Any) -> Method[Any]:
        made = method(method.configure("cpu", options))
        made.equip(drawn_for(made))
        return made.to(device)

    return make


def method_checks() -> list[Check]:
    """All checks, each to be called with ``make``; AssertionError says what is wrong."""
    return [
        check_card,
        check_presets_and_variants,
        check_suites,
        check_options,
        check_losses,
        check_weights_switch_off,
        check_parameters,
        check_translate,
        check_repeats,
        check_weights_file,
        check_resume,
        check_device,
        check_memory_formats,
        check_leaves_no_trace,
        check_learns_the_stain,
    ]


def checks_on_a_device() -> list[Check]:
    """Those of them that a device can fail alone, the quickest first: with ``maker(method, "cuda")``.

    What must be equal bit for bit wants deterministic algorithms there (``vsbench.checks.devices.exactly``).
    """
    return [
        check_losses,
        check_parameters,
        check_translate,
        check_weights_file,
        check_repeats,
        check_resume,
        check_memory_formats,
        check_weights_switch_off,
        check_learns_the_stain,
    ]


def check_card(make: Make) -> None:
    """The card is complete, and its parameter counts are those of the published defaults."""
    method_class = type(make())
    card = method_class.card
    for field in ("title", "citation", "origin", "licence", "compute"):
        assert getattr(card, field).strip(), f"the card's {field} is empty"
    assert all(deviation.strip() for deviation in card.deviations), "the card holds an empty deviation"
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
    published = method_class.configure()
    for variant in ("", *method_class.variants):
        for preset in {"paper": {}} | method_class.presets:
            name = f"variant {variant!r}, preset {preset!r}"
            try:
                config = method_class.configure(preset, {"variant": variant})
            except UsageError as error:
                raise AssertionError(f"{name}: {error}") from error
            options = json.loads(config.model_dump_json())
            assert method_class.restored(options) == config, f"{name}: changed by JSON"
            with torch.device("meta"):
                multiple = method_class(config).size_multiple
            assert config.crop_size % multiple == 0, (
                f"{name}: crop_size {config.crop_size} is no multiple of {multiple}"
            )
        if variant:
            values = method_class.configure("paper", {"variant": variant}).model_copy(update={"variant": ""})
            assert values != published, f"variant {variant!r} changes nothing"
        names = list(first_losses(make(variant=variant)))
        assert names == _known(names, method_class), f"variant {variant!r} logs {names}, not as the card lists them"


def check_suites(make: Make) -> None:
    """Each row of an ablation suite is a valid configuration with every preset, unlike the others, and says where it is
    published; printed numbers are of values that are measured. Names can be part of a file's.
    """
    method_class = type(make())
    known = {value.name for metric in load_all("vsbench.metrics")[0].values() for value in metric.values}
    for name, suite in method_class.suites.items():
        assert suite.title.strip(), f"suite {name!r} has no title"
        names = [row.name for row in suite.rows]
        assert len(set(names)) == len(names), f"suite {name!r} names a row twice: {names}"
        for part in (name, *names):
            assert NAME.fullmatch(part), f"suite {name!r}: {part!r} can't be part of a file's name"
        rows: dict[str, str] = {}
        for row in suite.rows:
            where = f"suite {name!r}, row {row.name!r}"
            assert row.published.strip(), f"{where}: where is it published?"
            for values in row.numbers.values():
                assert values.keys() <= known, f"{where}: no metric measures {sorted(values.keys() - known)}"
            for preset in {"paper": {}} | method_class.presets:
                try:
                    config = method_class.configure(preset, row.overrides)
                except UsageError as error:
                    raise AssertionError(f"{where}, preset {preset!r}: {error}") from error
                if preset == "paper":
                    same = rows.setdefault(config.model_copy(update={"variant": ""}).model_dump_json(), row.name)
                    assert same == row.name, f"{where}: the same configuration as row {same!r}"


def check_options(make: Make) -> None:
    """What cannot be is refused, naming the field: a misspelt option, a negative weight, a crop that does not fit, a
    number without sense: 10²², infinity, NaN; a mapping or a list of them, which no setting is.
    """
    method = make()
    configure = type(method).configure
    assert "no_such_option" in _refusal(configure, "cpu", {"no_such_option": 1})
    for weight in _weights(method):
        assert weight in _refusal(configure, "cpu", {weight: -1.0}), f"a negative {weight} is refused by another name"
    for field in ("batch_size", "crop_size", "lr"):
        assert field in _refusal(configure, "cpu", {field: 0}), f"{field} = 0 is refused by another name"
    assert "crop_size" in _refusal(configure, "cpu", {"load_size": 64, "crop_size": 128})
    for field, value in {**dict(method.config), "steps": 1}.items():
        for wrong in (*beyond(value), {}, [{}]):
            assert field in _refusal(configure, "cpu", {field: wrong}), f"{field} = {wrong} is refused by another name"
    for names, wrong in ((method.presets, ("nonesuch", {})), (method.variants, ("cpu", {"variant": "nonesuch"}))):
        message = _refusal(configure, *wrong)
        assert all(name in message for name in names), f"{message!r} does not list {list(names)}"


def check_losses(make: Make) -> None:
    """One step logs the card's losses in their order, each a finite scalar; every optimizer is driven."""
    method = _complete(make)
    optimizers = method.optimizers()
    phases: list[Phase] = []
    step(method, optimizers, stained_batch(method), phases.append)
    for phase in phases:
        assert phase.drives, f"the phase of {list(phase.losses)} drives no optimizer"
        for name, loss in phase.losses.items():
            assert loss.ndim == 0, f"{name} has the shape {tuple(loss.shape)}, not that of a scalar"
            assert loss.isfinite(), f"{name} is {loss.item()}"
    names = tuple(name for phase in phases for name in phase.losses)
    assert len(set(names)) == len(names), f"a loss is named twice: {names}"
    assert names == method.card.losses, f"the step logs {names}, the card lists {method.card.losses}"
    idle = optimizers.keys() - {name for phase in phases for name in phase.drives}
    assert not idle, f"optimizers that no phase drives: {sorted(idle)}"


def check_weights_switch_off(make: Make) -> None:
    """Each weight ``lambda_*`` of 0 takes its terms out of the log, and the rest goes on; every term has a weight."""
    method = _complete(make)
    whole = set(method.card.losses)
    on = {weight: getattr(method.config, weight) for weight in _weights(method)}
    gone: set[str] = set()
    for weight in on:
        names = list(first_losses(make(**(on | {weight: 0.0}))))
        assert names == _known(names, type(method)), f"{weight} = 0 logs {names}, not as the card lists them"
        assert set(names) < whole, f"{weight} = 0 removes nothing from the log"
        gone |= whole - set(names)
    assert not on or gone == whole, f"no weight switches {sorted(whole - gone)} off"


def check_parameters(make: Make) -> None:
    """Every trainable parameter gets a gradient in a step, stays finite, and belongs to exactly one optimizer."""
    method = _complete(make)
    optimizers = method.optimizers()
    parameters = {name: p for name, p in method.named_parameters() if p.requires_grad}
    held = [id(p) for optimizer in optimizers.values() for group in optimizer.param_groups for p in group["params"]]
    for name, parameter in parameters.items():
        count = held.count(id(parameter))
        assert count == 1, f"{name} belongs to {count} optimizers"
    assert len(held) == len(parameters), "an optimizer holds a parameter that is not the method's, or not trainable"
    reached: set[int] = set()
    for parameter in parameters.values():
        parameter.register_post_accumulate_grad_hook(lambda p: reached.add(id(p)))
    step(method, optimizers, stained_batch(method))
    for name, parameter in parameters.items():
        assert id(parameter) in reached, f"{name} gets no gradient"
        assert parameter.isfinite().all(), f"{name} is not finite after a step"


def check_translate(make: Make) -> None:
    """Shape and range kept; same input, same bits; one by one as in a batch; input, weights and generator untouched."""
    method = make().eval()
    width = stained_batch(method).he.shape[3] + method.size_multiple  # not square
    he = stained_batch(method, width).he
    before, generators = he.clone(), _generators(he.device)
    weights = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    with torch.inference_mode():
        fake = method.translate(he)
        assert torch.equal(he, before), "changes its input in place"
        untouched = all(map(torch.equal, _generators(he.device), generators))
        assert untouched, "draws from the global generator"
        for name, tensor in method.state_dict().items():
            assert torch.equal(tensor, weights[name]), f"changes {name}"
        again, single = method.translate(he), torch.cat([method.translate(image[None]) for image in he])
    assert fake.shape == he.shape, f"{tuple(he.shape)} becomes {tuple(fake.shape)}"
    assert fake.dtype == he.dtype, f"{he.dtype} becomes {fake.dtype}"
    assert fake.abs().max() <= 1, f"leaves [−1, 1]: up to {fake.abs().max().item()}"
    assert torch.equal(fake, again), "the same input gives another output"
    rounding = 1e-5 if he.device.type == "cpu" else 1e-4  # a GPU has other kernels for other numbers of images
    torch.testing.assert_close(single, fake, rtol=0, atol=rounding, msg=lambda text: f"depends on the batch: {text}")


def check_repeats(make: Make) -> None:
    """The same seed gives the same losses and the same images, bit for bit, whatever ran before in the process."""
    first = outcome(make, seed=0, steps=2)
    other = outcome(make, seed=1, steps=1)
    assert_same(outcome(make, seed=0, steps=2), first, "the same seed gives another training")
    assert not torch.equal(other["image"], first["image"]), "another seed gives the same training"


def check_weights_file(make: Make) -> None:
    """Weights saved and loaded into a fresh method translate the same."""
    method, fresh = make(), make()
    batch = stained_batch(method)
    step(method, method.optimizers(), batch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, "checked", method)
        load_weights(path, fresh)
    with torch.inference_mode():
        image, expected = fresh.eval().translate(batch.he), method.eval().translate(batch.he)
    assert torch.equal(image, expected), "the weights file does not hold all that translate needs"


def check_resume(make: Make) -> None:
    """Stopped after step 2 and resumed from a checkpoint: step 4 equals that of the training that never stopped."""
    whole = outcome(make, seed=0, steps=4)
    assert_same(outcome(make, seed=0, steps=4, stop_after=2), whole, "a resumed training is another training")


def check_device(make: Make) -> None:
    """A whole step and a translation on the device ``meta``: no tensor is made on the CPU, and none of the step copied
    from there or to it; no value is read.
    """
    method = _complete(make).to("meta")
    batch = stained_batch(method).each(lambda x: x.to("meta"))
    try:
        with Storages(batch.he.device, tensors_of(method, batch)) as storages:
            losses = step(method, meta_optimizers(method), batch)
        with torch.inference_mode():
            fake = method.eval().translate(batch.he)
    except RuntimeError as error:
        raise AssertionError(
            f"fails on the device meta: a tensor is made on the CPU (give it device=he.device), or a value is read, "
            f"which would make a GPU wait: {error}"
        ) from error
    elsewhere = [name for name, loss in losses.items() if not loss.is_meta]
    assert not elsewhere, f"losses that are not on the batch's device: {elsewhere}"
    assert not storages.copied, (
        "a step copies tensors between the CPU and its device, of shapes "
        f"{', '.join(map(str, storages.copied))}: make them there, or take numbers"
    )
    assert fake.is_meta, f"translate moves images to {fake.device}"


def check_memory_formats(make: Make) -> None:
    """A whole step in float64 has the same losses and gradients with contiguous and with channels-last weights and
    images, for a batch of one and of two: the format changes the speed alone. On a GPU too, where there is one.
    """
    # Variants as they are as well: a term that is switched on can change in which format gradients arrive.
    builds: dict[str, Callable[[], Method[Any]]] = {"all terms": partial(_complete, make)}
    builds |= {f"variant {name!r}": partial(make, variant=name) for name in ("", *type(make()).variants)}
    own = device_of(make())
    devices = [own, *([torch.device("cuda")] if own.type == "cpu" and torch.cuda.is_available() else [])]
    for device, (which, build), size in itertools.product(devices, builds.items(), (1, 2)):
        expected, found = (step_in_double(build, size, device, Execution(channels_last=last)) for last in (False, True))
        for name, vector in expected.items():
            error = float((found[name] - vector).norm() / vector.norm())
            assert error < FORMAT_ERROR, (
                f"{name} off by {error:.1e} in channels-last, batch of {size}, {which}, {device}: what is computed, "
                "drawn and differentiated must not depend on how images lie in memory (vsbench.nn.norm)"
            )


def check_leaves_no_trace(make: Make) -> None:
    """Building, a step and a translation change no global setting, print nothing, write no file, use no network."""
    before, folder, printed = _surroundings(), Path.cwd(), io.StringIO()
    refuse = mock.Mock(side_effect=AssertionError("opens a network connection"))
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
            step(method, method.optimizers(), batch)
            with torch.inference_mode():
                method.eval().translate(batch.he)
            here, written = Path.cwd(), sorted(path.name for path in Path(empty).iterdir())
        finally:
            os.chdir(folder)
        assert here == Path(empty).resolve(), f"changes the working folder to {here}"
    assert not written, f"writes {', '.join(written)} into the working folder"
    assert not printed.getvalue(), f"prints {printed.getvalue().splitlines()[0]!r}"
    for name, value in _surroundings().items():
        assert value == before[name], f"changes {name} from {before[name]} to {value}"


def check_learns_the_stain(make: Make) -> None:
    """Two pairs of one structure, violet and brown: within 60 steps the mean colour of the translations comes, and for
    ten steps stays, at least half of the way to the brown, at one of two learning rates, or at the preset's own. All
    losses are finite.
    """
    left: dict[float, list[float]] = {}
    for rate in dict.fromkeys((*RATES, make().config.lr)):
        left[rate] = [round(way, 2) for way in _way_left(make, rate)]
        if max(left[rate][-2:]) <= 0.5:
            return
    raise AssertionError(f"does not learn the stain; way left after every ten steps, by learning rate: {left}")


def _way_left(make: Make, rate: float) -> Iterator[float]:
    """Every ten steps, the mean colour's distance from the IHC's (1: the H&E's), until it is twice at most ½."""
    torch.manual_seed(0)
    method = make(lr=rate)
    optimizers, batch = method.optimizers(), stained_batch(method)
    target = _mean_colour(batch.ihc)
    whole = (_mean_colour(batch.he) - target).norm()
    before = 1.0
    for number in range(1, STEPS + 1):
        for name, loss in step(method, optimizers, batch).items():
            assert loss.isfinite(), f"step {number} at learning rate {rate}: {name} is {loss.item()}"
        if number % 10 == 0:
            with torch.inference_mode():
                fake = method.eval().translate(batch.he)
            method.train()
            way = float((_mean_colour(fake) - target).norm() / whole)
            yield way
            if max(before, way) <= 0.5:
                return
            before = way


def _generators(device: torch.device) -> list[Tensor]:
    """The states of the global generators that something on this device could draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _mean_colour(images: Tensor) -> Tensor:
    return images.mean(dim=(0, 2, 3))


def _weights(method: Method[Any]) -> list[str]:
    return [name for name in type(method.config).model_fields if name.startswith("lambda_")]


def _complete(make: Make) -> Method[Any]:
    """The method with all terms switched on: weights that are 0 become 1."""
    method = make()
    off = [weight for weight in _weights(method) if getattr(method.config, weight) == 0]
    return make(**dict.fromkeys(off, 1.0)) if off else method


def _known(names: list[str], method: type[Method[Any]]) -> list[str]:
    """Those of the card's losses that are in ``names``, in the card's order."""
    return [loss for loss in method.card.losses if loss in names]


def _refusal(configure: Callable[..., object], preset: str, options: dict[str, Any]) -> str:
    """The one-line message of the UsageError that these options must raise."""
    try:
        configure(preset, options)
    except UsageError as error:
        message = str(error)
    else:
        raise AssertionError(f"preset {preset!r} with {options} passes in silence")
    assert "\n" not in message, f"the error has more than one line: {message!r}"
    return message


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
