"""SIM-GAN against ``oracles/simgan.json``: the official code, in float64."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from vsbench.losses.contrastive import each_patch_nce, patch_nce
from vsbench.losses.correlation import cosine_matrix, layered_correlation_gap
from vsbench.nn.patches import unit_length_shifted
from vsbench.registry import load

SIMGAN = load("vsbench.methods", "simgan")
COSTS = {"easy": "repel", "hard": "attract"}
OFFICIAL = {
    "weight_orig": "parametrizations.weight.original",
    "enc.": "model.",
    "final_conv.": "model.22.",
    "mlp_": "heads.",
}
Vector = Any  # the class in conftest.py, which cannot be imported from here


def options(vector: Vector) -> dict[str, Any]:
    params = vector.params
    chosen = {"eta": params["eps"], "iterations": params["iterations"], "cost": COSTS[params["cost_type"]]}
    return chosen | {"images_per_transport": params.get("images_per_transport", 1)}


def small(vector: Vector) -> Any:
    """With small networks: for losses that need none of them."""
    return SIMGAN(SIMGAN.configure("cpu", options(vector)))


def check_plan(vector: Vector) -> None:
    plan = small(vector).plan(vector.input("src"), vector.input("tgt")).mT  # theirs is (target, source)
    vector.equal("total", plan.sum())
    vector.equal("P[0,0,0:4]", plan[0, 0, :4])
    vector.equal("P[1,11,8:12]", plan[1, 11, 8:])
    vector.equal("sum_over_source_of_target0", plan[0, 0].sum())
    vector.equal("sum_over_target_of_source0", plan[0, :, 0].sum())
    vector.equal("sum_of_squares", plan.square().sum())


class Given(nn.Module):
    """In the place of the heads: the vector's features are embedded already."""

    def draw(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [torch.arange(f.shape[1]) for f in features]

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> Sequence[Tensor]:
        return [f.clone() for f in features]


def check_mining(vector: Vector) -> None:
    ours = small(vector)
    ours.heads = Given()
    he, ihc, fake = ([vector.input(name).requires_grad_()] for name in ("src", "tgt", "gen"))
    loss = ours.mining_gap(he, ihc, fake)
    loss.backward()
    vector.equal("loss", loss)
    vector.equal("grad_gen_l2", fake[0].grad.norm())
    vector.equal("grad_gen_first3", fake[0].grad.flatten()[:3])
    for key, features in (("grad_src_is_none", he), ("grad_tgt_is_none", ihc)):
        assert features[0].grad is None
        vector.open.discard(key)
    if "loss_x10000" in vector.expected:
        vector.equal("loss_x10000", SIMGAN.configure().lambda_mc * loss)


def check_patch_nce(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    loss = patch_nce(query, key, vector.params["T"])
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", torch.autograd.grad(loss, query)[0].norm())
    vector.equal("first3", each_patch_nce(query, key, vector.params["T"])[0, :3])


def check_unit_length(vector: Vector) -> None:
    vector.equal("row0", unit_length_shifted(vector.input("x").movedim(1, -1))[0, 0, 0])


def check_correlation(vector: Vector) -> None:
    real, fake = ([vector.input(f"{name}_features", layer) for layer in (0, 1)] for name in ("real", "fake"))
    for features in fake:
        features.requires_grad_()
    loss = SIMGAN.configure().lambda_cc * layered_correlation_gap(real, fake)
    vector.equal("loss", loss)
    vector.equal("grad_fake_l2_per_layer", [g.norm() for g in torch.autograd.grad(loss, fake)])
    vector.equal("M_real_layer0_01", cosine_matrix(real[0])[0, 1])
    vector.equal("M_real_layer1_02", cosine_matrix(real[1])[0, 2])


def filled(vector: Vector, **more: Any) -> Any:
    spectral = "spectral_exact" in vector.name
    method = vector.filled(SIMGAN, spectral_generator=spectral, spectral_discriminator=spectral, **more)
    vector.exact_sigma(method)
    return method


def check_step(vector: Vector) -> None:
    method, params = filled(vector, **options(vector)), vector.params
    c = method.config
    assert (c.temperature, c.lambda_nce) == (params["T"], params["lambda_NCE"])
    assert (c.lambda_cc, c.lambda_mc) == (params["lambda_cc"], params["lambda_mc"])
    made = vector.step(method)
    losses = made.losses
    vector.equal("MC_x10000", losses["g_mc"])
    mined = [[method.pooled(x) for x in (he, ihc, fake)] for fake, he, ihc in zip(*made.embedded[2], strict=True)]
    vector.equal("MC_per_layer_unweighted", [method.plan_gap(*layer).item() for layer in mined])
    vector.equal("G_total", sum(loss for name, loss in losses.items() if name.startswith("g_")))
    vector.equal("grad_G_l2", made.gradients["generator"])
    vector.equal("grad_F_l2", made.gradients["heads"])
    if vector.name.endswith("pooled2"):
        return
    for key, network in (("G", method.generator), ("D", method.discriminator), ("F", method.heads)):
        vector.equal(f"parameters_{key}", sum(p.numel() for p in network.parameters()))
    fake, identity = made.outputs.split(2)
    vector.equal("fake_B", fake)
    vector.equal("idt_B", identity)
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("NCE", 2 * losses["g_nce"])
    vector.equal("NCE_Y", 2 * losses["g_identity"])
    for key, layers in zip(("NCE", "NCE_Y"), made.embedded[:2], strict=True):
        terms = [patch_nce(*layer, c.temperature).item() for layer in zip(*layers, strict=True)]
        vector.equal(f"{key}_per_layer", terms)
    vector.equal("CC_x10", losses["g_cc"])
    vector.equal("grad_D_l2", made.gradients["discriminator"])
    of_ihc = [f[2:] for f in made.features]
    of_fake = method.generator.features(fake, c.taps)
    for key, features in (("B", of_ihc), ("fake", of_fake)):
        vector.equal(f"cosine_matrices_{key}", torch.stack([cosine_matrix(f).flatten() for f in features]))
    if "spectral_exact" in vector.name:
        vector.same_order("parameter_order_D_spectral", method.discriminator, OFFICIAL)
        vector.same_order("parameter_order_G_spectral_first6", method.generator, OFFICIAL)
        return
    for key, network in (("G", method.generator), ("D", method.discriminator), ("F", method.heads)):
        vector.same_order(f"parameter_order_{key}", network, OFFICIAL)


@torch.no_grad()
def check_inference(vector: Vector) -> None:
    made = filled(vector).eval().translate(vector.input("A"))
    vector.equal("G", made)
    levels = (127.5 * (made.float().clamp(-1, 1) + 1)).to(torch.uint8)[0]  # theirs are cut off where ours are rounded
    vector.equal("pixel_0_0", levels[:, 0, 0])
    vector.equal("pixel_50_40", levels[:, 50, 40])
    vector.equal("sum_of_bytes", levels.sum(dtype=torch.int64))


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(SIMGAN.configure())


CHECKS: dict[str, Callable[[Vector], None]] = {
    "balanced_plan_*": check_plan,
    "mc_loss_*": check_mining,
    "patchnce": check_patch_nce,
    "l2norm_shifted": check_unit_length,
    "cc_loss": check_correlation,
    "step_losses_*": check_step,
    "inference_*": check_inference,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
