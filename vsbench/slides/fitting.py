"""From a rough pose to an alignment: an affine map, then what bends it, by gradients of local correlation.

Correlation in small windows asks only for structure in the same places, not for equal stains: a gland is dense against
its lumen in H&E and in IHC. What bends the section is a cubic B-spline that pays for its curvature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam

from vsbench.slides.alignment import Alignment

Array = NDArray[np.float64]

AFFINE_STEPS = (40, 30)  # at each level, the coarser first; the last is for all that follow
BENDING_STEPS = (40, 30)
REACH = 6  # pixels of a level: half a window, about
NODE = 320.0  # µm between the nodes of what bends a section, at the finest level; 4/3 of it at the coarser
STIFFNESS = 1200.0  # µm²: what a mean squared curvature of 1/µm² costs, in correlation
PACE = 0.25  # of a level's pixel that a step moves a place by, at first
LAST = 0.02  # pixels, in the end
EVEN = 1e-4  # variance in a window, of the map's own, below which it shows nothing
FINER = 4  # places at which a bending is kept, for one of its nodes


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps (C, H, W) of density of two sections, each of unit variance, weights (H, W) of the first one, µm a pixel."""

    first: Tensor
    second: Tensor
    weights: Tensor
    pixel: float

    @classmethod
    def of(cls, first: Array, second: Array, weights: Array, pixel: float) -> "Maps":
        """From arrays."""
        ours, theirs = (
            _tensor(values / np.maximum(values.std(axis=(1, 2), keepdims=True), 1e-9)) for values in (first, second)
        )
        return cls(ours, theirs, _tensor(weights[None]), pixel)

    def level(self, factor: int) -> "Maps":
        """The same, so many times as coarse."""
        first, second, weights = (F.avg_pool2d(m, factor) for m in (self.first, self.second, self.weights))
        return Maps(first, second, weights, factor * self.pixel)


def fit_affine(maps: Maps, matrix: Array, factors: Sequence[int]) -> tuple[Array, float]:
    """The affine map (3, 3) near a given one that correlates best, and the correlation in the end."""
    height, width = maps.first.shape[-2:]
    middle = torch.tensor([width / 2, height / 2])
    radius = float(middle.norm())
    turn = torch.tensor(matrix[:2, :2].copy()).float()
    place = turn @ middle + torch.tensor(matrix[:2, 2].copy()).float()
    change, shift = torch.zeros(2, 2, requires_grad=True), torch.zeros(2, requires_grad=True)  # at the border, pixels

    def at(places: Tensor) -> Tensor:
        return (places - middle) @ (turn + change / radius).T + place + shift

    for factor, steps in zip(factors, _steps(AFFINE_STEPS, factors), strict=True):
        level, places = maps.level(factor), _places(maps, factor)
        optimizer = Adam([change, shift])
        for pace in _paces(factor, steps):
            optimizer.param_groups[0]["lr"] = pace
            correlation = _correlation(level, at(places), factor)
            optimizer.zero_grad()
            (-correlation).backward()
            optimizer.step()
    found = np.eye(3)
    with torch.no_grad():
        linear = turn + change / radius
        found[:2, :2], found[:2, 2] = linear.numpy(), (place + shift - linear @ middle).numpy()
    return found, float(correlation.detach())


