"""Norms and dropout against their formulas, however images and gradients lie in memory."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from vsbench.nn.norm import BatchNorm, Dropout, InstanceNorm

EPSILON = 1e-5
RUNNING = torch.tensor([0.3, -1.2, 0.8]), torch.tensor([1.5, 0.4, 2.0])  # mean and variance of three channels
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SIZES = [(6, 7), (1, 9), (9, 1)]


def layouts(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The same values in every order of memory, and with every stride, that a network may meet."""
    last = torch.channels_last
    yield "contiguous", x.contiguous()
    yield "channels last", x.contiguous(memory_format=last)
    yield "rows and columns swapped", x.mT.contiguous().mT
    yield "images innermost", x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    yield "part of a wider image", torch.cat([x, x], 3)[..., : x.shape[3]]
    yield "some of more channels, last", torch.cat([x, x], 1).contiguous(memory_format=last)[:, : x.shape[1]]
    yield "some of more images, channels last", torch.cat([x, x]).contiguous(memory_format=last)[: len(x)]
    if len(x) == 1:
        yield "an image of its own", x.contiguous()[0][None]
        yield "an image of its own, channels last", x.contiguous(memory_format=last)[0][None]


def by_formula(x: Tensor, over: tuple[int, ...]) -> Tensor:
    mean = x.mean(over, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).square().mean(over, keepdim=True) + EPSILON)


def by_running_statistics(x: Tensor) -> Tensor:
    mean, variance = (s.to(x.dtype)[:, None, None] for s in RUNNING)
    return (x - mean) / torch.sqrt(variance + EPSILON)


def instance_norm() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    return InstanceNorm(3), lambda x: by_formula(x, (2, 3))


def batch_norm() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    return BatchNorm(3), lambda x: by_formula(x, (0, 2, 3))


def fixed_batch_norm() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    norm = BatchNorm(3).eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(RUNNING[0])
    norm.running_var.copy_(RUNNING[1])
    return norm, by_running_statistics


def untracked_batch_norm() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    return BatchNorm(3, track_running_stats=False).eval(), lambda x: by_formula(x, (0, 2, 3))


NORMS = [instance_norm, batch_norm, fixed_batch_norm, untracked_batch_norm]


@pytest.mark.parametrize("make", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_values_and_gradients_are_right_in_every_layout(
    make: Callable[[], tuple[nn.Module, Callable[[Tensor], Tensor]]],
    dtype: torch.dtype,
    batch: int,
    size: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(0)
    images, incoming = torch.randn(2, batch, 3, *size, generator=generator, dtype=torch.float64).to(dtype)
    norm, formula = make()
    norm.to(dtype)
    plain = images.clone().requires_grad_()
    expected = formula(plain)
    expected.backward(incoming)
    for layout, laid in layouts(images):
        for gradient_layout, gradient in layouts(incoming):
            x = laid.detach().requires_grad_()
            found = norm(x)
            found.backward(gradient)
            for what, a, b in (("values", found.detach(), expected.detach()), ("gradient", x.grad, plain.grad)):
                error = float((a - b).norm() / b.norm())
                assert error < TOLERANCE[dtype], f"{what}: {error:.1e}, images {layout}, gradient {gradient_layout}"


@pytest.mark.parametrize(
    ("ours", "torchs"), [(InstanceNorm, nn.InstanceNorm2d), (BatchNorm, nn.BatchNorm2d)], ids=["instance", "batch"]
)
@pytest.mark.parametrize("batch", [1, 2])
def test_contiguous_images_are_normalised_by_torch_bit_for_bit(
    ours: type[nn.Module], torchs: type[nn.Module], batch: int
) -> None:
    x, incoming = torch.randn(2, batch, 3, 6, 7, generator=torch.Generator().manual_seed(1))
    results = []
    for kind in (ours, torchs):
        norm, leaf = kind(3), x.clone().requires_grad_()
        y = norm(leaf)
        y.backward(incoming)
        results.append((y, leaf.grad, *norm.state_dict().values(), *(p.grad for p in norm.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_names_of_weights_are_torchs() -> None:
    assert InstanceNorm(3).state_dict().keys() == nn.InstanceNorm2d(3).state_dict().keys()
    assert BatchNorm(3).state_dict().keys() == nn.BatchNorm2d(3).state_dict().keys()


@pytest.mark.parametrize("batch", [1, 2])
def test_dropout_drops_the_same_values_in_every_layout(batch: int) -> None:
    x = torch.rand(batch, 3, 6, 7, generator=torch.Generator().manual_seed(2)) + 1
    torch.manual_seed(3)
    expected = nn.functional.dropout(x, 0.5)
    for layout, laid in layouts(x):
        torch.manual_seed(3)
        assert torch.equal(Dropout(0.5)(laid), expected), layout
