"""Parity vectors: what the official codes gave for inputs and weights that are written as formulas.

A test module named ``test_<method>.py`` whose test asks for ``vector`` runs once for each vector in
``../shared/oracles/<method>.json``.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy import cos, sin
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from vsbench.checks._training import step
from vsbench.engine.schedule import Schedule
from vsbench.method import Batch, Method, MethodConfig, Phase
from vsbench.nn.spectral import SpectralNorm

# Whole steps at published widths that take some twenty seconds of a core each: `make test-vectors` runs them, too.
HEAVY = {"pspstain": ("step_*", "two_*"), "cssp2p": ("step_*", "two_*")}
Array = NDArray[np.float64]
ORACLES = Path(__file__).parents[2].parent / "shared" / "oracles"


def unit_features(n: Array, p: Array, d: Array, a1: float, a2: float, a3: float) -> Array:
    x = sin(0.9 * n + a1 * p + a2 * d + a3 * p * d)
    return x / np.linalg.norm(x, axis=2, keepdims=True)


def image_a(b: Array, c: Array, i: Array, j: Array) -> Array:
    wave = sin(0.11 * i * (1 + 0.3 * c) + 0.7 * b) * cos(0.07 * j * (1 + 0.2 * b) + 0.5 * c)
    return np.clip(0.35 - 0.1 * c + 0.55 * wave, -1, 1)


def image_b(b: Array, c: Array, i: Array, j: Array) -> Array:
    wave = sin(0.09 * i + 0.05 * j * (1 + b) + 0.4 * c) * cos(0.013 * i * (1 + 2 * b) - 0.031 * j)
    return np.clip(0.55 - 0.35 * c + 0.5 * wave, -1, 1)


def image_c(b: Array, c: Array, i: Array, j: Array) -> Array:
    wave = sin(0.07 * i - 0.06 * j * (1 + b) + 0.3 * c) * cos(0.017 * i * (1 + b) + 0.029 * j)
    return np.clip(0.45 - 0.30 * c + 0.5 * wave, -1, 1)


FORMULAS: dict[str, Callable[..., Array]] = {
    "x[n,p,d]=sin(0.9*n+a1*p+a2*d+a3*p*d); then divided by its L2 norm over d": unit_features,
    "clip(0.35-0.1*c+0.55*sin(0.11*i*(1+0.3*c)+0.7*b)*cos(0.07*j*(1+0.2*b)+0.5*c), -1, 1)": image_a,
    "clip(0.55-0.35*c+0.5*sin(0.09*i+0.05*j*(1+b)+0.4*c)*cos(0.013*i*(1+2*b)-0.031*j), -1, 1)": image_b,
    "clip(0.45-0.30*c+0.5*sin(0.07*i-0.06*j*(1+b)+0.3*c)*cos(0.017*i*(1+b)+0.029*j), -1, 1)": image_c,
    "sin(0.3*b+0.7*c+0.21*i-0.13*j)": lambda b, c, i, j: sin(0.3 * b + 0.7 * c + 0.21 * i - 0.13 * j),
    "sin(0.2*b*(1+c)+0.4*c+0.11*i*(1+b)-0.07*j)": lambda b, c, i, j: sin(
        0.2 * b * (1 + c) + 0.4 * c + 0.11 * i * (1 + b) - 0.07 * j
    ),
    "cos(0.3*b*(1+c)+0.5*c-0.09*i+0.05*j*(1+b))": lambda b, c, i, j: cos(
        0.3 * b * (1 + c) + 0.5 * c - 0.09 * i + 0.05 * j * (1 + b)
    ),
}

FILL = (
    "n-th entry of named_parameters() (n from 0), flat index k (int64): s*sin(0.01*((31*k*k+17*k+101*n) mod 10007)), "
    "s=0.001 for one-dimensional parameters else 0.05"
)
# the rule, and what one-dimensional parameters called weight (scales of batch norm) get on top
FILLS = {
    FILL: 0.0,
    FILL + "; G_B and D_B: the same values multiplied by -1": 0.0,
    FILL + "; one-dimensional parameters whose name ends in .weight (BatchNorm scales) get 1+that value": 1.0,
}


def evaluate(formula: str, shape: list[int], coefficients: dict[str, float]) -> Tensor:
    """The formula at each index of an array of this shape, float64."""
    indices = np.ogrid[tuple(slice(0, float(size)) for size in shape)]
    return torch.from_numpy(np.array(np.broadcast_to(FORMULAS[formula](*indices, **coefficients), shape)))


def summary(x: Tensor) -> dict[str, Any]:
    """A large tensor in few numbers, as the vectors have it."""
    flat = x.detach().flatten()
    return {
        "shape": list(x.shape),
        "mean": flat.mean(),
        "std_population": flat.std(correction=0),
        "abs_mean": flat.abs().mean(),
        "first4": flat[:4],
        "last4": flat[-4:],
    }


@dataclass
class Step:
    """One step of CUT's family at fixed weights, before any optimizer's."""

    method: Any
    outputs: Tensor  # of G: of the H&E, then of the IHC where that passes too
    features: list[Tensor]  # of what G was given
    phases: list[Phase]  # with their graphs
    embedded: list[tuple[list[Tensor], ...]]  # what ``embed_at`` gave each time: queries, and keys of each source

    @property
    def losses(self) -> dict[str, Tensor]:
        """The terms by name."""
        return {name: loss for phase in self.phases for name, loss in phase.losses.items()}

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """L2 norms of the gradients that each network is moved by."""
        found, optimizers = {}, self.method.optimizers()
        for phase in self.phases:
            groups = [group for name in phase.drives for group in optimizers[name].param_groups]
            driven = {p for group in groups for p in group["params"]}
            total = torch.stack(list(phase.losses.values())).sum()
            for name, network in self.method.named_children():
                if driven.issuperset(network.parameters()):
                    found[name] = gradient_norm(total, network)
        return found


def positions(patches: int, first: int = 0) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """What stands for ``PatchSampler.draw``: the vectors' positions of draw ``first``, … in each layer."""
    terms = count(first)

    def draw(features: Sequence[Tensor]) -> list[Tensor]:
        k = 7919 * torch.arange(patches) + 101 * next(terms)
        return [(k + 13 * layer)[: f[0, 0].numel()] % f[0, 0].numel() for layer, f in enumerate(features)]

    return draw


