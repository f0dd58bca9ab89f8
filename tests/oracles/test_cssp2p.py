"""CSSP2P-GAN against ``oracles/cssp2p.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsbench.checks._training import step
from vsbench.engine.schedule import Schedule
from vsbench.losses.adversarial import cross_entropy
from vsbench.losses.pyramid import pooled_octaves
from vsbench.losses.structure import contrast_structure, contrast_structure_gap
from vsbench.method import Batch
from vsbench.nn.spectral import SpectralNorm
from vsbench.nn.vgg import as_imagenet
from vsbench.registry import load

CSSP2P = load("vsbench.methods", "cssp2p")
Vector = Any  # the class in conftest.py, which cannot be imported from here
D_NAMES = {"weight_orig": "parametrizations.weight.original", "enc.": "model.", "final_conv.": "model.18."}


def generator(vector: Vector) -> Any:
    """Of the published size, filled once: nobody may change it."""
    return vector.filled_once("generator", lambda: bare().generator)


def bare(**options: Any) -> Any:
    """The method, whose encoder begins with nothing."""
    return CSSP2P(CSSP2P.configure(options={"encoder_weights": "none", **options}))


def filled(vector: Vector, **options: Any) -> Any:
    """Of the published size, with singular vectors by the rule."""
    method = vector.filled(CSSP2P, encoder_weights="none", **options)
    for norm in spectral_norms(method.discriminator):
        for singular in (norm.left, norm.right):
            singular.fill_(len(singular) ** -0.5)
    return method


def spectral_norms(network: torch.nn.Module) -> list[SpectralNorm]:
    return [module for module in network.modules() if isinstance(module, SpectralNorm)]


def sigmas(network: torch.nn.Module) -> Tensor:
    """What each convolution's weight is divided by."""
    found = []
    for layer in (module for module in network.modules() if isinstance(module, torch.nn.Conv2d)):
        parametrized: Any = layer.parametrizations
        norm, matrix = parametrized.weight[0], parametrized.weight.original.flatten(1)
        found.append(norm.left @ matrix @ norm.right)
    return torch.stack(found)


def check_parameters(vector: Vector) -> None:
    with torch.device("meta"):
        method = bare()
    vector.equal("parameters_G_without_fc", CSSP2P.card.parameters["generator"])
    vector.equal("parameters_D", CSSP2P.card.parameters["discriminator"])
    vector.set_aside("parameters_G")  # with a classifier that nobody uses
    encoder = {"encoder.model.": "encoder."}
    doublings = {f"layers.{n}.double_conv.double_conv.": f"layers.{n}.conv." for n in (1, 3, 5, 7)}
    ups = {f"layers.{n}.up.1.": f"layers.{n}.up." for n in (1, 3, 5, 7)}
    vector.same_order("order_G", method.generator, encoder | doublings | ups | {"layers.8.conv.": "layers.8."})
    vector.same_order("order_D", method.discriminator, D_NAMES)


def check_css(vector: Vector) -> None:
    c, x = CSSP2P.configure(), ((vector.input("C") + 1) / 2).requires_grad_()
    he = vector.input("A") if vector.name == "css" else 0.9 + 0.02 * vector.input("A")
    reference = as_imagenet(he)
    if "k" in vector.params:
        assert (c.css_k, c.css_sigma) == (vector.params["k"], vector.params["sigma"])
    loss = contrast_structure_gap(x, reference, c.css_k, c.css_sigma)
    vector.equal("loss", loss)
    vector.equal("similarity", contrast_structure(x, reference, c.css_k, c.css_sigma))
    (gradient,) = torch.autograd.grad(loss, x)
    vector.equal("grad_x", gradient)
    vector.equal("grad_x_l2", gradient.norm())
    ranges = [image.max() - image.min() for image in (x, reference)]
    vector.equal("data_range", max(ranges))
    if "data_range_HE" in vector.expected:
        vector.equal("data_range_HE", ranges[1])


