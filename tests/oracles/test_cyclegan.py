"""CycleGAN against ``oracles/cyclegan.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vsbench.losses.adversarial import cross_entropy, least_squares, wasserstein
from vsbench.method import Batch
from vsbench.nn import ImagePool, ResnetGenerator, UNetGenerator
from vsbench.registry import load

CycleGAN = load("vsbench.methods", "cyclegan")
Vector = Any  # the class in conftest.py, which cannot be imported from here
LOSSES = {"ganloss_vanilla": cross_entropy, "ganloss_lsgan": least_squares, "ganloss_wgangp": wasserstein}


def check_gan_loss(vector: Vector) -> None:
    scores = vector.input("x")
    vector.equal("real", LOSSES[vector.name](scores, real=True))
    vector.equal("fake", LOSSES[vector.name](scores, real=False))


def filled(vector: Vector) -> Any:
    """Official names: A is H&E, B is IHC; G_A and D_A are those that make and judge B."""
    method = CycleGAN(CycleGAN.configure()).double()
    vector.fill(method.to_ihc)
    vector.fill(method.discriminator_ihc)
    vector.fill(method.to_he, sign=-1)
    vector.fill(method.discriminator_he, sign=-1)
    return method


@torch.no_grad()
def check_step(vector: Vector) -> None:
    method, batch = filled(vector), Batch(vector.input("A"), vector.input("B"))
    weights = (method.config.lambda_cycle, method.config.lambda_cycle, method.config.lambda_identity)
    assert weights == (vector.params["lambda_A"], vector.params["lambda_B"], vector.params["lambda_identity"])
    vector.same_order("parameter_order_G", method.to_ihc, {})
    vector.same_order("parameter_order_D", method.discriminator_ihc, {})
    vector.equal("parameters_G_each", CycleGAN.card.parameters["to_ihc"])
    vector.equal("parameters_D_each", CycleGAN.card.parameters["discriminator_ihc"])

    fake_ihc, fake_he = method.to_ihc(batch.he), method.to_he(batch.ihc)
    vector.equal("fake_B", fake_ihc)
    vector.equal("rec_A", method.to_he(fake_ihc))
    vector.equal("fake_A", fake_he)
    vector.equal("rec_B", method.to_ihc(fake_he))
    vector.equal("D_A_map_of_fake_B", method.discriminator_ihc(fake_ihc))
    losses = {name: loss for phase in method.training_step(batch) for name, loss in phase.losses.items()}
    vector.equal("G_A", losses["g_adversarial_ihc"])
    vector.equal("G_B", losses["g_adversarial_he"])
    vector.equal("cycle_A", losses["g_cycle_he"])
    vector.equal("cycle_B", losses["g_cycle_ihc"])
    vector.equal("idt_A", losses["g_identity_ihc"])
    vector.equal("idt_B", losses["g_identity_he"])
    vector.equal("D_A", losses["d_ihc_real"] + losses["d_ihc_fake"])
    vector.equal("D_B", losses["d_he_real"] + losses["d_he_fake"])


def check_resnet_parameters(vector: Vector) -> None:
    with torch.device("meta"):
        generator = ResnetGenerator(64, 6, antialias=False)
    vector.equal("parameters", sum(p.numel() for p in generator.parameters()))


def check_unet_parameters(vector: Vector) -> None:
    """Our U-Net has pix2pix's batch norm; with instance norm each convolution has a bias and the norms have nothing."""
    downs = {"parameters_unet_128": 7, "parameters_unet_256": 8}[vector.name]
    with torch.device("meta"):
        generator = UNetGenerator(64, downs)
    convolutions = [m for m in generator.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    vector.equal("parameters", sum(m.weight.numel() + m.out_channels for m in convolutions))


def check_image_pool(vector: Vector) -> None:
    draws = 0

    def uniform(_: tuple[()]) -> Tensor:
        nonlocal draws
        draws += 1
        return torch.tensor(0.37 * draws % 1)

    def whole(high: int, _: tuple[()]) -> Tensor:
        nonlocal draws
        draws += 1
        return torch.tensor(7 * draws % high)

    pool, returned = ImagePool(vector.params["size"]), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", uniform)
        patch.setattr(torch, "randint", whole)
        for k in range(8):
            images = torch.tensor([2.0 * k, 2.0 * k + 1])[:, None, None, None].expand(-1, 3, 4, 4)
            returned.append(pool.exchange(images)[:, 0, 0, 0])
    vector.equal("returned", torch.cat(returned))
    vector.equal("pool_after", torch.stack(pool.images)[:, 0, 0, 0])


def check_learning_rate(vector: Vector) -> None:
    """The official rate of an epoch is ours of the next one: a deviation that the card names."""
    vector.equal_rates(CycleGAN.configure(), early=1)


CHECKS: dict[str, Callable[[Vector], None]] = {
    "ganloss_*": check_gan_loss,
    "learning_rate": check_learning_rate,
    "step_losses": check_step,
    "parameters_resnet_6blocks": check_resnet_parameters,
    "parameters_unet_*": check_unet_parameters,
    "image_pool": check_image_pool,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
