"""UNSB against ``oracles/unsb.json``: the official code, in float64."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vsbench.checks._training import step as take_step
from vsbench.losses.bridge import bridge_step, bridge_times, dependence, energy_loss, log_partition
from vsbench.losses.contrastive import layered_patch_nce, patch_nce
from vsbench.method import Batch
from vsbench.nn import BridgeGenerator, PatchSampler, TimedDiscriminator
from vsbench.nn.bridge import ModulatedBlock, PixelNorm, StepEmbedding, TimedConvolution, sinusoid
from vsbench.registry import load

UNSB = load("vsbench.methods", "unsb")
Vector = Any  # the class in conftest.py, which cannot be imported from here

LIVE = (2, 3, 4, 5)  # of the ten parameters of a released block, those that reach the output
# n of our generator's parameters in the official order: outer layers, blocks between them, mapping of the latent
NUMBERS = [*range(90, 96), *(10 * i + k for i in range(9) for k in LIVE), *range(96, 110)]
BUILD: dict[str, tuple[Callable[[], nn.Module], list[int] | None]] = {
    "generator": (BridgeGenerator, NUMBERS),
    "discriminator": (TimedDiscriminator, None),
    "energy": (lambda: TimedDiscriminator(channels=12), None),
    "heads": (lambda: PatchSampler((3, 128, 256, 256, 256)), None),
}
TIMED_NAMES = {
    "model_main": "layers",
    "conv1": "convolution",
    "dense": "step",
    "final_conv": "score",
    "t_embed.main": "steps.layers",
}


def filled(vector: Vector, name: str) -> nn.Module:
    network: nn.Module = vector.filled_once(name, *BUILD[name])
    return network


def method_of(vector: Vector) -> Any:
    """The published method with the vector's weights."""
    config = UNSB.configure()
    assert (config.num_timesteps, config.tau) == (vector.params["T"], vector.params["tau"])
    assert config.lambda_adversarial == config.lambda_nce == config.lambda_identity == config.lambda_sb == 1
    with torch.device("meta"):
        method = UNSB(config)
    for name, _ in method.named_children():
        setattr(method, name, filled(vector, name))
    return method


def latent_rule(images: int, s: int, q: int) -> Tensor:
    b, k = torch.arange(images).double()[:, None], torch.arange(256).double()
    return 1.4 * torch.sin(0.37 * k + 1.3 * b + 0.9 * s + 2.1 * q)


def noise_rule(shape: Sequence[int], s: int, q: int) -> Tensor:
    b, c, i, j = torch.meshgrid(*(torch.arange(size).double() for size in shape), indexing="ij")
    return 1.4 * torch.sin(0.3 * b + 0.7 * c + 0.21 * i - 0.13 * j + 0.8 * s + 1.7 * q)


def drawn(t: int) -> Callable[..., Tensor]:
    """What stands for ``normals`` in a step with a walk to t: each role's values by the vectors' rule."""
    of_latents, of_noise = chain(range(t), (10, 11, 12)), iter(range(1, t + 1))

    def normals(parts: int, x: Tensor, latents: bool = False) -> Tensor:
        s, images = next(of_latents if latents else of_noise), len(x) // parts
        roles = {11: [0], 12: [2]}.get(s, list(range(parts)))
        shape = (images, *x.shape[1:])
        return torch.cat([latent_rule(images, s, q) if latents else noise_rule(shape, s, q) for q in roles])

    return normals


def check_times(vector: Vector) -> None:
    for steps in (3, 5, 10):
        vector.equal(f"times_T{steps}", bridge_times(steps))
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for step in (1, 2, 3, 4):
        towards = bridge_step(zero, one, zero, bridge_times(5), step, vector.params["tau"])
        spread = bridge_step(zero, zero, one, bridge_times(5), step, vector.params["tau"])
        vector.equal(f"step_{step}", torch.cat([towards, spread.square() / vector.params["tau"], spread]))


def check_sinusoid(vector: Vector) -> None:
    for step in (0, 1, 4):
        vector.equal(f"dim8_t{step}", sinusoid(torch.tensor([float(step)], dtype=torch.float64), 8)[0])
    of_three = sinusoid(torch.tensor([3.0], dtype=torch.float64), 64)[0]
    vector.equal("dim64_t3_first4", of_three[:4])
    vector.equal("dim64_t3_last4", of_three[-4:])


