"""ASP against ``oracles/asp.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import torch
from torch import nn

from vsbench.losses.contrastive import each_patch_nce, patch_nce
from vsbench.losses.pyramid import gaussian_pyramid, pyramid_gaps
from vsbench.method import Batch, Place
from vsbench.nn.patches import unit_length_shifted
from vsbench.nn.spectral import SpectralNorm
from vsbench.registry import load

ASP = load("vsbench.methods", "asp")
Vector = Any  # the class in conftest.py, which cannot be imported from here


@cache
def published(spectral: bool) -> Any:
    """In float64; each vector fills it anew."""
    config = ASP.configure(options={"spectral_generator": spectral, "spectral_discriminator": spectral})
    return ASP(config).double()


def small(**options: Any) -> Any:
    """For what needs no network of the published size."""
    return ASP(ASP.configure("cpu", options)).double()


def filled(vector: Vector, spectral: bool) -> Any:
    method = published(spectral)
    for network in (method.generator, method.discriminator, method.heads):
        vector.fill(network)
    vector.exact_sigma(method)
    return method


def at(vector: Vector, epoch: int) -> Place:
    return Place(epoch, vector.params["n_epochs"], vector.params["n_epochs_decay"])


def check_loss(vector: Vector) -> None:
    query, key, params = vector.input("query").requires_grad_(), vector.input("key"), vector.params
    schedule = params.get("schedule", "none")
    ours = small(
        asp_schedule="none" if schedule == "zero" else schedule,
        asp_lookup=params.get("lookup", "uniform"),
        temperature=params["T"],
    )
    place = at(vector, params["epoch"]) if "epoch" in params else Place()
    loss = ours.supervised(query, key, place)
    (gradient,) = torch.autograd.grad(loss, query)
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", gradient.norm())
    weights = ours.weights((query * key).sum(-1), place)
    vector.equal("first3", (weights * each_patch_nce(query, key, params["T"]))[0, :3])
    if "weights3" in vector.expected:
        vector.equal("weights3", weights[0, :3])
        vector.equal("weight_min", weights.min())
        vector.equal("weight_max", weights.max())


def check_schedule(vector: Vector) -> None:
    """p is the weight of a cosine of 0 beside one of 1."""
    for key in vector.expected:
        schedule, _, epoch = key.split("_")
        weights = small(asp_schedule=schedule).weights(torch.eye(1, 2).double(), at(vector, int(epoch)))
        vector.equal(key, weights[0, 1] / weights[0, 0])


def check_lookup(vector: Vector) -> None:
    """h is the weight where nothing is left of p: after the last epoch."""
    for key in vector.expected:
        lookup, _, cosine = key.split("_")
        ours = small(asp_lookup=lookup, asp_schedule="linear")
        cosines = torch.tensor([[float(cosine), 1.0]], dtype=torch.float64)
        weights = ours.weights(cosines, Place(unit=3, constant=1, decay=1))
        vector.equal(key, weights[0, 0] / weights[0, 1])


def check_pyramid(vector: Vector) -> None:
    for level, image in enumerate(gaussian_pyramid(vector.input("x"), vector.params["levels"])):
        vector.equal(f"level{level}", image)


def check_pyramid_loss(vector: Vector) -> None:
    real, fake = vector.input("real"), vector.input("fake").requires_grad_()
    gaps = pyramid_gaps(real, fake)
    weights = torch.tensor(ASP.configure().gp_weights).double()
    vector.equal("levels", gaps)
    assert weights.tolist() == vector.params["weights"]
    for name, loss in (("weighted", (weights * gaps).mean()), ("uniform", gaps.mean())):
        (gradient,) = torch.autograd.grad(loss, fake, retain_graph=True)
        vector.equal(name, loss)
        vector.equal(f"{name}_grad_fake_l2", gradient.norm())


def check_unit_length(vector: Vector) -> None:
    vector.equal("row0", unit_length_shifted(vector.input("x").movedim(1, -1))[0, 0, 0])


def check_power_iteration(vector: Vector) -> None:
    layer = nn.Conv2d(3, 8, 3, padding=1).double()
    with torch.no_grad():  # the rule numbers their parameters: bias first
        ordered = nn.Module()
        ordered.register_parameter("bias", layer.bias)
        ordered.register_parameter("weight", layer.weight)
        vector.fill(ordered)
    norm = SpectralNorm(layer.weight, iterations=0).double()
    norm.left.copy_(nn.functional.normalize(torch.sin(1 + torch.arange(8.0).double()), dim=0))
    matrix = layer.weight.detach().flatten(1)
    for forward in (1, 2, 3):
        norm.advance(layer.weight)
        vector.equal(f"sigma_forward{forward}", norm.left @ matrix @ norm.right)
        if forward == 1:
            output = nn.functional.conv2d(vector.input("x"), norm(layer.weight), layer.bias, padding=1)
            vector.equal("output_forward1", output)
    vector.equal("sigma_eval_after", norm.left @ matrix @ norm.right)
    vector.equal("sigma_exact", torch.linalg.svdvals(matrix)[0])


def check_step(vector: Vector) -> None:
    method, (he, ihc) = filled(vector, "spectral_exact" in vector.name), (vector.input("A"), vector.input("B"))
    c, params = method.config, vector.params
    assert (c.temperature, c.lambda_adversarial) == (params["T"], params["lambda_GAN"])
    assert (c.lambda_nce, c.lambda_asp, c.lambda_gp) == tuple(params[f"lambda_{k}"] for k in ("NCE", "asp", "gp"))
    assert [list(c.gp_weights), c.asp_schedule, c.asp_lookup] == [
        params[k] for k in ("gp_weights", "schedule", "lookup")
    ]
    for key, network in (("G", "generator"), ("D", "discriminator"), ("F", "heads")):
        vector.equal(f"parameters_{key}", ASP.card.parameters[network])
    with torch.no_grad():
        fake = method.generator(he)
        vector.equal("fake_B", fake)
        vector.equal("D_of_fake", method.discriminator(fake))
        vector.equal("GP_levels", pyramid_gaps(ihc, fake))
    epochs = [int(key.removeprefix("epoch").removesuffix("_total")) for key in vector.expected if "_total" in key]
    for epoch in epochs:
        place = at(vector, epoch)
        found = vector.step(method, Batch(he, ihc, place=place))
        losses, (against_he, against_ihc) = found.losses, found.embedded
        vector.equal(f"epoch{epoch}_ASP_x10", losses["g_asp"])
        vector.equal(f"epoch{epoch}_total", sum(loss for name, loss in losses.items() if name.startswith("g_")))
        vector.equal(f"epoch{epoch}_grad_G_l2", found.gradients["generator"])
        vector.equal(f"epoch{epoch}_grad_F_l2", found.gradients["heads"])
        pairs = list(zip(*against_ihc, strict=True))
        vector.equal(f"epoch{epoch}_ASP_layers", torch.stack([method.supervised(q, k, place) for q, k in pairs]))
        if f"epoch{epoch}_weight_min_layers" in vector.expected:
            weights = [method.weights((q * k).sum(-1), place) for q, k in pairs]
            vector.equal(f"epoch{epoch}_weight_min_layers", torch.stack([w.min() for w in weights]))
            vector.equal(f"epoch{epoch}_weight_max_layers", torch.stack([w.max() for w in weights]))
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("grad_D_l2", found.gradients["discriminator"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("NCE_x10", losses["g_nce"])
    vector.equal("NCE_layers", torch.stack([patch_nce(q, k, c.temperature) for q, k in zip(*against_he, strict=True)]))
    vector.equal("GP_x10", losses["g_gp"])


def check_two_steps(vector: Vector) -> None:
    method, c = filled(vector, False), ASP.configure()
    assert [c.lr, list(c.betas), c.batch_size] == [vector.params[key] for key in ("lr", "betas", "batch")]
    he, ihc = vector.input("A"), vector.input("B")
    names = {"G_GAN": "g_adversarial", "NCE_x10": "g_nce", "ASP_x10": "g_asp", "GP_x10": "g_gp"}
    batch = Batch(he, ihc, place=Place(vector.params["epoch"], c.epochs, c.decay_epochs))
    for number, losses in enumerate(vector.train(method, batch, 2), 1):
        vector.equal(f"step{number}_D", losses["d_real"] + losses["d_fake"])
        vector.equal(f"step{number}_total", sum(losses[name] for name in names.values()))
        for theirs, ours in names.items():
            vector.equal(f"step{number}_{theirs}", losses[ours])
    with torch.no_grad():
        vector.equal("fake_B_after_two_steps", method.translate(he))


def check_inference(vector: Vector) -> None:
    method = filled(vector, True)
    with torch.no_grad():
        vector.equal_summary(method.translate(vector.input("A")))


def check_parameters(vector: Vector) -> None:
    method = published(True)
    spectral = {"weight_orig": "parametrizations.weight.original"}
    names = {"G": {}, "D": {"enc.": "model.", "final_conv.": "model.22."}, "F": {"mlp_": "heads."}}
    for key, network in (("G", "generator"), ("D", "discriminator"), ("F", "heads")):
        vector.equal(f"parameters_{key}", ASP.card.parameters[network])
        vector.same_order(f"parameter_order_{key}", getattr(method, network), spectral | names[key])


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(ASP.configure())


CHECKS: dict[str, Callable[[Vector], None]] = {
    "asp_*_epoch*": check_loss,
    "asp_none": check_loss,
    "asp_schedule": check_schedule,
    "asp_lookup": check_lookup,
    "gauss_pyramid*": check_pyramid,
    "gp_loss*": check_pyramid_loss,
    "l2norm": check_unit_length,
    "spectral_norm_power_iteration": check_power_iteration,
    "step_*": check_step,
    "two_optimizer_steps_no_spectral_norm": check_two_steps,
    "inference": check_inference,
    "parameters": check_parameters,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
