"""Plugins: an installed distribution brings a method, a data set and a metric that work, and others that do not."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vsbench.registry import load, names

Command = Callable[..., "subprocess.CompletedProcess[str]"]

ENTRY_POINTS = """
[vsbench.methods]
tint = labstains.tint:Tint
cut = labstains.tint:Tint
explodes = labstains.explodes:Method
nothing = labstains.tint:NOTHING
absent = labstains.tint:Misspelt

[vsbench.datasets]
squares = labstains.squares

[vsbench.metrics]
darkness = labstains.darkness:Darkness
uninstalled = labstains.no_such_module:Metric
"""

TINT = '''"""Tint: every pixel through one matrix, fitted to the pair.

Not for use.
"""

import torch
from torch.optim import Adam

from vsbench.method import Card, Method, MethodConfig, Phase

NOTHING = "not a class"


class Config(MethodConfig):
    crop_size: int = 8
    load_size: int = 0


class Tint(Method[Config]):
    card = Card("Tint", "none", "none", "none", "paired", losses=("g_l1",), parameters={"mix": 12}, compute="none")
    presets = {"cpu": {"steps": 2}}

    def __init__(self, config):
        super().__init__(config)
        self.mix = torch.nn.Conv2d(3, 3, 1)

    @property
    def size_multiple(self):
        return 1

    def optimizers(self):
        return {"mix": Adam(self.mix.parameters(), self.config.lr, self.config.betas)}

    def training_step(self, batch):
        yield Phase(("mix",), {"g_l1": (self.translate(batch.he) - batch.ihc).abs().mean()})

    def translate(self, he):
        return self.mix(he).tanh()
'''

SQUARES = '''"""Squares: uniform tiles, made on the spot."""

from PIL import Image

from vsbench.data.pairs import Pair
from vsbench.dataset import Dataset, DatasetCard, DatasetConfig


class Squares(Dataset[DatasetConfig]):
    card = DatasetCard("Squares", "none", "none", "none", pairing="exact", split_unit="tiles")
    stains = ("brown",)
    needs_root = False

    def find(self, root, stain, split):
        root.mkdir(exist_ok=True)
        for number in range(2):
            files = [root / f"{split}-{side}-{number}.png" for side in ("he", "ihc")]
            for file, colour in zip(files, ("violet", "brown")):
                Image.new("RGB", (8, 8), colour).save(file)
            yield Pair(str(number), *files, slide=None, split=split)
'''

DARKNESS = '''"""Darkness: how dark the image is, whatever made it so."""

from vsbench.metric import Metric, Value


class Darkness(Metric):
    values = (Value("darkness", "Darkness", "1", "low", "mean of 255 - level", "darkness/1", column="darkness"),)

    def per_image(self, sample):
        return {"darkness": 255 - float(sample.fake.mean())}

    def finish(self, table, features):
        return {"darkness": float(table["darkness"].mean())}
'''


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages in which the distribution ``lab-stains`` is installed."""
    site = tmp_path_factory.mktemp("site-packages")
    files = {
        "labstains/__init__.py": "",
        "labstains/tint.py": TINT,
        "labstains/squares.py": SQUARES,
        "labstains/darkness.py": DARKNESS,
        "labstains/explodes.py": '"""Explodes."""\n\nraise RuntimeError("no\\nlicence")\n',
        "lab_stains-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: lab-stains\nVersion: 1.2\n",
        "lab_stains-1.2.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return site


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("methods", {"tint": "Tint: every pixel through one matrix, fitted to the pair.", "explodes": "Explodes."}),
        ("datasets", {"squares": "Squares: uniform tiles, made on the spot."}),
        ("metrics", {"darkness": "Darkness: how dark the image is, whatever made it so.", "uninstalled": ""}),
    ],
)
def test_plugins_are_listed_with_their_distribution(
    vsbench: Command, plugins: Path, kind: str, expected: dict[str, str]
) -> None:
    ran = vsbench(kind, "--json", PYTHONPATH=plugins)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)
    theirs = {row["name"]: row["summary"] for row in rows if row["from"] == "lab-stains"}
    assert expected.items() <= theirs.items()
    ours = [row["name"] for row in rows if row["from"] == "vsbench"]
    assert [row["name"] for row in rows][: len(ours)] == ours == names(f"vsbench.{kind}")