def check_pyramid(vector: Vector) -> None:
    x, y = ((vector.input(name) + 1) / 2 for name in "AB")
    x.requires_grad_()
    with torch.device("meta"):
        method = bare(pyramid_gradient="all" if "differentiable" in vector.name else "first")
    gaps = method.pyramid_gaps(x, y)
    vector.equal("levels", gaps)
    vector.equal("loss", gaps.mean())
    assert vector.params["weights"] == [1 / method.config.levels] * method.config.levels
    (gradient,) = torch.autograd.grad(gaps.mean(), x)
    vector.equal("grad_x", gradient)
    vector.equal("grad_x_l2", gradient.norm())
    for number, level in enumerate(pooled_octaves(x, method.config.levels)[1:], 1):
        vector.equal(f"x_level{number}", level)


def check_adversarial(vector: Vector) -> None:
    fake, real = (vector.input(f"{name}_map").requires_grad_() for name in ("fake", "real"))
    of_d = 0.5 * (cross_entropy(fake, False) + cross_entropy(real, True))
    vector.equal("D", of_d)
    for name, gradient in zip(("fake", "real"), torch.autograd.grad(of_d, [fake, real]), strict=True):
        vector.equal(f"D_grad_{name}_l2", gradient.norm())
    of_g = cross_entropy(fake, True)
    vector.equal("G", of_g)
    vector.equal("G_grad_fake_l2", torch.autograd.grad(of_g, fake)[0].norm())


@torch.no_grad()
def check_discriminator(vector: Vector) -> None:
    method, he, ihc = filled(vector, width=1, power_iterations="pass"), *images(vector)
    for number in (1, 2, 3):
        vector.equal(f"map_{number}", method.judge(ihc, he))
        vector.equal(f"sigma_{number}", sigmas(method.discriminator))
    method.eval()
    method.config = method.config.model_copy(update={"power_iterations": "step"})  # none in eval mode
    vector.equal("map_eval", method.judge(ihc, he))
    vector.equal("sigma_eval", sigmas(method.discriminator))


def images(vector: Vector) -> tuple[Tensor, Tensor]:
    """H&E as G sees it, IHC in [0, 1]."""
    return as_imagenet(vector.input("A")), (vector.input("B") + 1) / 2


@torch.no_grad()
def check_generator(vector: Vector) -> None:
    network, he = generator(vector), as_imagenet(vector.input("A"))
    maps = network.encoder(he)
    for number, found in enumerate(maps):
        vector.equal(f"feature_{number}", found)
    vector.equal("output", network.decoder(maps))


@torch.no_grad()
def check_inference(vector: Vector) -> None:
    with torch.device("meta"):
        method = bare()
    method.generator = generator(vector)
    image = (method.translate(vector.input("A")) + 1) / 2
    vector.equal("output", image)
    vector.equal("row_40_channel_1", image[0, 1, 40])
    levels = np.trunc(255 * image[0].numpy())
    vector.equal("bytes_sum", levels.sum())
    vector.equal("bytes_row_0_red", levels[0, 0])


