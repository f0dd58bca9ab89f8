"""MoNCE against ``oracles/monce.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from vsbench.registry import load

MONCE = load("vsbench.methods", "monce")
NAMES = {  # theirs → ours
    "T": "temperature", "cost_type": "weighting", "eps": "eta", "neg_term_weight": "negative_weight",
    "num_patches": "patches", "sinkhorn_iterations": "iterations", "lambda_NCE": "lambda_nce",
}  # fmt: skip
Vector = Any  # the class in conftest.py, which cannot be imported from here


def options(vector: Vector) -> dict[str, Any]:
    return {ours: vector.params[theirs] for theirs, ours in NAMES.items() if theirs in vector.params}


def check_loss(vector: Vector) -> None:
    ours = MONCE(MONCE.configure("cpu", options(vector)))  # small networks: the loss needs none of them
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    if vector.params["negatives_from_whole_minibatch"]:
        loss, image = ours.modulated_nce(query.flatten(0, 1)[None], key.flatten(0, 1)[None]), query.flatten(0, 1)
        keys = key.flatten(0, 1)
    else:
        loss, image, keys = ours.modulated_nce(query, key), query[0], key[0]
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", torch.autograd.grad(loss, query)[0].norm())

    cosines = (image @ keys.mT).detach()
    weights = (vector.params["num_patches"] - 1) * vector.params["neg_term_weight"] * ours.plan(cosines[None])[0] + 1e-8
    negatives = (weights * torch.exp(cosines / vector.params["T"])).fill_diagonal_(0).sum(1)
    positives = torch.exp(cosines.diagonal() / vector.params["T"])
    vector.equal("first3", -torch.log(positives / (positives + negatives))[:3])


def check_plan(vector: Vector) -> None:
    ours = MONCE(MONCE.configure("cpu", options(vector)))
    query = vector.input("query").requires_grad_()
    plan = ours.plan(query @ vector.input("key").mT)
    vector.equal("plan", plan)
    vector.equal("row0", plan[0, 0])
    vector.equal("diagonal_mean", plan.diagonal(dim1=1, dim2=2).mean())
    vector.equal("row_sums", plan[0].sum(1))
    vector.equal("column_sums", plan[0].sum(0))
    vector.equal("grad_query_l2", torch.autograd.grad(plan.square().sum(), query)[0].norm())


def check_step(vector: Vector) -> None:
    method = vector.filled(MONCE, **options(vector))
    generator, discriminator, heads = method.generator, method.discriminator, method.heads
    made = vector.step(method)
    losses, adversarial = made.losses, made.losses["g_adversarial"]
    contrast = losses["g_nce"] + losses["g_identity"]
    vector.equal("NCE", 2 * losses["g_nce"])
    vector.equal("NCE_Y", 2 * losses["g_identity"])
    for key, layers in zip(("NCE", "NCE_Y"), made.embedded, strict=True):
        vector.equal(
            f"{key}_per_layer", torch.stack([method.modulated_nce(*layer) for layer in zip(*layers, strict=True)])
        )
    vector.equal("G_total", adversarial + contrast)
    vector.equal_gradient("grad_l2_G", adversarial + contrast, generator)
    vector.equal_gradient("grad_l2_G_of_NCE_terms", contrast, generator)
    vector.equal_gradient("grad_l2_F", contrast, heads)
    if vector.name != "monce_step_losses":
        return
    for key, network in (("G", generator), ("D", discriminator), ("F", heads)):
        vector.equal(f"parameters_{key}", sum(p.numel() for p in network.parameters()))
    fake, identity = made.outputs.split(2)
    vector.equal("fake_B", fake)
    vector.equal("idt_B", identity)
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("G_GAN", adversarial)
    vector.equal_gradient("grad_l2_D", losses["d_fake"] + losses["d_real"], discriminator)


@torch.no_grad()
def check_fast_step(vector: Vector) -> None:
    assert MONCE.configure(options={"variant": "fast"}).lambda_nce == vector.params["lambda_NCE"]
    method = vector.filled(MONCE, variant="fast", **options(vector))
    losses = vector.step(method, mirrored=True).losses
    assert losses.keys() == {"d_real", "d_fake", "g_adversarial", "g_nce"}
    vector.equal("flipped_NCE_x10", losses["g_nce"])
    vector.equal("flipped_G_GAN", losses["g_adversarial"])
    vector.equal("unflipped_NCE_x10", vector.step(method).losses["g_nce"])


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(MONCE.configure())


@torch.no_grad()
def check_inference(vector: Vector) -> None:
    vector.equal("fake_B", vector.filled(MONCE).eval().translate(vector.input("A")))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "monce_[!s]*": check_loss,
    "plan_*": check_plan,
    "monce_step_*": check_step,
    "fastmonce_step_losses": check_fast_step,
    "learning_rate": check_learning_rate,
    "inference": check_inference,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)


def test_detached_weights_have_the_same_loss_and_another_gradient(vector_named: Callable[[str], Vector]) -> None:
    """The card's figure for weights that are constants."""
    vector = vector_named("monce_hard")
    norms: list[Tensor] = []
    for detach in (False, True):
        ours = MONCE(MONCE.configure("cpu", options(vector) | {"detach_weights": detach}))
        query = vector.input("query").requires_grad_()
        loss = ours.modulated_nce(query, vector.input("key"))
        assert abs(loss.item() - vector.expected["mean"]) < vector.tolerance
        norms.append(torch.autograd.grad(loss, query)[0].norm())
    assert [round(float(norm), 4) for norm in norms] == [0.7431, 0.7315]
