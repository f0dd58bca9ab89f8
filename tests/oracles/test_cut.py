"""CUT and FastCUT against ``oracles/cut.json``: the official code, in float64."""

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch

from vsbench.losses.contrastive import patch_nce
from vsbench.nn import ResnetGenerator
from vsbench.nn.patches import unit_length
from vsbench.nn.resample import BlurDown, BlurUp
from vsbench.registry import load

CUT = load("vsbench.methods", "cut")
Vector = Any  # the class in conftest.py, which cannot be imported from here


def check_patch_nce(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    across, temperature = vector.params["negatives_from_whole_minibatch"], vector.params["T"]
    loss = patch_nce(query, key, temperature, across_images=across)
    (gradient,) = torch.autograd.grad(loss, query)
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", gradient.norm())

    patches = query.shape[0] * query.shape[1]
    chance = math.log(patches if across else query.shape[1])
    first = []
    for p in range(3):
        alone = torch.zeros_like(query)  # a query of zeros is at chance: what remains of the mean is the patch's own
        alone[0, p] = query[0, p]
        first.append(patch_nce(alone, key, temperature, across_images=across) * patches - (patches - 1) * chance)
    vector.equal("first3", torch.stack(first))


def check_unit_length(vector: Vector) -> None:
    vector.equal("row0", unit_length(vector.input("x").movedim(1, -1))[0, 0, 0])


def check_blur_down(vector: Vector) -> None:
    vector.equal_summary(BlurDown(2).double()(vector.input("x")))


def check_blur_up(vector: Vector) -> None:
    vector.equal_summary(BlurUp(2).double()(vector.input("x")))


@torch.no_grad()
def check_cut_step(vector: Vector) -> None:
    method = vector.filled(CUT)
    assert method.config.temperature == vector.params["T"]
    assert method.config.lambda_nce == method.config.lambda_identity == vector.params["lambda_NCE"]
    vector.same_order("parameter_order_G", method.generator, {})
    vector.same_order("parameter_order_D", method.discriminator, {})
    vector.same_order("parameter_order_F", method.heads, {"mlp_": "heads."})
    for key, network in (("G", "generator"), ("D", "discriminator"), ("F", "heads")):
        vector.equal(f"parameters_{key}", CUT.card.parameters[network])

    made = vector.step(method)
    fake, identity = made.outputs.split(2)
    vector.equal("fake_B", fake)
    vector.equal("idt_B", identity)
    vector.equal("D_map_of_fake_B", method.discriminator(fake))
    for tap, feature in zip(method.config.taps, made.features, strict=True):
        vector.equal(f"features_of_A_{tap}", feature[:2])
    losses = made.losses
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("NCE", 2 * losses["g_nce"])
    vector.equal("NCE_Y", 2 * losses["g_identity"])
    for key, layers in zip(("NCE", "NCE_Y"), made.embedded, strict=True):
        terms = [patch_nce(query, key, method.config.temperature) for query, key in zip(*layers, strict=True)]
        vector.equal(f"{key}_per_layer", torch.stack(terms))
    vector.equal("G_total_CUT", losses["g_adversarial"] + losses["g_nce"] + losses["g_identity"])


@torch.no_grad()
def check_fastcut_step(vector: Vector) -> None:
    method = vector.filled(CUT, variant="fast")
    assert method.config.lambda_nce == vector.params["lambda_NCE"]
    made = vector.step(method, mirrored=True)
    assert made.losses.keys() == {"d_real", "d_fake", "g_adversarial", "g_nce"}
    vector.equal("flipped_NCE_x10", made.losses["g_nce"])
    vector.equal("flipped_G_GAN", made.losses["g_adversarial"])
    vector.equal("flipped_fake_B", made.outputs)
    vector.equal("unflipped_NCE_x10", vector.step(method).losses["g_nce"])


def check_parameters(vector: Vector) -> None:
    with torch.device("meta"):
        generator = ResnetGenerator(64, 6)
    vector.equal("parameters", sum(p.numel() for p in generator.parameters()))


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(CUT.configure(options={"variant": "fast"} if vector.name.endswith("FastCUT") else {}))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "patchnce*": check_patch_nce,
    "l2norm": check_unit_length,
    "blur_down*": check_blur_down,
    "blur_up": check_blur_up,
    "cut_step_losses": check_cut_step,
    "fastcut_step_losses": check_fastcut_step,
    "parameters_resnet_6blocks": check_parameters,
    "learning_rate_*": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
