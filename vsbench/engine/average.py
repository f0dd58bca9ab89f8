"""A moving average of the weights, which translates in place of those of the last step.

Generators of an adversarial training circle around; their average over some hundred steps lies still. Early on it is
the plain mean of all steps so far, so that it does not remember the random beginning.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vsbench.method import Method


class WeightAverage:
    """θ̄ ← d θ̄ + (1 − d) θ after each step, with d = min(``decay``, 1 − 1/step); buffers are taken as they are."""

    def __init__(self, method: Method[Any], decay: float) -> None:
        self.decay = decay
        self.weights = _parameters(method)

    @torch.no_grad()
    def update(self, method: Method[Any], step: int) -> None:
        """Add the weights after ``step`` steps, counted from 1."""
        share = max(1 - self.decay, 1 / step)
        for name, parameter in method.named_parameters():
            self.weights[name].lerp_(parameter, share)

    @contextmanager
    def in_place(self, method: Method[Any]) -> Iterator[dict[str, Tensor]]:
        """Inside, the method has the averaged weights; yields its own, which it has again afterwards."""
        own = _parameters(method)
        _fill(method, self.weights)
        try:
            yield own
        finally:
            _fill(method, own)

    def go_on(self, method: Method[Any], own: dict[str, Tensor]) -> None:
        """Take the average from a method that was filled from a checkpoint, and give it its ``own`` weights again."""
        self.weights = _parameters(method)
        _fill(method, own)


@contextmanager
def averaged(average: WeightAverage | None, method: Method[Any]) -> Iterator[dict[str, Tensor]]:
    """``average.in_place`` where there is an average; else nothing, and no weights of the method's own to keep."""
    if average is None:
        yield {}
    else:
        with average.in_place(method) as own:
            yield own


def _parameters(method: Method[Any]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in method.named_parameters()}


@torch.no_grad()
def _fill(method: Method[Any], weights: dict[str, Tensor]) -> None:
    for name, parameter in method.named_parameters():
        parameter.copy_(weights[name])
