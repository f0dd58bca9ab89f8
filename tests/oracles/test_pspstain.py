"""PSPStain against ``oracles/pspstain.json``: the official code, in float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.data.augment import jittered
from vsbench.engine.schedule import Schedule
from vsbench.losses.contrastive import patch_nce
from vsbench.losses.structure import WEIGHTS, ms_ssim, window
from vsbench.method import Batch
from vsbench.nn import SegmentationUNet
from vsbench.nn.norm import Dropout
from vsbench.nn.segmenter import PairNorm
from vsbench.registry import load

PSPStain = load("vsbench.methods", "pspstain")
Vector = Any  # the class in conftest.py, which cannot be imported from here
TERMS = {  # theirs → ours
    "G_GAN": "g_adversarial", "NCE": "g_nce", "GP_x10": "g_gp", "SSIM_x005": "g_ssim", "MLPA": "g_mlpa",
    "CTPC_x2.5": "g_ctpc",
}  # fmt: skip
NETWORKS = {"G": "generator", "D": "discriminator", "F": "heads"}


def small(**options: Any) -> Any:
    """For what needs no network of the published size."""
    return PSPStain(PSPStain.configure("cpu", options)).double()


@cache
def of_published_size(spectral: bool) -> Any:
    """In float64; each vector fills it anew."""
    config = PSPStain.configure(options={"spectral_generator": spectral, "spectral_discriminator": spectral})
    return PSPStain(config).double()


def filled(vector: Vector, spectral: bool) -> Any:
    method = of_published_size(spectral)
    for network in (method.generator, method.discriminator, method.heads):
        vector.fill(network)
    vector.exact_sigma(method)
    method.frozen = {method.config.segmenter: segmenter(vector, dropout=False)}
    return method


def segmenter(vector: Vector, dropout: bool) -> nn.Module:
    """The U-Net by the rule, in training mode."""
    network = SegmentationUNet().double()
    vector.fill(network)
    network.requires_grad_(False).train()
    if not dropout:
        for module in (m for m in network.modules() if isinstance(m, Dropout)):
            module.eval()
    return network


def check_parameters(vector: Vector) -> None:
    with torch.device("meta"):
        method, network = PSPStain(PSPStain.configure()), SegmentationUNet()
    spectral = {"weight_orig": "parametrizations.weight.original"}
    names = {"G": {}, "D": {"enc.": "model.", "final_conv.": "model.22."}, "F": {"mlp_": "heads."}}
    for key, ours in NETWORKS.items():
        vector.equal(f"parameters_{key}", PSPStain.card.parameters[ours])
        vector.same_order(f"parameter_order_{key}", getattr(method, ours), spectral | names[key])
    vector.equal("parameters_Seg", sum(p.numel() for p in network.parameters()))
    vector.equal("buffer_elements_Seg", sum(b.numel() for b in network.buffers()))
    vector.same_order("parameter_order_Seg", network, {})  # so an official file fits as it is


def check_density(vector: Vector) -> None:
    method, x = small(density_input="intensity" if "unit_range" in vector.name else "signed"), vector.input("x")
    c, params = method.config, vector.params
    assert (c.alpha, c.density_sum_threshold, c.mask_threshold) == (
        params["alpha"], params["threshold"], params["mask_threshold"]
    )  # fmt: skip
    density = method.density(x.requires_grad_())
    height, width = density.shape[1:]
    vector.equal("density", density)
    vector.equal("density_row_5", density[0, 5, ::8])
    total = method.thresholded(density).flatten(1).sum(1)
    vector.equal("sum_thresholded", total)
    vector.equal("block_sums_image_0", method.by_block(density)[0] * height * width / 16)
    vector.equal("histogram_sums", pspstain().by_band(density))
    vector.equal("mask_pixels", (density >= c.mask_threshold).flatten(1).sum(1))
    vector.equal("grad_sum_l2", torch.autograd.grad(total.sum(), x)[0].norm())


def pspstain() -> Any:
    """Its module, which has no name that can be imported."""
    import sys

    return sys.modules[PSPStain.__module__]


def check_awareness(vector: Vector) -> None:
    method, fake, real = small(), vector.input("fake").requires_grad_(), vector.input("real")
    densities = real_density, fake_density = method.density(real), method.density(fake)
    loss = method.awareness(*densities)
    vector.equal("mlpa", loss)
    vector.equal("grad_fake_l2", torch.autograd.grad(loss, fake, retain_graph=True)[0].norm())
    outside, gaps = method.average_gaps(*densities)
    vector.equal("within_40_percent", (~outside).tolist())
    vector.equal("average_term", gaps)
    for key, density in (("fake", fake_density), ("real", real_density)):
        vector.equal(f"mean_{key}", method.thresholded(density).mean(dim=(1, 2)))
        vector.equal(f"mask_{key}_pixels", (density >= method.config.mask_threshold).flatten(1).sum(1))
    bands = (pspstain().by_band(fake_density) - pspstain().by_band(real_density)) / real[0, 0].numel()
    vector.equal("histogram_term", bands.square().sum(1) / len(real))
    vector.equal("block_term", (method.by_block(fake_density) - method.by_block(real_density)).square().mean())


def check_ms_ssim(vector: Vector) -> None:
    fake, real = vector.input("fake").requires_grad_(), vector.input("real")
    assert list(WEIGHTS) == vector.params["weights"]
    np.testing.assert_allclose(window(fake.detach())[:6], vector.params["window_half"], rtol=1e-12)
    loss = pspstain().SSIM_SCALE * (1 - ms_ssim((fake + 1) / 2, (real + 1) / 2))
    vector.equal("loss", loss)
    vector.equal("grad_fake_l2", torch.autograd.grad(loss, fake)[0].norm())


def check_prototypes(vector: Vector) -> None:
    features, logits = (vector.input(name).requires_grad_() for name in ("features", "logits"))
    vector.equal("prototypes", pspstain().prototypes(features, logits))
    crossed = pspstain().by_the_other(features, logits)
    rows = crossed.flatten(2).mT
    vector.equal("probability", rows)
    vector.equal("probability_first6_image_0", rows[0, :6])
    loss = F.cross_entropy(crossed, (vector.input("target")[:, 0] > 0).long())
    vector.equal("loss", loss)
    for name, gradient in zip(("features", "logits"), torch.autograd.grad(loss, [features, logits]), strict=True):
        vector.equal(f"grad_{name}_l2", gradient.norm())


def check_unet(vector: Vector) -> None:
    network, x = segmenter(vector, dropout=True), vector.input("x").requires_grad_()
    by_rule = vector.name.endswith("by_rule")
    with masks_by_rule() if by_rule else no_dropout(network):
        features, logits = network(x)
    vector.equal("logits", logits)
    vector.equal("features", features)
    vector.equal("probability", pspstain().by_the_other(features, logits).flatten(2).mT)
    (gradient,) = torch.autograd.grad(logits.square().mean(), x)
    vector.equal("grad_mean_logits_squared_x_l2", gradient.norm())
    dropouts = [module.p for module in network.modules() if isinstance(module, Dropout)]
    if by_rule:
        assert dropouts == vector.params["p"]
        vector.equal("active_dropouts", len(dropouts))
    else:
        norm = next(module for module in network.modules() if isinstance(module, PairNorm))
        vector.equal("running_mean_after_first4", norm.running_mean[:4])
        vector.equal("running_var_after_first4", norm.running_var[:4])


@contextmanager
def masks_by_rule() -> Iterator[None]:
    """Dropout keeps what the vectors' rule keeps."""
    numbers = count()

    def forward(module: Dropout, x: Tensor) -> Tensor:
        k = torch.arange(x.numel()) % 10007
        kept = ((31 * k * k + 17 * k + 101 * next(numbers)) % 10007) / 10007 >= module.p
        return x * kept.view_as(x) / (1 - module.p)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dropout, "forward", forward)
        yield


