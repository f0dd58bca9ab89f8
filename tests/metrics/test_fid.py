"""FID against torch-fidelity and pytorch-fid, whole, on an Inception whose weights are filled by formula.

Nothing is downloaded. The figures with a source were measured with torch-fidelity 0.4.0 and pytorch-fid 0.3.0 on these
weights and images.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch_fidelity
import torchvision
from PIL import Image as Pillow
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchvision.transforms.functional import to_tensor

from vsbench.metric import Absent, Image, Sample
from vsbench.metrics._inception import inception, pytorch_fid_features
from vsbench.metrics._kernel import kernel_distance
from vsbench.metrics.fid import Fid, frechet_distance
from vsbench.metrics.fid_pytorch import FidPytorch


def formula_weights() -> dict[str, torch.Tensor]:
    """The 472 tensors of the 2015 Inception in the order of torchvision's names, each by a sine of its position."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shapes = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    names = [name for name in shapes if not name.endswith("num_batches_tracked")]
    assert len(names) == 472
    tensors = {}
    for n, name in enumerate(names):
        shape = shapes[name].shape
        k = np.arange(shape.numel(), dtype=np.float64)
        z = 43758.5453 * np.sin(12.9898 * (k + 1) + 78.233 * (n + 1))
        u = z - np.floor(z) - 0.5
        if name.endswith((".conv.weight", "fc.weight")):
            values = u * np.sqrt(12) * np.sqrt(2 / (shape.numel() / shape[0]))
        elif name.endswith((".bn.weight", ".bn.running_var")):
            values = 1 + 0.2 * u
        else:
            values = 0.2 * u
        tensors[name] = torch.from_numpy(values.astype(np.float32).reshape(shape))
    return tensors


