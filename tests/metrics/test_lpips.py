"""LPIPS against the lpips package, with random backbones of fixed seed in place of the trained ones."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lpips
import numpy as np
import pytest
import torch
from torchvision.models import alexnet
from torchvision.models.vgg import cfgs, make_layers

from vsbench import weights
from vsbench.errors import DataError
from vsbench.metric import Sample
from vsbench.metrics.lpips import LpipsDistance, lpips_network
from vsbench.metrics.lpips_vgg import LpipsVgg
from vsbench.weights.seeded import seeded

FAMILIES = {"alex": LpipsDistance, "vgg": LpipsVgg}
HEADS = {  # v0.1, as published
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
}
PARITY = {"alex": 0.0158981085, "vgg": 0.1847642958}  # lpips 0.1.4 with the trained backbones, float32


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    """Our LPIPS on random backbones."""
    tensors = {name: seeded(family.needs[0], seed=11) for name, family in FAMILIES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lpips.pretrained_networks.tv, "vgg16", vgg16)
        return {name: lpips_network(name, tensors[name]) for name in FAMILIES}


def vgg16(pretrained: bool) -> Any:
    """Without the classifier, whose 120 million weights take seconds to draw."""
    return SimpleNamespace(features=make_layers(cfgs["D"], batch_norm=False))


@pytest.fixture
def samples() -> list[Sample]:
    random = np.random.default_rng(2)
    pictures = random.integers(0, 256, (3, 2, 48, 56, 3), dtype=np.uint8)
    return [Sample(f"{n}", fake, real, real) for n, (fake, real) in enumerate(pictures)]


@pytest.mark.parametrize("name", FAMILIES)
def test_linear_heads_of_the_package_are_the_published_ones(name: str) -> None:
    """And provenance names them."""
    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{name}.pth"
    assert hashlib.sha256(heads.read_bytes()).hexdigest() == HEADS[name]
    assert FAMILIES[name](network=object()).provenance()[f"lpips/weights/v0.1/{name}.pth"] == HEADS[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_distances_are_those_of_the_package(
    name: str, networks: dict[str, Any], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package builds its own network from the whole backbone, and converts the images itself."""

    tensors = seeded(FAMILIES[name].needs[0], seed=11)

    def same_backbone(pretrained: bool) -> Any:
        network = vgg16(pretrained) if name == "vgg" else alexnet(weights=None)
        network.features.load_state_dict({key.removeprefix("features."): t for key, t in tensors.items()})
        return network

    monkeypatch.setattr(lpips.pretrained_networks.tv, {"alex": "alexnet", "vgg": "vgg16"}[name], same_backbone)
    with torch.random.fork_rng(devices=[]):
        reference = lpips.LPIPS(net=name, verbose=False)
    monkeypatch.undo()
    with torch.inference_mode():
        expected = [reference(lpips.im2tensor(s.fake), lpips.im2tensor(s.real)).item() for s in samples]
    (found,) = FAMILIES[name](networks[name]).update(samples).columns.values()
    assert min(expected) > 0.01  # the comparison would be empty with distances of zero
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_distance_with_the_trained_backbone_is_the_published_one(name: str) -> None:
    """Two images by formula, neither of them whole numbers: so the network is asked, not the metric."""
    family = FAMILIES[name]
    if (reason := weights.absence(family.needs[0])) is not None:
        pytest.skip(reason)
    c, i, j = np.ogrid[0:3, 0:64, 0:64]
    a = np.sin(0.11 * c + 0.013 * i * (j + 1))
    b = 0.8 * np.cos(0.37 + 0.11 * c + 0.013 * i * (j + 1))
    with torch.inference_mode():
        found = family().ready()(*(torch.from_numpy(x[None].astype(np.float32)) for x in (a, b))).item()
    assert found == pytest.approx(PARITY[name], abs=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_real_images_pass_the_backbone_once_for_all_methods(
    name: str, networks: dict[str, Any], samples: list[Sample]
) -> None:
    """What is kept of them is kept with the pair, and not among the features that are stored."""
    passed: list[int] = []
    hook = networks[name].net.register_forward_hook(lambda module, inputs, output: passed.append(len(inputs[0])))
    rows = [samples, [s.judging(255 - s.fake) for s in samples], [s.judging(s.real) for s in samples]]
    metric = FAMILIES[name](networks[name])
    (column,) = [v.name for v in metric.values]
    found = [metric.update(row).columns[column] for row in rows]
    hook.remove()
    assert sum(passed) == 3 + 3 + 3  # real, and two methods; the third one's images are the real ones
    assert found[2] == [0, 0, 0]
    fresh = [Sample(s.id, s.fake, s.real, s.he) for s in rows[1]]
    assert found[1] == metric.update(fresh).columns[column]
    assert not any(s.features(which) for s in samples for which in ("fake", "real"))


def test_building_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    lpips_network("alex", seeded(LpipsDistance.needs[0], seed=0))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "side"), [("alex", 31), ("vgg", 16)])
def test_an_image_too_small_for_the_network_is_named(name: str, side: int, networks: dict[str, Any]) -> None:
    metric = FAMILIES[name](networks[name])
    for height, fits in ((side, True), (side - 1, False)):
        picture = np.zeros((height, 64, 3), np.uint8)
        sample = Sample("tile7", picture, picture.copy(), picture)
        if fits:
            assert list(metric.update([sample]).columns.values()) == [[0]]
        else:
            with pytest.raises(DataError, match=rf"tile7: {height}×64 pixels; LPIPS.* at least {side}×{side}"):
                metric.update([sample])
