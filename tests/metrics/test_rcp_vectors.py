"""R_c, R_p, R_avg, IoD, SSIM, PSNR and the Fréchet distance against ``oracles/rcp.json``: released code and SciPy."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from vsbench.metric import Absent, Image, Metric, Sample
from vsbench.metrics._grey import GREYS
from vsbench.metrics.content import Content, content_correlation
from vsbench.metrics.content_variants import ContentVariants
from vsbench.metrics.dab import DabDensity
from vsbench.metrics.fid import frechet_distance
from vsbench.metrics.structure import Structure, ssim
from vsbench.metrics.structure_variants import StructureVariants

N = 5
ROW, COLUMN, CHANNEL = np.ogrid[0:16, 0:16, 0:3]
Vector = dict[str, Any]


def eight_bit(image: NDArray[np.float64]) -> Image:
    return np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)


def he(n: int) -> Image:
    wave = 60 * np.sin(0.7 * ROW + 0.3 * COLUMN + 0.9 * CHANNEL + n)
    return eight_bit(160 + wave + 20 * np.cos(0.4 * ROW * COLUMN + CHANNEL))


def fake(n: int) -> Image:
    wave = 45 * np.sin(0.7 * ROW + 0.3 * COLUMN + 0.6 * CHANNEL + n + 0.4)
    return eight_bit(150 + wave + 25 * np.cos(0.5 * ROW - 0.2 * COLUMN * n + 2 * CHANNEL))


def real(n: int) -> Image:
    wave = 50 * np.cos(0.6 * ROW - 0.4 * COLUMN + 0.8 * CHANNEL + 0.7 * n)
    return eight_bit(170 + wave + 15 * np.sin(0.3 * ROW * COLUMN + CHANNEL + n))


def near(n: int) -> Image:
    wave = 7 * np.sin(0.8 * ROW + 0.5 * COLUMN + CHANNEL) + 4 * np.cos(0.3 * ROW * COLUMN)
    return eight_bit(real(n) + wave)


def series() -> pd.DataFrame:
    """The vector's two series of integrated densities, as columns of images of one pixel."""
    k = np.arange(12)
    intden = 1e5 * (1 + 0.5 * np.sin(0.9 * k))
    intden_real = 1e5 * (1.1 + 0.4 * np.sin(0.9 * k + 0.3) + 0.05 * k)
    return pd.DataFrame({"intden": intden, "intden_real": intden_real, "iod_mae": np.abs(intden - intden_real)})


def triples(generated: Callable[[int], Image], n: int = N) -> list[Sample]:
    return [Sample(f"{i}", generated(i), real(i), he(i)) for i in range(n)]


def measured(metric: Metric, samples: list[Sample]) -> tuple[pd.DataFrame, dict[str, float | Absent]]:
    sizes = {"height": [s.real.shape[0] for s in samples], "width": [s.real.shape[1] for s in samples]}
    table = pd.DataFrame(sizes | metric.update(samples).columns)
    return table, metric.finish(table, {})


def content(generated: Callable[[int], Image], n: int = N) -> tuple[pd.DataFrame, dict[str, float | Absent]]:
    return measured(Content(), triples(generated, n))


def check_r_c(generated: Callable[[int], Image]) -> Callable[[Vector], None]:
    def check(vector: Vector) -> None:
        table, results = content(generated)
        expected = vector["expected"]
        np.testing.assert_allclose(table["r_c"] / 100, expected["per_image"], rtol=0, atol=vector["tolerance"])
        assert results["r_c"] == pytest.approx(100 * expected["r_c"], rel=0, abs=100 * vector["tolerance"])
        assert results["r_c_undefined"] == 0

    return check


def check_grey(vector: Vector) -> None:
    grey = GREYS[vector["params"]["grey"]]
    values = [content_correlation(fake(n), he(n), grey) for n in range(N)]
    np.testing.assert_allclose(values, vector["expected"]["per_image"], rtol=0, atol=vector["tolerance"])


def check_constant_image(vector: Vector) -> None:
    constant = np.full((16, 16, 3), 200, np.uint8)
    table, results = content(lambda n: constant if n == 0 else fake(n), n=2)
    expected = [np.nan if r is None else 100 * r for r in vector["expected"]["per_image"]]
    np.testing.assert_allclose(table["r_c"], expected, rtol=0, atol=100 * vector["tolerance"])
    proposed = vector["expected"]["proposed"]
    assert results["r_c"] == pytest.approx(100 * proposed["r_c"], rel=0, abs=100 * vector["tolerance"])
    assert results["r_c_undefined"] == proposed["n_undefined"]


