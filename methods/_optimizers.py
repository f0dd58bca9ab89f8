"""The optimizers of the published methods."""

from torch import nn
from torch.optim import Adam, Optimizer

from vsbench.method import MethodConfig


def adams(config: MethodConfig, **networks: tuple[nn.Module, ...]) -> dict[str, Optimizer]:
    """By name, one Adam for the parameters of some networks; the configuration's rate and betas for all.

    Its fused form, which takes a fifth of the time on a CPU and rounds otherwise in the last bit.
    """
    return {
        name: Adam([p for network in group for p in network.parameters()], config.lr, config.betas, fused=True)
        for name, group in networks.items()
    }
