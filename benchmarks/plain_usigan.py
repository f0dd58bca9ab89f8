"""USIGAN's training step as one would first write it: loss by loss, each encoding its own inputs.

This is the order and the amount of work of the released code as its fact card describes it: one forward for fake and
identity, a discriminator pass per image set, and twelve encoder passes. The losses are the method's own, so that the
comparison shows what the sharing of activations is worth, and that it changes no loss.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vsbench.losses.adversarial import least_squares
from vsbench.losses.correlation import correlation_gap
from vsbench.method import Batch, Phase
from vsbench.nn import advance_spectral_norm


def plain_step(method: Any, batch: Batch) -> Iterator[Phase]:
    """The phases of one step of a ``vsbench.methods.usigan.USIGAN``: the same losses, nothing shared."""
    c, he, ihc, n = method.config, batch.he, batch.ihc, len(batch.he)
    advance_spectral_norm(method.generator, method.discriminator)
    outputs = method.generator(torch.cat([he, ihc]))
    fake, identity = outputs[:n], outputs[n:]

    yield Phase(
        drives=("discriminator",),
        losses={
            "d_real": 0.5 * least_squares(method.discriminator(ihc), real=True),
            "d_fake": 0.5 * least_squares(method.discriminator(fake.detach()), real=False),
        },
    )

    losses = {"g_adversarial": c.lambda_adversarial * least_squares(method.discriminator(fake), real=True)}
    losses["g_nce"] = 0.5 * c.lambda_nce * plain_nce(method, fake, he)
    losses["g_identity"] = 0.5 * c.lambda_identity * plain_nce(method, identity, ihc)
    of_he, of_ihc, of_fake = (encode(method, image) for image in (he, ihc, fake))
    losses["g_tcyc"] = c.lambda_tcyc * plain_transport_gap(method, of_he, of_ihc, of_fake)
    of_ihc, of_fake = encode(method, ihc), encode(method, fake)
    gaps = [correlation_gap(real, made) for real, made in zip(of_ihc, of_fake, strict=True)]
    losses["g_cc"] = c.lambda_cc * torch.stack(gaps).mean()
    for image in (ihc, fake, he):  # the released density loss is handed features that it never reads
        encode(method, image)
    losses["g_odc"] = c.lambda_odc * method.density_correlation(ihc, fake)
    yield Phase(drives=("generator",), losses=losses)


def encode(method: Any, image: Tensor) -> list[Tensor]:
    """One encoder pass."""
    return method.generator.features(image, method.config.taps)


def plain_nce(method: Any, output: Tensor, source: Tensor) -> Tensor:
    """PatchNCE with two encoder passes of its own."""
    queries, keys = encode(method, output), encode(method, source)
    return method.nce(queries, keys)


def plain_transport_gap(method: Any, he: list[Tensor], ihc: list[Tensor], fake: list[Tensor]) -> Tensor:
    """L_tcyc layer by layer, plan by plan."""
    positions = method.heads.draw(fake)
    terms = []
    for layers in zip(*(method.heads(features, positions) for features in (he, ihc, fake)), strict=True):
        of_he, of_ihc, of_fake = layers[0].detach(), layers[1].detach(), layers[2]
        composed = method.plan(of_he, of_ihc) @ method.plan(of_ihc, of_fake)
        terms.append((composed - method.plan(of_he, of_fake)).abs().mean())
    return torch.stack(terms).mean()
