"""Encoders that a user added: only by name, only as they were added, and by the arithmetic that others have."""

import importlib.util
import json
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms.functional import normalize, resize

from vsbench.cli import weights as command
from vsbench.errors import UsageError, UserError
from vsbench.evaluation.instrument import Instrument, chosen_of
from vsbench.metric import Sample
from vsbench.metrics.encoder import EncoderSpace
from vsbench.weights import WeightsError
from vsbench.weights.encoder_networks import build, kind_of
from vsbench.weights.encoders import OURS, add_encoder, find_encoder, read_card

CARD: dict[str, Any] = {
    "name": "own", "size": 24, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "width": 6, "licence": "CC0",
    "gated": False,
}  # fmt: skip


class Network(nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, 5, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolution(x)).mean(dim=(2, 3))


@pytest.fixture
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Network().eval()


def script(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch speaks of TorchScript's age
        torch.jit.save(torch.jit.trace(network, torch.rand(2, 3, 24, 24)), path)
    return path


def card(folder: Path, **changes: Any) -> Path:
    """A card file; None takes a key away."""
    path = folder / "card.yaml"
    path.write_text(json.dumps({key: value for key, value in (CARD | changes).items() if value is not None}))
    return path


def samples(count: int = 12) -> list[Sample]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, count, 10, 8, 3), dtype=np.uint8).repeat(4, axis=2).repeat(6, axis=3)
    images[0] //= 2
    return [Sample(f"{n}", fake, real, real) for n, (fake, real) in enumerate(zip(*images, strict=True))]


def test_all_values_are_those_of_the_features(store: Path, tmp_path: Path, network: Network) -> None:
    """The image brought to the network by torchvision; SciPy's root of a matrix; NumPy's lengths."""
    add_encoder(script(network, tmp_path / "own.pt"), read_card(card(tmp_path)))
    metric = EncoderSpace()
    update = metric.update(samples())
    sides = {}
    for which in ("fake", "real"):
        images = torch.stack([torch.from_numpy(getattr(s, which)).permute(2, 0, 1) / 255 for s in samples()])
        x = normalize(resize(images, [24, 24], antialias=True), CARD["mean"], CARD["std"])
        with torch.inference_mode():
            sides[which] = network(x).numpy()
        np.testing.assert_allclose(update.features[f"fd_encoder_{which}"], sides[which], rtol=1e-4, atol=1e-5)
    values = metric.finish(pd.DataFrame(update.columns), update.features)
    fake, real = (update.features[f"fd_encoder_{which}"].astype(np.float64) for which in ("fake", "real"))
    covariances = [np.cov(part, rowvar=False) for part in (fake, real)]
    root = np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real)
    gap = ((fake.mean(axis=0) - real.mean(axis=0)) ** 2).sum()
    assert values["fd_encoder"] == pytest.approx(gap + sum(map(np.trace, covariances)) - 2 * root, rel=1e-6)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(fake, real, strict=True)]
    assert values["cosine_encoder"] == pytest.approx(np.mean(cosines), rel=1e-12)
    assert update.columns["cosine_encoder"] == pytest.approx(cosines, rel=1e-12)


def test_protocols_hold_the_file_and_all_that_is_done_before(store: Path, tmp_path: Path, network: Network) -> None:
    file = script(network, tmp_path / "own.pt")
    seen = set()
    for change in ({}, {"size": 32}, {"mean": [0.5, 0.4, 0.31]}, {"std": [0.2, 0.3, 0.41]}, {"licence": "other"}):
        add_encoder(file, read_card(card(tmp_path, **change)))
        metric = EncoderSpace()
        seen.add(metric.values[0].protocol)
        assert metric.values[0].protocol == f"fd/{metric.space}"
        assert all(f"{part:g}" in metric.space for part in (find_encoder("own").encoder.mean))
    assert len(seen) == 4  # other terms are no other features
    with torch.no_grad():
        network.convolution.weight += 1
    add_encoder(script(network, tmp_path / "other.pt"), read_card(card(tmp_path)))
    assert EncoderSpace().values[0].protocol not in seen


def test_features_of_real_images_are_kept_by_that_protocol(store: Path, tmp_path: Path, network: Network) -> None:
    add_encoder(script(network, tmp_path / "own.pt"), read_card(card(tmp_path)))
    metric, (sample, *_) = EncoderSpace(), samples()
    metric.update([sample])
    assert list(sample.features("real")) == [metric.space]
    sample.features("real")[metric.space] = np.full(6, 7, np.float32)  # as from an earlier evaluation
    assert (metric.update([sample]).features["fd_encoder_real"] == 7).all()


