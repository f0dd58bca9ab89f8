"""Would people call the images alike, patch by patch? LPIPS with AlexNet, against the adjacent section's real IHC."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench.errors import DataError
from vsbench.metric import Absent, Image, Sample, Update, Value
from vsbench.metrics._network import NetworkMetric, building, exact, tensor

if TYPE_CHECKING:
    from torch import Tensor

VERSION = "0.1"


def lpips_alex(tensors: "dict[str, Tensor]") -> Any:
    """LPIPS v0.1 whose backbone holds the convolutions of a torchvision AlexNet (its classifier is not used)."""
    return lpips_network("alex", tensors)


def lpips_network(backbone: str, tensors: "dict[str, Tensor]") -> Any:
    """LPIPS v0.1 of the ``lpips`` package on a backbone ("alex", "vgg") with torchvision's weights of that network."""
    import lpips

    with building():
        network = lpips.LPIPS(net=backbone, version=VERSION, pnet_rand=True, verbose=False)  # pnet_rand: no download
    # slice2.3.weight → features.3.weight: the slices keep torchvision's numbers
    names = {name: f"features.{name.partition('.')[2]}" for name in network.net.state_dict()}
    network.net.load_state_dict({name: tensors[source] for name, source in names.items()})
    return network


class LpipsDistance(NetworkMetric):
    """Learned perceptual distance, version 0.1 of the ``lpips`` package; its linear heads come with the package.

    Activations of the real image are kept with the pair and serve every generated image that is judged by it. Images
    pass one by one: the activations of a large one fill any device.

    ``network``: an ``lpips.LPIPS``. Given none, it is one with the AlexNet weights.
    """

    needs = ("alexnet-imagenet1k-v1",)
    package = "lpips"
    build = staticmethod(lpips_alex)
    backbone = "alex"
    min_side = 31  # pixels; below, the backbone's last pooling but one has nothing left
    values = (
        Value(
            "lpips",
            "LPIPS",
            "1",
            "low",
            "mean over images of LPIPS v0.1 (AlexNet) between generated and real",
            "lpips/alex-v0.1",
            column="lpips",
        ),
    )

    def provenance(self) -> dict[str, str]:
        """As of other networks, and the digest of the linear heads."""
        package = importlib.util.find_spec(self.package)
        if package is None or package.origin is None:
            raise ModuleNotFoundError(self.package)
        heads = f"weights/v{VERSION}/{self.backbone}.pth"
        digest = hashlib.sha256((Path(package.origin).parent / heads).read_bytes()).hexdigest()
        return super().provenance() | {f"lpips/{heads}": digest}

    def update(self, samples: Sequence[Sample]) -> Update:
        """Distances of each pair. Raises DataError for images that the backbone is too deep for."""
        for sample in samples:
            height, width, _ = sample.real.shape
            if min(height, width) < self.min_side:
                need = f"{self.values[0].label} needs at least {self.min_side}×{self.min_side}"
                raise DataError(f"{sample.id}: {height}×{width} pixels; {need}")
        network = self.ready()
        directions = _Directions(network.net, network.scaling_layer, self.device)
        with exact():
            distances = [_distance(sample, directions, network.lins) for sample in samples]
        return Update({self.values[0].name: distances}, {})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Mean over the images."""
        name = self.values[0].name
        return {name: float(table[name].mean())}


@dataclass(frozen=True)
class _Directions:
    """Activations of each layer, (1, C, h, w), of unit length along C. Equal, and so shared, for one network."""

    backbone: Any
    scaling: Any
    device: str

    def __call__(self, image: Image) -> "list[Tensor]":
        return [layer / _length(layer) for layer in self.layers(image)]

    def layers(self, image: Image) -> "list[Tensor]":
        """The activations as they are."""
        return list(self.backbone(self.scaling(tensor([image], self.device) / 127.5 - 1)))


def _length(layer: "Tensor") -> "Tensor":
    """Along the channels, (1, 1, h, w), and a little more, as the package divides by it."""
    return layer.square().sum(dim=1, keepdim=True).sqrt() + 1e-10


def _distance(sample: Sample, directions: _Directions, heads: Any) -> float:
    """Sum over the layers of the mean over the image of what the linear head makes of squared differences.

    The mean is taken before the head, which is linear, and the generated image's directions are never stored: what is
    left beside the backbone is three passes over its activations.
    """
    import torch

    if sample.fake is sample.real:
        return 0.0
    total = 0.0
    for head, real, layer in zip(heads, sample.once("real", directions), directions.layers(sample.fake), strict=True):
        gap = torch.addcdiv(real, layer, _length(layer), value=-1)
        energy = torch.linalg.vector_norm(gap, dim=(2, 3)).square().flatten()  # of each channel
        total += float(energy @ head.model[-1].weight.flatten()) / gap[0, 0].numel()
    return total
