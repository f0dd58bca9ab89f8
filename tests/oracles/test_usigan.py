"""USIGAN against ``oracles/usigan.json``: the released code and reference solutions of the paper's equations."""

import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vsbench.losses.adversarial import least_squares
from vsbench.losses.contrastive import patch_nce
from vsbench.losses.correlation import correlation_gap, cosine_matrix
from vsbench.losses.stain import GREY, STAINS, density_gap, focal_calibration
from vsbench.losses.transport import cosine_cost, unbalanced_plan
from vsbench.nn import PatchDiscriminator, PatchSampler, ResnetGenerator
from vsbench.nn.patches import unit_length_shifted
from vsbench.nn.resample import BlurDown, BlurUp
from vsbench.registry import load

USIGAN = load("vsbench.methods", "usigan")
TAPS = (0, 4, 8, 12, 16)
COSTS = {"easy": "repel", "hard": "attract"}
CONVERGED = 3000  # iterations
Vector = Any  # the class in conftest.py, which cannot be imported from here


def method(**options: Any) -> Any:
    """With small networks, in float64: for losses that need none of them."""
    return USIGAN(USIGAN.configure("cpu", {"alpha": 1.8, "density_sum_weight": 1.0} | options)).double()


def released(vector: Vector, **options: Any) -> Any:
    params = vector.params
    chosen = {"variant": "released", "cost": COSTS[params["cost_type"]], "eta": params["eps"]}
    if params.get("tau") is not None:
        chosen["tau"] = params["tau"]
    return method(**chosen | {"iterations": params["iterations"]} | options)