def pickled(path: Path, network: Network) -> None:
    torch.save(network.state_dict(), path)


def cut(path: Path, network: Network) -> None:
    script(network, path)
    path.write_bytes(path.read_bytes()[:700])


BAD: dict[str, tuple[Callable[[Path, Network], Any], str]] = {
    "anything": (lambda path, network: path.write_bytes(b"\x01" * 200), "neither TorchScript nor safetensors"),
    "empty": (lambda path, network: path.write_bytes(b""), "neither TorchScript nor safetensors"),
    "a pickle": (pickled, "a pickle of torch.save"),
    "cut short": (cut, "damaged or cut short"),
    "a web page": (lambda path, network: path.write_text("<html>"), "this is a web page"),
    "nothing": (lambda path, network: None, "No such file"),
    "a folder": (lambda path, network: path.mkdir(), "Is a directory"),
    "wider": (lambda path, network: script(Network(7), path), r"features of shape \(2, 7\).*by its card \(width: 6\)"),
    "a picture": (lambda path, network: script(nn.Identity(), path), r"features of shape \(2, 3, 24, 24\)"),
    "tensors": (lambda path, network: save_file(network.state_dict(), path), "needs architecture"),
    "damaged tensors": (lambda path, network: path.write_bytes(b"\x20" + b"\0" * 7 + b"{" * 40), "needs architecture"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_encoder_is_one_line_and_nothing_is_stored(
    kind: str, store: Path, tmp_path: Path, network: Network
) -> None:
    make, why = BAD[kind]
    make(tmp_path / "file", network)
    with pytest.raises(UserError, match=why) as caught:
        command.add(encoder=tmp_path / "file", card=card(tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(store.rglob("*.*"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"width": None}, "width: Field required"),
        ({"widht": 6}, "unknown option 'widht': did you mean 'width'"),
        ({"mean": [0.5]}, "mean: "),
        ({"std": [0.2, 0.3, 0]}, "std.2: "),
        ({"name": "../up"}, "name: "),
        ({"name": "vgg16"}, "features of ours"),
        ({"gated": "perhaps"}, "gated: "),
        ({"architecture": "torchvision:resnet18"}, "architecture: "),
        ({"architecture": "timm:hf-hub:someone/model"}, "architecture: "),
        ({"architecture": "timm:vit", "options": {"checkpoint_path": "x"}}, "weights come from the file alone"),
        ({"architecture": "timm:resnet18"}, "a TorchScript file brings its own"),
    ],
)
def test_a_card_that_is_wrong_is_named(
    change: dict[str, Any], why: str, store: Path, tmp_path: Path, network: Network
) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        command.add(encoder=script(network, tmp_path / "own.pt"), card=card(tmp_path, **change))
    assert "\n" not in str(caught.value)
    assert not list(store.rglob("*.*"))


def test_a_program_is_named_one_and_runs_only_by_name(
    store: Path, tmp_path: Path, network: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    file = script(network, tmp_path / "own.pt")
    command.add(encoder=file, card=card(tmp_path))
    said = capfd.readouterr().out
    assert "a TorchScript file is a program" in said
    assert "--also encoder=own" in said
    assert "encoder" not in Instrument.build("cpu").metrics  # here, and no default
    assert "encoder" in Instrument.build("cpu", ["encoder"]).metrics
    assert kind_of(file) == "torchscript"


def test_a_file_that_changed_is_not_run(store: Path, tmp_path: Path, network: Network) -> None:
    """It was added by hard link: who changes the one changes the other."""
    file = script(network, tmp_path / "own.pt")
    added = add_encoder(file, read_card(card(tmp_path)))
    metric = EncoderSpace()
    assert metric.unavailable() is None
    changed = bytearray(file.read_bytes())
    changed[-30] ^= 1
    added.path.write_bytes(changed)
    reason = metric.unavailable()
    assert reason is not None
    assert "not the one that was added" in reason
    with pytest.raises(WeightsError, match="not the one that was added"):
        metric.update(samples(1))
    with pytest.raises(WeightsError, match="not the one that was added"):
        command.verify()
    (added.path.parent / "card.json").write_text("{}")
    assert "its card is damaged" in str(EncoderSpace().unavailable())


def test_which_encoder_is_the_users_word(store: Path, tmp_path: Path, network: Network) -> None:
    file = script(network, tmp_path / "own.pt")
    assert "no encoder was added" in str(EncoderSpace().unavailable())
    with pytest.raises(UsageError, match="--also 'encoder=own': no encoder 'own': none was added"):
        Instrument.build("cpu", ["encoder=own"])
    for name in ("own", "other"):
        add_encoder(file, read_card(card(tmp_path, name=name)))
    with pytest.raises(UsageError, match="there are other, own: say which"):
        Instrument.build("cpu", ["encoder"])
    with pytest.raises(UsageError, match="no encoder 'x': there are other, own"):
        Instrument.build("cpu", ["encoder=x"])
    built = Instrument.build("cpu", ["encoder=own"])
    assert built.provenance["encoder=own"] == find_encoder("own").encoder.sha256
    assert "encoder-own/" in built.metrics["encoder"].values[0].protocol
    with pytest.raises(UsageError, match="nothing to choose"):
        Instrument.build("cpu", ["structure_variants=x"])
    with pytest.raises(UsageError, match="chosen otherwise"):
        chosen_of(["encoder=own", "encoder=other"])
    assert chosen_of(["encoder=own", "encoder=own", "fid"]) == {"encoder": "own", "fid": None}


def test_a_folder_that_is_none_leaves_the_other_metrics_alone(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSBENCH_WEIGHTS", str(store / "nowhere"))
    assert "names no folder" in str(EncoderSpace().unavailable())
    built = Instrument.build("cpu", ["encoder"])
    assert "dab" in built.metrics
    assert "encoder" in [name for name, *_ in built.absent]


def test_the_list_has_their_terms(store: Path, tmp_path: Path, network: Network, capsys: Any) -> None:
    command.add(encoder=script(network, tmp_path / "own.pt"), card=card(tmp_path, gated=True, licence="CC BY-NC-ND"))
    capsys.readouterr()
    command.list_weights(as_json=True)
    row = json.loads(capsys.readouterr().out)[-1]
    assert (row["name"], row["state"], row["gated"]) == ("encoder own", "here", True)
    assert row["licence"] == "CC BY-NC-ND (gated)"
    with pytest.raises(UsageError, match="belong together"):
        command.add(encoder=tmp_path / "own.pt")
    with pytest.raises(UsageError, match="nothing to add"):
        command.add()
    assert "vgg16" in OURS


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """A package of that name with one architecture, whose file has a classifier; gets what was asked of it."""
    asked: list[tuple[str, dict[str, Any]]] = []
    module = types.ModuleType("timm")
    module.__spec__ = types.SimpleNamespace(name="timm")  # type: ignore[assignment]

    def create_model(name: str, **options: Any) -> nn.Module:
        asked.append((name, options))
        if name != "small":
            raise RuntimeError(f"Unknown model ({name})")
        found = Network(options.get("channels", 6))
        found.pretrained_cfg = {"classifier": "head"}
        return found

    module.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)
    return asked


def test_tensors_fill_an_architecture_that_fetches_nothing(
    store: Path, tmp_path: Path, network: Network, timm: list[tuple[str, dict[str, Any]]]
) -> None:
    tensors = network.state_dict()
    save_file(tensors | {"head.weight": torch.zeros(2, 6)}, tmp_path / "own.safetensors")
    add_encoder(tmp_path / "own.safetensors", read_card(card(tmp_path, architecture="timm:small")))
    assert timm == [("small", {"pretrained": False, "num_classes": 0})]
    built = find_encoder("own")
    x = torch.rand(3, 3, 24, 24)
    with torch.inference_mode():
        assert torch.equal(build(built.encoder, built.path)(x), network(x))
    for change, why in (
        ({"architecture": "timm:none"}, r"can't be built: RuntimeError: Unknown model \(none\)"),
        ({"options": {"channels": 7}, "width": 7}, "other shapes"),
    ):
        changed = read_card(card(tmp_path, **({"architecture": "timm:small"} | change)))
        with pytest.raises(UserError, match=why):
            add_encoder(tmp_path / "own.safetensors", changed)
    for missing in (True, False):
        other = {} if missing else tensors | {"more": torch.zeros(2)}
        save_file(other or {"x": torch.zeros(1)}, tmp_path / "other.safetensors")
        with pytest.raises(UserError, match="without 2 tensors" if missing else "with 1 more tensors"):
            add_encoder(tmp_path / "other.safetensors", read_card(card(tmp_path, architecture="timm:small")))


@pytest.mark.parametrize("package", ["timm", "transformers"])
def test_a_missing_package_is_named(
    package: str, store: Path, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(UserError, match=rf"needs the package {package}, which is not installed \(pip install"):
        command.add(encoder=tmp_path / "own.safetensors", card=card(tmp_path, architecture=f"{package}:small"))
    assert not list(store.rglob("*.*"))
