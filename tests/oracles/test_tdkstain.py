"""TDKStain against ``oracles/tdkstain.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsbench.checks._training import step
from vsbench.method import Batch
from vsbench.nn.patchgan import halved
from vsbench.registry import load
from vsbench.stain.hed import dab_alone, softened, stained_mask, unmixed
from vsbench.stain.nuclei_map import centroids, density_map, distance_peaks, distances, haematoxylin_mask, otsu, stretch

TDKStain = load("vsbench.methods", "tdkstain")
tdkstain = import_module(TDKStain.__module__)
Vector = Any  # the class in conftest.py, which cannot be imported from here


@cache
def built() -> Any:
    """As published, in float64; each vector fills it anew."""
    return TDKStain(TDKStain.configure()).double()


def filled(vector: Vector) -> Any:
    method = built()
    for network in (method.generator, method.discriminator, method.estimator):
        vector.fill(network)
    return method


def batch_of(vector: Vector) -> Batch:
    unit = [(1 + vector.input(name)) / 2 for name in ("mask_x", "dab", "nuclei_x")]
    return Batch(vector.input("A"), vector.input("B"), maps=torch.cat(unit, dim=1))


def tile_of(vector: Vector) -> NDArray[np.uint8]:
    x = vector.input("x")[0].permute(1, 2, 0).numpy()
    return np.floor(127.5 * (x + 1)).astype(np.uint8)


def tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(float))


def norm(gradients: Any) -> Tensor:
    return torch.stack([gradient.norm() for gradient in gradients if gradient is not None]).norm()


def flat(gradients: Any) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def check_average_pool(vector: Vector) -> None:
    vector.equal_summary(halved(vector.input("x")))


def check_gan_loss(vector: Vector) -> None:
    maps = [vector.input(f"map{number}").requires_grad_() for number in range(3)]
    real = tdkstain.over_scales(maps, True)
    vector.equal("real", real)
    vector.equal("fake", tdkstain.over_scales(maps, False))
    vector.equal("grad_l2_of_real_per_map", torch.stack([g.norm() for g in torch.autograd.grad(real, maps)]))


def check_estimator(vector: Vector) -> None:
    method = filled(vector)
    features = [vector.input("features", layer).requires_grad_() for layer in range(3)]
    nuclei = (1 + vector.input("target_x")) / 2
    batch = Batch(nuclei, nuclei, maps=torch.cat([nuclei] * 5, dim=1))
    vector.equal("parameters", TDKStain.card.parameters["estimator"])
    vector.same_order("parameter_order_E", method.estimator, {})
    density = method.estimator(features)
    vector.equal("density", density)
    vector.equal("resized", tdkstain.resized(density, nuclei))
    loss = method.config.lambda_estimator * method.nuclei_gap(features, batch)
    vector.equal("loss", loss)
    vector.equal("grad_features_l2", torch.stack([g.norm() for g in torch.autograd.grad(loss, features)]))


@torch.no_grad()
def check_discriminator(vector: Vector) -> None:
    method = filled(vector)
    vector.equal("parameters", TDKStain.card.parameters["discriminator"])
    vector.same_order("parameter_order_D", method.discriminator)  # theirs: layer0.0, ours: scales.0.model.0
    equal_all(vector, "maps", method.judge(vector.input("A"), vector.input("B")))


@torch.no_grad()
def check_features(vector: Vector) -> None:
    method = filled(vector)
    vector.equal("layers", list(method.taps))
    equal_all(vector, "features", method.generator.features(vector.input("A"), method.taps))


def equal_all(vector: Vector, key: str, tensors: list[Tensor]) -> None:
    """A list of summaries."""
    vector.set_aside(key)
    for expected, found in zip(vector.expected[key], tensors, strict=True):
        vector.equal(key, found, where={key: expected})


def check_step(vector: Vector) -> None:
    method, batch = filled(vector), batch_of(vector)
    counts = TDKStain.card.parameters
    vector.equal("parameters_G", counts["generator"])
    vector.equal("parameters_D", counts["discriminator"])
    vector.equal("parameters_E", counts["estimator"])
    vector.same_order("parameter_order_G", method.generator, {})
    networks = {"e": method.estimator, "d": method.discriminator, "g": method.generator}
    weights = {key: list(network.parameters()) for key, network in networks.items()}
    passes: list[Tensor] = []
    densities: list[Tensor] = []
    hooks = [
        method.generator.register_forward_hook(lambda _, __, output: passes.append(output)),
        method.estimator.register_forward_hook(lambda _, __, output: densities.append(output)),
    ]
    losses: dict[str, Tensor] = {}
    for key, phase in zip("edg", method.training_step(batch), strict=True):
        losses |= phase.losses
        if key != "g":
            total = torch.stack(list(phase.losses.values())).sum()
            vector.equal(f"grad_{key.upper()}_l2", norm(torch.autograd.grad(total, weights[key], retain_graph=True)))
    for hook in hooks:
        hook.remove()
    fake, fake_dab = passes
    vector.equal("fake_B", fake)
    vector.equal("fake_B_dab", fake_dab)
    for key, density in zip(("density_real_B", "density_fake_B"), densities, strict=True):
        vector.equal(key, tdkstain.resized(density, batch.he))
    vector.equal("loss_D_fake", 2 * losses["d_fake"])
    vector.equal("loss_D_real", 2 * losses["d_real"])
    vector.equal("loss_D", losses["d_real"] + losses["d_fake"])
    terms = {"G_GAN": "g_adversarial", "G_L1": "g_l1", "G_mask": "g_membrane", "nuclei": "g_nuclei"}
    for key, name in terms.items():
        vector.equal(f"loss_{key}", losses[name])
    vector.equal("loss_E", losses["e_nuclei"])
    vector.equal("loss_G", torch.stack([losses[name] for name in terms.values()]).sum())
    vector.set_aside("grad_G_l2_per_term", "nuclei_gradient")
    gradients = {}
    for key, name in terms.items():
        gradients[key] = flat(torch.autograd.grad(losses[name], weights["g"], retain_graph=True))
        vector.equal(key, gradients[key].norm(), where=vector.expected["grad_G_l2_per_term"])
    vector.equal("grad_G_l2", sum(gradients.values()).norm())

    routes = vector.expected["nuclei_gradient"]
    image = fake.detach().requires_grad_()
    loss = method.config.lambda_nuclei * method.nuclei_gap(method.generator.features(image, method.taps), batch)
    to_image, *as_encoder = torch.autograd.grad(loss, [image, *weights["g"]], allow_unused=True)
    vector.equal("to_fake_image", to_image.norm(), where=routes)
    vector.equal("to_G_as_encoder_only", norm(as_encoder), where=routes)
    vector.equal("G_tensors_reached_as_encoder", sum(g is not None for g in as_encoder), where=routes)
    encoder = [p if g is None else g for p, g in zip(map(torch.zeros_like, weights["g"]), as_encoder, strict=True)]
    vector.equal("to_G_through_the_fake_image_only", (gradients["nuclei"] - flat(encoder)).norm(), where=routes)
    assert len(routes) == 4


def check_two_steps(vector: Vector) -> None:
    """E and D have stepped before they judge for G."""
    method, batch = filled(vector), batch_of(vector)
    adam = vector.params["adam"]
    assert (method.config.lr, list(method.config.betas)) == (adam["lr"], adam["betas"])
    optimizers = method.optimizers()
    found = [step(method, optimizers, batch) for _ in range(2)]
    terms = {"loss_G_GAN": "g_adversarial", "loss_G_L1": "g_l1", "loss_G_mask": "g_membrane", "loss_nuclei": "g_nuclei"}
    for key, name in (terms | {"loss_E": "e_nuclei"}).items():
        vector.equal(key, torch.stack([losses[name] for losses in found]))
    for key, name in {"loss_D_fake": "d_fake", "loss_D_real": "d_real"}.items():
        vector.equal(key, torch.stack([2 * losses[name] for losses in found]))
    vector.equal("loss_G", torch.stack([sum(losses[name] for name in terms.values()) for losses in found]))


@torch.no_grad()
def check_translation(vector: Vector) -> None:
    vector.equal_summary(filled(vector).eval().translate(vector.input("A")))


def check_learning_rate(vector: Vector) -> None:
    """The official rate of an epoch is ours of the next one: a deviation that the card names."""
    vector.equal_rates(TDKStain.configure(), early=1)


def check_dab_targets(vector: Vector) -> None:
    tile = tile_of(vector)
    densities = unmixed(tile)
    picture = dab_alone(densities[..., 2])
    vector.equal("rgb", tensor(tile))
    for number, name in enumerate(("haematoxylin", "eosin", "dab")):
        vector.equal(f"hed_{name}", tensor(densities[..., number]))
    vector.equal("saturation", tensor((picture.max(2) - picture.min(2)) / picture.max(2)))
    threshold = TDKStain.configure().dab_threshold
    assert threshold == vector.params["threshold"]
    mask = stained_mask(picture, threshold)
    vector.equal("mask_hard", tensor(255 * mask))
    assert np.array_equal(mask, densities[..., 2] > vector.params["mask_hard_as_dab_density_above"])
    vector.equal("dab_rgb", tensor(made(tile)[..., 1:4]))


def made(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return tdkstain.tile_maps(TDKStain.configure(options={"variant": "label_free"}), tile)


def check_soft_mask(vector: Vector) -> None:
    vector.equal("mask_soft", tensor(softened(stained_mask(dab_alone(unmixed(tile_of(vector))[..., 2])))))


def check_soft_mask_in_levels(vector: Vector) -> None:
    mask = made(tile_of(vector))[..., 0] / 255
    vector.equal("mask_soft", tensor(mask))
    vector.equal("row_32", mask[32, ::12])


def check_map_from_points(vector: Vector) -> None:
    height, width = vector.params["size"]
    points = [((37 * k + 5) % 96, (53 * k + 11) % 128) for k in (*range(14), 0)]
    found = density_map(np.array(points), (height, width), TDKStain.configure().nuclei_sigma)
    vector.equal("map", tensor(found))
    vector.equal("row_48", found[48, ::16])


def check_haematoxylin_mask(vector: Vector) -> None:
    density = unmixed(tile_of(vector))[..., 0]
    stretched = stretch(density)
    assert stretched is not None
    mask = haematoxylin_mask(density)
    vector.equal("haematoxylin", tensor(density))
    vector.equal("percentile_99", density[stretched == 255].min())  # all from there on is 255
    vector.equal("otsu", otsu(stretched))
    vector.equal("mask", tensor(255 * mask))
    vector.equal("nuclei", centroids(mask)[:, ::-1])


def check_distance_peaks(vector: Vector) -> None:
    tile, config = tile_of(vector), TDKStain.configure()
    densities = unmixed(tile)
    nuclei = haematoxylin_mask(densities[..., 0])
    dab = 255 * softened(stained_mask(dab_alone(densities[..., 2]))) > 127
    vector.equal("haematoxylin_mask_mean", nuclei.mean())
    vector.equal("dab_mask_mean", dab.mean())
    vector.equal("distance_haematoxylin", tensor(distances(nuclei)))
    vector.equal("points_haematoxylin", distance_peaks(nuclei, config.nuclei_diameter)[:, ::-1])
    vector.equal("points_dab", distance_peaks(dab, config.cell_diameter)[:, ::-1])
    vector.equal("map", tensor(made(tile)[..., 4]))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "average_pool": check_average_pool,
    "gan_loss_multiscale": check_gan_loss,
    "estimator": check_estimator,
    "discriminator": check_discriminator,
    "generator_features": check_features,
    "step_losses": check_step,
    "two_steps": check_two_steps,
    "inference": check_translation,
    "inference_size_multiple_8": check_translation,
    "learning_rate": check_learning_rate,
    "dab_targets": check_dab_targets,
    "dab_mask_soft": check_soft_mask,
    "dab_mask_soft_opencv": check_soft_mask_in_levels,
    "nuclei_map_from_points": check_map_from_points,
    "haematoxylin_mask": check_haematoxylin_mask,
    "nuclei_map_distance_peaks": check_distance_peaks,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
