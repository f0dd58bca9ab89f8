"""Padding as a layer."""

from torch import Tensor, nn

from vsbench.borders import reflected


class ReflectionPad(nn.Module):
    """nn.ReflectionPad2d of one width all around, which has a deterministic backward pass on CUDA too."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H + 2 reach, W + 2 reach)."""
        return reflected(x, self.reach)

    def extra_repr(self) -> str:
        """The width, as torch's own layer prints it."""
        return f"{self.reach}"
