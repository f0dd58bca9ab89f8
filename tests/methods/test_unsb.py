"""UNSB's settings, its second tissue and its translation; its formulas are held against the oracles elsewhere."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vsbench.checks._training import step
from vsbench.engine.checkpoint import load_state, save_checkpoint
from vsbench.errors import UsageError
from vsbench.method import Batch
from vsbench.registry import load

UNSB = load("vsbench.methods", "unsb")
SMALL = {"width": 4, "blocks": 2, "taps": (0, 4, 8, 12), "patches": 16, "discriminator_layers": 1, "crop_size": 32}


def small(**options: Any) -> Any:
    torch.manual_seed(0)
    return UNSB(UNSB.configure("cpu", SMALL | {"num_timesteps": 5, "lambda_identity": 1.0} | options))


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def trained(method: Any, seeds: list[int]) -> list[dict[str, Tensor]]:
    """Losses of steps with one image each."""
    optimizers = method.optimizers()
    return [step(method, optimizers, Batch(images(1, s), images(1, s + 100))) for s in seeds]


def test_the_other_tissue_is_the_batchs_or_the_last_steps() -> None:
    method, he = small(), images(3)
    assert torch.equal(method.other_tissue(he), he[[2, 0, 1]])
    assert method.training_state() == {}
    alone = [images(1, seed) for seed in range(3)]
    others = [method.other_tissue(x) for x in alone]
    assert torch.equal(others[0], alone[0])  # there is none before
    assert torch.equal(others[1], alone[0])
    assert torch.equal(others[2], alone[1])
    assert torch.equal(method.training_state()["previous"], alone[2])


def test_resumed_with_batches_of_one_it_is_the_same_training(tmp_path: Any) -> None:
    whole, stopped = small(batch_size=1), small(batch_size=1)
    optimizers = [method.optimizers() for method in (whole, stopped)]
    torch.manual_seed(1)
    for seed in range(4):
        losses = step(whole, optimizers[0], Batch(images(1, seed), images(1, seed + 100)))
    torch.manual_seed(1)
    for seed in range(2):
        step(stopped, optimizers[1], Batch(images(1, seed), images(1, seed + 100)))
    kept = save_checkpoint(tmp_path, 2, "unsb", stopped, optimizers[1])
    resumed = small(batch_size=1)
    optimizer = resumed.optimizers()
    load_state(kept, resumed, optimizer)
    for seed in (2, 3):
        found = step(resumed, optimizer, Batch(images(1, seed), images(1, seed + 100)))
    assert found.keys() == losses.keys()
    assert all(torch.equal(found[name], losses[name]) for name in losses)


def test_a_translation_is_that_of_its_seed_whatever_was_drawn_before() -> None:
    """Of fresh weights the blocks do nothing, and no latent shows: so they are moved."""
    methods = [small(translation_seed=seed).eval() for seed in (0, 0, 1)]
    for method in methods:
        torch.manual_seed(2)
        for parameter in method.generator.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    found = []
    for method in methods:
        torch.rand(7)
        with torch.inference_mode():
            found.append(method.translate(images(2)))
    assert torch.equal(found[0], found[1])
    assert (found[0] - found[2]).abs().max() > 1e-3


def test_latents_of_a_translation_do_not_depend_on_the_images_size() -> None:
    seen: list[Tensor] = []
    method = small()
    method.generator.register_forward_pre_hook(lambda _, given: seen.append(given[1].clone()))
    for side in (32, 48):
        method.translate(images(1)[..., :1].expand(-1, -1, 32, side))
    assert len(seen) == 10
    assert all(torch.equal(a, b) for a, b in zip(seen[:5], seen[5:], strict=True))
    assert len({tuple(z.flatten().tolist()) for z in seen}) == 5


def test_nfe_stops_at_the_prediction_of_that_step() -> None:
    predictions: list[Tensor] = []
    method = small()
    method.generator.register_forward_hook(lambda _, given, made: predictions.append(made))
    assert torch.equal(method.translate(images(1)), predictions[4])
    for nfe in (1, 3, 5):
        assert torch.equal(small(nfe=nfe).translate(images(1)), predictions[nfe - 1])
    with pytest.raises(UsageError, match="nfe 6"):
        UNSB.configure("cpu", {"nfe": 6})
    with pytest.raises(UsageError, match="num_timesteps"):
        UNSB.configure("cpu", {"num_timesteps": 1})


@pytest.mark.parametrize(("variant", "depends"), [("", False), ("timed", True)])
def test_the_generator_knows_the_step_in_the_variant_alone(variant: str, depends: bool) -> None:
    generator = small(variant=variant).generator
    torch.manual_seed(3)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    z = torch.randn(2, generator.latent)
    first, fourth = (generator(images(2), z, t) for t in (0, 3))
    assert torch.equal(first, fourth) is not depends


@pytest.mark.parametrize("t", range(5))
def test_every_step_of_the_walk_trains_all_networks(t: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method = small()
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor(t))
    (losses,) = trained(method, [0])
    assert list(losses) == list(UNSB.card.losses)
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None for p in method.parameters())
