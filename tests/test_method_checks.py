"""The checks of methods can fail: a small sound method passes all of them, and each planted fault is caught by name."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from vsbench.checks.methods import Check, maker, method_checks
from vsbench.losses.adversarial import least_squares
from vsbench.method import Batch, Card, Method, MethodConfig, Phase

CHECKS = {check.__name__: check for check in method_checks()}


class Config(MethodConfig):
    width: PositiveInt = 16
    lambda_adversarial: NonNegativeFloat = 1.0
    lambda_structure: NonNegativeFloat = 1.0


class Sound(Method[Config]):
    """A generator of 1 × 1 convolutions, a discriminator of patches, and a term that keeps the structure."""

    card = Card(
        title="Sound",
        citation="none",
        origin="none",
        licence="none",
        pairing="unpaired",
        losses=("d_real", "d_fake", "g_adversarial", "g_structure"),
        parameters={"generator": 115, "discriminator": 1041},
        compute="none",
    )
    variants = {"narrow": {"width": 8}}
    presets = {"cpu": {"load_size": 0, "crop_size": 64, "steps": 10, "lr": 1e-3}}

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        width = config.width
        self.generator = nn.Sequential(nn.Conv2d(3, width, 1), nn.ReLU(), nn.Conv2d(width, 3, 1), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 4))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02)

    @property
    def size_multiple(self) -> int:
        return 4

    def optimizers(self) -> dict[str, Optimizer]:
        c = self.config
        return {
            "discriminator": Adam(self.discriminator.parameters(), 10 * c.lr, c.betas),
            "generator": Adam(self.generator.parameters(), 10 * c.lr, c.betas),
        }

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        c = self.config
        fake = self.generator(batch.he)
        if c.lambda_adversarial > 0:
            real, false = self.discriminator(batch.ihc), self.discriminator(fake.detach())
            losses = {"d_real": least_squares(real, real=True), "d_fake": least_squares(false, real=False)}
            yield Phase(("discriminator",), losses)
        losses = {}
        if c.lambda_adversarial > 0:
            losses["g_adversarial"] = c.lambda_adversarial * least_squares(self.discriminator(fake), real=True)
        if c.lambda_structure > 0:
            losses["g_structure"] = c.lambda_structure * (contrast(fake) - contrast(batch.he)).abs().mean()
        yield Phase(("generator",), losses)

    def translate(self, he: Tensor) -> Tensor:
        return self.generator(he)


def contrast(image: Tensor) -> Tensor:
    """What is brighter or darker than the image's mean, whatever its colour."""
    grey = image.mean(dim=1)
    return grey - grey.mean(dim=(1, 2), keepdim=True)
