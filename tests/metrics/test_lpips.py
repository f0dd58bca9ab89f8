"""LPIPS against the lpips package, with a random AlexNet of fixed seed in place of the trained one."""

import hashlib
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
import torchvision

from vsbench.errors import DataError
from vsbench.metric import Sample
from vsbench.metrics.lpips import LpipsDistance, lpips_alex

HEADS = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # v0.1 alex, as published


@pytest.fixture(scope="module")
def backbone() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return torchvision.models.alexnet(weights=None).state_dict()


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    random = np.random.default_rng(2)
    pictures = random.integers(0, 256, (4, 2, 64, 80, 3), dtype=np.uint8)
    return [Sample(f"{n}", fake, real, real) for n, (fake, real) in enumerate(pictures)]


def test_linear_heads_of_the_package_are_the_published_ones() -> None:
    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    assert hashlib.sha256(heads.read_bytes()).hexdigest() == HEADS


def test_distances_are_those_of_the_package(
    backbone: dict[str, torch.Tensor], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package builds its own network from the whole AlexNet, and converts the images itself."""

    def same_alexnet(pretrained: bool) -> Any:
        network = torchvision.models.AlexNet()
        network.load_state_dict(backbone)
        return network

    monkeypatch.setattr(lpips.pretrained_networks.tv, "alexnet", same_alexnet)
    with torch.random.fork_rng(devices=[]):
        reference = lpips.LPIPS(net="alex", verbose=False)
    monkeypatch.undo()
    with torch.inference_mode():
        expected = [reference(lpips.im2tensor(s.fake), lpips.im2tensor(s.real)).item() for s in samples]
    found = LpipsDistance(lpips_alex(backbone)).update(samples).columns["lpips"]
    assert min(expected) > 0.01  # the comparison would be empty with distances of zero
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_building_leaves_the_random_state_alone(backbone: dict[str, torch.Tensor]) -> None:
    state = torch.get_rng_state()
    lpips_alex(backbone)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_too_small_for_the_network_is_named(backbone: dict[str, torch.Tensor]) -> None:
    metric = LpipsDistance(lpips_alex(backbone))
    for side, fits in ((31, True), (30, False)):
        picture = np.zeros((side, 64, 3), np.uint8)
        sample = Sample("tile7", picture, picture, picture)
        if fits:
            assert metric.update([sample]).columns["lpips"] == [0]
        else:
            with pytest.raises(DataError, match=r"tile7: 30×64 pixels"):
                metric.update([sample])
