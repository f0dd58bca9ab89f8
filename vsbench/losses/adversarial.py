"""Adversarial losses on the scores of a discriminator; each is a scalar, the mean over all scores."""

from torch import Tensor
from torch.nn import functional as F


def least_squares(scores: Tensor, real: bool) -> Tensor:
    """LSGAN: mean (s − 1)² towards real, mean s² towards fake. 0 is perfect. Source: Mao et al., ICCV 2017."""
    return (scores - 1).square().mean() if real else scores.square().mean()


def cross_entropy(scores: Tensor, real: bool) -> Tensor:
    """The original GAN loss on logits: −log σ(s) towards real, −log(1 − σ(s)) towards fake. log 2 at s = 0."""
    return F.softplus(-scores if real else scores).mean()


def wasserstein(scores: Tensor, real: bool) -> Tensor:
    """The critic's loss: −mean s towards real, mean s towards fake. Unbounded; needs a Lipschitz constraint."""
    return -scores.mean() if real else scores.mean()
