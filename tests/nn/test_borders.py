"""Borders by slices and concatenation, as deterministic algorithms want them, against torch's own paddings."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.borders import reflected, repeated
from vsbench.nn.padding import ReflectionPad

KINDS = [(reflected, "reflect"), (repeated, "replicate")]
# Up to nine numbers are added, here along rows first, there pixel by pixel: the order is another, and so the last bits.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-15}


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("pad", "mode"), KINDS, ids=["reflected", "repeated"])
@pytest.mark.parametrize("reach", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_values_are_torchs_bit_for_bit_and_gradients_to_rounding(
    pad: Callable[[Tensor, int], Tensor], mode: str, reach: int, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    for images, height, width in ((1, reach + 1, reach + 4), (2, 9, 8)):
        x = torch.randn(images, 3, height, width, dtype=dtype).contiguous(memory_format=layout)
        ours, theirs = (x.clone().requires_grad_() for _ in range(2))
        found, expected = pad(ours, reach), F.pad(theirs, (reach,) * 4, mode=mode)
        assert torch.equal(found, expected)
        incoming = torch.randn_like(expected)
        found.backward(incoming)
        expected.backward(incoming)
        assert ours.grad is not None
        assert theirs.grad is not None
        error = (ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max()
        assert error < TOLERANCE[dtype], float(error)
        once = [slice(reach + 1, side - reach - 1) for side in (height, width)]  # pixels that are seen once
        assert torch.equal(ours.grad[..., once[0], once[1]], theirs.grad[..., once[0], once[1]])


def test_an_image_too_small_to_mirror_is_refused_in_both_ways() -> None:
    for deterministic in (True, False):
        torch.use_deterministic_algorithms(deterministic)
        with pytest.raises(RuntimeError):
            reflected(torch.zeros(1, 3, 3, 8), 3)


def test_the_layer_is_torchs_where_nothing_else_is_asked_for() -> None:
    torch.use_deterministic_algorithms(False)
    ours, theirs = ReflectionPad(3), torch.nn.ReflectionPad2d(3)
    grads = []
    for layer in (ours, theirs):
        x = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
        layer(x).square().sum().backward()
        grads.append(x.grad)
    assert torch.equal(*grads)
    assert ours.state_dict() == theirs.state_dict()
