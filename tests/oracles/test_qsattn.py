"""QS-Attn against ``oracles/qsattn.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from vsbench.losses.contrastive import each_patch_nce
from vsbench.nn.patches import unit_length
from vsbench.registry import load

QSATTN = load("vsbench.methods", "qsattn")
Vector = Any  # the class in conftest.py, which cannot be imported from here


def options(vector: Vector) -> dict[str, Any]:
    params, corrected = vector.params, vector.name.endswith("_corrected")
    return {
        "mode": params.get("QS_mode", params.get("mode")),
        "windows": "corrected" if corrected else "released",
        "temperature": params["T"],
        "patches": params["num_patches"],
        "window": params.get("window", 7),
    }


def small(vector: Vector) -> Any:
    """With small networks: for what needs none of them."""
    return QSATTN(QSATTN.configure("cpu", options(vector)))


def loss_of(ours: Any, source: Tensor, translated: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """PatchNCE of each patch, without heads; its queries and keys, as one column of rows each."""
    query, key = (unit_length(x) for x in ours.routed(translated, source))
    return each_patch_nce(query, key, ours.config.temperature), query.flatten(0, 1), key.flatten(0, 1)


def check_sample(vector: Vector) -> None:
    ours, expected = small(vector), vector.expected
    source, translated = (vector.input(name).requires_grad_() for name in ("source", "translated"))
    selected = ours.select(source)
    vector.equal("entropy_first_image", ours.entropies(source)[0])
    vector.equal("selected_positions_in_order", selected)
    if "attention_rows" in expected:
        rows = ours.attention(source, selected, local=vector.params["mode"] == "local")
        vector.equal("attention_rows", rows.reshape(expected["attention_rows"]["shape"]))
    losses, queries, keys = loss_of(ours, source, translated)
    vector.equal("queries", queries)
    vector.equal("keys", keys)
    vector.equal("loss", losses.mean())
    if "loss_first3" in expected:
        vector.equal("loss_first3", losses[0, :3])
    gradients = torch.autograd.grad(losses.mean(), (source, translated))
    vector.equal("grad_source_l2", gradients[0].norm())
    vector.equal("grad_translated_l2", gradients[1].norm())


def check_ties(vector: Vector) -> None:
    ours = small(vector)
    source, translated = (vector.input(name).mT.unflatten(2, (3, 4)) for name in ("source", "translated"))
    source = vector.params["scale_of_source"] * source
    vector.equal("zero_entropies", (ours.entropies(source) == 0).sum())
    vector.equal("selected_positions_in_order", ours.select(source))
    vector.equal("loss", loss_of(ours, source, translated)[0].mean())


def check_step(vector: Vector) -> None:
    method = vector.filled(QSATTN, **options(vector))
    c, params = method.config, vector.params
    assert (c.lambda_adversarial, c.lambda_nce, c.lambda_identity) == (params["lambda_GAN"], params["lambda_NCE"], 1)
    made = vector.step(method)
    losses, gradients = made.losses, made.gradients
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("NCE", 2 * losses["g_nce"])
    vector.equal("NCE_Y", 2 * losses["g_identity"])
    for key, layers in zip(("NCE", "NCE_Y"), made.embedded, strict=True):
        terms = [each_patch_nce(*layer, c.temperature).mean().item() for layer in zip(*layers, strict=True)]
        vector.equal(f"{key}_per_layer", terms)
    vector.equal("G_total", losses["g_adversarial"] + losses["g_nce"] + losses["g_identity"])
    vector.equal("grad_l2_G", gradients["generator"])
    vector.equal_gradient("grad_l2_G_of_NCE_terms", losses["g_nce"] + losses["g_identity"], method.generator)
    vector.equal("grad_l2_F", gradients["heads"])
    vector.equal("grad_l2_D", gradients["discriminator"])
    for tap in (12, 16):
        chosen = method.select(made.features[c.taps.index(tap)])[0].sort().values
        vector.equal(f"selected_of_A0_layer{tap}_8_lowest_and_sum", torch.cat([chosen[:8], chosen.sum()[None]]))
    if "fake_B" in vector.expected:
        for key, network in (("G", "generator"), ("D", "discriminator"), ("F", "heads")):
            vector.equal(f"parameters_{key}", QSATTN.card.parameters[network])
        fake, identity = made.outputs.chunk(2)
        vector.equal("fake_B", fake)
        vector.equal("idt_B", identity)


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(QSATTN.configure())


@torch.no_grad()
def check_inference(vector: Vector) -> None:
    vector.equal("fake_B", vector.filled(QSATTN).eval().translate(vector.input("A")))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "sample_*": check_sample,
    "selection_ties": check_ties,
    "qs_*_step_losses_*": check_step,
    "learning_rate": check_learning_rate,
    "inference": check_inference,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