def check_step(vector: Vector) -> None:
    """All losses at one set of weights; the power iteration in each pass, or held."""
    method = filled(vector, power_iterations="step" if "held" in vector.name else "pass")
    passes: list[Tensor] = []
    method.discriminator.register_forward_hook(lambda _, __, output: passes.append(output))
    he, _ = images(vector)
    made: list[Tensor] = []
    method.generator.register_forward_hook(lambda _, __, output: made.append(output))
    d_phase, g_phase = method.training_step(Batch(vector.input("A"), vector.input("B")))
    (fake,) = made
    vector.equal("HE", he)
    vector.equal("fake", fake)
    for key, output in zip(("map_fake_D", "map_real_D", "map_fake_G"), passes, strict=True):
        vector.equal(key, output)
    vector.equal("D_fake", 2 * d_phase.losses["d_fake"])
    vector.equal("D_real", 2 * d_phase.losses["d_real"])
    vector.equal("D", sum(d_phase.losses.values()))
    vector.equal_gradient("grad_D_l2", sum(d_phase.losses.values()), method.discriminator)
    total = torch.stack(list(g_phase.losses.values())).sum()
    vector.equal("G", total)
    for key in ("adversarial", "css", "p2p"):
        loss = g_phase.losses[f"g_{key}"]
        vector.equal(key, loss)
        vector.equal(f"grad_fake_{key}_l2", torch.autograd.grad(loss, fake, retain_graph=True)[0].norm())
        vector.equal_gradient(f"grad_G_{key}_l2", loss, method.generator)
    parameters = list(method.generator.parameters())
    gradients = torch.autograd.grad(total, parameters, retain_graph=True)
    vector.equal("grad_G_total_l2", torch.stack([gradient.norm() for gradient in gradients]).norm())
    vector.equal("grad_G_conv1_l2", gradients[0].norm())
    vector.equal("grad_G_last_l2", gradients[-2].norm())
    vector.equal("u_sums_after", [norm.left.sum().item() for norm in spectral_norms(method.discriminator)])


def check_two_steps(vector: Vector) -> None:
    """D has stepped before it judges for G."""
    method = filled(vector, power_iterations="step" if "held" in vector.name else "pass")
    c, adam = method.config, vector.params["adamw"]
    assert [c.lr, list(c.betas), c.weight_decay] == [adam[key] for key in ("lr", "betas", "weight_decay")]
    optimizers, batch = method.optimizers(), Batch(vector.input("A"), vector.input("B"))
    assert {optimizer.param_groups[0]["eps"] for optimizer in optimizers.values()} == {adam["eps"]}
    found: dict[str, list[Tensor]] = {key: [] for key in ("D", "G", "adversarial", "css", "p2p")}
    norms: dict[str, list[Tensor]] = {"grad_D_l2": [], "grad_G_l2": []}
    for _ in range(2):
        losses = step(method, optimizers, batch)
        for key, of in (("adversarial", "g_adversarial"), ("css", "g_css"), ("p2p", "g_p2p")):
            found[key].append(losses[of])
        found["D"].append(losses["d_real"] + losses["d_fake"])
        found["G"].append(losses["g_adversarial"] + losses["g_css"] + losses["g_p2p"])
        for key, network in (("grad_D_l2", method.discriminator), ("grad_G_l2", method.generator)):
            norms[key].append(torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm())
    for key, values in (found | norms).items():
        vector.equal(key, torch.stack(values))
    vector.equal("G_conv1_after", method.generator.encoder.conv1.weight)
    vector.equal("G_last_after", method.generator.decoder.layers[-1].weight)
    first: Any = method.discriminator.model[0]
    vector.equal("D_first_after", first.parametrizations.weight.original)


def check_learning_rate(vector: Vector) -> None:
    config = CSSP2P.configure()
    assert [config.lr, config.lr_gamma, config.epochs] == [vector.params[key] for key in ("lr", "gamma", "epochs")]
    with torch.device("meta"):
        method = bare()
    schedule = Schedule.of(config, steps_per_epoch=7)
    for key in vector.expected:
        last = 7 * int(key.removeprefix("epoch_")) - 1
        rates = [
            config.lr * schedule.factor(number) * method.rate_factor(schedule.place(number))
            for number in (last, last - 6)
        ]
        vector.equal(key, rates[0])
        assert rates[0] == rates[1]  # constant within an epoch


CHECKS: dict[str, Callable[[Vector], None]] = {
    "parameters": check_parameters,
    "css*": check_css,
    "pyramid_*": check_pyramid,
    "adversarial": check_adversarial,
    "discriminator": check_discriminator,
    "generator": check_generator,
    "inference": check_inference,
    "step_losses_*": check_step,
    "two_steps_*": check_two_steps,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
