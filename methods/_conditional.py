"""What methods on aligned pairs share: a discriminator that sees the H&E beside what it judges, and the step.

L_D = ½ [ adv(D(he, ihc), real) + adv(D(he, G(he)), generated) ]
L_G = λ adv(D(he, G(he)), real) + the terms of the method
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vsbench.losses.adversarial import cross_entropy
from vsbench.method import Batch, Layers, Method, MethodConfig, Phase, Weight, Width
from vsbench.nn.norm import image_statistics

from ._optimizers import adams

TestMode = Literal["image_statistics", "running_statistics"]


class ConditionalConfig(MethodConfig):
    """The settings of such methods, with Pix2Pix's values. A weight of 0 switches its term off."""

    width: Width = 64
    discriminator_layers: Layers = 3
    lambda_adversarial: Weight = 1.0


C = TypeVar("C", bound=ConditionalConfig)


class Conditional(Method[C]):
    """G and D; ``adversarial`` makes a loss of what D gives."""

    def __init__(
        self,
        config: C,
        generator: nn.Module,
        discriminator: nn.Module,
        adversarial: Callable[[Any, bool], Tensor] = cross_entropy,
    ) -> None:
        super().__init__(config)
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial = adversarial

    @property
    def size_multiple(self) -> int:
        """2^downs: the innermost map needs a whole number of pixels."""
        return self.generator.size_multiple  # type: ignore[return-value]  # an attribute of each generator

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam for each network."""
        return adams(self.config, discriminator=(self.discriminator,), generator=(self.generator,))

    @abstractmethod
    def terms(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """The losses of G besides the adversarial one, by name, weights applied; asked for when D has stepped."""

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """D on (he, ihc) and (he, fake); then G."""
        weight, he = self.config.lambda_adversarial, batch.he
        fake = self.generator(he)
        losses = {}
        if weight > 0:
            # real and fake pass one after the other: batch norm would mix their statistics in a common batch
            yield Phase(
                drives=("discriminator",),
                losses={
                    "d_real": 0.5 * self.adversarial(self.judge(he, batch.ihc), True),
                    "d_fake": 0.5 * self.adversarial(self.judge(he, fake.detach()), False),
                },
            )
            losses["g_adversarial"] = weight * self.adversarial(self.judge(he, fake), True)
        yield Phase(drives=("generator",), losses=losses | self.terms(batch, fake))

    def judge(self, he: Tensor, image: Tensor) -> Any:
        """Scores of an image (generated or real) given its H&E, H&E first."""
        return self.discriminator(torch.cat([he, image], dim=1))


def translated(generator: nn.Module, he: Tensor, mode: TestMode) -> Tensor:
    """(B, 3, H, W) in [−1, 1] → the same by a generator with batch norm.

    ``image_statistics``: each image with its own, as at the published batch of 1.
    """
    if mode == "running_statistics":
        return generator(he)
    with image_statistics(generator):
        return generator(he)