def check_r_c_variant(name: str) -> Callable[[Vector], None]:
    def check(vector: Vector) -> None:
        results = measured(ContentVariants(), triples(fake))[1]
        assert protocol_of(ContentVariants, name) == vector["protocol"]
        assert results[name] == pytest.approx(100 * vector["expected"]["r_c"], rel=0, abs=100 * vector["tolerance"])

    return check


def check_series(vector: Vector) -> None:
    expected, tolerance = vector["expected"], vector["tolerance"]
    results = DabDensity().finish(series(), {})
    assert results["r_p"] == pytest.approx(100 * expected["r_p"], rel=tolerance)
    assert results["iod"] == pytest.approx(expected["iod_e-7"], rel=tolerance)
    assert results["iod_rel"] == pytest.approx(expected["iod_rel"], rel=tolerance)
    assert results["iod_mae"] == pytest.approx(expected["mean_abs_unnormalised"], rel=tolerance)


def check_r_avg(vector: Vector) -> None:
    r_c = content(fake)[0]["r_c"]
    table = series()
    table["r_c"] = r_c.mean()
    results = Content().finish(table, {})
    assert results["r_avg"] == pytest.approx(vector["expected"]["r_avg_percent"], rel=vector["tolerance"])


def check_structure(column: str, generated: Callable[[int], Image]) -> Callable[[Vector], None]:
    def check(vector: Vector) -> None:
        table, results = measured(Structure(), triples(generated))
        expected = np.array(vector["expected"]["per_image"], dtype=float)  # "inf" included
        np.testing.assert_allclose(table[column], expected, rtol=0, atol=vector["tolerance"])
        mean = vector["expected"].get("mean", np.inf)
        assert results[column] == pytest.approx(mean, rel=0, abs=vector["tolerance"])
        assert results["psnr_infinite"] == np.isinf(expected).sum()

    return check


def check_ssim_variant(name: str, generated: Callable[[int], Image]) -> Callable[[Vector], None]:
    def check(vector: Vector) -> None:
        table, results = measured(StructureVariants(), triples(generated))
        assert protocol_of(StructureVariants, name) == vector["protocol"]
        np.testing.assert_allclose(table[name], vector["expected"]["per_image"], rtol=0, atol=vector["tolerance"])
        assert results[name] == pytest.approx(vector["expected"]["mean"], rel=0, abs=vector["tolerance"])

    return check


def check_psnr_pooled(vector: Vector) -> None:
    results = measured(Structure(), triples(fake))[1]
    assert protocol_of(Structure, "psnr_pooled") == vector["protocol"]
    assert results["psnr_pooled"] == pytest.approx(vector["expected"]["psnr"], rel=0, abs=vector["tolerance"])


def check_unit_range(vector: Vector) -> None:
    """Floats in [0, 1] give the same as our 8-bit form but for rounding."""
    values = [ssim(fake(n), real(n)) for n in range(N)]
    np.testing.assert_allclose(values, vector["expected"]["per_image"], rtol=0, atol=vector["tolerance"])


def check_frechet(vector: Vector) -> None:
    n, d = np.ogrid[0:40, 0:6]
    x = np.sin(1.3 * n * (d + 1) + 0.5 * d) + 0.1 * d
    y = 0.8 * np.cos(0.9 * n * (d + 1) + 0.3 * d) + 0.05 * d + 0.2
    assert frechet_distance(x, y) == pytest.approx(vector["expected"]["fd"], rel=vector["tolerance"])
    assert frechet_distance(y, x) == pytest.approx(vector["expected"]["fd"], rel=vector["tolerance"])


def check_inception_input(vector: Vector) -> None:
    """The torch-fidelity installed here resizes as the protocol says."""
    import torch
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    i, j = np.ogrid[0:8, 0:8]
    image = torch.tensor(np.floor(128 + 100 * np.sin(0.9 * i + 0.5 * j) + 0.5), dtype=torch.float32)
    resized = interpolate_bilinear_2d_like_tensorflow1x(image[None, None], size=(5, 5), align_corners=False)
    expected = torch.tensor(vector["expected"]["torch_fidelity"])
    torch.testing.assert_close((resized[0, 0] - 128) / 128, expected, rtol=0, atol=vector["tolerance"])


