"""Convolutions by tiles of 2 × 2 pixels: PyTorch's own, rounding aside."""

from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.nn import ResnetGenerator, TiledConvolution
from vsbench.nn.spectral import add_spectral_norm


def pair(few: int = 3, kernel: int = 7, padding: int = 0, bias: bool = True) -> tuple[TiledConvolution, nn.Conv2d]:
    """The same weights in both."""
    torch.manual_seed(0)
    tiled = TiledConvolution(5, few, kernel, padding=padding, bias=bias).double()
    plain = nn.Conv2d(5, few, kernel, padding=padding, bias=bias).double()
    plain.load_state_dict(tiled.state_dict())
    return tiled, plain


def images(height: int = 18, width: int = 22) -> Tensor:
    return torch.randn(2, 5, height, width, dtype=torch.float64, requires_grad=True)


def off(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())


@pytest.mark.parametrize(
    ("few", "kernel", "padding", "bias"), [(3, 7, 0, True), (1, 7, 3, True), (3, 7, 0, False), (2, 3, 1, True)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_gradients_and_their_gradients_are_the_plain_ones(
    few: int, kernel: int, padding: int, bias: bool, memory_format: torch.memory_format
) -> None:
    tiled, plain = pair(few, kernel, padding, bias)
    x = images()
    found = []
    for network in (tiled, plain):
        network.to(memory_format=memory_format)
        y = network(x.to(memory_format=memory_format))
        inputs = (x, *network.parameters())
        first = torch.autograd.grad(y.pow(3).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), inputs)
        found.append((y, *first, *second))
    for mine, expected in zip(*found, strict=True):
        assert off(mine, expected) < 1e-14


@pytest.mark.parametrize(("size", "strides"), [((18, 22), 2), ((18, 21), 1), ((17, 22), 1)])
def test_tiles_are_taken_where_both_sides_of_the_output_are_even(size: tuple[int, int], strides: int) -> None:
    tiled, plain = pair()
    x = images(*size)
    with mock.patch.object(F, "conv2d", wraps=F.conv2d) as convolved:
        y = tiled(x)
    assert convolved.call_args.kwargs.get("stride", 1) in (strides, (strides, strides))
    assert y.shape == plain(x).shape
    assert off(y, plain(x)) < 1e-14


def test_other_devices_take_the_plain_one() -> None:
    tiled, _ = pair()
    with mock.patch("vsbench.nn.tiled.F.pixel_shuffle", side_effect=AssertionError("tiles")):
        assert tiled.to("meta")(images().to("meta")).shape == (2, 3, 12, 16)
    with (
        pytest.raises(AssertionError, match="tiles"),
        mock.patch("vsbench.nn.tiled.F.pixel_shuffle", side_effect=AssertionError("tiles")),
    ):
        pair()[0](images())


def test_half_precision_and_spectral_norm_are_as_before() -> None:
    tiled, plain = pair()
    x = images().float()
    with torch.autocast("cpu", torch.bfloat16):
        mine, expected = tiled.float()(x), plain.float()(x)
    assert mine.dtype == expected.dtype == torch.bfloat16
    assert off(mine.float(), expected.float()) < 1e-2
    for network in (tiled, plain):
        torch.manual_seed(1)
        add_spectral_norm(network)
    assert list(tiled.state_dict()) == list(plain.state_dict())
    assert off(tiled(x), plain(x)) < 1e-6


def test_the_generators_image_comes_from_tiles_and_its_weights_keep_their_names() -> None:
    generator = ResnetGenerator(4, 1)
    last = list(generator.state_dict().items())[-2:]
    number = len(generator.model) - 2
    assert [(name, tuple(tensor.shape)) for name, tensor in last] == [
        (f"model.{number}.weight", (3, 4, 7, 7)), (f"model.{number}.bias", (3,)),
    ]  # fmt: skip
    assert isinstance(generator.model[number], TiledConvolution)
