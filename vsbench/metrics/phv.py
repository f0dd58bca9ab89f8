"""Do the generated images as a whole excite the same features as the real ones? PHV, the perceptual hash value.

It counts the channels of ResNet-50 whose mean over the image differs by more than a fixed threshold: it does not see
where the stain lies, and depends on image size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench import weights
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics import _network

if TYPE_CHECKING:
    from torch import Tensor
    from torchvision.models import ResNet

WEIGHTS = "resnet50-imagenet1k-v1"
THRESHOLD = 0.01  # what every released script passes; the released class has 0.005
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYERS = (1, 2, 3, 4)


class Phv(Metric):
    """PHV of the four ResNet-50 layers and their plain mean, as the released evaluation code computes it.

    ``network``: a torchvision ResNet. Given none, it is ResNet-50 with the V1 weights, loaded at the first update.
    """

    needs = (WEIGHTS,)
    values = (
        *(
            Value(
                f"phv_l{layer}",
                rf"PHV$_{layer}$",
                "1",
                "low",
                f"mean over images of the fraction of channels of layer{layer} whose spatial means differ by > 0.01",
                "phv/released",
                column=f"phv_l{layer}",
            )
            for layer in LAYERS
        ),
        Value(
            "phv_avg",
            r"PHV$_\mathrm{avg}$",
            "1",
            "low",
            "mean over images of the mean of the four layers",
            "phv/released",
            column="phv_avg",
        ),
    )

    def __init__(self, network: "ResNet | None" = None) -> None:
        self.network = network

    def unavailable(self) -> str | None:
        """Why ResNet-50 can't run here; None if it can."""
        return None if self.network is not None else _network.absence("torchvision", WEIGHTS)

    def update(self, samples: Sequence[Sample]) -> Update:
        """Fractions of differing channels of each pair, and their mean over the layers."""
        if self.network is None:
            self.network = resnet50(weights.load(WEIGHTS))
        network = self.network.to(self.device).eval()
        columns: dict[str, list[float]] = {value.name: [] for value in self.values}
        with _network.exact():
            for run in _network.by_size(samples):
                fake, real = (
                    layer_means(network, _network.stack(images, self.device) / 255)  # [0, 1]: the released habit
                    for images in ([s.fake for s in run], [s.real for s in run])
                )
                layers = [differing(f, r) for f, r in zip(fake, real, strict=True)]
                for layer, fractions in zip(LAYERS, layers, strict=True):
                    columns[f"phv_l{layer}"] += fractions.tolist()
                columns["phv_avg"] += np.mean(layers, axis=0).tolist()
        return Update(columns, {})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Means over the images."""
        return {value.name: float(table[value.name].mean()) for value in self.values}


def layer_means(network: "ResNet", images: "Tensor") -> list[NDArray[np.float32]]:
    """Spatial means of the four layers of a torchvision ResNet in eval mode: (B, C) each, on the CPU.

    ``images`` is (B, 3, H, W) float RGB and is read as if it lay in [−1, 1]. The released scripts feed [0, 1]: that is
    protocol ``phv/released``, which halves the contrast before the network sees it.
    """
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    x = ((images + 1) / 2 - mean) / std
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


def resnet50(tensors: "dict[str, Tensor]") -> "ResNet":
    """torchvision's ResNet-50 with these weights."""
    import torchvision

    with _network.building():
        network = torchvision.models.resnet50(weights=None)
    network.load_state_dict(tensors)
    return network
