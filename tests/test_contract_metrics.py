"""Every registered metric under every check; those with networks get small random ones in place of the weights."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from vsbench.checks.metrics import metric_checks, stained_samples
from vsbench.metric import Metric, Sample, Update
from vsbench.metrics.clinical import Clinical, Cutoffs
from vsbench.metrics.encoder import EncoderSpace
from vsbench.metrics.grade import Grade
from vsbench.metrics.nuclei import NucleiKept
from vsbench.metrics.positivity import Positivity
from vsbench.registry import load, names
from vsbench.stain.descriptor import dab_descriptor
from vsbench.weights.encoders import Card

GROUP = "vsbench.metrics"
KNOWN_FAILURES: dict[tuple[str, str], str] = {}  # (metric, check): why


def test_a_family_is_named_by_a_value_that_stands_for_itself() -> None:
    values = {value.name: value for name in names(GROUP) for value in load(GROUP, name).values}
    heads = {value.family for value in values.values() if value.family is not None}
    assert {name for name in heads if values[name].family not in (None, name)} == set()
    assert all(value.family is None for value in values.values() if value.unit == "images")  # a count is not tested


@cache
def small_inception() -> Any:
    """Inception by the names of its layers, but for the first and the last empty: 16 filters and their means."""
    import torch
    from torch import nn

    from vsbench.metrics._inception import LAYERS

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in LAYERS:
                setattr(self, name, nn.Identity())
            setattr(self, LAYERS[0], nn.Sequential(nn.Conv2d(3, 16, 5), nn.ReLU()))
            setattr(self, LAYERS[-1], nn.AdaptiveAvgPool2d(1))

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            x = images / 127.5 - 1
            for name in LAYERS:
                x = getattr(self, name)(x)
            return (x.flatten(1),)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Features()


@cache
def small_vgg() -> Any:
    """One convolution of eight filters, as the last of the layers that are looked at."""
    import torch
    from torch import nn

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 5)

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [torch.relu(self.convolution(x))]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Features()


@cache
def small_dists() -> Any:
    """The image and one convolution."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 8, 5)
            self.register_buffer("alpha", torch.full((11,), 0.6))
            self.register_buffer("beta", torch.full((11,), 0.4))

        def stages(self, image: torch.Tensor) -> Iterator[torch.Tensor]:
            yield image
            yield torch.relu(self.convolution(image))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network()


class OwnEncoder(EncoderSpace):
    """With an encoder that nobody had to add."""

    def __init__(self) -> None:
        card = Card(name="own", size=32, mean=[0.5] * 3, std=[0.25] * 3, width=8, licence="none", gated=False)
        super().__init__(self.encode, card)

    @staticmethod
    def encode(x: Any) -> Any:
        return small_vgg()(x)[-1].mean(dim=(2, 3))

    def ready(self) -> Any:
        return self.given


@cache
def small_resnet() -> Any:
    import torch
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])


@cache
def random_alexnet() -> Any:
    import torch
    import torchvision

    from vsbench.metrics.lpips import lpips_alex

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lpips_alex(torchvision.models.alexnet(weights=None).state_dict())


class LabelledClinical(Clinical):
    """With what the checks' samples lack: a stain, labels that fit the real images, and more than one category."""

    def __init__(self) -> None:
        super().__init__({"ki67": Cutoffs(60, 70, False, "both sides of the samples' shares")}, stain="ki67")

    def update(self, samples: Sequence[Sample]) -> Update:
        fractions = [self.per_image(sample)["npi_real"] / 100 for sample in samples]
        labels = [{} if np.isnan(fraction) else {"positive_fraction": f"{fraction}"} for fraction in fractions]
        return super().update([replace(s, labels=label) for s, label in zip(samples, labels, strict=True)])


class TaughtGrade(Grade):
    """With what the checks' samples lack: grades, by the DAB of the real image, and a probe that knows them."""

    def __init__(self) -> None:
        super().__init__()
        self.learn([self.graded(stained_samples())])

    def update(self, samples: Sequence[Sample]) -> Update:
        return super().update(self.graded(samples))

    @staticmethod
    def graded(samples: Sequence[Sample]) -> list[Sample]:
        return [replace(s, labels={"grade": "1" if dab_descriptor(s.real)[0] < 0.25 else "3"}) for s in samples]


class CutPositivity(Positivity):
    """With both kinds of images at both cuts."""

    def __init__(self) -> None:
        super().__init__(Cutoffs(15, 30, True, "on both sides of the samples' areas"))


class ScoredNuclei(NucleiKept):
    """With what the checks' samples lack: a nuclear marker, room for enough nuclei, and more than one category."""

    min_side = 96

    def __init__(self) -> None:
        super().__init__({"ki67": Cutoffs(65, 99, False, "both sides of the samples' shares")}, stain="ki67")


