"""PHV against ``oracles/phv.json``: the released class, on a ResNet-50 whose weights are filled by an integer hash."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray

from vsbench.metric import Image, Sample
from vsbench.metrics.phv import Phv, differing, layer_means, resnet50

ROW, COLUMN, CHANNEL = np.ogrid[0:64, 0:64, 0:3]
LAYERS = ("layer_1", "layer_2", "layer_3", "layer_4")


def images() -> dict[str, Image]:
    wave = np.sin(0.21 * ROW + 0.13 * COLUMN + 0.9 * CHANNEL)
    base = 150 + 70 * wave * np.cos(0.05 * ROW - 0.17 * COLUMN + 0.4 * CHANNEL)
    ripple = 13.6 * np.sin(0.11 * ROW + 0.31 * COLUMN + 1.7 * CHANNEL) + 6.8 * np.cos(0.9 * CHANNEL + 0.07 * COLUMN)
    return {"image_a": np.floor(base + 0.5).astype(np.uint8), "image_b": np.floor(base + ripple + 0.5).astype(np.uint8)}


def hashed(index: int, shape: torch.Size) -> NDArray[np.float64]:
    """Numbers in [−1, 1) by position alone."""
    k = np.arange(shape.numel(), dtype=np.uint64)
    h = (k * np.uint64(2654435761) + np.uint64(index * 1013904223 + 12345)) % np.uint64(2**32)
    for factor, shift in ((2246822519, 16), (3266489917, 13)):
        h ^= h >> np.uint64(shift)
        h = h * np.uint64(factor) % np.uint64(2**32)
    h ^= h >> np.uint64(16)
    return 2 * h.astype(np.float64) / 2**32 - 1


def filled(index: int, name: str, shape: torch.Size) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    v = hashed(index, shape)
    if len(shape) == 4:
        v = v * np.sqrt(6 * shape[0] / shape.numel())
    elif name.endswith("running_var"):
        v = 1 + 0.5 * v
    elif name.endswith("bn3.weight"):
        v = 0.2 * (1 + 0.2 * v)
    elif name == "fc.weight":
        v = v / np.sqrt(2048)
    elif name.endswith((".running_mean", ".bias")):
        v = 0.1 * v
    else:
        v = 1 + 0.2 * v
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = torchvision.models.resnet50(weights=None).state_dict()
    return {name: filled(t, name, tensor.shape) for t, (name, tensor) in enumerate(shapes.items())}


@pytest.fixture(scope="module")
def network(weights: dict[str, torch.Tensor]) -> Any:
    return resnet50(weights)


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "oracles" / "phv.json").read_text())


def check_released(vector: dict[str, Any], network: Any) -> None:
    """The metric itself, beside another pair in the same batch."""
    a, b = images().values()
    update = Phv(network).update([Sample("ab", a, b, a), Sample("ba", b, a, a), Sample("aa", a, a, a)])
    expected = vector["expected"]
    for n, layer in enumerate(LAYERS, start=1):
        assert update.columns[f"phv_l{n}"] == [expected["phv"][layer], expected["phv"][layer], 0]
    assert update.columns["phv_avg"] == [expected["phv_avg"], expected["phv_avg"], 0]
    check_layers(vector, network, lambda x: x)


def check_imagenet(vector: dict[str, Any], network: Any) -> None:
    """The network as the oracle fed it: 2x − 1 undoes the released range."""
    check_layers(vector, network, lambda x: 2 * x - 1)


def check_layers(vector: dict[str, Any], network: Any, feed: Callable[[torch.Tensor], torch.Tensor]) -> None:
    expected = vector["expected"]
    pixels = [torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in images().values()]
    with torch.inference_mode():
        fake, real = (layer_means(network.eval(), feed(x)) for x in pixels)
    for layer, f, r in zip(LAYERS, fake, real, strict=True):
        assert f.shape == (1, expected["channels"][layer])
        assert differing(f, r)[0] * f.shape[1] == expected["count"][layer]
        for found, side in ((f, "gap_fake_float64"), (r, "gap_real_float64")):
            rtol = vector["tolerance"]["gap_rtol"]
            np.testing.assert_allclose(found[0, :4], expected[side][layer]["first4"], rtol=rtol, atol=1e-6)
            np.testing.assert_allclose(found.mean(), expected[side][layer]["mean"], rtol=rtol)


def check_threshold(vector: dict[str, Any], network: Any) -> None:
    """Spatial means of arrays by formula, then the count."""
    images_, channels, height, width = vector["inputs"]["fake_features"]["shape"]
    b, c, i, j = np.ogrid[0:images_, 0:channels, 0:height, 0:width]
    fake = 0.5 + 0.3 * np.sin(0.37 * b + 0.11 * c + 0.013 * i * (j + 1))
    real = fake + 0.001 * c * np.cos(0.2 * c + 0.5 * b) + 0.02 * np.sin(0.5 * i + 0.7 * j)
    found = differing(fake.mean(axis=(2, 3)), real.mean(axis=(2, 3)), vector["params"]["T"])
    expected = vector["expected"]
    assert found.mean() == expected["phv"]
    assert found.sum() * channels == expected["count"]
    assert found.tolist() == expected.get("per_image", [expected["phv"]])


def check_strictness(vector: dict[str, Any], network: Any) -> None:
    words = vector["inputs"]["real_features"]["values_hex_float32"]
    real = np.array([int(word, 16) for word in words], dtype=np.uint32).view(np.float32)
    zero = np.zeros((1, 8), np.float32)
    assert differing(zero, real[None])[0] == vector["expected"]["phv"]
    exceeds = [differing(zero[:, :1], real[None, k : k + 1])[0] for k in range(8)]
    assert exceeds == vector["expected"]["exceeds"]


CHECKS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "phv_released_resnet50_64px": check_released,
    "phv_imagenet_resnet50_64px": check_imagenet,
    "threshold_basic": check_threshold,
    "threshold_T0005": check_threshold,
    "threshold_batch2": check_threshold,
    "threshold_strict_float32": check_strictness,
}


def test_every_vector_is_known(oracle: dict[str, Any]) -> None:
    assert {vector["name"] for vector in oracle["vectors"]} == CHECKS.keys()


def test_images_and_weights_are_those_of_the_oracle(oracle: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
    definitions = oracle["definitions"]
    for name, image in images().items():
        assert hashlib.sha256(image.tobytes()).hexdigest() == definitions[name]["sha256_C_order"]
    assert len(weights) == 320
    for name, check in definitions["weights"]["checks"].items():
        assert list(weights).index(name) == check["index"]
        assert weights[name].flatten()[:3].tolist() == check["first3"]
        assert weights[name].double().sum().item() == pytest.approx(check["sum_float64"], rel=1e-9)


@pytest.mark.parametrize("name", CHECKS)
def test_vector(name: str, oracle: dict[str, Any], network: Any) -> None:
    (vector,) = (v for v in oracle["vectors"] if v["name"] == name)
    CHECKS[name](vector, network)


def test_a_network_in_training_mode_is_measured_in_eval_mode(network: Any) -> None:
    """BatchNorm in training mode would give other numbers, and overwrite its statistics."""
    a, b = images().values()
    expected = Phv(network.eval()).update([Sample("ab", a, b, a)])
    before = network.bn1.running_mean.clone()
    assert Phv(network.train()).update([Sample("ab", a, b, a)]).columns == expected.columns
    assert torch.equal(network.bn1.running_mean, before)