def fit_bending(maps: Maps, matrix: Array, factors: Sequence[int]) -> tuple[Alignment, float]:
    """The affine map with what bends it, and the correlation in the end."""
    height, width = maps.first.shape[-2:]
    base = torch.tensor(matrix[:2].copy()).float()
    nodes, kept = None, (1.0, 1.0)
    for factor, steps in zip(factors, _steps(BENDING_STEPS, factors), strict=True):
        step = NODE / maps.pixel * (1 if factor == factors[-1] else 4 / 3)
        level, places = maps.level(factor), _places(maps, factor)
        down = _spline(torch.arange(level.first.shape[-2]) + 0.5, factor, step, height)
        across = _spline(torch.arange(level.first.shape[-1]) + 0.5, factor, step, width)
        if nodes is None:
            nodes = torch.zeros(2, down.shape[1], across.shape[1])
        else:  # the coarser one's values at the new nodes: near enough for a start
            nodes = _resampled(nodes, kept, step, down.shape[1], across.shape[1])
        nodes = nodes.detach().requires_grad_(True)
        kept = (step, step)
        straight = places @ base[:, :2].T + base[:, 2]
        optimizer = Adam([nodes])
        for pace in _paces(factor, steps):
            optimizer.param_groups[0]["lr"] = pace
            moved = straight + (down @ nodes @ across.T).permute(1, 2, 0)
            correlation = _correlation(level, moved, factor)
            cost = STIFFNESS * _curvature(nodes, step) / maps.pixel**2
            optimizer.zero_grad()
            (cost - correlation).backward()
            optimizer.step()
    assert nodes is not None
    fine = step / FINER
    rows, columns = (int(np.ceil(side / fine)) + 1 for side in (height, width))
    with torch.no_grad():
        down, across = (
            _spline(torch.arange(n).float(), fine, step, side) for n, side in ((rows, height), (columns, width))
        )
        bending = (down @ nodes @ across.T).permute(1, 2, 0).double().numpy()
    return Alignment(matrix, bending, (fine, fine)), float(correlation.detach())


def _correlation(level: Maps, places: Tensor, factor: int) -> Tensor:
    """Of the first maps and the second at ``places`` (h, w, 2): by windows, mean over the tissue and the maps."""
    height, width = level.second.shape[-2:]
    sides = torch.tensor([width, height]) * factor
    second = F.grid_sample(level.second, (2 * places / sides - 1)[None], align_corners=False, padding_mode="border")
    first = level.first

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, 2 * REACH + 1, 1, REACH, count_include_pad=False)

    mean_first, mean_second = mean(first), mean(second)
    varies_first = (mean(first * first) - mean_first**2).clamp(min=0)
    varies_second = (mean(second * second) - mean_second**2).clamp(min=0)
    covariance = mean(first * second) - mean_first * mean_second
    values = covariance / torch.sqrt((varies_first + EVEN) * (varies_second + EVEN))
    return (values.mean(dim=1) * level.weights[:, 0]).sum() / level.weights.sum().clamp(min=1e-6)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()[None]


def _places(maps: Maps, factor: int) -> Tensor:
    """(h, w, 2): (x, y) of the middles of a level's pixels in the map's own."""
    y, x = (torch.arange(side // factor) for side in maps.first.shape[-2:])
    rows, columns = torch.meshgrid(factor * (y + 0.5), factor * (x + 0.5), indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def _steps(steps: Sequence[int], factors: Sequence[int]) -> list[int]:
    return [steps[min(place, len(steps) - 1)] for place in range(len(factors))]


def _paces(factor: int, steps: int) -> list[float]:
    return [PACE * factor * (1 - step / steps) + LAST for step in range(steps)]


def _spline(places: Tensor, scale: float, step: float, side: int) -> Tensor:
    """(n, nodes): what each node adds at ``scale`` · ``places``; nodes lie ``step`` apart, the first one before 0."""
    nodes = int(np.ceil(side / step)) + 3
    away = (scale * places[:, None] / step - (torch.arange(nodes) - 1)).abs()
    near = 2 / 3 - away**2 + away**3 / 2
    far = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, near, far)


def _curvature(nodes: Tensor, step: float) -> Tensor:
    """Mean squared curvature, of pixels, of a spline's nodes."""
    down, across = (nodes.diff(n=2, dim=dim) for dim in (-2, -1))
    twist = nodes.diff(dim=-2).diff(dim=-1)
    total = (down**2).sum() + (across**2).sum() + 2 * (twist**2).sum()
    return total / (nodes[0].numel() * step**4)


def _resampled(nodes: Tensor, kept: tuple[float, float], step: float, rows: int, columns: int) -> Tensor:
    sizes = [(n - 3) * old for n, old in zip(nodes.shape[-2:], kept, strict=True)]
    down, across = (
        _spline((torch.arange(n).float() - 1).clamp(min=0), step, old, round(size))
        for n, old, size in zip((rows, columns), kept, sizes, strict=True)
    )
    down, across = down[:, : nodes.shape[-2]], across[:, : nodes.shape[-1]]
    down, across = (m / m.sum(dim=1, keepdim=True).clamp(min=1e-6) for m in (down, across))
    return down @ nodes @ across.T