def take_step(method: Any, batch: Batch, mirrored: bool = False) -> Step:
    """A step with patch positions by the vectors' rule, and the mirroring decided."""
    made: list[Any] = []
    embedded: list[Any] = []

    def recorded(call: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
        def record(*arguments: Any) -> Any:
            calls.append(call(*arguments))
            return calls[-1]

        return record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method.heads, "draw", positions(method.config.patches))
        patch.setattr(method.generator, "forward_with_features", recorded(method.generator.forward_with_features, made))
        own = "embed" if "embed" in type(method).__dict__ else "embed_at"
        patch.setattr(method, own, recorded(getattr(method, own), embedded))
        patch.setattr(torch, "rand", lambda _: torch.tensor(0.25 if mirrored else 0.75))
        phases = list(method.training_step(batch))
    return Step(method, *made[0], phases, embedded)


def gradient_norm(loss: Any, network: nn.Module) -> Tensor:
    """The L2 norm over all parameters of a network; the loss can be differentiated again."""
    gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    return torch.stack([g.norm() for g in gradients]).norm()


FILLED: dict[tuple[Path, str], nn.Module] = {}


class Vector:
    """Inputs, parameters and expected values of one vector; keeps account of what has been compared."""

    def __init__(self, stored: dict[str, Any], path: Path) -> None:
        self.path = path
        self.name: str = stored["name"]
        self.inputs: dict[str, Any] = stored["inputs"]
        self.params: dict[str, Any] = stored["params"]
        self.expected: dict[str, Any] = stored["expected"]
        self.tolerance: float = stored["tolerance"]
        self.open = set(self.expected)

    def input(self, name: str, layer: int | None = None) -> Tensor:
        """An input by its formula; ``layer`` picks one of several shapes."""
        given = self.inputs[name]
        shape = given["shape"] if layer is None else given["shapes"][layer]
        return evaluate(given["formula"], shape, {key: given[key] for key in ("a1", "a2", "a3") if key in given})

    @torch.no_grad()
    def fill(self, network: nn.Module, sign: float = 1.0, numbers: Iterable[int] | None = None) -> None:
        """Give each parameter of a network its value by the vector's rule; ``numbers``: its n in the official order."""
        scale_offset = FILLS[self.params["fill"]]
        k = torch.arange(10007)  # one period: the rule is a polynomial modulo 10007
        named = network.named_parameters()
        for n, (name, parameter) in zip(count() if numbers is None else numbers, named, strict=numbers is not None):
            amplitude = 0.001 if parameter.ndim == 1 else 0.05
            period = amplitude * torch.sin(0.01 * ((31 * k * k + 17 * k + 101 * n) % 10007).double())
            values = period.repeat(-(-parameter.numel() // 10007))[: parameter.numel()]
            if parameter.ndim == 1 and name.endswith(".weight"):
                values = values + scale_offset
            parameter.copy_(sign * values.view_as(parameter))

    def filled_once(self, name: str, make: Callable[[], nn.Module], numbers: Iterable[int] | None = None) -> nn.Module:
        """A network in float64 with the rule's values, the same for all vectors of the file: nobody may change it."""
        key = (self.path, name)
        if key not in FILLED:
            FILLED[key] = make().double()
            self.fill(FILLED[key], numbers=numbers)
        return FILLED[key]

    def positions(self, first: int = 0) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """What stands for the drawing of 256 positions in each layer: those of the vectors' terms from ``first`` on."""
        return positions(256, first)

    def gradient_norm(self, loss: Any, network: nn.Module) -> Tensor:
        """The L2 norm of the gradient over all parameters of a network; the loss can be differentiated again."""
        return gradient_norm(loss, network)

    def filled(self, method: type[Method[Any]], **options: Any) -> Any:
        """The method under these options, with the vector's weights, in float64."""
        ours = method(method.configure(options=options)).double()
        for network in ours.children():
            self.fill(network)
        return ours

    @torch.no_grad()
    def exact_sigma(self, *networks: nn.Module) -> None:
        """Give each spectral norm the true singular vectors, which power iterations leave as they are."""
        for module in (module for network in networks for module in network.modules()):
            if isinstance(module, ParametrizationList) and isinstance(module[0], SpectralNorm):
                matrix = module.original.flatten(1)
                wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
                _, vectors = torch.linalg.eigh(wide @ wide.T)  # many times as fast as all singular vectors
                first, second = vectors[:, -1], nn.functional.normalize(wide.T @ vectors[:, -1], dim=0)
                left, right = (first, second) if wide is matrix else (second, first)
                module[0].left.copy_(left)
                module[0].right.copy_(right)

    def step(self, method: Any, batch: Batch | None = None, mirrored: bool = False) -> Step:
        """What the method does with the vector's images, or with others."""
        return take_step(method, batch or Batch(self.input("A"), self.input("B")), mirrored)

    def train(self, method: Any, batch: Batch, steps: int) -> list[dict[str, Tensor]]:
        """The losses of a method's first steps with its optimizers, each at the same of the vector's positions."""
        optimizers, losses = method.optimizers(), []
        for _ in range(steps):
            self.draw_anew(method)
            losses.append(step(method, optimizers, batch))
        return losses

    def draw_anew(self, method: Any) -> None:
        """From now on the method draws the vectors' positions, beginning with the first."""
        method.heads.draw = positions(method.config.patches)

    def equal_gradient(self, key: str, loss: Tensor, network: nn.Module) -> None:
        """The expected value is the gradient's norm."""
        self.equal(key, gradient_norm(loss, network))

    def equal_rates(
        self, config: MethodConfig, early: int = 0, names: tuple[str, str] = ("n_epochs", "n_epochs_decay")
    ) -> None:
        """The expected values are the learning rates of epochs under this configuration.

        ``early``: the official rate of an epoch is ours of so many later, which the card names as a deviation.
        """
        published = (config.lr, config.epochs, config.decay_epochs)
        assert published == (self.params["lr"], *(self.params[name] for name in names))
        schedule = Schedule.of(config, steps_per_epoch=7)
        for key in self.expected:
            last = 7 * (int(key.removeprefix("epoch_")) + early) - 1
            self.equal(key, config.lr * schedule.factor(last))
            assert schedule.factor(last - 6) == schedule.factor(last)  # constant within an epoch

    def equal(self, key: str, actual: Any, where: dict[str, Any] | None = None) -> None:
        """``actual`` is the expected value (numbers, lists of them, or a tensor by its summary)."""
        expected = (self.expected if where is None else where)[key]
        self.open.discard(key)
        if isinstance(expected, dict):
            parts = summary(actual)
            assert parts.keys() == expected.keys()
            for part, value in parts.items():
                self.equal(part, value, where=expected)
        else:
            value = actual.detach() if isinstance(actual, Tensor) else actual
            np.testing.assert_allclose(value, expected, rtol=self.tolerance, atol=self.tolerance, err_msg=key)

    def equal_summary(self, actual: Tensor) -> None:
        """The expected values are the summary of ``actual``."""
        for key, value in summary(actual).items():
            self.equal(key, value)

    def same_order(self, key: str, network: nn.Module, names: dict[str, str] | None = None) -> None:
        """The parameters have the order, names and shapes of the official ones, after replacing parts of *their* names.

        With ``names`` None only the last part of each name counts. A key that ends in ``_first6`` has the first 6.
        """
        self.open.discard(key)
        expected = [(name, tuple(shape)) for name, shape in self.expected[key]]
        actual = [(name, tuple(parameter.shape)) for name, parameter in network.named_parameters()]
        if key.endswith("_first6"):
            actual = actual[:6]
        if names is None:
            expected = [(name.rpartition(".")[2], shape) for name, shape in expected]
            actual = [(name.rpartition(".")[2], shape) for name, shape in actual]
        else:
            for theirs, ours in names.items():
                expected = [(name.replace(theirs, ours), shape) for name, shape in expected]
        assert actual == expected

    def set_aside(self, *keys: str) -> None:
        """Expected entries that say nothing about us."""
        self.open -= set(keys)

    def other(self, name: str) -> "Vector":
        """Another vector of the same file."""
        (found,) = (vector for vector in read(self.path) if vector.name == name)
        return found

    def run(self, checks: dict[str, Callable[["Vector"], None]]) -> None:
        """Check this vector by the one entry of ``checks`` whose pattern fits its name; every expected value counts."""
        fitting = [pattern for pattern in checks if fnmatchcase(self.name, pattern)]
        assert len(fitting) == 1, f"{self.name}: one check is needed, there are {len(fitting)}"
        self.open = set(self.expected)
        checks[fitting[0]](self)
        assert not self.open, f"{self.name}: never compared: {sorted(self.open)}"


def read(path: Path) -> list[Vector]:
    """The vectors of a file."""
    return [Vector(stored, path) for stored in json.loads(path.read_text(encoding="utf-8"))["vectors"]]


@pytest.fixture
def vector_named(request: pytest.FixtureRequest, shared: Path) -> Callable[[str], Vector]:
    """A vector of the file that belongs to the module, by its name."""
    return {vector.name: vector for vector in read(shared / "oracles" / oracle_of(request.path))}.__getitem__


@pytest.fixture
def vector_names(request: pytest.FixtureRequest, shared: Path) -> list[str]:
    """The names of all vectors of the file that belongs to the module."""
    return [vector.name for vector in read(shared / "oracles" / oracle_of(request.path))]


def oracle_of(module: Path) -> str:
    return f"{module.stem.removeprefix('test_')}.json"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each vector of the file that belongs to the module."""
    if "vector" not in metafunc.fixturenames:
        return
    path = ORACLES / oracle_of(metafunc.definition.path)
    if path.is_file():
        heavy = HEAVY.get(path.stem, ())
        left = pytest.mark.skipif(not os.environ.get("HEAVY_VECTORS"), reason="takes long; make test-vectors runs it")
        vectors = [
            pytest.param(one, id=one.name, marks=left if any(fnmatchcase(one.name, p) for p in heavy) else ())
            for one in read(path)
        ]
        metafunc.parametrize("vector", vectors)
    else:
        missing = pytest.mark.skip(reason=f"needs ../shared/oracles/{path.name}, which is not here")
        metafunc.parametrize("vector", [pytest.param(None, marks=missing, id="missing")])
