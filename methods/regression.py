"""Regression: Pix2Pix's generator trained with L1 alone, the control that shows what blur earns.

    L_G = |G(he) − ihc|₁

The best answer to this loss is the median of all stains that may lie under a pixel: where the sections don't fit, a
smooth average without texture. What a metric gives to this row, it gives to blur. (The only term has no weight: Adam's
steps are the same for any.)
"""

from collections.abc import Iterator

from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from vsbench.method import Batch, Card, Method, MethodConfig, Phase, Share, Width
from vsbench.nn import UNetGenerator

from ._conditional import TestMode, translated
from ._optimizers import adams
from ._tiles import MIST, PHANTOM_UNET


class Config(MethodConfig):
    """Pix2Pix's settings, as far as they are its generator's."""

    width: Width = 64
    downs: int = Field(default=8, ge=2, le=9)
    dropout: Share = 0.5
    test_mode: TestMode = "image_statistics"


class Regression(Method[Config]):
    """U-Net with batch norm and dropout, L1."""

    card = Card(
        title="Regression (L1)",
        citation="None: a control of this suite. Its generator: Isola et al. Image-to-Image Translation with "
        "Conditional Adversarial Networks. CVPR 2017",
        origin="this suite; nothing published stands behind this row",
        licence="Apache-2.0",
        pairing="paired",
        losses=("g_l1",),
        parameters={"generator": 54_413_955},
        deviations=("no method of the literature: Pix2Pix without its discriminator",),
        compute="Pix2Pix's without its discriminator",
        is_control=True,
    )
    presets = {
        "mist": MIST,
        "cpu": PHANTOM_UNET,
        "small": PHANTOM_UNET,
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = UNetGenerator(config.width, config.downs, config.dropout)

    @property
    def size_multiple(self) -> int:
        """2^downs: the bottleneck needs a whole number of pixels."""
        return self.generator.size_multiple

    def optimizers(self) -> dict[str, Optimizer]:
        """One Adam."""
        return adams(self.config, generator=(self.generator,))

    def training_step(self, batch: Batch) -> Iterator[Phase]:
        """L1 between G(he) and the real IHC."""
        fake = self.generator(batch.he)
        yield Phase(drives=("generator",), losses={"g_l1": (fake - batch.ihc).abs().mean()})

    def translate(self, he: Tensor) -> Tensor:
        """(B, 3, H, W) in [−1, 1] → the same. H and W must be multiples of 2^downs. Nothing random."""
        return translated(self.generator, he, self.config.test_mode)