def check_step_embedding(vector: Vector) -> None:
    embedding = StepEmbedding(16).double()
    vector.fill(embedding)
    vector.equal("out", embedding(torch.arange(5).double()))


def check_pixel_norm(vector: Vector) -> None:
    found = PixelNorm()(vector.input("x").flatten(1))
    vector.equal("row0", found[0])
    vector.equal("row1", found[1])


def check_block(vector: Vector) -> None:
    """The released block; what of it reaches no output is not in ours, and its gradient there is 0."""
    block = ModulatedBlock(6, 4).double()
    vector.fill(block, numbers=LIVE)
    x, z = vector.input("x").requires_grad_(), vector.input("z").flatten(1).requires_grad_()
    out = block(x, z)
    vector.equal("out", out)
    ours = dict(zip(LIVE, block.parameters(), strict=True))
    official = vector.expected["parameters"]
    assert {n: list(p.shape) for n, p in ours.items()} == {n: official[n][1] for n in LIVE}
    vector.set_aside("parameters")
    of_x, of_z, *others = torch.autograd.grad(out.square().sum(), [x, z, *ours.values()])
    vector.equal("grad_x_l2", of_x.norm())
    vector.equal("grad_z_l2", of_z.norm())
    vector.equal("grad_time_l2", 0)
    gradients = torch.zeros(len(official), dtype=torch.float64)
    gradients[list(LIVE)] = torch.stack([g.norm() for g in others])
    vector.equal("grad_l2_by_parameter", gradients)


def check_convolution(vector: Vector) -> None:
    which = vector.name.rpartition("_")[2]
    layer = TimedConvolution(3, 8, 5, normalises=which != "first", halves=which != "last").double()
    vector.fill(layer)
    vector.same_order("parameters", layer, TIMED_NAMES)
    x, time = vector.input("x").requires_grad_(), vector.input("time").flatten(1).requires_grad_()
    out = layer(x, time)
    vector.equal("out", out)
    of_x, of_time = torch.autograd.grad(out.pow(3).sum(), [x, time])
    vector.equal("grad_x_l2", of_x.norm())
    vector.equal("grad_time_l2", of_time.norm())


def check_energy_loss(vector: Vector) -> None:
    joint, marginal = (vector.input(name).requires_grad_() for name in ("joint", "marginal"))
    loss = energy_loss(joint, marginal)
    vector.equal("loss", loss)
    vector.equal("logsumexp", log_partition(marginal))
    for name, gradient in zip(("joint", "marginal"), torch.autograd.grad(loss, [joint, marginal]), strict=True):
        vector.equal(f"grad_{name}_l2", gradient.norm())


def check_sb_loss(vector: Vector) -> None:
    joint, marginal, fake = (vector.input(name).requires_grad_() for name in ("joint", "marginal", "fake"))
    steps, t, tau = (vector.params[key] for key in ("T", "t", "tau"))
    energy = -tau * (steps - t) / steps * dependence(joint, marginal)
    distance = tau * (vector.input("X_t") - fake).square().mean()
    vector.equal("loss", energy + distance)
    vector.equal("energy_part", energy)
    vector.equal("distance_part", distance)
    for name, gradient in zip(("joint", "marginal"), torch.autograd.grad(energy, [joint, marginal]), strict=True):
        vector.equal(f"grad_{name}_l2", gradient.norm())
    vector.equal("grad_fake_distance_part_l2", torch.autograd.grad(distance, fake)[0].norm())


