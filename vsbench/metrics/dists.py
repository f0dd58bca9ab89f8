"""Would people call the images alike in structure and in texture? DISTS, against the adjacent section's real IHC.

Ding, Ma, Wang and Simoncelli, Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2022: a
texture that is drawn anew counts for little, which suits sections that show other cells of one tissue. On request:
VGG16 runs on both images of every pair. As in the paper, images whose shorter side is longer than 256 pixels are
reduced to that.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Picture

from vsbench.metric import Absent, Image, Sample, Update, Value
from vsbench.metrics._network import NetworkMetric, building, exact, tensor

if TYPE_CHECKING:
    from torch import Tensor, nn

SHORTER = 256  # pixels
TAPS = (3, 8, 15, 22, 29)  # the last ReLU of each stage, by torchvision's numbers
POOLS = (4, 9, 16, 23)  # maxima there, L2 norms here
TINY = 1e-6  # the paper's c₁ and c₂, which keep quotients of nothing at 1


def dists_network(tensors: "dict[str, Tensor]") -> "nn.Module":
    """VGG16 whose pooling is an L2 norm under a Hanning window, with the weights ``alpha`` and ``beta`` (3 + C,) of the
    likeness of means, and of what varies around them, of each channel: those of the image, then of each stage.
    """
    import torch
    from torch import nn
    from torch.nn import functional as F

    from vsbench.nn.vgg import IMAGENET, VGGFeatures

    class L2Pool(nn.Module):
        def forward(self, x: "Tensor") -> "Tensor":
            line = torch.tensor((0.25, 0.5, 0.25), device=x.device, dtype=x.dtype)
            window = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
            return (F.conv2d(x.square(), window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()

    class Network(nn.Module):
        mean: "Tensor"
        deviation: "Tensor"

        def __init__(self) -> None:
            super().__init__()
            self.layers = VGGFeatures("vgg16", TAPS).features
            for place in POOLS:
                self.layers[place] = L2Pool()
            for name in ("alpha", "beta"):
                self.register_buffer(name, tensors[name].detach().flatten())
            for name, numbers in zip(("mean", "deviation"), zip(*IMAGENET, strict=True), strict=True):
                self.register_buffer(name, torch.tensor(numbers)[:, None, None])

        def stages(self, image: "Tensor") -> "Iterator[Tensor]":
            """Of (1, 3, H, W) in [0, 1]: the image, and the activations of each stage."""
            yield image
            x = (image - self.mean) / self.deviation
            for place, layer in enumerate(self.layers):
                x = layer(x)
                if place in TAPS:
                    yield x

    with building():
        network = Network()
    network.layers.load_state_dict({name: tensors[f"features.{name}"] for name in network.layers.state_dict()})
    return network


class Dists(NetworkMetric):
    """Distance of structure and texture in the activations of VGG16, by the weights of the authors' package.

    ``network``: as ``dists_network`` makes it.
    """

    on_request = True
    needs = ("vgg16-imagenet1k-v1", "dists-v0.1")
    package = "torch"
    build = staticmethod(dists_network)
    min_side = 16  # pixels; below, the last stage has nothing left
    values = (
        Value(
            "dists",
            "DISTS",
            "1",
            "low",
            "mean over images of 1 − Σ α l − Σ β s between generated and real: l of the means, s of the covariance of "
            f"VGG16's activations, α and β of DISTS v0.1; images reduced to {SHORTER} pixels of the shorter side",
            f"dists/v0.1-short{SHORTER}-bilinear",
            column="dists",
        ),
    )

    def update(self, samples: Sequence[Sample]) -> Update:
        """Distances of each pair."""
        network = self.ready()
        with exact():
            return Update({"dists": [self._distance(sample, network) for sample in samples]}, {})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Mean over the images."""
        return {"dists": float(table["dists"].mean())}

    def _distance(self, sample: Sample, network: Any) -> float:
        if sample.fake is sample.real:
            return 0.0
        images = (tensor([sample.once(which, reduced)], self.device) / 255 for which in ("fake", "real"))
        return distance(network, *images)


def reduced(image: Image) -> Image:
    """The image with a shorter side of 256 pixels at most, by Pillow's bilinear filter, which averages."""
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter <= SHORTER:
        return image
    size = (SHORTER * width // shorter, SHORTER * height // shorter)
    return np.asarray(Picture.fromarray(image).resize(size, Picture.Resampling.BILINEAR))


def distance(network: Any, fake: "Tensor", real: "Tensor") -> float:
    """DISTS of two images (1, 3, H, W) in [0, 1]; both pass stage by stage, so that few activations exist at once."""
    import torch

    likeness: list[tuple[Tensor, Tensor]] = []
    for x, y in zip(network.stages(fake), network.stages(real), strict=True):
        (mean_x, mean_y), (x, y) = zip(*(_centred(part) for part in (x, y)), strict=True)
        means = (2 * mean_x * mean_y + TINY) / (mean_x.square() + mean_y.square() + TINY)
        both, own = (x * y).mean(dim=1), x.square().mean(dim=1) + y.square().mean(dim=1)
        likeness.append((means, (2 * both + TINY) / (own + TINY)))
    of_means, of_texture = (torch.cat(parts) for parts in zip(*likeness, strict=True))
    alike = network.alpha @ of_means + network.beta @ of_texture
    return float(1 - alike / (network.alpha.sum() + network.beta.sum()))


def _centred(activations: "Tensor") -> "tuple[Tensor, Tensor]":
    """(1, C, h, w) → means (C,), and what is above or below them (C, h·w)."""
    flat = activations[0].flatten(1)
    mean = flat.mean(dim=1)
    return mean, flat - mean[:, None]
