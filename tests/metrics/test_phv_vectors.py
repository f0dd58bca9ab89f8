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
from vsbench.metrics.phv import Phv, differing, layer_means, normalised, resnet50
from vsbench.metrics.phv_imagenet import PhvImagenet

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
    check_metric(vector, Phv(network), "phv")


def check_imagenet(vector: dict[str, Any], network: Any) -> None:
    check_metric(vector, PhvImagenet(network), "phv_imagenet")


def check_metric(vector: dict[str, Any], metric: Phv, name: str) -> None:
    """The metric itself, beside other pairs in the same batch; then the layers that it rests on."""
    a, b = images().values()
    update = metric.update([Sample("ab", a, b, a), Sample("ba", b, a, a), Sample("aa", a, a, a)])
    expected = vector["expected"]
    for n, layer in enumerate(LAYERS, start=1):
        assert update.columns[f"{name}_l{n}"] == [expected["phv"][layer], expected["phv"][layer], 0]
    assert update.columns[f"{name}_avg"] == [expected["phv_avg"], expected["phv_avg"], 0]
    pixels = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in images().values()]
    with torch.inference_mode():
        fake, real = (layer_means(metric.given.eval(), normalised(x, metric.released)) for x in pixels)
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


def test_real_images_pass_the_network_once_for_all_methods(network: Any) -> None:
    a, b = images().values()
    passed: list[int] = []
    hook = network.layer4.register_forward_hook(lambda module, inputs, output: passed.append(len(inputs[0])))
    base = [Sample("1", a, b, a), Sample("2", b, b, a)]
    rows = [base, [s.judging(255 - s.fake) for s in base]]
    columns = [Phv(network).update(row).columns["phv_avg"] for row in rows]
    hook.remove()
    assert sum(passed) == 1 + 1 + 1 + 2  # three images of the base, one of which is both generated and real; two more
    assert columns[0][1] == 0
    assert columns[1] == Phv(network).update([Sample(s.id, s.fake, s.real, s.he) for s in rows[1]]).columns["phv_avg"]


def test_the_two_protocols_share_no_features(network: Any) -> None:
    a, b = images().values()
    sample = Sample("ab", a, b, a)
    both = [Phv(network).update([sample]).columns, PhvImagenet(network).update([sample]).columns]
    fresh = PhvImagenet(network).update([Sample("ab", a, b, a)]).columns
    assert both[1] == fresh
    assert list(both[0].values()) != list(both[1].values())