@contextmanager
def no_dropout(network: nn.Module) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dropout, "forward", lambda _, x: x)
        yield


def check_consistency(vector: Vector) -> None:
    method, fake, real = small(), vector.input("fake").requires_grad_(), vector.input("real")
    network = segmenter(vector, dropout=False)
    if vector.name == "ctpc_eval":
        network.eval()
        for module in (m for m in network.modules() if isinstance(m, PairNorm)):
            module.running_mean.fill_(0)
            module.running_var.fill_(0.2)
    method.frozen = {"segmenter": network}
    masks = [method.density(image) >= method.config.mask_threshold for image in (real, fake)]
    each = method.consistency((real, fake), masks)
    vector.equal("per_image", each)
    vector.equal("ctpc", each.sum())
    vector.equal("grad_fake_l2", torch.autograd.grad(each.sum(), fake)[0].norm())
    for key, mask in zip(("real", "fake"), masks, strict=True):
        vector.equal(f"mask_{key}_pixels", mask.flatten(1).sum(1))


def check_step(vector: Vector) -> None:
    method, params = filled(vector, "spectral_exact" in vector.name), vector.params
    c = method.config
    assert (c.temperature, c.lambda_adversarial, list(c.gp_weights)) == (
        params["T"], params["lambda_GAN"], params["gp_weights"]
    )  # fmt: skip
    assert [getattr(c, f"lambda_{name}") for name in ("nce", "gp", "ssim", "ctpc")] == [
        params[f"lambda_{name}"] for name in ("NCE", "gp", "ssim", "CTPC")
    ]
    made = vector.step(method)
    losses, fake, real = made.losses, made.outputs, vector.input("B")
    for key, network in NETWORKS.items():
        vector.equal(f"parameters_{key}", method.card.parameters[network])
        vector.equal(f"grad_{key}_l2", made.gradients[network])
    vector.equal("parameters_Seg", sum(p.numel() for p in method.frozen[c.segmenter].parameters()))
    vector.equal("fake_B", fake)
    vector.equal("D_fake", 2 * losses["d_fake"])
    vector.equal("D_real", 2 * losses["d_real"])
    vector.equal("D", losses["d_fake"] + losses["d_real"])
    vector.equal("total", sum(losses[ours] for ours in TERMS.values()))
    (embedded,) = made.embedded
    layers = [patch_nce(q, k, c.temperature) for q, k in zip(*embedded, strict=True)]
    vector.equal("NCE_layers", torch.stack(layers))
    for theirs, ours in TERMS.items():
        vector.equal(theirs, losses[ours])
        vector.equal(f"grad_fake_l2_of_{theirs}", torch.autograd.grad(losses[ours], fake, retain_graph=True)[0].norm())
        if f"grad_G_l2_of_{theirs}" in vector.expected:
            vector.equal_gradient(f"grad_G_l2_of_{theirs}", losses[ours], method.generator)
    for key, image in (("fake", fake), ("real", real)):
        vector.equal(f"mask_{key}_pixels", (method.density(image) >= c.mask_threshold).flatten(1).sum(1))


