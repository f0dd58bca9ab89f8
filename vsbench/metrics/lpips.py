"""Would people call the images alike, patch by patch? LPIPS with AlexNet, against the adjacent section's real IHC."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vsbench import weights
from vsbench.errors import DataError
from vsbench.metric import Absent, Metric, Sample, Update, Value
from vsbench.metrics import _network

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "alexnet-imagenet1k-v1"
MIN_SIDE = 31  # pixels; below, AlexNet's second pooling has nothing left


class LpipsDistance(Metric):
    """Learned perceptual distance, version 0.1 of the ``lpips`` package; its linear heads come with the package.

    ``network``: two (B, 3, H, W) float32 tensors in [−1, 1] → (B, 1, 1, 1) distances. Given none, it is LPIPS with the
    AlexNet weights, loaded at the first update.
    """

    needs = (WEIGHTS,)
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

    def __init__(self, network: "nn.Module | None" = None) -> None:
        self.network = network

    def unavailable(self) -> str | None:
        """Why LPIPS can't run here; None if it can."""
        return None if self.network is not None else _network.absence("lpips", WEIGHTS)

    def update(self, samples: Sequence[Sample]) -> Update:
        """Distances of each pair. Raises DataError for images that AlexNet is too deep for."""
        for sample in samples:
            height, width, _ = sample.real.shape
            if min(height, width) < MIN_SIDE:
                raise DataError(f"{sample.id}: {height}×{width} pixels; LPIPS needs at least {MIN_SIDE}×{MIN_SIDE}")
        if self.network is None:
            self.network = lpips_alex(weights.load(WEIGHTS))
        network = self.network.to(self.device).eval()
        distances: list[float] = []
        with _network.exact():
            for run in _network.by_size(samples):
                fake = _network.stack([s.fake for s in run], self.device) / 127.5 - 1
                real = _network.stack([s.real for s in run], self.device) / 127.5 - 1
                distances += network(fake, real).flatten().tolist()
        return Update({"lpips": distances}, {})

    def finish(self, table: pd.DataFrame, features: dict[str, NDArray[np.float32]]) -> dict[str, float | Absent]:
        """Mean over the images."""
        return {"lpips": float(table["lpips"].mean())}


def lpips_alex(tensors: "dict[str, Tensor]") -> "nn.Module":
    """LPIPS v0.1 whose backbone holds the convolutions of a torchvision AlexNet (its classifier is not used)."""
    import lpips

    with _network.building():
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)  # pnet_rand: no download
    # slice2.3.weight → features.3.weight: the slices keep torchvision's numbers
    names = {name: f"features.{name.partition('.')[2]}" for name in network.net.state_dict()}
    network.net.load_state_dict({name: tensors[source] for name, source in names.items()})
    return network
