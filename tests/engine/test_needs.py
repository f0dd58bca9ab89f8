"""What a method may ask of the engine besides pairs: its place in the schedule, frozen networks, its own rules."""

import csv
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from vsbench.engine.checkpoint import checkpoints
from vsbench.engine.run import Run
from vsbench.engine.schedule import Schedule
from vsbench.engine.step import Execution, take_step
from vsbench.method import Batch, Method, MethodConfig, Phase, Place
from vsbench.nn import VGGFeatures
from vsbench.registry import load as load_entry
from vsbench.registry import names

Vsbench = Callable[..., "subprocess.CompletedProcess[str]"]


class Judged(Method[MethodConfig]):
    """One weight, judged by a frozen network; the second group keeps its gradients."""

    size_multiple = 1

    def __init__(self) -> None:
        super().__init__(MethodConfig())
        self.scale = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))
        self.places: list[Place] = []

    def pretrained(self) -> dict[str, nn.Module]:
        return {"judge": nn.Conv2d(3, 1, 1)}

    def optimizers(self) -> dict[str, Optimizer]:
        kept = {"params": [self.shift], "cleared": False, "scheduled": False}
        return {"generator": SGD([{"params": [self.scale]}, kept], lr=0.0)}

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        self.places.append(batch.place)
        judged = self.frozen["judge"](self.translate(batch.he)).mean()
        yield Phase(("generator",), {"g": judged + self.shift})

    def translate(self, he: Tensor) -> Tensor:
        return self.scale * he


def load(name: str) -> dict[str, Tensor]:
    assert name == "judge"
    return {"weight": torch.full((1, 3, 1, 1), 2.0), "bias": torch.ones(1), "classifier.weight": torch.ones(3)}


def step(method: Method[Any], optimizers: dict[str, Optimizer], accumulate: int = 1) -> None:
    batch = Batch(torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4), ("a", "b"), Place(3, 4, 2))
    fabric = Fabric(accelerator="cpu", devices=1, plugins=LightningEnvironment())  # whatever SLURM has put here
    take_step(fabric, method, batch, optimizers, Execution(accumulate=accumulate))


def test_the_place_in_the_schedule_reaches_every_micro_batch() -> None:
    method = Judged()
    method.equip(load)
    step(method, method.optimizers(), accumulate=2)
    assert method.places == [Place(3, 4, 2), Place(3, 4, 2)]


def test_places_of_a_schedule() -> None:
    schedule = Schedule(constant=3, decay=1, steps_per_unit=2)
    places = [schedule.place(step) for step in range(schedule.steps)]
    assert [place.unit for place in places] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [place.before for place in places[::2]] == [0, 0.25, 0.5, 0.75]
    assert [place.after for place in places[::2]] == [0.25, 0.5, 0.75, 1]
    assert [place.before >= place.decays_from for place in places[::2]] == [False, False, False, True]


def test_frozen_networks_are_no_part_of_the_method_and_go_with_it() -> None:
    method = Judged()
    method.equip(load)
    judge = method.frozen["judge"]
    assert set(method.state_dict()) == set(dict(method.named_parameters())) == {"scale", "shift"}
    assert not dict(method.named_children())
    assert not any(p.requires_grad for p in judge.parameters())
    assert method.double().to("cpu") is method
    assert {p.dtype for p in judge.parameters()} == {torch.float64}
    method.train()
    assert not judge.training
    method.to("meta")
    assert {p.device.type for p in judge.parameters()} == {"meta"}


def test_frozen_networks_have_the_tensors_they_are_given_and_draw_nothing() -> None:
    method, before = Judged(), torch.get_rng_state()
    method.equip(load)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(method.frozen["judge"](torch.ones(1, 3, 1, 1)), torch.full((1, 1, 1, 1), 7.0))


@pytest.mark.parametrize("tensors", [{"weight": torch.ones(1, 3, 1, 1)}, {k: v[:0] for k, v in load("judge").items()}])
def test_a_tensor_that_is_missing_or_of_another_shape_is_named(tensors: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"judge.*(bias|weight)"):
        Judged().equip(lambda _: tensors)


