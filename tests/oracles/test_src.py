"""SRC and hDCE against ``oracles/src.json``: the official code, and a reading of the paper's hDCE, in float64."""

import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.method import Batch, Place
from vsbench.registry import load

SRC = load("vsbench.methods", "src")
hardness = sys.modules[SRC.__module__].hardness
NETWORKS = {"G": "generator", "D": "discriminator", "F": "heads"}
Vector = Any  # the class in conftest.py, which cannot be imported from here


def small(**options: Any) -> Any:
    """For what needs no network of the published size."""
    return SRC(SRC.configure("cpu", options)).double()


def at(vector: Vector, epoch: int) -> Place:
    return Place(epoch, vector.params["n_epochs"], vector.params["n_epochs_decay"])


def check_relation(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    loss = small().relation_gap(query, key)
    (gradient,) = torch.autograd.grad(loss, query)
    vector.equal("loss", loss)
    vector.equal("per_row_mean", loss / query.shape[1])
    vector.equal("grad_query_l2", gradient.norm())
    vector.equal("grad_query_first3", gradient.flatten()[:3])


def weights(key: Tensor, gamma: float) -> Tensor:
    """Of the negatives: (N, N − 1) for (1, N, D)."""
    found = hardness(key, gamma)[0]
    return found[~torch.eye(len(found), dtype=torch.bool)].view(len(found), -1)


def check_weights(vector: Vector) -> None:
    gamma = vector.expected["gamma"]
    found = weights(vector.input("key"), gamma)
    vector.equal("row0", found[0])
    vector.equal("row5", found[5])
    vector.equal("min_off_diagonal", found.min())
    vector.equal("sum_off_diagonal", found.sum())
    vector.set_aside("gamma")  # what was put in; how it comes about is in the vector gamma_schedule


def check_gamma(vector: Vector) -> None:
    options = {
        "curriculum_50_10": {},
        "curriculum_50_10_step_200": {"gamma_step_epoch": 200},
        "default_no_curriculum": {"gamma_start": 1.0, "gamma_end": 1.0},
    }
    assert SRC.configure().gamma_start == vector.params["gamma"]
    assert SRC.configure().gamma_end == vector.params["gamma_min"]
    for key in vector.expected:
        name, _, epoch = key.rpartition("_epoch_")
        vector.equal(key, small(**options[name]).gamma(at(vector, int(epoch))))


def check_hdce(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    gamma, temperature = vector.params["gamma"], vector.params["T"]
    weighted: dict[str, Any] = {"temperature": temperature} | ({} if gamma else {"hard_negatives": "off"})
    ours, coupled = small(**weighted), small(decoupled=False, **weighted)
    loss = ours.hdce(query, key, gamma or 1.0)
    (gradient,) = torch.autograd.grad(loss, query)
    missed = ours.missed(query, key, gamma or 1.0)
    vector.equal("value", loss)
    vector.equal("value_first3", F.softplus(missed)[0, :3])
    vector.equal("grad_query_l2", gradient.norm())
    vector.equal("grad_query_first3", gradient.flatten()[:3])
    vector.equal("decoupled_value", missed.mean())
    (gradient,) = torch.autograd.grad(coupled.hdce(query, key, gamma or 1.0), query)
    vector.equal("grad_of_plain_cross_entropy_l2", gradient.norm())


def check_batch_of_two(vector: Vector) -> None:
    query, key, ours = (
        vector.input("query").requires_grad_(),
        vector.input("key"),
        small(temperature=vector.params["T"]),
    )
    relation, hdce = 2 * ours.relation_gap(query, key), ours.hdce(query, key, vector.params["gamma"])
    vector.equal("src_sum", relation)
    vector.equal("src_grad_query_l2", torch.autograd.grad(relation, query)[0].norm())
    vector.equal("hdce", hdce)
    vector.equal("hdce_grad_query_l2", torch.autograd.grad(hdce, query)[0].norm())


def check_paper_hdce(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    ours = small(variant="equations", temperature=vector.params["T"])
    missed = ours.missed(query, key, vector.params["gamma"]).mean()
    vector.equal("value", missed)
    (gradient,) = torch.autograd.grad(ours.hdce(query, key, vector.params["gamma"]), query)
    vector.equal("grad_query_l2", gradient.norm())


def step(vector: Vector, method: Any, epoch: int) -> Any:
    return vector.step(method, Batch(vector.input("A"), vector.input("B"), place=at(vector, epoch)))


def total(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack([loss for name, loss in losses.items() if name.startswith("g_")]).sum()


def check_step(vector: Vector) -> None:
    method, params = vector.filled(SRC), vector.params
    c = method.config
    assert (c.temperature, c.lambda_nce, c.lambda_src) == (params["T"], params["lambda_HDCE"], params["lambda_SRC"])
    assert (c.lambda_identity, c.gamma_start, c.gamma_end) == (c.lambda_nce, params["gamma"], params["gamma_min"])
    for key, network in NETWORKS.items():
        vector.equal(f"parameters_{key}", SRC.card.parameters[network])
    for epoch in (1, 200, 400):
        made = step(vector, method, epoch)
        losses, gamma = made.losses, method.gamma(at(vector, epoch))
        vector.equal(f"epoch{epoch}_HDCE", 2 * losses["g_nce"])
        vector.equal(f"epoch{epoch}_HDCE_Y", 2 * losses["g_identity"])
        vector.equal(f"epoch{epoch}_total", total(losses))
        vector.equal(f"epoch{epoch}_grad_G_l2", made.gradients["generator"])
        vector.equal(f"epoch{epoch}_grad_F_l2", made.gradients["heads"])
        of_fake, of_identity = (list(zip(*patches, strict=True)) for patches in made.embedded)
        for key, pairs in (("HDCE", of_fake), ("HDCE_Y", of_identity)):
            vector.equal(f"epoch{epoch}_{key}_layers", torch.stack([method.hdce(q, k, gamma) for q, k in pairs]))
        least = torch.stack([weights(k[:1], gamma).min() for _, k in of_fake])
        vector.equal(f"epoch{epoch}_weight_min_layers", least)
    fake, identity = made.outputs.chunk(2)
    vector.equal("fake_B", fake)
    vector.equal("idt_B", identity)
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("grad_D_l2", made.gradients["discriminator"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("SRC", losses["g_src"])
    vector.equal("SRC_layers", torch.stack([method.relation_gap(q, k) for q, k in of_fake]))


def check_step_with_gamma_of_one(vector: Vector) -> None:
    assert (vector.params["step_gamma"], vector.params["step_gamma_epoch"]) == (True, 200)
    method = vector.filled(SRC, variant="cityscapes")
    assert method.config.lambda_src == vector.params["lambda_SRC"]
    made = step(vector, method, 201)
    vector.equal("epoch201_HDCE", 2 * made.losses["g_nce"])
    vector.equal("epoch201_HDCE_Y", 2 * made.losses["g_identity"])
    vector.equal("SRC", made.losses["g_src"])
    vector.equal("epoch201_total", total(made.losses))
    vector.equal("epoch201_grad_G_l2", made.gradients["generator"])
    vector.equal("epoch201_grad_F_l2", made.gradients["heads"])


def check_two_steps(vector: Vector) -> None:
    method, he = vector.filled(SRC), vector.input("A")
    c = method.config
    assert [c.lr, list(c.betas)] == [vector.params["lr"], vector.params["betas"]]
    batch = Batch(he, vector.input("B"), place=at(vector, vector.params["epoch"]))
    for number, losses in enumerate(vector.train(method, batch, 2), 1):
        vector.equal(f"step{number}_D", losses["d_real"] + losses["d_fake"])
        vector.equal(f"step{number}_G_GAN", losses["g_adversarial"])
        vector.equal(f"step{number}_HDCE", 2 * losses["g_nce"])
        vector.equal(f"step{number}_HDCE_Y", 2 * losses["g_identity"])
        vector.equal(f"step{number}_SRC", losses["g_src"])
        vector.equal(f"step{number}_total", total(losses))
    with torch.no_grad():
        vector.equal("fake_B_after_two_steps", method.translate(he))


def check_inference(vector: Vector) -> None:
    with torch.no_grad():
        vector.equal_summary(vector.filled(SRC).translate(vector.input("A")))


def check_parameters(vector: Vector) -> None:
    with torch.device("meta"):
        method = SRC(SRC.configure())
    for key, network in NETWORKS.items():
        vector.equal(f"parameters_{key}", SRC.card.parameters[network])
        vector.same_order(f"parameter_order_{key}", getattr(method, network), {"mlp_": "heads."})


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(SRC.configure())


CHECKS: dict[str, Callable[[Vector], None]] = {
    "src": check_relation,
    "src_near": check_relation,
    "weights_*": check_weights,
    "gamma_schedule": check_gamma,
    "hdce_*": check_hdce,
    "dce_no_weights": check_hdce,
    "batch_of_two": check_batch_of_two,
    "paper_hdce_*": check_paper_hdce,
    "step_losses": check_step,
    "step_losses_cityscapes_preset": check_step_with_gamma_of_one,
    "two_optimizer_steps": check_two_steps,
    "inference": check_inference,
    "parameters": check_parameters,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
