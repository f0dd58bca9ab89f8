"""Initial weights of the two families of networks."""

from typing import Literal

from torch import nn


def initialise(network: nn.Module, scheme: Literal["normal", "xavier"], gain: float = 0.02) -> None:
    """Fill a network in place: weights of convolutions and linear layers by ``scheme``, biases 0.

    ``normal``: N(0, gain²), the CycleGAN family. ``xavier``: Xavier normal with that gain, the CUT family.
    Scales of batch normalisation are N(1, gain²), their shifts 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if scheme == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            else:
                nn.init.xavier_normal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)
