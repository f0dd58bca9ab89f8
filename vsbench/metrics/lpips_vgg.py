"""LPIPS with VGG16, the backbone that image synthesis often reports; against the adjacent section's real IHC.

On request: VGG16 costs some forty times AlexNet, and keeps half a gigabyte of activations for a real image of 1024².
"""

from typing import TYPE_CHECKING, Any

from vsbench.metric import Value
from vsbench.metrics.lpips import LpipsDistance, lpips_network

if TYPE_CHECKING:
    from torch import Tensor


def lpips_vgg(tensors: "dict[str, Tensor]") -> Any:
    """LPIPS v0.1 whose backbone holds the convolutions of a torchvision VGG16."""
    return lpips_network("vgg", tensors)


class LpipsVgg(LpipsDistance):
    """Learned perceptual distance, version 0.1 of the ``lpips`` package, on VGG16.

    ``network``: an ``lpips.LPIPS``. Given none, it is one with the VGG16 weights.
    """

    needs = ("vgg16-imagenet1k-v1",)
    build = staticmethod(lpips_vgg)
    backbone = "vgg"
    min_side = 16
    on_request = True
    values = (
        Value(
            "lpips_vgg",
            "LPIPS (VGG)",
            "1",
            "low",
            "mean over images of LPIPS v0.1 (VGG16) between generated and real",
            "lpips/vgg-v0.1",
            column="lpips_vgg",
            family="lpips",
        ),
    )
