"""PPT's own rules for its heads, and its settings; its formulas are held against the oracles elsewhere."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from vsbench.checks._training import assert_same, outcome, stained_batch, step
from vsbench.errors import UsageError
from vsbench.losses.contrastive import patch_nce
from vsbench.registry import load

PPT = load("vsbench.methods", "ppt")


def small(**options: Any) -> Any:
    values = {"width": 4, "blocks": 1, "patches": 16, "discriminator_width": 4, **options}
    return PPT(PPT.configure("cpu", values))


def test_released_gradients_of_the_heads_add_up_and_go_on_after_a_resume() -> None:
    """Bit for bit: they are part of the training state."""
    released = partial(small, variant="released")
    whole = outcome(released, seed=0, steps=4)
    assert any("gradients" in name for name in whole)
    assert_same(outcome(released, seed=0, steps=4, stop_after=2), whole, "a resumed training is another training")


def test_released_gradients_of_the_heads_begin_with_a_pass_before_the_first_step() -> None:
    """At the positions of that step they are twice the step's own."""
    found = {}
    for cleared in (True, False):
        torch.manual_seed(0)
        method = small(heads_cleared=cleared)
        method.heads.draw = lambda features: [torch.arange(16) for _ in features]
        step(method, method.optimizers(), stained_batch(method))
        found[cleared] = torch.cat([p.grad.flatten() for p in method.heads.parameters()])
    torch.testing.assert_close(found[False], 2 * found[True])


def test_only_the_heads_have_rules_of_their_own() -> None:
    method = small(variant="released")
    heads = {id(p) for p in method.heads.parameters()}
    for optimizer in method.optimizers().values():
        for group in optimizer.param_groups:
            of_heads = {id(p) for p in group["params"]} == heads
            assert group.get("scheduled", True) is not of_heads
            assert group.get("cleared", True) is not of_heads
    groups = [group for optimizer in small().optimizers().values() for group in optimizer.param_groups]
    assert all(group.get("scheduled", True) and group.get("cleared", True) for group in groups)


@pytest.mark.parametrize(
    ("off", "translated"),
    [((), True), (("identity",), True), (("reverse",), True), (("identity", "reverse"), False)],
)
def test_the_real_ihc_is_translated_only_where_a_term_asks_for_it(off: tuple[str, ...], translated: bool) -> None:
    method = small(**{f"lambda_{term}": 0.0 for term in off})
    assert method.passes().identity is translated
    losses = step(method, method.optimizers(), stained_batch(method))
    assert {f"g_{term}" for term in off}.isdisjoint(losses)


def test_focal_gamma_of_0_is_patch_nce() -> None:
    generator = torch.Generator().manual_seed(1)
    queries, keys = (normalize(torch.randn(2, 9, 6, generator=generator).double(), dim=2) for _ in range(2))
    found = small(focal_gamma=0, focal_alpha=1).focal_nce(queries, keys)
    torch.testing.assert_close(found, patch_nce(queries, keys, small().config.temperature))


def test_focal_nce_of_patches_that_are_solved_has_a_finite_gradient() -> None:
    solved = torch.eye(6)[None].requires_grad_()
    loss = small(focal_gamma=0.5, temperature=0.01).focal_nce(solved, torch.eye(6)[None])
    (gradient,) = torch.autograd.grad(loss, solved)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("size", "windows"), [(1, 24 * 24), (2, 13 * 13), (4, 7 * 7), (8, 4 * 4)])
def test_windows_that_divide_an_image_count_every_pixel_once(size: int, windows: int) -> None:
    real, fake = torch.rand(2, 2, 3, 24, 24).double()
    found = small(patch_size=size).window_gap(real, fake)
    torch.testing.assert_close(found, (real - fake).abs().sum() / (2 * windows))


def test_networks_are_needed_for_the_content_loss_alone() -> None:
    assert list(PPT(PPT.configure("cpu", {"lambda_content": 1.0})).pretrained()) == ["vgg19-imagenet1k-v1"]
    assert list(PPT(PPT.configure("cpu", {"lambda_content": 1.0, "variant": "vgg16"})).pretrained()) == [
        "vgg16-imagenet1k-v1"
    ]
    with torch.device("meta"):
        assert not PPT(PPT.configure(options={"variant": "no_content"})).pretrained()


def test_a_crop_too_small_for_the_pyramid_is_refused() -> None:
    with pytest.raises(UsageError, match=r"crop_size 32.*levels"):
        PPT.configure(options={"crop_size": 32})
    assert PPT.configure(options={"crop_size": 32, "levels": 5}).levels == 5
