"""The convolutions of VGG16 and VGG19, for losses on their features."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vsbench.nn.recompute import recomputed

# convolutions of each size, with their channels (Simonyan and Zisserman, ICLR 2015)
STAGES = {
    "vgg16": ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)),
    "vgg19": ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)),
}
# mean and standard deviation of red, green and blue in ImageNet's images, in [0, 1]
IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))


class VGGFeatures(nn.Module):
    """(B, 3, H, W) → the outputs of some ReLUs, each (B, C, H / 2^s, W / 2^s); nothing after the last is computed.

    Layers have torchvision's names: ``features.N``, ReLUs and pooling counted. ``taps``: which ReLUs, by their N,
    rising. The caller normalises images as his loss wants them.
    """

    recompute = False  # True: the backward pass computes the layers of each size anew, and less is kept for it

    def __init__(self, network: str, taps: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for number, (convolutions, channels) in enumerate(STAGES[network]):
            if number:
                layers.append(nn.MaxPool2d(2))
            for _ in range(convolutions):
                layers += [nn.Conv2d(previous, channels, 3, padding=1), nn.ReLU()]
                previous = channels
        wrong = [tap for tap in taps if tap >= len(layers) or not isinstance(layers[tap], nn.ReLU)]
        if wrong or list(taps) != sorted(set(taps)):
            raise ValueError(f"taps {tuple(taps)} must be rising numbers of ReLUs of {network}")
        self.taps = tuple(taps)
        tapped = [layers[tap - 1] for tap in taps]
        self.channels = [layer.out_channels for layer in tapped if isinstance(layer, nn.Conv2d)]
        self.features = nn.Sequential(*layers[: taps[-1] + 1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """The outputs of the ReLUs at ``taps``, in order."""
        found = []
        pools = [number for number, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        cuts = {0, *(tap + 1 for tap in self.taps), *(pools if self.recompute else ())}
        for first, end in pairwise(sorted(cuts)):
            part = self.features[first:end]
            x = recomputed(part, x) if self.recompute else part(x)
            if end - 1 in self.taps:
                found.append(x)
        return found


def as_imagenet(x: Tensor) -> Tensor:
    """(B, 3, H, W) in [−1, 1] → the same with ImageNet's means taken off and divided by its standard deviations."""
    scaled = [((x[:, k] + 1) / 2 - mean) / deviation for k, (mean, deviation) in enumerate(IMAGENET)]
    return torch.stack(scaled, dim=1)


def from_imagenet(x: Tensor) -> Tensor:
    """What ``as_imagenet`` gives → the same in [0, 1]."""
    return torch.stack([x[:, k] * deviation + mean for k, (mean, deviation) in enumerate(IMAGENET)], dim=1)


def random_features(network: str, taps: Sequence[int], seed: int) -> VGGFeatures:
    """``VGGFeatures`` that need no file: random kernels, the same for a seed everywhere, on the CPU.

    Normal with variance 2 / fan-in, which keeps activations of order 1 (He et al., ICCV 2015); biases are 0.
    """
    with torch.device("meta"):  # where initialisation draws nothing from the global generator
        features = VGGFeatures(network, taps)
    generator = torch.Generator().manual_seed(seed)
    for parameter in features.to_empty(device="cpu").parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return features
