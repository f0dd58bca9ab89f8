"""Pix2Pix against ``oracles/pix2pix.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from vsbench.losses.adversarial import cross_entropy, least_squares, wasserstein
from vsbench.method import Batch
from vsbench.registry import load

Pix2Pix = load("vsbench.methods", "pix2pix")
Vector = Any  # the class in conftest.py, which cannot be imported from here
LOSSES = {"ganloss_vanilla": cross_entropy, "ganloss_lsgan": least_squares, "ganloss_wgangp": wasserstein}


def check_gan_loss(vector: Vector) -> None:
    scores = vector.input("x")
    vector.equal("real", LOSSES[vector.name](scores, real=True))
    vector.equal("fake", LOSSES[vector.name](scores, real=False))


def filled(vector: Vector) -> Any:
    method = Pix2Pix(Pix2Pix.configure(options={"dropout": 0})).double()
    vector.fill(method.generator)
    vector.fill(method.discriminator)
    return method


def dropout_layers() -> int:
    with torch.device("meta"):
        generator = Pix2Pix(Pix2Pix.configure()).generator
    probabilities = [module.p for module in generator.modules() if isinstance(module, nn.Dropout)]
    assert set(probabilities) == {0.5}
    return len(probabilities)


@torch.no_grad()
def check_step(vector: Vector) -> None:
    method, batch = filled(vector), Batch(vector.input("A"), vector.input("B"))
    assert method.config.lambda_l1 == vector.params["lambda_L1"]
    # of the U-Net's names only weight or bias counts: official levels are nested, ours are called down, within and up
    vector.same_order("parameter_order_G", method.generator)
    vector.same_order("parameter_order_D", method.discriminator, {})
    vector.equal("parameters_G", Pix2Pix.card.parameters["generator"])
    vector.equal("parameters_D", Pix2Pix.card.parameters["discriminator"])
    vector.equal("dropout_layers", dropout_layers())

    passes: list[Tensor] = []
    for network in (method.generator, method.discriminator):
        network.register_forward_hook(lambda _, __, output: passes.append(output))
    losses = {name: loss for phase in method.training_step(batch) for name, loss in phase.losses.items()}
    for key, output in zip(("G", "D_real_map", "D_fake_map"), passes[:3], strict=True):
        vector.equal(key, output)
    vector.equal("loss_D_real", 2 * losses["d_real"])
    vector.equal("loss_D_fake", 2 * losses["d_fake"])
    vector.equal("loss_D", losses["d_real"] + losses["d_fake"])
    vector.equal("loss_G_GAN", losses["g_adversarial"])
    vector.equal("loss_G_L1_x100", losses["g_l1"])


@torch.no_grad()
def check_translation(vector: Vector) -> None:
    """Translation in eval mode is the official test (train mode) without its dropout, in a batch as alone."""
    vector.equal("G", filled(vector).eval().translate(vector.input("A"))[:1])


def check_learning_rate(vector: Vector) -> None:
    """The official rate of an epoch is ours of the next one: a deviation that the card names."""
    vector.equal_rates(Pix2Pix.configure(), early=1)


CHECKS: dict[str, Callable[[Vector], None]] = {
    "step_losses_no_dropout": check_step,
    "inference_batch1_train_mode": check_translation,
    "ganloss_*": check_gan_loss,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
