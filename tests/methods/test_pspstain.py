"""PSPStain's settings, its frozen network and the rates of its optimizers; formulas are held against the oracles."""

import sys
from typing import Any

import pytest
import torch

from vsbench.checks._training import stained_batch, step
from vsbench.errors import UsageError
from vsbench.nn import SegmentationUNet
from vsbench.nn.segmenter import PairNorm
from vsbench.registry import load

PSPStain = load("vsbench.methods", "pspstain")


def small(**options: Any) -> Any:
    values = {"width": 4, "blocks": 1, "taps": (0, 4, 8, 12), "patches": 16, "discriminator_width": 4, **options}
    return PSPStain(PSPStain.configure("cpu", values))


def test_a_segmenter_is_needed_for_its_term_alone() -> None:
    with torch.device("meta"):
        assert list(PSPStain(PSPStain.configure()).weights_needed()) == ["pspstain-segmenter"]
        own = PSPStain(PSPStain.configure(options={"segmenter": "mine"}))
        assert list(own.weights_needed()) == ["mine"]
        assert not PSPStain(PSPStain.configure(options={"variant": "no_segmenter"})).weights_needed()
    assert not small().weights_needed()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_segmenter_is_in_its_mode_and_learns_nothing(mode: str) -> None:
    method = small(lambda_ctpc=1.0, segmenter_mode=mode)
    torch.manual_seed(0)
    tensors = SegmentationUNet().state_dict()
    method.equip(lambda _: {name: tensor.clone() for name, tensor in tensors.items()})
    (network,) = method.frozen.values()
    method.eval()
    method.train()
    assert network.training is (mode == "train")
    losses = step(method, method.optimizers(), stained_batch(method))
    assert 0.3832 < losses["g_ctpc"] / 2 < 1.1448  # its bounds for each of two pairs
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, tensors[name])


def test_a_pairs_statistics_are_its_own() -> None:
    """Whatever other pairs pass with it, bit for bit; running statistics go on pair by pair."""
    together, apart = PairNorm(3), PairNorm(3)
    x = torch.randn(6, 3, 5, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7).view(-1, 1, 1, 1)
    assert torch.equal(together(x), torch.cat([apart(pair) for pair in x.split(2)]))
    assert torch.equal(together.running_mean, apart.running_mean)
    assert together.num_batches_tracked == 3
    assert not torch.equal(together(x), torch.nn.BatchNorm2d(3)(x))


def test_terms_that_are_sums_grow_with_the_batch_and_the_others_do_not() -> None:
    method = small(mlpa_tolerance=0.0, density_sum_threshold=0.0)
    real, fake = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double() * 2
    outside, gaps = method.average_gaps(real, fake)
    assert outside.all()
    alone, doubled = (method.awareness(real.repeat(n, 1, 1), fake.repeat(n, 1, 1)) for n in (1, 2))
    torch.testing.assert_close(doubled - alone, gaps[0])


def test_the_band_of_the_darkest_pixel_is_the_last() -> None:
    """Densities reach e, and rounding may take them beyond."""
    bands = sys.modules[PSPStain.__module__].by_band(torch.tensor([[[0.0, 2.7182819, 2.75]]]))
    assert bands[0, -1] == pytest.approx(2.7182819 + 2.75)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"crop_size": 160}, r"crop_size 160 is too small for the 5 scales of ssim_weights"),
        ({"crop_size": 32, "lambda_ssim": 0}, r"crop_size 32 is too small for the 6 levels of gp_weights"),
        ({"crop_size": 180}, r"crop_size 180 is no multiple of 16, as lambda_ctpc needs it"),
    ],
)
def test_a_crop_that_a_term_cannot_have_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        PSPStain.configure(options=options)
    assert PSPStain.configure(options={"crop_size": 180, "lambda_ctpc": 0}).crop_size == 180


def test_only_the_h_and_e_changes_its_colours() -> None:
    assert small().changes().he_colours == (0.3, 0.3, 0.2)
    assert not small().changes().flip_vertical