def image(b: int, height: int = 48, width: int = 64) -> Image:
    i, j, c = np.ogrid[0:height, 0:width, 0:3]
    return np.floor(127.5 + 127.4 * np.sin(0.37 * b + 0.11 * c + 0.013 * i * (j + 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return formula_weights()


@pytest.fixture(scope="module")
def network(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    return inception(weights)


@pytest.fixture(scope="module")
def features(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Of eight pairs, in two batches."""
    metric = Fid(network)
    pairs = [Sample(f"{b}", image(b), image(100 + 2 * b), image(b)) for b in range(8)]
    updates = [metric.update(pairs[:5]), metric.update(pairs[5:])]
    assert not any(update.columns for update in updates)
    return {name: np.concatenate([u.features[name] for u in updates]) for name in ("fid_fake", "fid_real")}


def test_images_are_those_of_the_source() -> None:
    assert sum(int(image(b).sum()) for b in (0, 1)) == 2_600_150


def test_features_are_torch_fidelitys(features: dict[str, np.ndarray]) -> None:
    """Layer 2048 of images 0 and 1: mean, spread and the first three of each row."""
    first = features["fid_fake"][:2]
    assert first.shape == (2, 2048)
    assert first.mean() == pytest.approx(0.441922381, rel=1e-5)
    assert first.std() == pytest.approx(0.577760248, rel=1e-5)
    np.testing.assert_allclose(first[:, :3], [(0, 1.9272763, 0.25679046), (0, 1.9236529, 0.2652224)], rtol=1e-4)


def test_fid_is_torch_fidelitys(features: dict[str, np.ndarray]) -> None:
    results = Fid().finish(pd.DataFrame(index=range(8)), features)
    assert results["fid"] == pytest.approx(0.2380886643, abs=1e-4)
    assert results["fid_n"] == 8


def test_kid_is_torch_fidelitys(features: dict[str, np.ndarray]) -> None:
    """Of all eight images, and of subsets; the figures come from sums in float32."""
    fake, real = features["fid_fake"], features["fid_real"]
    results = Fid().finish(pd.DataFrame(index=range(8)), features)
    assert results["kid"] == pytest.approx(-1.2969970703e-4, abs=1e-6)
    assert kernel_distance(fake, real, subsets=5, size=4) == pytest.approx((-1.476287842e-4, 9.971325413e-4), abs=1e-6)


def test_features_are_pytorch_fids(
    network: torch.nn.Module, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own network and resize, of small images, and the published figures of a large one too."""
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda url, progress: weights)
    reference = pytorch_fid.inception.InceptionV3().eval()
    samples = [Sample(f"{b}", image(b), image(b), image(b)) for b in (0, 1)]
    found = FidPytorch(network).update(samples).features["fid_pytorch_fake"]
    with torch.inference_mode():
        batch = torch.stack([to_tensor(s.fake) for s in samples])
        expected = reference(batch)[0].flatten(1).numpy()
        large = torch.from_numpy(image(0, 512, 512)).permute(2, 0, 1)[None]
        large_features = pytorch_fid_features(network, large)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (found.mean(), found.std()) == pytest.approx((0.444545154, 0.581309704), rel=1e-5)
    figures = (large_features.mean(), large_features.std(), *large_features[1:3])
    assert figures == pytest.approx((0.589994289, 0.773216848, 2.68748617, 0.37969252), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*disp.*:DeprecationWarning")  # pytorch-fid calls SciPy as it was
@pytest.mark.parametrize(("n", "m", "d"), [(90, 70, 8), (300, 400, 64)])
def test_distance_is_pytorch_fids(n: int, m: int, d: int) -> None:
    """Where the covariances have full rank; elsewhere its matrix root is not well defined."""
    random = np.random.default_rng(n)
    x, y = (np.maximum(random.standard_normal((k, d)) + s, 0).astype(np.float32) for k, s in ((n, 0.2), (m, 0.5)))
    statistics = [s for f in (x, y) for s in (f.mean(axis=0, dtype=np.float64), np.cov(f, rowvar=False))]
    expected = pytorch_fid.fid_score.calculate_frechet_distance(*statistics)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_whole_chain_against_torch_fidelity_on_files(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """From image files to FID by torch-fidelity's own entry point; images larger and smaller than its 299 pixels.

    On its first layer, 64 features: 2048 would take torch-fidelity's eigenvalues many seconds.
    """
    torch.save(weights, tmp_path / "weights.pth")
    random = np.random.default_rng(5)
    pairs = []
    for n, side in enumerate((320, 320, 64, 64)):
        coarse = random.integers(0, 256, (2, 10, 8, 3), dtype=np.uint8)
        fake, real = (Pillow.fromarray(p).resize((side, side + 8), Pillow.Resampling.BICUBIC) for p in coarse)
        for kind, picture in (("fake", fake), ("real", real)):
            (tmp_path / kind).mkdir(exist_ok=True)
            picture.save(tmp_path / kind / f"{n}.png")
        pairs.append(Sample(f"{n}", np.asarray(fake), np.asarray(real), np.asarray(real)))
    reference = torch_fidelity.calculate_metrics(
        input1=str(tmp_path / "fake"),
        input2=str(tmp_path / "real"),
        fid=True,
        kid=True,
        kid_subset_size=4,
        kid_subsets=3,
        feature_layer_kid="64",
        feature_layer_fid="64",
        feature_extractor_weights_path=str(tmp_path / "weights.pth"),
        batch_size=1,
        cuda=False,
        cache=False,
        save_cpu_ram=True,  # no worker processes
        verbose=False,
    )
    network = FeatureExtractorInceptionV3("first", ["64"], feature_extractor_weights_path=tmp_path / "weights.pth")
    metric = Fid(network)
    results = metric.finish(pd.DataFrame(index=range(4)), metric.update(pairs).features)
    assert results["fid"] == pytest.approx(reference["frechet_inception_distance"], rel=1e-4)
    assert results["kid"] == pytest.approx(reference["kernel_inception_distance_mean"], abs=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(90, 70, 8), (8, 8, 8), (12, 9, 40)])
def test_distance_is_torch_fidelitys_for_many_and_for_few_images(n: int, m: int, d: int) -> None:
    random = np.random.default_rng(n)
    x, y = (np.maximum(random.standard_normal((k, d)) + s, 0).astype(np.float32) for k, s in ((n, 0.2), (m, 0.5)))
    statistics = [fid_features_to_statistics(torch.from_numpy(f)) for f in (x, y)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-5)
    assert frechet_distance(y, x) == pytest.approx(expected, abs=1e-5)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)


def test_distance_between_gaussians_in_one_dimension() -> None:
    """Closed form: (μ − ν)² + (σ − τ)²."""
    random = np.random.default_rng(0)
    x, y = random.normal(2, 3, (50, 1)), random.normal(-1, 0.5, (60, 1))
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_one_image_has_no_fid() -> None:
    row = np.ones((1, 4), np.float32)
    results = Fid().finish(pd.DataFrame(index=["a"]), {"fid_fake": row, "fid_real": row})
    results |= FidPytorch().finish(pd.DataFrame(index=["a"]), {"fid_pytorch_fake": row, "fid_pytorch_real": row})
    assert results.pop("fid_n") == 1
    assert {"fid", "kid", "fid_pytorch", "precision_inception"} < results.keys()
    for absent in results.values():
        assert isinstance(absent, Absent)
        assert "here are 1" in absent.reason


def test_each_image_passes_the_network_once(network: torch.nn.Module) -> None:
    """The real ones for the first method only, and not again for a row that is the real images."""
    passed: list[int] = []
    hook = network.register_forward_hook(lambda module, inputs, output: passed.append(len(inputs[0])))
    base = [Sample(f"{b}", image(b), image(9 + b), image(b)) for b in range(2)]
    rows = [base, [s.judging(image(20)) for s in base], [s.judging(s.real) for s in base]]
    features = [Fid(network).update(row).features for row in rows]
    hook.remove()
    assert passed == [2, 2, 2]
    for found in features:
        assert np.array_equal(found["fid_real"], features[0]["fid_real"])
    assert np.array_equal(features[2]["fid_fake"], features[2]["fid_real"])
