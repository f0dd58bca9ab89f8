"""Networks that more than one method uses."""

from vsbench.nn.bridge import BridgeGenerator, TimedDiscriminator
from vsbench.nn.init import initialise
from vsbench.nn.patches import PatchSampler
from vsbench.nn.patchgan import MultiscaleDiscriminator, PatchDiscriminator
from vsbench.nn.pool import ImagePool, kept_images
from vsbench.nn.resnet import ResnetGenerator
from vsbench.nn.resnet_unet import ResnetUNet
from vsbench.nn.segmenter import SegmentationUNet
from vsbench.nn.spectral import advance_spectral_norm, iterated_further, one_spectral_norm
from vsbench.nn.tiled import TiledConvolution
from vsbench.nn.unet import UNetGenerator
from vsbench.nn.vgg import VGGFeatures

__all__ = [
    "BridgeGenerator",
    "ImagePool",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "PatchSampler",
    "ResnetGenerator",
    "ResnetUNet",
    "SegmentationUNet",
    "TiledConvolution",
    "TimedDiscriminator",
    "UNetGenerator",
    "VGGFeatures",
    "advance_spectral_norm",
    "initialise",
    "iterated_further",
    "kept_images",
    "one_spectral_norm",
]
