"""Properties of the networks, against PyTorch's and SciPy's own operations and closed forms."""

import math

import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from vsbench.nn import (
    PatchDiscriminator,
    PatchSampler,
    ResnetGenerator,
    UNetGenerator,
    advance_spectral_norm,
    initialise,
    iterated_further,
    one_spectral_norm,
)
from vsbench.nn.patches import unit_length, unit_length_shifted
from vsbench.nn.resample import BlurDown, BlurUp
from vsbench.nn.spectral import SpectralNorm

TAPS = (0, 4, 8, 12, 13)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("antialias", [True, False])
@torch.no_grad()
def test_features_are_those_on_the_way_to_the_image(antialias: bool) -> None:
    generator, x = ResnetGenerator(4, 4, antialias=antialias).double(), images(2, 3, 16, 24)
    output, features = generator.forward_with_features(x, TAPS)
    assert torch.equal(output, generator(x))
    assert output.shape == x.shape
    for on_the_way, alone, layer in zip(features, generator.features(x, TAPS), TAPS, strict=True):
        assert torch.equal(on_the_way, alone)
        assert torch.equal(alone, generator.model[: layer + 1](x))


def test_channels_of_the_published_taps() -> None:
    """USIGAN's and CUT's heads take 3, 128, 256, 256 and 256 channels at width 64."""
    assert ResnetGenerator(4, 5).channels((0, 4, 8, 12, 16)) == [3, 8, 16, 16, 16]


@pytest.mark.parametrize("taps", [(), (4, 0), (4, 4), (-1, 3), (0, 99)])
def test_taps_that_are_no_layers_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="increasing layer numbers"):
        ResnetGenerator(4, 1).channels(taps)


@pytest.mark.parametrize("layer", [BlurDown, BlurUp])
def test_blur_keeps_constants(layer: type[nn.Module]) -> None:
    constants = torch.tensor([-0.7, 2.5], dtype=torch.float64)
    blurred = layer(2).double()(constants[None, :, None, None].expand(1, 2, 6, 7))
    torch.testing.assert_close(blurred, constants[None, :, None, None].expand_as(blurred))


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (2, 3)])
def test_blur_down_is_a_mirrored_convolution_of_which_every_second_value_stays(size: tuple[int, int]) -> None:
    x = images(1, 1, *size)
    halved = BlurDown(1).double()(x)
    assert halved.shape[2:] == tuple(math.ceil(n / 2) for n in size)
    blurred = x[0, 0].numpy()
    for axis in (0, 1):
        blurred = ndimage.convolve1d(blurred, [0.25, 0.5, 0.25], axis=axis, mode="mirror")
    torch.testing.assert_close(halved[0, 0], torch.from_numpy(blurred[::2, ::2].copy()))


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 3)])
def test_blur_up_is_bilinear_doubling(size: tuple[int, int]) -> None:
    x = images(2, 3, *size)
    doubled = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(BlurUp(3).double()(x), doubled)


def normalised(weight: Tensor) -> Tensor:
    """The weight after its normalisation was advanced until the singular vectors are exact."""
    norm = SpectralNorm(weight.float()).double()
    norm.advance(weight, 2000)
    return norm(weight)


def test_largest_singular_value_becomes_1() -> None:
    weight = images(8, 4, 3, 3)
    scaled = normalised(weight)
    torch.testing.assert_close(torch.linalg.svdvals(scaled.flatten(1))[0].item(), 1.0, rtol=1e-9, atol=0)
    torch.testing.assert_close(scaled * torch.linalg.matrix_norm(weight.flatten(1), 2), weight)


def test_gradient_of_the_normalised_weight_is_exact() -> None:
    weight, probe = images(8, 4, 3, 3).requires_grad_(), images(8, 4, 3, 3, seed=1)
    scaled = normalised(weight)
    (gradient,) = torch.autograd.grad((scaled * probe).sum(), weight)
    exact = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
    (expected,) = torch.autograd.grad((exact * probe).sum(), weight)
    torch.testing.assert_close(gradient, expected)


def test_forward_passes_leave_the_power_iteration_alone() -> None:
    generator, x = ResnetGenerator(4, 1, spectral=True).double().train(), images(1, 3, 16, 16)
    before = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    first, second = generator(x), generator(x)
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], buffer) for name, buffer in generator.named_buffers())
    advance_spectral_norm(generator)
    changed = {name for name, buffer in generator.named_buffers() if not torch.equal(before[name], buffer)}
    assert changed == {name for name in before if name.endswith((".left", ".right"))}
    convolutions = [m for m in generator.modules() if isinstance(m, nn.Conv2d)]
    assert len(changed) == 2 * len(convolutions)


def test_advance_between_two_phases_leaves_the_first_graph_valid() -> None:
    network, x = PatchDiscriminator(4, 1, spectral=True).double(), images(1, 3, 16, 16)
    loss = network(x).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    advance_spectral_norm(network)
    again = torch.autograd.grad(loss, list(network.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))


