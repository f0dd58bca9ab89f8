"""PHV with images normalised as ImageNet's networks want them: what was surely meant, and is not what was published.

On request: it is a second pass of ResNet-50 over every image, and compares with no published number.
"""

from vsbench.metrics.phv import Phv, layer_values


class PhvImagenet(Phv):
    """PHV of images in [0, 1] with ImageNet's mean and standard deviation taken out, and nothing else."""

    on_request = True
    released = False
    values = layer_values("phv_imagenet", "PHV (ImageNet)", "phv/imagenet")
