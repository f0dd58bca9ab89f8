"""Do the generated images as a whole excite the same features as the real ones? PHV, the perceptual hash value.

It counts the channels of ResNet-50 whose mean over the image differs by more than a fixed threshold: it does not see
where the stain lies, and depends on image size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.metric import Absent, Sample, Update, Value
from vsbench.metrics._network import NetworkMetric, building, exact

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models import ResNet

WEIGHTS = "resnet50-imagenet1k-v1"
THRESHOLD = 0.01  # what every released script passes; the released class has 0.005
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYERS = (1, 2, 3, 4)


def resnet50(tensors: "dict[str, Tensor]") -> "ResNet":
    """torchvision's ResNet-50 with these weights."""
    import torchvision

    with building():
        network = torchvision.models.resnet50(weights=None)
    network.load_state_dict(tensors)
    return network


def layer_values(name: str, label: str, protocol: str) -> tuple[Value, ...]:
    """The four layers of a protocol and their mean, each the mean of the column of its name.

    Where methods are tested the mean of the released protocol stands for all of them.
    """
    layers = (
        (
            f"{name}_l{layer}",
            str(layer),
            f"mean over images of the fraction of channels of layer{layer} whose spatial means differ by > {THRESHOLD}",
        )
        for layer in LAYERS
    )
    mean = (f"{name}_avg", r"\mathrm{avg}", "mean over images of the mean of the four layers")
    return tuple(
        Value(column, f"{label}$_{index}$", "1", "low", formula, protocol, column, family="phv_avg")
        for column, index, formula in (*layers, mean)
    )


class Phv(NetworkMetric):
    """PHV of the four ResNet-50 layers and their plain mean, as the released evaluation code computes it.

    ``network``: a torchvision ResNet. Given none, it is ResNet-50 with the V1 weights.
    """

    needs = (WEIGHTS,)
    package = "torchvision"
    build = staticmethod(resnet50)
    values = layer_values("phv", "PHV", "phv/released")
    released = True  # whether images are blended with white first, as in the released code

    def update(self, samples: Sequence[Sample]) -> Update:
        """Fractions of differing channels of each pair, and their mean over the layers."""
        network = self.ready()
        protocol = f"resnet50-v1/layer-means/{'released' if self.released else 'imagenet'}"

        def compute(images: "Tensor") -> NDArray[np.float32]:
            return np.concatenate(layer_means(network, normalised(images, self.released)), axis=1)

        with exact():
            fake, real = (self.features(samples, which, protocol, compute) for which in ("fake", "real"))
        ends = fake.shape[1] // 15 * np.array([1, 3, 7])  # of a ResNet's layers each has twice the channels of the last
        layers = [differing(f, r) for f, r in zip(np.split(fake, ends, 1), np.split(real, ends, 1), strict=True)]
        numbers = [*layers, np.mean(layers, axis=0)]
        return Update({v.name: column.tolist() for v, column in zip(self.values, numbers, strict=True)}, {})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images."""
        return {value.name: float(table[value.name].mean()) for value in self.values}


def normalised(images: "Tensor", released: bool) -> "Tensor":
    """(B, 3, H, W) uint8 RGB → float32 as ResNet-50 wants it.

    The released class expects [−1, 1], and its scripts give it [0, 1]: ``released`` does so too. That is half of the
    contrast, with white kept and black turned to grey.
    """
    x = images / 255
    if released:
        x = (x + 1) / 2
    mean, std = (x.new_tensor(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    return (x - mean) / std


def layer_means(network: Any, x: "Tensor") -> list[NDArray[np.float32]]:
    """Spatial means of the four layers of a torchvision ResNet in eval mode: (B, C) each, on the CPU.

    ``x``: (B, 3, H, W) float, normalised.
    """
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    means = []
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = layer(x)
        means.append(x.mean(dim=(2, 3)).cpu().numpy())
    return means


def differing(
    fake: NDArray[np.floating], real: NDArray[np.floating], threshold: float = THRESHOLD
) -> NDArray[np.float64]:
    """(B, C) features twice → (B,) fraction of the C channels that differ by more than ``threshold``, in [0, 1].

    Strictly more, with the threshold rounded to the features' own precision. Symmetric; 0 for equal features.
    """
    return (np.abs(fake - real) > fake.dtype.type(threshold)).mean(axis=1)
