"""CSSP2P-GAN's encoder, schedule and official files; its formulas are held against the oracles elsewhere."""

from typing import Any

import pytest
import torch

from vsbench.checks._training import drawn_for, stained_batch, step
from vsbench.engine.fit import require_fit
from vsbench.engine.schedule import Schedule
from vsbench.errors import UsageError
from vsbench.nn.vgg import as_imagenet
from vsbench.registry import load

CSSP2P = load("vsbench.methods", "cssp2p")
SMALL = {"width": 4, "discriminator_width": 4, "discriminator_layers": 2}


def small(**options: Any) -> Any:
    torch.manual_seed(0)
    return CSSP2P(CSSP2P.configure("cpu", SMALL | options))


def test_the_encoder_begins_with_the_files_kernels_and_learns_on() -> None:
    """As the very parameters that the optimizers hold; the decoder begins as it was drawn."""
    method = small(width=64, layers=(3, 4, 6, 3), encoder_weights="imagenet-v2")
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    held = [id(p) for p in method.generator.parameters()]
    tensors = drawn_for(method)("resnet50-imagenet1k-v2")
    asked = []
    method.equip(lambda name: (asked.append(name), tensors | {"fc.weight": torch.ones(3)})[1])
    assert asked == ["resnet50-imagenet1k-v2"]
    assert not method.frozen
    assert held == [id(p) for p in method.generator.parameters()]
    for name, tensor in method.state_dict().items():
        own = tensors.get(name.removeprefix("generator.encoder."), before[name])
        assert torch.equal(tensor, own), name
    assert len(tensors) == 53
    assert all(parameter.requires_grad for parameter in method.generator.encoder.parameters())


def test_kernels_of_another_width_are_refused_before_the_first_step() -> None:
    with pytest.raises(UsageError, match=r"encoder_weights=imagenet-v2 are of width 64.*set encoder_weights=none"):
        require_fit(CSSP2P, CSSP2P.configure("cpu", {"encoder_weights": "imagenet-v2"}))
    with torch.device("meta"):
        for weights, needed in (("imagenet-v1", ["resnet50-imagenet1k-v1"]), ("none", [])):
            method = CSSP2P(CSSP2P.configure(options={"encoder_weights": weights}))
            assert list(method.weights_needed()) == needed


def test_the_rate_falls_alike_by_epochs_and_by_steps() -> None:
    rates = {}
    for steps in (None, 400):
        method = small(**({"epochs": 200, "decay_epochs": 0} if steps is None else {"steps": steps}))
        schedule = Schedule.of(method.config, steps_per_epoch=2)
        assert schedule.steps == 400
        rates[steps] = [method.rate_factor(schedule.place(number)) for number in (0, 199, 399)]
    assert rates[None] == pytest.approx([1, 0.995**99, 0.995**199])
    assert rates[400] == pytest.approx(rates[None], rel=0.003)


def test_css_asks_for_the_contrast_of_the_h_and_e_and_p2p_for_the_pair() -> None:
    method, batch = small(), stained_batch(small())
    he, ihc = as_imagenet(batch.he), (batch.ihc + 1) / 2
    shifted = 0.5 * (batch.he + 1) / 2 + 0.1  # half the contrast, at another brightness
    css = {name: method.terms(image, ihc, he)["g_css"] for name, image in (("half", shifted), ("flat", ihc * 0 + 0.5))}
    assert css["half"] < css["flat"]
    assert method.terms(ihc, ihc, he)["g_p2p"] == 0
    rgb = small(css_reference="rgb")
    assert rgb.terms((batch.he + 1) / 2, ihc, he)["g_css"].item() == pytest.approx(0, abs=1e-5)


def test_without_the_condition_the_discriminator_sees_no_h_and_e() -> None:
    method, batch = small(condition=False), stained_batch(small())
    assert method.discriminator.model[0].in_channels == 3
    assert torch.isfinite(step(method, method.optimizers(), batch)["d_real"])


def test_tiles_are_mirrored_top_to_bottom_too() -> None:
    assert small().changes().flip_vertical
    assert not small(flip_vertical=False).changes().flip_vertical