def test_a_group_that_keeps_its_gradients_adds_up_and_the_others_do_not() -> None:
    method = Judged()
    method.equip(load)
    optimizers = method.optimizers()
    for expected in (1, 2, 3):
        step(method, optimizers)
        assert method.scale.grad == 6
        assert method.shift.grad == expected


@pytest.mark.parametrize(("network", "taps"), [("vgg16", (1, 6, 11, 18, 25)), ("vgg19", (1, 6, 11, 20, 29))])
def test_vgg_features_are_those_of_torchvision(network: str, taps: tuple[int, ...]) -> None:
    models = pytest.importorskip("torchvision.models")
    theirs = getattr(models, network)(weights=None).features
    ours = VGGFeatures(network, taps)
    ours.load_state_dict(
        {f"features.{k}": v for k, v in theirs.state_dict().items() if f"features.{k}" in ours.state_dict()}
    )
    x = expected = torch.rand(1, 3, 32, 32)
    found = dict(zip(taps, ours(x), strict=True))
    for number, layer in enumerate(theirs[: taps[-1] + 1]):
        expected = layer(expected)
        if number in taps:
            assert torch.equal(found[number], expected)
    with pytest.raises(ValueError, match="ReLU"):
        VGGFeatures(network, (2,))


def needy() -> list[str]:
    """Methods whose published training needs a file of weights."""
    found = []
    for name in names("vsbench.methods"):
        with torch.device("meta"):
            method = load_entry("vsbench.methods", name)
            found += [name] if method(method.configure()).weights_needed() else []
    return found


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
@pytest.mark.parametrize("name", needy())
def test_weights_that_are_missing_stop_a_training_before_its_first_step(
    name: str, more: tuple[str, ...], vsbench: Vsbench, data_root: Path, tmp_path: Path
) -> None:
    """In one line that says how to get them; nothing is written."""
    where = ("--dataset", "folder", "--stain", "er", "--data-root", data_root, "--results", tmp_path / "results")
    small = ("--device", "cpu", "--preset", "paper", "--set", "load_size=0", "--set", "crop_size=192")
    done = vsbench("train", name, *where, *small, *more, TORCH_HOME=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert re.search("vsbench weights (fetch (vgg|resnet50)|add --own pspstain-segmenter=FILE)", done.stderr)
    assert not (tmp_path / "results").exists()


def test_the_rates_are_the_methods(train: Callable[..., Run], tmp_path: Path) -> None:
    """A group's share of the rate, and a fall that the schedule does not know."""
    run = train(tmp_path, "pspstain", steps=2, lr=1e-3, lr_discriminator=5e-5)
    state = torch.load(checkpoints(run.checkpoints)[-1].state, weights_only=True)
    rates = {name: optimizer["param_groups"][0]["lr"] for name, optimizer in state["optimizers"].items()}
    assert rates == pytest.approx({"discriminator": 5e-5, "generator": 1e-3})
    run = train(tmp_path, "cssp2p", steps=4, lr=1e-3, lr_gamma=0.5 ** (1 / 50))  # of 200 epochs, 50 to a step
    with run.log_file.open(newline="") as file:
        fallen = [float(row["lr"]) for row in csv.DictReader(file)]
    assert fallen == pytest.approx([1e-3, 5e-4, 2.5e-4, 1.25e-4])


class Begun(Judged):
    """A part of it begins with the judge's tensors, beside the frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Conv2d(3, 1, 1)

    def started(self) -> dict[str, nn.Module]:
        return {"beginning": self.part}


def test_a_part_begins_with_its_file_and_stays_the_methods() -> None:
    """Its parameters are those from before: an optimizer that holds them moves them."""
    method = Begun()
    assert list(method.weights_needed()) == ["judge", "beginning"]
    held = dict(method.part.named_parameters())
    method.equip(lambda name: load("judge"))
    assert list(method.frozen) == ["judge"]
    assert dict(method.part.named_parameters()) == held
    assert all(p.requires_grad for p in held.values())
    assert torch.equal(method.part.weight, torch.full((1, 3, 1, 1), 2.0))
    method.part.weight.data.zero_()
    assert method.frozen["judge"].weight.sum() == 6
    with pytest.raises(ValueError, match=r"beginning.*bias"):
        Begun().equip(lambda name: load("judge") if name == "judge" else {"weight": torch.ones(1, 3, 1, 1)})