def test_held_weights_are_computed_once_and_carry_the_gradient_of_all_passes() -> None:
    torch.manual_seed(0)
    network = ResnetGenerator(4, 1, spectral=True).double()
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    apart = [torch.autograd.grad(network(image).square().mean(), list(network.parameters())) for image in (x, -x)]
    with one_spectral_norm(network):
        weights = {id(module.weight) for _ in range(2) for module in network.modules() if isinstance(module, nn.Conv2d)}
        assert len(weights) == sum(isinstance(module, nn.Conv2d) for module in network.modules())
        losses = [network(image).square().mean() for image in (x, -x)]
        together = torch.autograd.grad(losses[0], list(network.parameters()))
        for found, expected in zip(together, apart[0], strict=True):
            torch.testing.assert_close(found, expected)
        together = torch.autograd.grad(losses[1], list(network.parameters()))  # a second backward pass through them
        for found, expected in zip(together, apart[1], strict=True):
            torch.testing.assert_close(found, expected)
    with torch.no_grad():
        network.model[1].parametrizations.weight.original.mul_(2).add_(0.1)
    fresh = network(x)
    with one_spectral_norm(network):
        assert torch.equal(network(x), fresh)  # nothing of the last step is left


def test_iterated_further_leaves_no_trace() -> None:
    torch.manual_seed(0)
    network = ResnetGenerator(4, 1, spectral=True).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = torch.rand(1, 3, 16, 16)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    plain = network(x)
    with iterated_further(network):
        further = network(x)
    assert not torch.equal(further, plain)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    advance_spectral_norm(network)
    assert torch.equal(network(x), further)


@pytest.mark.parametrize("downs", [2, 3, 5])
@torch.no_grad()
def test_unet_takes_multiples_of_its_size_only(downs: int) -> None:
    generator = UNetGenerator(4, downs)
    assert generator.size_multiple == 2**downs
    for height, width in ((1, 1), (1, 2), (3, 2)):
        x = torch.zeros(2, 3, height * 2**downs, width * 2**downs)
        assert generator(x).shape == x.shape
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        generator(torch.zeros(2, 3, 2**downs, 3 * 2**downs // 2))


@pytest.mark.parametrize(
    ("width", "layers", "antialias", "size", "patches"),
    [(64, 3, True, 256, 30), (64, 3, False, 256, 30), (32, 5, True, 128, 2), (32, 5, True, 96, 1)],
)
def test_discriminator_scores_as_many_patches_as_published(
    width: int, layers: int, antialias: bool, size: int, patches: int
) -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(width, layers, antialias=antialias)
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 1, patches, patches)


def test_positions_are_drawn_without_repetition() -> None:
    sampler = PatchSampler((2, 2, 2), patches=50)
    features = [torch.zeros(2, 2, *size) for size in ((12, 9), (10, 5), (3, 4))]
    torch.manual_seed(0)
    drawn, again = sampler.draw(features), sampler.draw(features)
    for positions, feature in zip(drawn, features, strict=True):
        available = feature.shape[2] * feature.shape[3]
        assert len(positions) == min(50, available)
        assert len(set(positions.tolist())) == len(positions)
        assert 0 <= positions.min() <= positions.max() < available
    assert not torch.equal(drawn[0], again[0])
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(drawn, sampler.draw(features), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heads_embed_row_major_positions_of_every_image(dtype: torch.dtype) -> None:
    sampler, feature = PatchSampler((3,), width=8).to(dtype), images(2, 3, 4, 5).to(dtype)
    (embedded,) = sampler([feature], [torch.tensor([0, 7, 19])])
    assert embedded.dtype == dtype
    for image in (0, 1):
        for n, (row, column) in enumerate(((0, 0), (1, 2), (3, 4))):
            expected = unit_length(sampler.heads[0](feature[image, :, row, column]))
            torch.testing.assert_close(embedded[image, n], expected)


def test_heads_stay_in_single_precision_under_autocast() -> None:
    sampler, feature = PatchSampler((3,), width=8), images(2, 3, 4, 5).float()
    (expected,) = sampler([feature], [torch.arange(20)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (embedded,) = sampler([feature], [torch.arange(20)])
    assert torch.equal(embedded, expected)


@pytest.mark.parametrize("normalise", [unit_length, unit_length_shifted])
def test_rows_get_unit_length(normalise: object) -> None:
    assert callable(normalise)
    x = images(2, 5, 8)
    torch.testing.assert_close(normalise(x), F.normalize(x, dim=2), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scheme", ["normal", "xavier"])
def test_initial_weights_have_the_published_spread(scheme: str) -> None:
    """N(0, 0.02²), or Xavier's √(2/(fan in + fan out)) times 0.02."""
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(64, 128, 3), nn.BatchNorm2d(10_000)
    initialise(nn.Sequential(convolution, norm), scheme)  # type: ignore[arg-type]
    spread = 0.02 if scheme == "normal" else 0.02 * math.sqrt(2 / (9 * 64 + 9 * 128))
    assert convolution.weight.std().item() == pytest.approx(spread, rel=0.02)
    assert convolution.weight.mean().item() == pytest.approx(0, abs=0.02 * spread)
    assert norm.weight.mean().item() == pytest.approx(1, abs=1e-3)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert convolution.bias is not None
    assert not convolution.bias.any()
    assert not norm.bias.any()