OWN: dict[str, type[Metric]] = {
    "clinical": LabelledClinical,
    "encoder": OwnEncoder,
    "grade": TaughtGrade,
    "nuclei": ScoredNuclei,
    "positivity": CutPositivity,
}
NETWORKS: dict[str, Callable[[], Any]] = {
    "dists": small_dists,
    "fid": small_inception,
    "fid_pytorch": small_inception,
    "fd_vgg16": small_vgg,
    "phv": small_resnet,
    "phv_imagenet": small_resnet,
    "lpips": random_alexnet,
    "lpips_vgg": random_alexnet,  # another backbone than its own: the checks are of the metric, not of the network
}


def maker(name: str) -> Callable[[], Metric]:
    metric: Any = OWN.get(name) or load(GROUP, name)
    return (lambda: metric(network=NETWORKS[name]())) if name in NETWORKS else metric


@pytest.mark.parametrize("check", metric_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", names(GROUP))
def test_metric(name: str, check: Callable[[Callable[[], Metric]], None], request: pytest.FixtureRequest) -> None:
    if reason := KNOWN_FAILURES.get((name, check.__name__)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    check(maker(name))


@pytest.mark.parametrize("name", names(GROUP))
def test_every_metric_can_be_measured_here(name: str) -> None:
    """A metric that needs weights must get a network above: none escapes the checks for want of weights."""
    assert maker(name)().unavailable() is None


@pytest.mark.parametrize("name", names(GROUP))
def test_needed_weights_that_are_missing_are_named(name: str, monkeypatch: Any, tmp_path: Any) -> None:
    for variable in ("VSBENCH_WEIGHTS", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    metric = load(GROUP, name)()
    reason = metric.unavailable()
    assert (reason is None) == (not metric.needs and name != "encoder")  # which needs what nobody knows beforehand
    for needed in metric.needs:
        assert reason is not None
        assert needed in reason
        assert "VSBENCH_WEIGHTS" in reason


def test_names_are_unique_over_all_metrics() -> None:
    """Columns of all families share one table, values one summary, features one archive."""
    metrics = {name: maker(name)() for name in names(GROUP)}
    updates = {name: metric.update(stained_samples()[:1]) for name, metric in metrics.items()}
    for kind in (
        [column for update in updates.values() for column in update.columns],
        [feature for update in updates.values() for feature in update.features],
        [value.name for metric in metrics.values() for value in metric.values],
    ):
        assert len(kind) == len(set(kind)), sorted(n for n in kind if kind.count(n) > 1)


def test_a_broken_metric_fails_the_checks() -> None:
    """The checks themselves can fail: each planted fault is caught by the check named."""
    dab = load(GROUP, "dab")

    class Zero(dab):  # type: ignore[misc, valid-type]  # a correlation that does not exist becomes 0
        def finish(self, table: Any, features: Any) -> Any:
            return {**super().finish(table, features), "r_p": 0.0}

    class Undeclared(dab):  # type: ignore[misc, valid-type]
        def finish(self, table: Any, features: Any) -> Any:
            return {**super().finish(table, features), "r_q": 1.0}

    class FirstOnly(dab):  # type: ignore[misc, valid-type]  # depends on the order of the images
        def finish(self, table: Any, features: Any) -> Any:
            return {**super().finish(table, features), "iod": float(table["intden"].iloc[0])}

    class WholeBatch(dab):  # type: ignore[misc, valid-type]  # depends on the batch
        def update(self, samples: Any) -> Any:
            update = super().update(samples)
            update.columns["intden"] = [float(np.mean(update.columns["intden"]))] * len(samples)
            return update

    class InPlace(dab):  # type: ignore[misc, valid-type]
        def per_image(self, sample: Any) -> Any:
            columns = super().per_image(sample)
            sample.fake[:] = 0
            return columns

    class UpsideDown(dab):  # type: ignore[misc, valid-type]  # says that the worst is best
        values = tuple(
            type(v)(v.name, v.label, v.unit, "high" if v.best == "low" else "low", v.formula, v.protocol, v.column)
            for v in dab.values
        )

    class Guessing(load(GROUP, "masks")):  # type: ignore[misc]  # takes a pixel of unknown size for 1 µm
        def per_image(self, sample: Any) -> Any:
            return super().per_image(replace(sample, pixel_size=sample.pixel_size or 1.0))

    checks = {check.__name__: check for check in metric_checks()}
    for broken, name in (
        (Zero, "check_constant_images"),
        (Zero, "check_single_image"),
        (Undeclared, "check_results"),
        (FirstOnly, "check_order"),
        (WholeBatch, "check_batch_size"),
        (InPlace, "check_leaves_no_trace"),
        (InPlace, "check_read_only_images"),
        (UpsideDown, "check_perfect_images"),
        (Guessing, "check_unknown_pixel_size"),
    ):
        with pytest.raises(AssertionError):
            checks[name](broken)