def check_two_steps(vector: Vector) -> None:
    method, c = filled(vector, False), PSPStain.configure()
    assert [c.lr, c.lr_discriminator, list(c.betas)] == [vector.params[key] for key in ("lr", "lr_D", "betas")]
    he, ihc = vector.input("A"), vector.input("B")
    for number, losses in enumerate(vector.train(method, Batch(he, ihc), 2), 1):
        vector.equal(f"step{number}_D", losses["d_real"] + losses["d_fake"])
        vector.equal(f"step{number}_total", sum(losses[name] for name in TERMS.values()))
        for theirs, ours in TERMS.items():
            vector.equal(f"step{number}_{theirs}", losses[ours])
    with torch.no_grad():
        vector.equal("fake_B_after_two_steps", method.translate(he))


def check_learning_rate(vector: Vector) -> None:
    """Of D by its group's share of the rate."""
    for key in vector.expected:
        *case, network, _, epoch = key.split("_")
        lengths = {} if case == ["published"] else {"epochs": int(case[1]), "decay_epochs": int(case[2])}
        config = PSPStain.configure(options=lengths)
        shares = {}
        for name, optimizer in small(lr=config.lr, lr_discriminator=config.lr_discriminator).optimizers().items():
            shares[name] = optimizer.param_groups[0].get("rate_share", 1.0)
        schedule = Schedule.of(config, steps_per_epoch=3)
        share = shares["discriminator" if network == "D" else "generator"]
        vector.equal(key, config.lr * schedule.factor(3 * int(epoch) - 1) * share)


def check_inference(vector: Vector) -> None:
    method = filled(vector, True)
    with torch.no_grad():
        fake = method.translate(vector.input("A"))
    vector.equal("fake", fake)
    vector.equal("row_48", fake[0, :, 48, ::16])


def check_colour_jitter(vector: Vector) -> None:
    levels = ((vector.input("x") + 1) * 127.5).round().byte()[0].permute(1, 2, 0).numpy()
    names = ("brightness", "contrast", "saturation")
    for key, factors in vector.params["factors_brightness_contrast_saturation"].items():
        order = [names.index(name) for name in key.split("_")]
        found = torch.tensor(jittered(levels, factors, order), dtype=torch.float64)
        image = found.permute(2, 0, 1)[None]
        vector.equal(key, image)
        vector.equal(f"{key}_row_7", image[0, :, 7, ::4])


CHECKS: dict[str, Callable[[Vector], None]] = {
    "parameters": check_parameters,
    "fod*": check_density,
    "mlpa_*": check_awareness,
    "ms_ssim*": check_ms_ssim,
    "prototypes": check_prototypes,
    "unet_*": check_unet,
    "ctpc_*": check_consistency,
    "step_*": check_step,
    "two_optimizer_steps_no_spectral_norm": check_two_steps,
    "learning_rate": check_learning_rate,
    "inference": check_inference,
    "colour_jitter": check_colour_jitter,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