def protocol_of(metric: type[Metric], name: str) -> str:
    (protocol,) = (value.protocol for value in metric.values if value.name == name)
    return protocol


CHECKS: dict[str, Callable[[Vector], None]] = {
    "r_c_gray_mean_official": check_r_c(fake),
    "r_c_gray_cv2-cvtcolor": check_grey,
    "r_c_gray_pil-l": check_grey,
    "r_c_gray_bt601-float": check_grey,
    "r_c_gray_bt709-float": check_grey,
    "r_c_gray_pooled": check_r_c_variant("r_c_pooled"),
    "r_c_image_means": check_r_c_variant("r_c_image_means"),
    "r_c_identity": check_r_c(he),
    "paired_rate": check_r_c(real),
    "r_c_constant_image": check_constant_image,
    "r_p_series": check_series,
    "r_avg": check_r_avg,
    "ssim_skimage-rgb-uniform7": check_structure("ssim", fake),
    "ssim_skimage-rgb-uniform7-range1": check_unit_range,
    "ssim_skimage-rgb-uniform7_near": check_structure("ssim", near),
    "ssim_skimage-gray-uniform7": check_ssim_variant("ssim_gray_uniform7", fake),
    "ssim_skimage-gray-uniform7_near": check_ssim_variant("ssim_gray_uniform7", near),
    "ssim_skimage-rgb-gauss11": check_ssim_variant("ssim_rgb_gauss11", fake),
    "ssim_skimage-rgb-gauss11_near": check_ssim_variant("ssim_rgb_gauss11", near),
    "ssim_skimage-gray-gauss11": check_ssim_variant("ssim_gray_gauss11", fake),
    "psnr_skimage-rgb-255": check_structure("psnr", fake),
    "psnr_skimage-rgb-255_near": check_structure("psnr", near),
    "psnr_pooled_mse": check_psnr_pooled,
    "psnr_identical": check_structure("psnr", real),
    "frechet_distance": check_frechet,
    "fid_preprocess_5x5": check_inception_input,
}


@pytest.fixture(scope="module")
def oracle(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "oracles" / "rcp.json").read_text())


def test_every_vector_is_known(oracle: dict[str, Any]) -> None:
    assert {vector["name"] for vector in oracle["vectors"]} == CHECKS.keys()


def test_images_are_those_of_the_oracle(oracle: dict[str, Any]) -> None:
    for name, image in (("he_n", he), ("fake_n", fake), ("real_n", real)):
        digest = hashlib.sha256(b"".join(image(n).tobytes() for n in range(N))).hexdigest()
        assert digest == oracle["images"][name]["sha256_n0_to_n4_C_order"], name


@pytest.mark.parametrize("name", CHECKS)
def test_vector(name: str, oracle: dict[str, Any]) -> None:
    (vector,) = (v for v in oracle["vectors"] if v["name"] == name)
    CHECKS[name](vector)


def test_pooled_correlation_counts_pixels_not_images() -> None:
    """Images of unequal sizes: as SciPy over all pixels laid end to end."""
    samples = triples(fake, 3)
    samples[1] = Sample("1", fake(1)[:7, :9], real(1)[:7, :9], he(1)[:7, :9])
    pixels = [
        np.concatenate([GREYS["png"](image).reshape(-1) for image in images])
        for images in ([s.fake for s in samples], [s.he for s in samples])
    ]
    found = measured(ContentVariants(), samples)[1]["r_c_pooled"]
    assert found == pytest.approx(100 * stats.pearsonr(*pixels).statistic, abs=1e-10)


def test_variants_that_do_not_exist_say_why() -> None:
    blank = [Sample("a", np.full((8, 8, 3), 200, np.uint8), *(image(0)[:8, :8] for image in (real, he)))]
    results = measured(ContentVariants(), blank * 3)[1] | measured(StructureVariants(), blank)[1]
    for name, word in (("r_c_pooled", "generated"), ("r_c_image_means", "generated"), ("ssim_gray_gauss11", "window")):
        result = results[name]
        assert isinstance(result, Absent)
        assert word in result.reason
    assert isinstance(results["ssim_gray_uniform7"], float)
    few = measured(ContentVariants(), triples(fake, 2))[1]["r_c_image_means"]
    assert isinstance(few, Absent)
    assert "at least 3" in few.reason
