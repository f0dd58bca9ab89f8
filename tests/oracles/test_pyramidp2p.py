"""PyramidPix2Pix against ``oracles/pyramidp2p.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from vsbench.checks._training import step
from vsbench.losses.pyramid import gaussian_blur, octaves
from vsbench.method import Batch
from vsbench.nn.resnet import ResidualBlock
from vsbench.registry import load

PyramidPix2Pix = load("vsbench.methods", "pyramidp2p")
Vector = Any  # the class in conftest.py, which cannot be imported from here
LEVELS = PyramidPix2Pix.card.losses[3:]


def filled(vector: Vector) -> Any:
    method = PyramidPix2Pix(PyramidPix2Pix.configure(options={"dropout": 0})).double()
    vector.fill(method.generator)
    vector.fill(method.discriminator)
    return method


def bare(**options: Any) -> Any:
    """A method of which only the terms on images are asked."""
    with torch.device("meta"):
        return PyramidPix2Pix(PyramidPix2Pix.configure(options={"blocks": 1, "width": 1, **options}))


def norm(gradients: Any) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def check_blur(vector: Vector) -> None:
    config, x = PyramidPix2Pix.configure(), vector.input("x")
    assert (config.blur_size, config.blur_sigma) == (vector.params["kernel_size"], vector.params["sigma"])
    impulse = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    impulse[..., 2, 2] = 1
    kernel = gaussian_blur(impulse, config.blur_sigma, config.blur_size)[0, 0, 1:4, 1:4]
    vector.equal("taps", kernel.sum(0))
    vector.equal("out", gaussian_blur(x, config.blur_sigma, config.blur_size))


def check_pyramid(vector: Vector) -> None:
    fake, real = vector.input("fake").requires_grad_(), vector.input("real")
    config = PyramidPix2Pix.configure()
    assert [config.lambda_l1 * w for w in config.level_weights] == vector.params["weights"]
    assert (config.levels, config.blurs_per_octave) == (vector.params["levels"], vector.params["blurs_per_octave"])
    for name, image in (("fake", fake), ("real", real)):
        for number, level in enumerate(octaves(image, 4)[1:], 2):
            vector.equal(f"{name}_level{number}", level)
    terms = bare().terms(Batch(fake, real), fake)
    vector.equal("weighted_L1_per_level", torch.stack([terms[name] for name in LEVELS]))
    total = torch.stack(list(terms.values())).sum()
    vector.equal("total", total)
    (gradient,) = torch.autograd.grad(total, fake)
    vector.equal("grad_fake_l2", gradient.norm())


def check_gradient_per_level(vector: Vector) -> None:
    fake, real = vector.input("fake").requires_grad_(), vector.input("real")
    norms = []
    for number, name in enumerate(LEVELS):
        weights = [float(number == other) for other in range(len(LEVELS))]
        terms = bare(lambda_l1=vector.params["weight"], level_weights=weights).terms(Batch(fake, real), fake)
        assert list(terms) == [name]
        norms.append(torch.autograd.grad(terms[name], fake)[0].norm())
    vector.equal("grad_fake_l2", torch.stack(norms))


def check_step(vector: Vector) -> None:
    method, batch = filled(vector), Batch(vector.input("A"), vector.input("B"))
    with torch.device("meta"):  # with dropout, which takes a number in each block
        vector.same_order("parameter_order_G", PyramidPix2Pix(PyramidPix2Pix.configure()).generator, {})
    vector.same_order("parameter_order_D", method.discriminator, {})
    vector.equal("parameters_G", PyramidPix2Pix.card.parameters["generator"])
    vector.equal("parameters_D", PyramidPix2Pix.card.parameters["discriminator"])

    passes: list[Tensor] = []
    for network in (method.generator, method.discriminator):
        network.register_forward_hook(lambda _, __, output: passes.append(output))
    losses: dict[str, Tensor] = {}
    for key, network, phase in zip(
        "DG", (method.discriminator, method.generator), method.training_step(batch), strict=True
    ):
        losses |= phase.losses
        gradients = torch.autograd.grad(torch.stack(list(phase.losses.values())).sum(), list(network.parameters()))
        vector.equal(f"grad_{key}_l2", norm(gradients))
    for key, output in zip(("fake_B", "D_real_map", "D_fake_map"), passes[:3], strict=True):
        vector.equal(key, output)
    vector.equal("loss_D_real", 2 * losses["d_real"])
    vector.equal("loss_D_fake", 2 * losses["d_fake"])
    vector.equal("loss_D", losses["d_real"] + losses["d_fake"])
    vector.equal("loss_G_GAN", losses["g_adversarial"])
    for number, name in enumerate(LEVELS, 1):
        vector.equal(f"loss_G_L{number}", losses[name])
    vector.equal("loss_G", losses["g_adversarial"] + torch.stack([losses[name] for name in LEVELS]).sum())


def check_two_steps(vector: Vector) -> None:
    """D has stepped before it judges for G."""
    method, batch = filled(vector), Batch(vector.input("A"), vector.input("B"))
    adam = vector.params["adam"]
    assert (method.config.lr, list(method.config.betas)) == (adam["lr"], adam["betas"])
    optimizers = method.optimizers()
    first, second = (step(method, optimizers, batch) for _ in range(2))
    scales = {"D_fake": ("d_fake", 2), "D_real": ("d_real", 2), "G_GAN": ("g_adversarial", 1)}
    scales |= {f"G_L{number}": (name, 1) for number, name in enumerate(LEVELS, 1)}
    for key, (name, scale) in scales.items():
        vector.equal(key, torch.stack([scale * first[name], scale * second[name]]))


def check_dropout(vector: Vector) -> None:
    with torch.device("meta"):
        generator = PyramidPix2Pix(PyramidPix2Pix.configure()).generator
    places = [
        (number, layer.p)
        for block in generator.modules() if isinstance(block, ResidualBlock)
        for number, layer in enumerate(block.conv_block) if isinstance(layer, nn.Dropout)
    ]  # fmt: skip
    vector.equal("count", len(places))
    vector.equal("probability", places[0][1])
    vector.equal("index_in_block", sorted({number for number, _ in places}))
    assert len({p for _, p in places}) == 1


@torch.no_grad()
def check_translation(vector: Vector) -> None:
    """Translation with an image's own statistics is the official test without its dropout."""
    vector.equal_summary(filled(vector).eval().translate(vector.input("A")))


@torch.no_grad()
def check_running_statistics(vector: Vector) -> None:
    method, he = filled(vector), vector.input("A")
    method.generator(he)
    method.config = method.config.model_copy(update={"test_mode": "running_statistics"})
    vector.equal_summary(method.eval().translate(he[:1]))


def check_learning_rate(vector: Vector) -> None:
    """The official rate of an epoch is ours of the next one: a deviation that the card names."""
    vector.equal_rates(PyramidPix2Pix.configure(), early=1)


CHECKS: dict[str, Callable[[Vector], None]] = {
    "gaussian_blur": check_blur,
    "pyramid_even": check_pyramid,
    "pyramid_odd": check_pyramid,
    "pyramid_gradient_per_level": check_gradient_per_level,
    "step_losses_no_dropout": check_step,
    "two_steps": check_two_steps,
    "dropout_layers": check_dropout,
    "inference_batch1_train_mode": check_translation,
    "generator_size_multiple_4": check_translation,
    "inference_batch1_eval_mode": check_running_statistics,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