class Given(nn.Module):
    """In the place of the heads: the vector's features are embedded already."""

    def draw(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [torch.arange(f.shape[1]) for f in features]

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> Sequence[Tensor]:
        return [f.clone() for f in features]


def gap_and_gradient(ours: Any, vector: Vector) -> tuple[Tensor, Tensor]:
    """L_tcyc of one layer and its gradient at the generated features; none reaches the others."""
    ours.heads = Given()
    he, ihc, fake = ([vector.input(name).requires_grad_()] for name in ("src", "tgt", "gen"))
    loss = ours.transport_gap(he, ihc, fake)
    loss.backward()
    assert he[0].grad is None
    assert ihc[0].grad is None
    return loss, fake[0].grad


def check_released_plan(vector: Vector) -> None:
    plan = released(vector).plan(vector.input("src"), vector.input("tgt")).mT  # theirs is (target, source)
    vector.equal("total", plan.sum())
    vector.equal("P[0,0,0:4]", plan[0, 0, :4])
    vector.equal("P[1,11,8:12]", plan[1, 11, 8:])
    vector.equal("sum_over_source_of_target0", plan[0, 0].sum())
    vector.equal("sum_over_target_of_source0", plan[0, :, 0].sum())
    vector.equal("sum_of_squares", plan.square().sum())


def check_balanced_plan(vector: Vector) -> None:
    plan = released(vector, solver="balanced").plan(vector.input("src"), vector.input("tgt")).mT
    vector.equal("total", plan.sum())
    vector.equal("P[0,0,0:4]", plan[0, 0, :4])
    vector.equal("sum_of_squares", plan.square().sum())


def check_released_tcyc(vector: Vector) -> None:
    loss, gradient = gap_and_gradient(released(vector), vector)
    vector.equal("loss", loss)
    vector.equal("grad_gen_l2", gradient.norm())
    vector.equal("grad_gen_first3", gradient.flatten()[:3])
    if "grad_src_is_none" in vector.expected:
        vector.equal("grad_src_is_none", True)  # asserted where the gradient is taken
    if "loss_x10000" in vector.expected:
        vector.equal("loss_x10000", USIGAN.configure().lambda_tcyc * loss)


def check_direct_l1(vector: Vector) -> None:
    loss, gradient = gap_and_gradient(released(vector, solver="balanced", transport="direct"), vector)
    vector.equal("loss", loss)
    vector.equal("grad_gen_l2", gradient.norm())


def check_ablation(vector: Vector) -> None:
    features = [vector.input(name) for name in ("src", "tgt", "gen")]
    solver = "balanced" if vector.params["tau"] is None else "released"
    compositions = {"tcyc_released_order": "released", "tcyc_composed": "shared"}
    vector.equal("l1_direct", released(vector, solver=solver, transport="direct").plan_gap(*features))
    for key, composition in compositions.items():
        vector.equal(key, released(vector, solver=solver, composition=composition).plan_gap(*features))
    he_to_ihc, ihc_to_fake = (released(vector, solver=solver).plan(*pair) for pair in (features[:2], features[1:]))
    difference = he_to_ihc @ ihc_to_fake - (he_to_ihc.mT @ ihc_to_fake.mT).mT
    vector.equal("tcyc_composed_vs_released_max_abs_difference", difference.abs().max())


def density_method(then: str, **options: Any) -> Any:
    """``then`` is what the vector does with an image in [−1, 1]."""
    density_input = {"as is": "signed", "(x+1)/2": "intensity"}[then.partition(" (")[0]]
    return method(variant="released", density_input=density_input, **options)


def check_density(vector: Vector) -> None:
    params, ours = vector.params, density_method(vector.inputs["x"]["then"])
    assert (ours.config.alpha, ours.config.density_sum_threshold) == (params["alpha"], params["threshold_sum"])
    assert focal_calibration(params["alpha"]) == pytest.approx(params["calibration"], rel=1e-12)
    density = ours.density(vector.input("x"))
    vector.equal("fod_mean", density.mean())
    vector.equal("fod_max", density.max())
    vector.equal("fod_first5_of_image0", density[0].flatten()[:5])
    vector.equal("fod_at_image1_i12_j10", density[1, 12, 10])
    thresholded = density * (density >= params["threshold_sum"])
    vector.equal("sum_thresholded", thresholded.sum((1, 2)))
    vector.equal("mask_fraction", (density >= params["threshold_mask"]).double().mean((1, 2)))


def check_density_correlation(vector: Vector) -> None:
    ours = density_method(vector.inputs["then"])
    real, fake = vector.input("real"), vector.input("generated").requires_grad_()
    loss = ours.density_correlation(real, fake)
    (gradient,) = torch.autograd.grad(loss, fake)
    vector.equal("loss", loss)
    vector.equal("grad_l2", gradient.norm())
    vector.equal("grad_nonzero_fraction", (gradient != 0).double().mean())
    densities = [ours.density(image) for image in (real, fake)]
    vector.equal("M_real_01", cosine_matrix(densities[0])[0, 1])
    vector.equal("M_fake_01", cosine_matrix(densities[1])[0, 1])
    vector.equal("matrix_term", correlation_gap(*densities))
    vector.equal("sum_term", density_gap(*(d * (d >= 0.15) for d in densities)))


def check_density_constants(vector: Vector) -> None:
    stains = torch.tensor(STAINS, dtype=torch.float64)
    vector.equal("rgb_from_hed", stains)
    vector.equal("hed_from_rgb", torch.linalg.inv(stains))
    vector.equal("grey", GREY)
    vector.equal("calibration_10^(-e^(1/1.8))", focal_calibration(1.8))
    vector.equal("fod_at_grey0", (-math.log10(focal_calibration(1.8))) ** 1.8)


def check_uniform_colours(vector: Vector) -> None:
    methods = {"fod_from_[0,1]": density_method("(x+1)/2"), "fod_from_[-1,1]": density_method("as is")}
    for key, expected in vector.expected.items():
        colour = torch.tensor([int(v) for v in key.split("_") if v.isdigit()], dtype=torch.float64).expand(3)
        image = (2 * colour / 255 - 1)[None, :, None, None]
        assert expected.keys() == methods.keys()
        for part, ours in methods.items():
            vector.equal(part, ours.density(image).squeeze(), where=expected)
        vector.set_aside(key)  # both of its parts have been compared


def check_paper_density(vector: Vector) -> None:
    ours, real, fake = method(), vector.input("real"), vector.input("generated")
    assert ours.config.alpha == vector.params["alpha"]
    densities = [ours.density(image) for image in (real, fake)]
    vector.equal("O_real_mean", densities[0].mean())
    vector.equal("O_real_max", densities[0].max())
    vector.equal("O_fake_mean", densities[1].mean())
    vector.equal("M_real_01", cosine_matrix(densities[0])[0, 1])
    vector.equal("M_fake_01", cosine_matrix(densities[1])[0, 1])
    vector.equal("matrix_term", correlation_gap(*densities))
    vector.equal("sum_term", density_gap(*densities))
    whole = vector.expected["matrix_term"] + vector.expected["sum_term"]
    assert ours.density_correlation(real, fake).item() == pytest.approx(whole, abs=vector.tolerance)


def check_feature_correlation(vector: Vector) -> None:
    real, fake = ([vector.input(f"{name}_features", layer) for layer in (0, 1)] for name in ("real", "fake"))
    assert USIGAN.configure().lambda_cc == vector.params["weight"]
    vector.equal("M_real_01", [cosine_matrix(f)[0, 1] for f in real])
    vector.equal("M_fake_01", [cosine_matrix(f)[0, 1] for f in fake])
    gaps = [correlation_gap(r, f) for r, f in zip(real, fake, strict=True)]
    vector.equal("loss", USIGAN.configure().lambda_cc * torch.stack(gaps).mean())


def check_patch_nce(vector: Vector) -> None:
    query, key = vector.input("query").requires_grad_(), vector.input("key")
    loss = patch_nce(query, key, vector.params["T"])
    (gradient,) = torch.autograd.grad(loss, query)
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", gradient.norm())
    vector.set_aside("first3")  # the same vector is in cut.json, and there patch by patch


def check_unit_length(vector: Vector) -> None:
    vector.equal("row0", unit_length_shifted(vector.input("x").movedim(1, -1))[0, 0, 0])


def check_gan_loss(vector: Vector) -> None:
    vector.equal("real", least_squares(vector.input("x"), real=True))
    vector.equal("fake", least_squares(vector.input("x"), real=False))


def check_blur(vector: Vector) -> None:
    layer = {"blur_down": BlurDown, "blur_up": BlurUp}[vector.name]
    vector.equal_summary(layer(2).double()(vector.input("x")))


def check_networks(vector: Vector) -> None:
    spectral = "spectral_exact" in vector.name
    config = USIGAN.configure()
    assert (config.width, config.blocks, config.discriminator_width, config.discriminator_layers) == (64, 6, 32, 5)
    generator = ResnetGenerator(64, 6, spectral=spectral).double()
    discriminator = PatchDiscriminator(32, 5, spectral=spectral).double()
    registered = {"weight_orig": "parametrizations.weight.original", "enc.": "model.", "final_conv.": "model.22."}
    for key, network in (("G", generator), ("D", discriminator)):
        vector.same_order(f"parameter_order_{key}", network, registered)
        vector.equal(f"parameters_{key}", sum(p.numel() for p in network.parameters()))
        vector.fill(network)
        if spectral:
            vector.exact_sigma(network)
    with torch.no_grad():
        output, features = generator.forward_with_features(vector.input("x"), TAPS)
        vector.equal("G", output)
        vector.equal("D_of_G", discriminator(output))
    for tap, feature in zip(TAPS, features, strict=True):
        vector.equal(f"features_{tap}", feature)


def check_heads(vector: Vector) -> None:
    source = vector.other("networks_spectral_exact_sigma")
    generator = ResnetGenerator(64, 6, spectral=True).double()
    source.fill(generator)
    source.exact_sigma(generator)
    heads = PatchSampler((3, 128, 256, 256, 256), patches=16, normalise=unit_length_shifted).double()
    vector.fill(heads)
    vector.equal("parameters_F", sum(p.numel() for p in heads.parameters()))
    with torch.no_grad():
        features = generator.features(source.input("x"), TAPS)
        k = torch.arange(16)
        positions = [(7919 * k + 13 * layer) % (f.shape[2] * f.shape[3]) for layer, f in enumerate(features)]
        embedded = heads(features, positions)
    for layer, rows in enumerate(embedded):
        vector.equal(f"layer{layer}", rows[0])


def check_paper_plan(vector: Vector) -> None:
    params = vector.params
    penalty = math.inf if params["tau"] == "inf (balanced)" else params["tau"]
    cost = cosine_cost(vector.input("src"), vector.input("tgt"))
    (plan, *_) = unbalanced_plan(cost, params["eta"], penalty, CONVERGED, mass=params["p=q"])
    vector.equal("total", plan.sum())
    vector.equal("T[0,0:4]", plan[0, :4])
    vector.equal("row0", plan[0].sum())
    vector.equal("col0", plan[:, 0].sum())
    vector.equal("sum_of_squares", plan.square().sum())
    vector.set_aside("max_abs_difference_to_POT_0.9.7")  # the reference's own; ours is in losses/test_transport.py


def check_printed_equations(vector: Vector) -> None:
    eta, tau = vector.params["eta"], vector.params["tau"]
    ours = method(solver="literal", eta=eta, tau=tau, iterations=vector.params["iterations"])
    (plan, *_) = ours.plan(vector.input("src"), vector.input("tgt"))
    if "finite" in vector.expected:  # τ > η overflows
        vector.equal("finite", bool(plan.isfinite().all()))
        return
    vector.equal("total", plan.sum())
    vector.equal("T[0,0:4]", plan[0, :4])
    vector.equal("row0", plan[0].sum())


def check_paper_tcyc(vector: Vector) -> None:
    eta = vector.params["eta"]
    ours = method(eta=eta, tau=eta / vector.params["tau"], iterations=CONVERGED)  # our τ is a slack, theirs a penalty
    features = [vector.input(name) for name in ("src", "tgt", "gen")]
    vector.equal("loss", ours.plan_gap(*features))
    images = zip(*(f.split(1) for f in features), strict=True)
    vector.equal("per_image", [ours.plan_gap(*image) for image in images])


CHECKS: dict[str, Callable[[Vector], None]] = {
    "released_uot_*": check_released_plan,
    "released_balanced_ot_easy": check_balanced_plan,
    "released_tcyc_*": check_released_tcyc,
    "released_direct_l1_balanced": check_direct_l1,
    "ablation_pieces_*": check_ablation,
    "fod_[BC]_*": check_density,
    "fod_uniform_colours": check_uniform_colours,
    "odc_loss_*": check_density_correlation,
    "od_constants": check_density_constants,
    "patchnce": check_patch_nce,
    "l2norm_usigan": check_unit_length,
    "ganloss_lsgan": check_gan_loss,
    "blur_*": check_blur,
    "networks_*": check_networks,
    "patch_mlp": check_heads,
    "paper_uot_*": check_paper_plan,
    "paper_eq8_9_literal_*": check_printed_equations,
    "paper_tcyc_*": check_paper_tcyc,
    "paper_fod_and_odc": check_paper_density,
    "cc_loss": check_feature_correlation,
}


@pytest.mark.parametrize("patches", [(6, 6, 6), (6, 4, 6)])
def test_tcyc_is_the_mean_over_the_layers(patches: tuple[int, ...]) -> None:
    """However many layers are solved together."""
    ours = method()
    ours.heads = Given()
    generator = torch.Generator().manual_seed(0)
    he, ihc, fake = (
        [normalize(torch.randn(2, n, 5, generator=generator, dtype=torch.float64), dim=2) for n in patches]
        for _ in range(3)
    )
    apart = [ours.plan_gap(*layer) for layer in zip(he, ihc, fake, strict=True)]
    torch.testing.assert_close(ours.transport_gap(he, ihc, fake), torch.stack(apart).mean(), rtol=1e-12, atol=0)


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
