"""The Inception network of 2015, as torch-fidelity builds it, and the two ways in which images are brought to it."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vsbench.metrics._network import building

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "inception-2015-12-05"
SIDE = 299  # pixels of its input
LAYERS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool_1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool_2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c", "AvgPool"),
)


def inception(tensors: "dict[str, Tensor]") -> Any:
    """torch-fidelity's Inception with these weights, giving the 2048 features."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles without restriction what it is given: so it gets tensors that we saved anew
    plain = io.BytesIO()
    torch.save(tensors, plain)
    plain.seek(0)
    with building():
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=plain)


def torch_fidelity_features(network: Any, images: "Tensor") -> NDArray[np.float32]:
    """(B, 3, H, W) uint8 → (B, 2048): TensorFlow 1's resize, (x − 128) / 128, the network: all its own code."""
    return network(images)[0].cpu().numpy()


def pytorch_fid_features(network: Any, images: "Tensor") -> NDArray[np.float32]:
    """(B, 3, H, W) uint8 → (B, 2048) with pytorch-fid's input: bilinear by pixel centres, no antialiasing; [−1, 1]."""
    from torch.nn.functional import interpolate

    x = 2 * interpolate(images / 255, size=(SIDE, SIDE), mode="bilinear", align_corners=False) - 1
    for layer in LAYERS:
        x = getattr(network, layer)(x)
    return x.flatten(1).cpu().numpy()
