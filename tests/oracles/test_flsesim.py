"""F-LSeSim against ``oracles/flsesim.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vsbench.losses.similarity import contrast_of_rows, self_similarity, spatial_gap, windows
from vsbench.method import Batch
from vsbench.nn import PatchDiscriminator, ResnetGenerator, VGGFeatures
from vsbench.nn.vgg import as_imagenet
from vsbench.registry import load

FLSeSim = load("vsbench.methods", "flsesim")
MODULE = import_module(FLSeSim.__module__)
TAPS = (11, 18, 22)
Vector = Any  # the class in conftest.py, which cannot be imported from here


def similarity(vector: Vector) -> str:
    return "cosine" if vector.params["norm"] else "dot"


def rows(vector: Vector, features: Tensor) -> Tensor:
    where = vector.positions()([features])[0][: vector.params["patch_nums"]]
    return self_similarity(features, where, vector.params["patch_size"], similarity(vector))  # type: ignore[arg-type]


def features(vector: Vector, name: str) -> Tensor:
    return (vector.params["multiply_input_by"] * vector.input(name)).requires_grad_()


def check_similarity(vector: Vector) -> None:
    x = features(vector, "x")
    found, where = rows(vector, x), vector.positions()([x])[0][:16]
    vector.equal("positions", where)
    vector.equal("similarity", found)
    vector.equal("row_0_0_first6", found[0, 0, :6])
    vector.equal("row_1_7_last6", found[1, 7, -6:])
    vector.equal("row_1_15_sum", found[1, 15].sum())
    if "windows" in vector.name:
        first = windows(where, vector.params["patch_size"], 8, 8)[:, 0]
        vector.equal("window_starts_row_col", torch.stack([first // 8, first % 8], dim=1))


def check_spatial_loss(vector: Vector) -> None:
    source, target = features(vector, "src"), features(vector, "tgt")
    loss = spatial_gap(rows(vector, source), rows(vector, target), vector.params["loss_mode"], similarity(vector))  # type: ignore[arg-type]
    vector.equal("loss", loss)
    vector.equal("grad_tgt_l2", torch.autograd.grad(loss, target)[0].norm())


def check_contrastive(vector: Vector) -> None:
    maps = [features(vector, name) for name in ("src", "tgt", "other")]
    loss = contrast_of_rows(*(rows(vector, f) for f in maps), vector.params["T"])
    vector.equal("loss", loss)
    for name, gradient in zip(("src", "tgt", "other"), torch.autograd.grad(loss, maps), strict=True):
        vector.equal(f"grad_{name}_l2", gradient.norm())


def check_projection(vector: Vector) -> None:
    projections = MODULE.Projections((256, 512, 512)).double()
    vector.fill(projections)
    vector.same_order("parameter_order_F", projections, {"conv_": "layers."})
    vector.equal("parameters_F", sum(p.numel() for p in projections.parameters()))
    vector.equal("projected_layer0", projections.layers[0](vector.input("x")))


def check_features(vector: Vector) -> None:
    network = filled(vector, "vgg")
    normalised = as_imagenet(vector.input("x"))
    vector.equal("normalised_image", normalised)
    found = network(normalised)
    for name, maps in zip(("relu3_1", "relu4_1", "relu4_3"), found, strict=True):
        vector.equal(name, maps)
    vector.equal("minimum_of_each", torch.stack([maps.min() for maps in found]))
    shapes = [list(p.shape) for p in network.parameters()]
    assert shapes == vector.expected["parameter_shapes"][: len(shapes)]
    vector.set_aside("parameter_shapes")  # the others are conv5's, whose features nobody looks at


BUILD: dict[str, Callable[[], nn.Module]] = {
    "generator": lambda: ResnetGenerator(64, 9),
    "discriminator": lambda: PatchDiscriminator(64, 3),
    "projections": lambda: MODULE.Projections((256, 512, 512)),
    "vgg": lambda: VGGFeatures("vgg16", TAPS).requires_grad_(False),
}
FAKES: dict[torch.Size, Tensor] = {}  # G's, by the size of its input, which is the same image in all vectors


def filled(vector: Vector, name: str) -> nn.Module:
    network: nn.Module = vector.filled_once(name, BUILD[name])
    return network


def fake_of(vector: Vector, he: Tensor) -> Tensor:
    """G's output and graph, made once for all vectors."""
    if he.shape not in FAKES:
        FAKES[he.shape] = filled(vector, "generator")(he)
    return FAKES[he.shape]


