"""PPT against ``oracles/ppt.json``: the official code, in float64."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.checks._training import step
from vsbench.losses.adversarial import least_squares
from vsbench.losses.contrastive import each_patch_nce
from vsbench.losses.pyramid import gaussian_pyramid, pyramid_gaps
from vsbench.method import Batch
from vsbench.nn import ResnetGenerator
from vsbench.nn.patches import unit_length_shifted
from vsbench.registry import load

PPT = load("vsbench.methods", "ppt")
NAMES = {"D": {"enc.": "model.", "final_conv.": "model.14."}, "G": {}, "F": {"mlp_": "heads."}}
NETWORKS = {"G": "generator", "D": "discriminator", "F": "heads"}
TERMS = {  # theirs → ours
    "G_GAN": "g_adversarial", "NCE": "g_nce", "NCE_Y": "g_identity", "NCE_Y_hat": "g_reverse",
    "patch_alignment": "g_patch", "content": "g_content", "freq": "g_frequency",
}  # fmt: skip
Vector = Any  # the class in conftest.py, which cannot be imported from here


def small(**options: Any) -> Any:
    """For what needs no network of the published size."""
    return PPT(PPT.configure("cpu", options)).double()


def equipped(vector: Vector, method: Any) -> Any:
    """With VGG filled like the other networks."""

    def filled(name: str) -> dict[str, Tensor]:
        network = method.pretrained()[name].double()
        vector.fill(network)
        return network.state_dict()

    method.equip(filled)
    return method


def of_width_16(vector: Vector, **options: Any) -> Any:
    assert (vector.params["ngf"], vector.params["ndf"]) == (16, 64)
    return equipped(vector, vector.filled(PPT, width=16, **options))


def check_focal_nce(vector: Vector) -> None:
    query, key, params = vector.input("query").requires_grad_(), vector.input("key"), vector.params
    ours = PPT.configure()
    assert (ours.temperature, ours.focal_alpha, ours.focal_gamma) == (params["T"], params["alpha"], params["gamma"])
    loss = small().focal_nce(query, key)
    vector.equal("mean", loss)
    vector.equal("grad_query_l2", torch.autograd.grad(loss, query)[0].norm())
    missed = each_patch_nce(query, key, params["T"])[0, :3]
    vector.equal("first3", params["alpha"] * (1 - torch.exp(-missed)) ** params["gamma"] * missed)


def check_unit_length(vector: Vector) -> None:
    rows = unit_length_shifted(vector.input("x").movedim(1, -1))
    vector.equal("row0", rows[0, 0, 0])
    vector.equal("last", rows[-1, -1, -1])


def check_windows(vector: Vector) -> None:
    real, fake, ours = vector.input("real_B"), vector.input("fake").requires_grad_(), PPT.configure()
    assert (ours.patch_size, ours.lambda_patch) == (vector.params["kernel"], vector.params["beta"])
    loss = ours.lambda_patch * small().window_gap(real, fake)
    vector.equal("loss", loss)
    vector.equal("grad_fake_l2", torch.autograd.grad(loss, fake)[0].norm())
    vector.set_aside("windows")  # the loss is a mean over as many


def check_frequency(vector: Vector) -> None:
    real, fake = vector.input("real_B"), vector.input("fake").requires_grad_()
    levels = gaussian_pyramid(fake, PPT.configure().levels)
    gaps = pyramid_gaps(real, fake, PPT.configure().levels)
    vector.equal("levels", gaps)
    vector.equal("loss", gaps.mean())
    vector.equal("grad_fake_l2", torch.autograd.grad(gaps.mean(), fake)[0].norm())
    vector.equal("level_shapes", [list(level.shape[2:]) for level in levels])
    vector.equal("level_1_of_fake", levels[0])
    vector.equal("level_6_of_fake", levels[5])


def check_content(vector: Vector) -> None:
    net = "vgg16" if vector.name.endswith("vgg16") else "vgg19"
    method = equipped(vector, small(lambda_content=1.0, content_net=net))
    real, fake = vector.input("real_B"), vector.input("fake").requires_grad_()
    loss = method.content_gap(real, fake)
    (network,) = method.frozen.values()
    pairs = list(zip(network(fake), network(real), strict=True))
    vector.equal("loss", loss)
    vector.equal("layers_unweighted", torch.stack([F.l1_loss(*pair) for pair in pairs]))
    vector.equal("grad_fake_l2", torch.autograd.grad(loss, fake)[0].norm())
    if "feature_shapes" in vector.expected:
        vector.equal("feature_shapes", [list(ours.shape[1:]) for ours, _ in pairs])
        vector.equal("feature_5_of_fake", pairs[4][0])


def check_gan_loss(vector: Vector) -> None:
    scores = vector.input("map")
    for key, of in (("", small(gan_images="last").adversarial), ("all_images_", small().adversarial)):
        vector.equal(f"{key}to_real", of(scores, True))
        vector.equal(f"{key}to_fake", of(scores, False))


def check_parameters(vector: Vector) -> None:
    config = PPT.configure()
    assert (config.width, config.discriminator_width) == (vector.params["ngf"], vector.params["ndf"])
    with torch.device("meta"):
        method = PPT(config)
    for key, network in NETWORKS.items():
        vector.equal(f"count_{key}", PPT.card.parameters[network])
        vector.same_order(f"parameters_{key}", getattr(method, network), NAMES[key])


def check_generator(vector: Vector) -> None:
    config = PPT.configure()
    generator = ResnetGenerator(vector.params["ngf"], config.blocks, init="normal", downs=config.downs).double()
    vector.fill(generator)
    if "parameters_count" in vector.expected:
        vector.equal("parameters_count", sum(p.numel() for p in generator.parameters()))
    with torch.no_grad():
        output, features = generator.forward_with_features(vector.input("A"), config.taps)
    vector.equal("out", output)
    for tap, feature in zip(config.taps, features, strict=True):
        vector.equal(f"feature_{tap}", feature)


def check_step(vector: Vector) -> None:
    method = of_width_16(vector, gan_images="last")
    made = vector.step(method)
    losses, (fake, identity) = made.losses, made.outputs.chunk(2)
    real = vector.input("B")
    vector.equal("fake", fake)
    vector.equal("idt", identity)
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    for theirs, ours in TERMS.items():
        vector.equal(theirs, losses[ours])
    vector.equal("contrast", losses["g_nce"] + losses["g_identity"] + losses["g_reverse"])
    vector.equal("G", sum(losses[ours] for ours in TERMS.values()))
    for key, layers in zip(("NCE", "NCE_Y", "NCE_Y_hat"), made.embedded, strict=True):
        vector.equal(f"{key}_layers", torch.stack([method.focal_nce(*pair) for pair in zip(*layers, strict=True)]))
    with torch.no_grad():
        vector.equal("G_GAN_all_images", least_squares(method.discriminator(fake), real=True))
        (network,) = method.frozen.values()
        pairs = zip(network(fake), network(real), strict=True)
        vector.equal("content_layers_unweighted", torch.stack([F.l1_loss(*pair) for pair in pairs]))
        vector.equal("freq_levels", pyramid_gaps(real, fake))
    for key, network in NETWORKS.items():
        vector.equal(f"grad_{key}_l2", made.gradients[network])


def check_steps(vector: Vector) -> None:
    released = vector.name == "steps_released"
    method = of_width_16(vector, **({"variant": "released"} if released else {}))
    assert [method.config.lr, list(method.config.betas)] == [vector.params["lr"], vector.params["betas"]]
    begin = method.begin_gradients

    def norm() -> Tensor:
        return torch.stack([p.grad.norm() for p in method.heads.parameters()]).norm()

    def recorded(seen: Any) -> None:
        begin(seen)
        vector.equal("F_gradient_l2_after_initialising_pass", norm())
        vector.draw_anew(method)  # the vector has the same positions in that pass and in the first step

    method.begin_gradients = recorded
    optimizers, batch = method.optimizers(), Batch(vector.input("A"), vector.input("B"))
    for number in (1, 2, 3):
        vector.draw_anew(method)
        losses = step(method, optimizers, batch)
        vector.equal(f"step_{number}_D", losses["d_real"] + losses["d_fake"])
        vector.equal(f"step_{number}_G", sum(losses[ours] for ours in TERMS.values()))
        vector.equal(f"step_{number}_F_gradient_l2_at_its_step", norm())
        for theirs, ours in TERMS.items():
            vector.equal(f"step_{number}_{theirs}", losses[ours])


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(PPT.configure(), names=("niter", "niter_decay"))


def check_resize(vector: Vector) -> None:
    """What the official loader does, in torch's words; ours is bicubic, which the card says."""
    x, size = vector.input("x"), vector.params["size"]
    vector.equal("out", F.interpolate(x, size, mode="bilinear"))
    vector.equal("out", F.avg_pool2d(x, 2))
    vector.equal("with_antialias", F.interpolate(x, size, mode="bilinear", antialias=True))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "focal_nce*": check_focal_nce,
    "l2norm_asp": check_unit_length,
    "patch_alignment*": check_windows,
    "frequency": check_frequency,
    "content*": check_content,
    "gan_loss_released": check_gan_loss,
    "parameters": check_parameters,
    "generator_*": check_generator,
    "step_losses_*": check_step,
    "steps_*": check_steps,
    "learning_rate": check_learning_rate,
    "resize_half": check_resize,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
