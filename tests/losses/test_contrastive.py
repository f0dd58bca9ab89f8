"""PatchNCE at chance, at perfection, and against the plain cross entropy."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vsbench.losses.contrastive import SAME_POSITION, layered_patch_nce, patch_nce, weighted_patch_nce


def unit(seed: int, images: int = 2, patches: int = 7, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(images, patches, width, generator=generator, dtype=torch.float64), dim=2)


@pytest.mark.parametrize("patches", [2, 64])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_chance_is_log_n(patches: int, temperature: float) -> None:
    """Keys that are all alike tell the query nothing."""
    keys = unit(0, 1, 1).expand(2, patches, 5)
    loss = patch_nce(unit(1, 2, patches), keys, temperature)
    assert loss.item() == pytest.approx(math.log(patches), abs=1e-6)


def test_perfection_is_zero() -> None:
    x = torch.eye(6, dtype=torch.float64).expand(2, 6, 6)
    assert patch_nce(x, x, temperature=0.02).item() == pytest.approx(0, abs=1e-12)
    loss = patch_nce(x, x, temperature=0.07).item()
    assert loss == pytest.approx(math.log(1 + 5 * math.exp(-1 / 0.07)), rel=1e-9)


def test_the_wrong_patch_costs_more() -> None:
    x = unit(0)
    assert patch_nce(x, x, 0.07) < patch_nce(x, x.roll(1, dims=1), 0.07)


def test_published_temperature_gives_the_plain_cross_entropy() -> None:
    """What stands at the query's own place has the weight exp(−10/0.07) = 1e-62."""
    queries, keys = unit(0), unit(1)
    own = torch.arange(7).expand(2, 7)
    plain = F.cross_entropy((queries @ keys.mT / 0.07).flatten(0, 1), own.flatten())
    torch.testing.assert_close(patch_nce(queries, keys, 0.07), plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [0.3, 5.0])
def test_other_temperatures_differ_by_the_extra_negative(temperature: float) -> None:
    queries, keys = unit(0), unit(1)
    logits = queries @ keys.mT / temperature
    extra = torch.tensor(SAME_POSITION / temperature, dtype=torch.float64)
    expected = (torch.logaddexp(logits.logsumexp(dim=2), extra) - logits.diagonal(dim1=1, dim2=2)).mean()
    torch.testing.assert_close(patch_nce(queries, keys, temperature), expected, rtol=1e-12, atol=0)


def test_negatives_come_from_the_same_image_unless_told() -> None:
    queries, keys = unit(0), unit(1)
    images = [patch_nce(queries[[i]], keys[[i]], 0.07) for i in (0, 1)]
    torch.testing.assert_close(patch_nce(queries, keys, 0.07), torch.stack(images).mean(), rtol=1e-12, atol=0)
    as_one_image = patch_nce(queries.reshape(1, 14, 5), keys.reshape(1, 14, 5), 0.07)
    torch.testing.assert_close(patch_nce(queries, keys, 0.07, across_images=True), as_one_image, rtol=0, atol=0)
    assert as_one_image > patch_nce(queries, keys, 0.07)  # more negatives, none fewer


@pytest.mark.parametrize("patches", [(7, 7, 7), (7, 4, 7)])
def test_layers_count_alike(patches: tuple[int, ...]) -> None:
    """However many of them go together."""
    queries, keys = ([unit(seed + 10 * layer, 2, n) for layer, n in enumerate(patches)] for seed in (0, 1))
    apart = torch.stack([patch_nce(q, k, 0.3) for q, k in zip(queries, keys, strict=True)]).mean()
    torch.testing.assert_close(layered_patch_nce(queries, keys, 0.3), apart, rtol=1e-12, atol=0)


def test_order_of_the_patches_does_not_matter() -> None:
    queries, keys, order = unit(0), unit(1), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    shuffled = patch_nce(queries[:, order], keys[:, order], 0.07)
    torch.testing.assert_close(shuffled, patch_nce(queries, keys, 0.07), rtol=1e-12, atol=0)


def test_gradient_reaches_the_queries_only() -> None:
    queries, keys = unit(0).requires_grad_(), unit(1).requires_grad_()
    patch_nce(queries, keys, 0.07).backward()
    assert keys.grad is None
    assert torch.autograd.gradcheck(lambda q: patch_nce(q, unit(1), 0.3), unit(0).requires_grad_())


def test_a_weight_counts_its_negative_so_often() -> None:
    """Weights of 1 are PatchNCE; a weight of 2 is a second such key. The positive's own weight does not count."""
    queries, keys = unit(0), unit(1)
    weights = torch.ones(2, 7, 7, dtype=torch.float64)
    plain = weighted_patch_nce(queries @ keys.mT, weights, 0.07)
    torch.testing.assert_close(plain, patch_nce(queries, keys, 0.07), rtol=1e-12, atol=0)
    weights[:, :, 3] = 2.0
    weights.diagonal(dim1=1, dim2=2).fill_(5.0)
    similar = torch.exp(queries @ keys.mT / 0.07)
    total = similar.sum(2) + similar[:, :, 3].clone().index_fill_(1, torch.tensor([3]), 0.0)
    expected = -torch.log(similar.diagonal(dim1=1, dim2=2) / total).mean()
    torch.testing.assert_close(weighted_patch_nce(queries @ keys.mT, weights, 0.07), expected, rtol=1e-12, atol=0)
