"""A generator as one file: what is in it, that it is a row anywhere, and that nothing hostile is opened."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vsbench.engine.checkpoint import load_method, weights_of
from vsbench.engine.run import Run
from vsbench.errors import DataError, RunError, UsageError, UserError
from vsbench.exchange.bundle import Saying, open_bundle, write_bundle
from vsbench.exchange.sources import Pairs, generator_of, run_at
from vsbench.files import file_digest


@pytest.fixture
def bundle(run: Run, tmp_path: Path, pairs: Path) -> Path:
    saying = Saying(version="1.2", changes="after a <b>fall</b> | of the rate", licence="CC-BY-4.0")
    return write_bundle(run, tmp_path / "cut.zip", saying, pairs / "he" / "test")


def test_it_holds_what_its_card_says_and_no_path_of_the_machine(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert sorted(contents) == ["README.md", "bundle.json", "generator.safetensors", "sheet.png", "training.json"]
    assert str(tmp_path).encode() not in b"".join(contents.values())
    card = json.loads(contents["bundle.json"])
    assert (card["name"], card["version"], card["pixel_size"], card["seed"]) == ("cut+cpu", "1.2", 0.5, 3)
    assert card["data_licence"] == "the images' own"
    assert json.loads(contents["training.json"])["train_pairs"] == 3


def test_a_run_may_be_named_from_where_it_lies(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder)
    with open_bundle(write_bundle(Run(Path()), tmp_path / "x", Saying())) as bundle:
        assert bundle.card.name == "cut+cpu"


def test_its_readme_is_a_model_card(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        _, front, body = archive.read("README.md").decode().split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "cc-by-4.0", "library_name": "vsbench", "pipeline_tag": "image-to-image",
        "tags": ["virtual-staining", "histology", "immunohistochemistry", "ki67", "cut"],
    }  # fmt: skip
    assert r"- **1.2** after a &lt;b&gt;fall&lt;/b&gt; \| of the rate" in body
    assert "0.5 µm a pixel" in body


def test_it_translates_as_the_run_does(bundle: Path, run: Run) -> None:
    he = 2 * torch.rand(1, 3, 32, 40) - 1
    with generator_of(bundle) as generator, torch.inference_mode():
        assert (generator.stain, generator.pixel_size) == ("ki67", 0.5)  # what a slide is resampled to
        fake = load_method(generator.weights).translate(he)
        assert torch.equal(fake, load_method(weights_of(run)).translate(he))


def test_it_is_a_row_of_any_pairs_beside_the_run_it_came_from(bundle: Path, run: Run, pairs: Path) -> None:
    results = run.folder.parents[3]
    own = run_at(bundle, results, Pairs(data_root=pairs))
    assert own.folder.parents[1] == run.folder.parents[1]
    other = run_at(bundle, results, Pairs("folder", "er", {}, pairs, "elsewhere"))
    assert (other.record.stain, other.record.data_name) == ("er", "elsewhere")
    assert own.record.row == other.record.row
    assert own.record.row.startswith("cut+cpu+bundle-")
    assert own.record.title == "CUT (cpu) (bundle 1.2)"
    before = weights_of(own).stat().st_mtime_ns
    assert run_at(bundle, results, Pairs(data_root=pairs)) == own
    assert weights_of(own).stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="belongs to its own pairs"):
        run_at(run.folder, results, Pairs("folder", "er"))


def test_exported_again_it_is_the_same_row(run: Run, bundle: Path, tmp_path: Path, pairs: Path) -> None:
    folder = write_bundle(run, tmp_path / "cut", Saying(version="2", changes="new card"))
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")  # as a hub adds
    (folder / "README.md").write_text("edited before it is published")
    results = run.folder.parents[3]
    first, second = (run_at(place, results / place.stem, Pairs(data_root=pairs)) for place in (bundle, folder))
    assert first.record.row == second.record.row
    again = write_bundle(run, bundle, Saying(version="1.3"))
    with open_bundle(again) as opened:
        assert [change.version for change in opened.card.changes] == ["1.3", "1.2"]
        assert not (opened.folder / "sheet.png").exists()


def test_nothing_of_somebody_else_is_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("mine.txt", "mine")
    for name in ("notes", "other.zip"):
        with pytest.raises(RunError, match=name):
            write_bundle(run, tmp_path / name, Saying())
    with pytest.raises(UsageError, match=r"\.zip"):
        write_bundle(run, tmp_path / "cut.tar", Saying())
    with pytest.raises(UsageError, match="version"):
        write_bundle(run, tmp_path / "cut.zip", Saying(version="1.0; rm"))
    with pytest.raises(UsageError, match="--name"):
        write_bundle(run, tmp_path / "cut.zip", Saying(name="../up"))
    assert not (tmp_path / "cut.zip").exists()


Change = Callable[[dict[str, bytes]], object]


def _card(**changes: Any) -> Change:
    def change(contents: dict[str, bytes]) -> None:
        contents["bundle.json"] = json.dumps(json.loads(contents["bundle.json"]) | changes).encode()

    return change


HOSTILE: dict[str, tuple[Change, str]] = {
    "program": (lambda c: c.update({"custom.py": b"print(1)"}), "custom.py.*which no bundle does"),
    "pickle": (lambda c: c.update({"model.pkl": b"\x80\x04."}), "model.pkl"),
    "escapes": (lambda c: c.update({"../up.txt": b"x"}), "leave the destination"),
    "no card": (lambda c: c.pop("bundle.json"), "no bundle"),
    "no weights": (lambda c: c.pop("generator.safetensors"), "generator.safetensors"),
    "other weights": (
        lambda c: c.update({"generator.safetensors": c["generator.safetensors"][:-1] + b"\x01"}),
        "not the file",
    ),
    "other digest": (_card(weights="1" * 64), "not the weights that its card names"),
    "other settings": (_card(config={}), "other settings than its generator has"),
    "other method": (_card(method="cyclegan"), "other settings than its generator has"),
    "path in files": (_card(files={"../../secret": "0" * 64}), "none of generator"),
    "wrong types": (_card(files=[1]), "files"),
    "nan": (lambda c: c.update({"bundle.json": c["bundle.json"].replace(b"0.5", b"NaN")}), "no number"),
    "huge": (_card(pixel_size=1e308), "pixel_size"),
    "bomb": (lambda c: c.update({"sheet.png": bytes(60_000_000)}), "bomb"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_bundle_is_refused_by_name(kind: str, bundle: Path, run: Run, pairs: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    change, said = HOSTILE[kind]
    change(contents)
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=f"cut.zip.*{said}"):
        run_at(bundle, run.folder.parents[3], Pairs(data_root=pairs))
    assert [path.name for path in run.folder.parents[1].iterdir()] == ["cut+cpu"]


def test_a_zip_of_its_folder_is_the_same_bundle(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "up" / "cut")
    shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "up")
    with open_bundle(tmp_path / "again.zip") as one, open_bundle(tmp_path / "up" / "cut") as two:
        assert one.card == two.card
        assert file_digest(one.generator) == file_digest(two.generator)


def test_what_has_no_weights_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>")
    with pytest.raises(DataError, match="a web page"), generator_of(tmp_path / "page.zip"):
        pass
    torch.save({}, tmp_path / "net.pth")  # a zip, too
    with pytest.raises(RunError, match="not a weights file"), generator_of(tmp_path / "net.pth") as generator:
        load_method(generator.weights)
    with pytest.raises(DataError, match="neither a folder nor"), generator_of(tmp_path / "gone.zip"):
        pass
    with pytest.raises(RunError, match="gone: no such file or folder; give a run"), generator_of(tmp_path / "gone"):
        pass
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/b", "1")
    with pytest.raises(DataError, match="no bundle"), generator_of(tmp_path / "x.zip"):
        pass


def test_the_commands(vsbench: Any, tiny: Any, run: Run, pairs: Path, tmp_path: Path) -> None:
    made = vsbench("export", run.folder, tmp_path / "b.zip", "--name", "mine")
    assert (made.returncode, made.stdout) == (0, f"{tmp_path / 'b.zip'}\n"), made.stderr
    translated = vsbench("translate", tmp_path / "b.zip", pairs / "he" / "test", tmp_path / "out")
    assert translated.returncode == 0, translated.stderr
    data = ["--dataset", "folder", "--stain", "er", "--data-root", pairs]
    evaluated = vsbench("evaluate", tmp_path / "b.zip", *data, "--results", tmp_path / "r")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "CUT (cpu) (bundle 1.0)" in evaluated.stdout.replace("\n", " ")
    assert "cpu preset" in evaluated.stdout
    again = vsbench("evaluate", "--all", "--results", tmp_path / "r", "--data-root", pairs)
    assert (again.returncode, again.stdout.count("unchanged") > 0) == (0, True), again.stderr
    trained = vsbench("train", "cut", *data, "--from", tmp_path / "b.zip", "--dry-run")
    assert (trained.returncode, "holds the network that translates alone" in trained.stderr) == (2, True)
    (weights,) = (tmp_path / "r").rglob("imported.safetensors")
    assert tiny("cut").config == load_method(weights).config