def method_of(vector: Vector) -> Any:
    """The method with the vector's settings, which are the defaults but for those in the vector's name."""
    p = vector.params
    options = {"similarity": similarity(vector), "loss_mode": p["loss_mode"], "patch_size": p["patch_size"]}
    config = FLSeSim.configure(
        options=options | ({"variant": "learned", "augment": p["augment"]} if p["learned"] else {})
    )
    settings = config.patches, config.temperature, config.lambda_spatial, config.lambda_contrastive
    assert settings == (p["patch_nums"], p["T"], p["lambda_spatial"], float(p["learned"]))
    if vector.name == "step_losses_fixed":
        assert config == FLSeSim.configure()
    with torch.device("meta"):
        method = FLSeSim(config)
    for name, _ in method.named_children():
        setattr(method, name, filled(vector, name))
    method.frozen["vgg16-imagenet1k-v1"] = filled(vector, "vgg")
    return method


def check_step(vector: Vector) -> None:
    method, batch = method_of(vector), Batch(vector.input("A"), vector.input("B"))
    learned, terms = vector.params["learned"], []
    recoloured = iter(vector.input("augmented").chunk(2)) if "augmented" in vector.inputs else iter(())

    def recorded(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def record(*arguments: Any) -> Tensor:
            terms.append(call(*arguments))
            return terms[-1]

        return record

    with pytest.MonkeyPatch.context() as patch:
        fake = fake_of(vector, batch.he)
        patch.setattr(method.generator, "forward", lambda _: fake)
        patch.setattr(method, "draw", vector.positions(first=0 if learned else 1))
        patch.setattr(MODULE, "colour_jitter", lambda *_: next(recoloured))
        for name in ("spatial_gap", "contrast_of_rows"):
            patch.setattr(MODULE, name, recorded(getattr(MODULE, name)))
        phases = {phase.drives[0]: phase.losses for phase in method.training_step(batch)}

    if learned:
        loss = phases["projections"]["f_contrastive"]
        vector.equal("F_contrastive", loss)
        vector.equal("F_contrastive_per_layer", torch.stack(terms[:-3]).unflatten(0, (-1, 3)).mean(0))
        gradients = [vector.gradient_norm(loss, layer) for layer in method.projections.layers]
        vector.equal("grad_F_l2_per_layer", torch.stack(gradients))
    check_others(vector, method, phases, terms[-3:])


def check_others(vector: Vector, method: Any, phases: dict[str, dict[str, Tensor]], gaps: list[Tensor]) -> None:
    """What the vector has of D's and G's losses."""
    of_d, of_g = phases["discriminator"], phases["generator"]
    found: dict[str, Callable[[], Any]] = {
        "D_real": lambda: 2 * of_d["d_real"],
        "D_fake": lambda: 2 * of_d["d_fake"],
        "D": lambda: sum(of_d.values()),
        "grad_D_l2": lambda: vector.gradient_norm(sum(of_d.values()), method.discriminator),
        "G_GAN": lambda: of_g["g_adversarial"],
        "G_spatial_x10": lambda: of_g["g_spatial"],
        "G_spatial_per_layer_unweighted": lambda: torch.stack(gaps),
        "G_total": lambda: sum(of_g.values()),
        "grad_G_l2": lambda: vector.gradient_norm(sum(of_g.values()), method.generator),
        "fake_B": lambda: fake_of(vector, vector.input("A")),
        "parameters_G": lambda: FLSeSim.card.parameters["generator"],
        "parameters_D": lambda: FLSeSim.card.parameters["discriminator"],
    }
    for key in found.keys() & vector.expected.keys():
        vector.equal(key, found[key]())


def check_inference(vector: Vector) -> None:
    with torch.device("meta"):
        method = FLSeSim(FLSeSim.configure())
    method.generator = filled(vector, "generator")
    with torch.no_grad():
        fake = method.translate(vector.input("A"))
    vector.equal("G", fake)
    pixels = ((fake[0] + 1) / 2 * 255).long()  # as released: truncated, where we round
    vector.equal("pixel_0_0", pixels[:, 0, 0])
    vector.equal("pixel_50_40", pixels[:, 50, 40])
    vector.equal("sum_of_bytes", pixels.sum())


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(FLSeSim.configure())


CHECKS: dict[str, Callable[[Vector], None]] = {
    "similarity_*": check_similarity,
    "spatial_loss_*": check_spatial_loss,
    "contrastive_*": check_contrastive,
    "projection": check_projection,
    "vgg16_features": check_features,
    "step_losses_*": check_step,
    "inference": check_inference,
    "learning_rate": check_learning_rate,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
