"""SRC late in its schedule, which short runs cannot see, and its settings; the oracles have the formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vsbench.engine.schedule import Schedule
from vsbench.method import Batch, Place
from vsbench.registry import load

SRC = load("vsbench.methods", "src")
EARLY, LATE = Place(1, 200, 200), Place(400, 200, 200)


def small(**options: Any) -> Any:
    torch.manual_seed(0)
    few = {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), "patches": 16, "lambda_identity": 0.1}
    return SRC(SRC.configure("cpu", few | options))


def losses(method: Any, place: Place) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    he, ihc = (torch.rand((2, 3, 32, 32), generator=generator) * 2 - 1 for _ in range(2))
    torch.manual_seed(1)
    with torch.no_grad():
        phases = list(method.training_step(Batch(he, ihc, place=place)))
    return {name: loss for phase in phases for name, loss in phase.losses.items()}


def test_late_in_training_negatives_weigh_otherwise_and_nothing_else_changes() -> None:
    """At equal weights of the networks: γ reaches the terms that have it."""
    late, early = losses(small(), LATE), losses(small(), EARLY)
    assert {name for name in late if not torch.equal(late[name], early[name])} == {"g_nce", "g_identity"}
    assert late["g_nce"] < early["g_nce"]  # weights at 10 are further from 1 than at 50
    off = small(hard_negatives="off")
    assert losses(off, LATE) == losses(off, EARLY)


def test_gamma_follows_the_steps_where_a_run_counts_them() -> None:
    ours = small(steps=8, gamma_step_epoch=100)
    schedule = Schedule.of(ours.config, steps_per_epoch=3)
    assert [ours.gamma(schedule.place(step)) for step in range(8)] == [45.0, 40.0, 1, 1, 1, 1, 1, 1]
    by_epoch = small(steps=None, epochs=2, decay_epochs=2, gamma_step_epoch=3)
    schedule = Schedule.of(by_epoch.config, steps_per_epoch=2)
    assert [by_epoch.gamma(schedule.place(step)) for step in range(8)] == [40, 40, 30, 30, 20, 20, 1, 1]


def test_all_images_of_a_step_are_embedded_at_the_same_positions() -> None:
    ours, drawn = small(), []
    draw = ours.heads.draw
    ours.heads.draw = lambda features: drawn.append(draw(features)) or drawn[-1]
    losses(ours, EARLY)
    assert len(drawn) == 1


@pytest.mark.parametrize("term", ["relation_gap", "hdce", "missed"])
def test_images_are_apart(term: str) -> None:
    """Each has its own relations and negatives; the losses are means over images."""
    generator = torch.Generator().manual_seed(1)
    queries, keys = (normalize(torch.randn(2, 9, 6, generator=generator).double(), dim=2) for _ in range(2))
    loss = getattr(small(), term)
    more = {} if term == "relation_gap" else {"gamma": 10.0}
    apart = torch.stack([loss(q[None], k[None], **more).mean() for q, k in zip(queries, keys, strict=True)])
    torch.testing.assert_close(loss(queries, keys, **more).mean(), apart.mean())


def test_a_patch_that_is_solved_still_teaches_where_the_loss_is_decoupled() -> None:
    solved = torch.eye(6, dtype=torch.float64)[None].requires_grad_()
    norms = []
    for decoupled in (True, False):
        loss = small(decoupled=decoupled).hdce(solved, torch.eye(6, dtype=torch.float64)[None], 10.0)
        norms.append(float(torch.autograd.grad(loss, solved)[0].norm()))
        assert loss.item() == pytest.approx(0, abs=1e-4)
    assert norms[0] > 1000 * norms[1] > 0