def check_bridge(vector: Vector) -> None:
    method = UNSB(UNSB.configure("cpu", {"num_timesteps": 5})).double()
    starts = [vector.input(name) for name in ("A", "A2", "B")]
    for t in range(5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(method.generator, "forward", lambda *_: torch.cat([starts[2]] * 3))
            patch.setattr(method, "normals", drawn(t))
            found = method.walk(torch.cat(starts), t, 3).chunk(3)
        for name, x in zip((f"X_{t}", f"X2_{t}", f"XB_{t}"), found, strict=True):
            if name in vector.expected:
                vector.equal(name, x)


def check_generator(vector: Vector) -> None:
    generator = filled(vector, "generator")
    official = vector.expected["parameters"]
    assert [list(p.shape) for p in generator.parameters()] == [official[n][1] for n in NUMBERS]
    dead = [torch.Size(shape).numel() for n, (_, shape) in enumerate(official) if n not in NUMBERS]
    vector.equal("parameters_count", UNSB.card.parameters["generator"] + sum(dead))
    vector.set_aside("parameters")
    he, z = vector.input("A"), latent_rule(2, 10, 0)
    with torch.no_grad():
        taps = (0, 4, 8, 12, 16)
        out, features = generator.forward_with_features(he, taps, z, 3)
        vector.equal("out", out)
        vector.equal("z_transform", generator.mapping(z))
        for tap, feature in zip(taps, features, strict=True):
            vector.equal(f"feature_{tap}", feature)
        vector.equal("other_z_mean_abs_difference", (generator(he, latent_rule(2, 4, 1), 0) - out).abs().mean())
        assert torch.equal(generator(he, z, 0), out)


def check_discriminator(vector: Vector) -> None:
    discriminator = filled(vector, "discriminator")
    vector.equal("parameters_count", UNSB.card.parameters["discriminator"])
    vector.same_order("parameters", discriminator, TIMED_NAMES)
    for t in (0, 4):
        vector.equal(f"out_t{t}", discriminator(vector.input("B"), t))


def check_energy(vector: Vector) -> None:
    energy = filled(vector, "energy")
    vector.equal("parameters_count", UNSB.card.parameters["energy"])
    vector.equal("first_parameter_shape", list(next(energy.parameters()).shape))
    pairs = torch.cat([vector.input(name) for name in ("A", "B", "A2", "A")], dim=1)
    for t in (0, 4):
        vector.equal(f"out_t{t}", energy(pairs, t))


def check_heads(vector: Vector) -> None:
    vector.equal("parameters_count", UNSB.card.parameters["heads"])
    vector.same_order("parameters", PatchSampler(vector.params["channels"]), {"mlp_": "heads."})


def rehearsed(vector: Vector, method: Any, patch: pytest.MonkeyPatch) -> Batch:
    """Everything drawn as the vector has it; the batch."""
    t = vector.params["t"]
    patch.setattr(torch, "randint", lambda *_, **__: torch.tensor(t))
    patch.setattr(method, "normals", drawn(t))
    patch.setattr(method, "other_tissue", lambda _: vector.input("A2"))
    patch.setattr(method.heads, "draw", vector.positions())
    return Batch(vector.input("A"), vector.input("B"))


def check_step(vector: Vector) -> None:
    method, calls, energies, layers = method_of(vector), [], [], []
    generate, judge = method.generator.forward, method.energies

    def recorded_generate(x: Tensor, *given: Any) -> Tensor:
        calls.append((x, generate(x, *given)))
        return calls[-1][1]

    def recorded_energies(*arguments: Any) -> Any:
        energies.append(judge(*arguments))
        return energies[-1]

    def recorded_nce(queries: list[Tensor], keys: list[Tensor], temperature: float) -> Tensor:
        layers.append(torch.stack([patch_nce(q, k, temperature) for q, k in zip(queries, keys, strict=True)]))
        return layered_patch_nce(queries, keys, temperature)

    with pytest.MonkeyPatch.context() as patch:
        batch = rehearsed(vector, method, patch)
        patch.setattr(method.generator, "forward", recorded_generate)
        patch.setattr(method, "energies", recorded_energies)
        patch.setattr("vsbench.methods.unsb.layered_patch_nce", recorded_nce)
        phases = {phase.drives[0]: phase.losses for phase in method.training_step(batch)}

    of_d, of_g = phases["discriminator"], phases["generator"]
    x, made = calls[-1]
    for name, part in zip(("X_t", "X2_t", "XB_t"), x.chunk(3), strict=True):
        vector.equal(name, part)
    for name, part in zip(("fake", "fake2", "idt"), made.chunk(3), strict=True):
        vector.equal(name, part)
    sb, total = of_g["g_distance"] + of_g["g_entropy"], sum(of_g.values())
    vector.equal("D_fake", 2 * of_d["d_fake"])
    vector.equal("D_real", 2 * of_d["d_real"])
    vector.equal("D", sum(of_d.values()))
    vector.equal("E", phases["energy"]["e_energy"])
    vector.equal("E_joint_mean", energies[0][0].mean())
    vector.equal("E_logsumexp", log_partition(energies[0][1]))
    vector.equal("G_GAN", of_g["g_adversarial"])
    vector.equal("SB", sb)
    vector.equal("SB_distance", of_g["g_distance"])
    vector.equal("NCE", 2 * of_g["g_nce"])
    vector.equal("NCE_Y", 2 * of_g["g_identity"])
    vector.equal("NCE_layers", layers[0])
    vector.equal("NCE_Y_layers", layers[1])
    vector.equal("G", total)
    vector.equal("grad_D_l2", vector.gradient_norm(sum(of_d.values()), method.discriminator))
    vector.equal("grad_E_l2", vector.gradient_norm(phases["energy"]["e_energy"], method.energy))
    vector.equal("grad_G_of_SB_l2", vector.gradient_norm(sb, method.generator))
    vector.equal("grad_fake2_of_SB_l2", torch.autograd.grad(sb, made, retain_graph=True)[0].chunk(3)[1].norm())
    vector.equal("grad_F_l2", vector.gradient_norm(total, method.heads))
    vector.equal("grad_G_l2", vector.gradient_norm(total, method.generator))


def check_step_with_optimizers(vector: Vector) -> None:
    method = deepcopy(method_of(vector))
    assert (method.config.lr, list(method.config.betas)) == (vector.params["lr"], vector.params["betas"])
    with pytest.MonkeyPatch.context() as patch:
        losses = take_step(method, method.optimizers(), rehearsed(vector, method, patch))
    vector.equal("D", losses["d_real"] + losses["d_fake"])
    vector.equal("E", losses["e_energy"])
    vector.equal("G_GAN", losses["g_adversarial"])
    vector.equal("SB", losses["g_distance"] + losses["g_entropy"])
    vector.equal("NCE", 2 * losses["g_nce"])
    vector.equal("NCE_Y", 2 * losses["g_identity"])
    vector.equal("G", sum(loss for name, loss in losses.items() if name.startswith("g_")))
    with torch.no_grad():
        vector.equal("G_of_A_after_step", method.generator(vector.input("A"), latent_rule(2, 10, 0), 3))


def check_learning_rate(vector: Vector) -> None:
    vector.equal_rates(UNSB.configure())


def check_inference(vector: Vector) -> None:
    """Every prediction on the way is the result of a translation with so many steps."""
    he = vector.input("A")

    def normals() -> Iterator[Tensor]:
        yield torch.cat([latent_rule(1, s, 0) for s in range(5)])
        yield from (noise_rule(he.shape, s, 0) for s in range(1, 5))

    for steps in range(1, 6):
        method, values = method_of(vector), normals()
        method.config = method.config.model_copy(update={"nfe": steps})
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(torch, "randn", lambda *_, values=values, **__: next(values))
            vector.equal(f"fake_{steps}", method.translate(he))


CHECKS: dict[str, Callable[[Vector], None]] = {
    "times": check_times,
    "timestep_embedding": check_sinusoid,
    "timestep_mlp": check_step_embedding,
    "pixel_norm": check_pixel_norm,
    "resnet_block_cond": check_block,
    "conv_block_cond_*": check_convolution,
    "energy_loss": check_energy_loss,
    "sb_loss_*": check_sb_loss,
    "bridge": check_bridge,
    "generator": check_generator,
    "discriminator": check_discriminator,
    "energy_net": check_energy,
    "sampler": check_heads,
    "step_losses_*": check_step,
    "step_with_optimizers_*": check_step_with_optimizers,
    "learning_rate": check_learning_rate,
    "inference": check_inference,
}


def test_no_check_is_idle(vector_names: list[str]) -> None:
    assert all(any(fnmatchcase(name, pattern) for name in vector_names) for pattern in CHECKS)


def test_vector(vector: Vector) -> None:
    vector.run(CHECKS)