def test_a_name_that_is_taken_keeps_its_owner(vsbench: Command, plugins: Path) -> None:
    """A plugin can't put itself in the place of a published method."""
    titles = {}
    for name in ("cut", "lab-stains:cut"):
        ran = vsbench("methods", name, "--json", PYTHONPATH=plugins)
        assert ran.returncode == 0, ran.stderr
        titles[name] = json.loads(ran.stdout)["title"]
    assert titles == {"cut": "CUT", "lab-stains:cut": "Tint"}


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        ("methods", "explodes", ["lab-stains", "labstains.explodes", "RuntimeError: no licence", "uninstall"]),
        ("methods", "nothing", ["lab-stains", "labstains.tint:NOTHING", "no Method"]),
        ("methods", "absent", ["lab-stains", "labstains.tint:Misspelt", "no Method"]),
        ("metrics", "uninstalled", ["lab-stains", "ModuleNotFoundError", "labstains.no_such_module"]),
    ],
)
def test_a_broken_plugin_says_what_is_wrong(
    vsbench: Command, plugins: Path, kind: str, name: str, parts: list[str]
) -> None:
    ran = vsbench(kind, name, PYTHONPATH=plugins)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: {name} ")
    assert ran.stderr.count("\n") == 1
    for part in parts:
        assert part in ran.stderr


def test_an_unknown_name_lists_the_known_ones(vsbench: Command, plugins: Path) -> None:
    ran = vsbench("methods", "tnit", PYTHONPATH=plugins)
    assert ran.returncode == 2
    assert "'tnit'" in ran.stderr
    listed = ran.stderr.strip().partition(" are ")[2].split(", ")
    assert {"tint", "explodes", "lab-stains:cut", *names("vsbench.methods")} == set(listed) - {"nothing", "absent"}


def test_doctor_reports_the_broken_and_goes_on(vsbench: Command, plugins: Path) -> None:
    ran = vsbench("doctor", PYTHONPATH=plugins, COLUMNS=400)
    assert ran.returncode == 0, ran.stderr
    rows = [re.split(r"\s{2,}", line.strip()) for line in ran.stdout.splitlines()]
    found = {row[0]: row[1:] for row in rows}
    for broken in ("methods: explodes", "methods: nothing", "methods: absent", "metrics: uninstalled"):
        state, detail = found[broken]
        assert state == "broken"
        assert "lab-stains" in detail
    for kind, name in (("methods", "tint"), ("datasets", "squares"), ("metrics", "darkness")):
        state, working = found[kind]
        assert state == "ok"
        assert {name, *names(f"vsbench.{kind}")} <= set(working.split(", "))


def test_a_plugin_method_trains_on_a_plugin_data_set(vsbench: Command, plugins: Path, tmp_path: Path) -> None:
    options = ["--dataset", "squares", "--stain", "brown", "--data-root", tmp_path / "squares", "--device", "cpu"]
    ran = vsbench("train", "tint", *options, "--preset", "cpu", "--workers", "0", PYTHONPATH=plugins)
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / ran.stdout.strip() / "run.json").read_text(encoding="utf-8"))
    assert (record["title"], record["steps"], record["finished"]) == ("Tint (cpu preset)", 2, True)
    assert record["parameters"] == {"mix": 12}


def test_a_plugin_metric_measures_a_plugin_method(vsbench: Command, plugins: Path, tmp_path: Path) -> None:
    """On folders of one's own; a metric that does not load stands in nobody's way."""
    rng = np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split, names_of_split in (("train", "ab"), ("test", "cde")):
            for name in names_of_split:
                file = tmp_path / "own" / side / split / f"{name}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(file)
    options = ["--dataset", "folder", "--stain", "er", "--data-root", tmp_path / "own", "--device", "cpu"]
    trained = vsbench("train", "tint", *options, "--preset", "cpu", "--workers", "0", PYTHONPATH=plugins)
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / trained.stdout.strip()
    evaluated = vsbench("evaluate", run, "--device", "cpu", PYTHONPATH=plugins)
    assert evaluated.returncode == 0, evaluated.stderr

    summary = json.loads((run / "evaluation/native/summary.json").read_text(encoding="utf-8"))
    fakes = [np.asarray(Image.open(file)) for file in sorted((run / "images/test").iterdir())]
    assert summary["n"] == len(fakes) == 3
    assert summary["values"]["darkness"]["value"] == pytest.approx(255 - np.mean(fakes), rel=1e-12)
    assert summary["values"]["darkness"]["protocol"] == "darkness/1"


def test_listing_runs_no_plugin(plugins: Path) -> None:
    code = (
        "import sys\nfrom vsbench.cli.app import app\napp(['methods'], standalone_mode=False)\n"
        "print(*(name for name in sys.modules if name == 'torch' or name.startswith('labstains.')), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(plugins)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "tint" in ran.stdout
    assert ran.stderr.strip() == ""


def test_our_own_all_load() -> None:
    for group in ("vsbench.methods", "vsbench.datasets", "vsbench.metrics"):
        for name in names(group):
            assert load(group, name).__module__ == f"{group}.{name}"
