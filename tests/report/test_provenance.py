"""The commands that are printed repeat the runs; what is not recorded is not made up; the appendix is LaTeX."""

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.cli.app import app
from vsbench.config import parse_settings
from vsbench.engine import start as engine
from vsbench.engine.checkpoint import chosen_checkpoint
from vsbench.engine.request import resolve
from vsbench.engine.run import Run
from vsbench.evaluation import evaluate as evaluations
from vsbench.files import read_json
from vsbench.registry import load
from vsbench.report.latex.appendix import appendix
from vsbench.report.latex.document import document
from vsbench.report.provenance.commands import loops, setting
from vsbench.report.provenance.records import as_csv, records
from vsbench.report.tables import Comparison, compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here
Record = dict[str, Any]

COMMON = ["--preset", "cpu", "--device", "cpu", "--workers", "0"]
TINY = ["steps=4", "crop_size=32", "width=4", "batch_size=2", "discriminator_layers=1"]
CONTRASTIVE = [*TINY, "blocks=1", "taps=[0, 4, 8, 12]", "patches=16"]
GIVEN = {  # row → what the run was given
    "pix2pix+cpu": ["pix2pix", *TINY, "downs=3", "--seed", "3"],
    "cut+fast+cpu": ["cut", *CONTRASTIVE, "lr=1e-5", "betas=[1e-5, 0.9]", "--variant", "fast"],
    "my_row.1": ["usigan", *CONTRASTIVE, "discriminator_width=4", "iterations=5", "--label", "my_row.1", "--data",
                 r"slide=^[ab]|^\w", "--select", "best", "--validate-every", "2", "--validation-share", "0.4"],
    "cyclegan+cpu": ["cyclegan", *TINY, "blocks=1", "pool_size=3", "average=0.9", "--accumulate", "2",
                     "--checkpoint-activations", "--channels-last", "--deterministic", "--precision", "bf16-mixed"],
    "cut+cpu": ["cut", *CONTRASTIVE, "mirror=true", "load_size=36", "--data", "he=he", "--data", "split_by=folders",
                "--checkpoint-every", "2", "--keep-every", "1"],
}  # fmt: skip


def arguments(given: list[str]) -> list[str]:
    method, *rest = given
    settings = [word for word in rest if re.match(r"\w+=", word) and rest[rest.index(word) - 1] != "--data"]
    others = [word for word in rest if word not in settings]
    return ["train", method, *COMMON, *(word for text in settings for word in ("--set", text)), *others]


def run_command(words: list[str]) -> None:
    app(words, standalone_mode=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images (data/) and five runs on them that were trained and evaluated in as many ways (results/)."""
    place, rng = tmp_path_factory.mktemp("mallory"), np.random.default_rng(0)
    for side in ("he", "ihc"):
        for split in ("train", "test"):
            folder = place / "data" / side / split
            folder.mkdir(parents=True)
            for name in ("a1", "a2", "b1", "b2", "c1"):
                pixels = rng.integers(60, 256, (10, 10, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
                Image.fromarray(pixels).save(folder / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        where = ["--dataset", "folder", "--stain", "er", "--data-root", str(place / "data")]
        for given in GIVEN.values():
            run_command([*arguments(given), *where])
        run_command(["evaluate", "--all", "--device", "cpu"])
    return place


@pytest.fixture
def elsewhere(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder to repeat the runs in, where the data set is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VSBENCH_DATA", str(trained / "data"))
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What trainings are started with, in place of their start."""
    calls: list[tuple[Any, ...]] = []

    def started(*given: Any) -> Run:
        calls.append(given)
        return Run(Path("run"))

    monkeypatch.setattr(engine, "start", started)
    return calls


def by_row(comparisons: list[Comparison]) -> dict[str, Record]:
    return {record["row"]: record for record in records(comparisons)}


def comparisons_of(results: Path) -> list[Comparison]:
    return compare(load_results(results))


@pytest.mark.parametrize("row", GIVEN)
def test_the_command_asks_for_what_the_run_was_given(
    trained: Path, elsewhere: Path, asked: list[tuple[Any, ...]], row: str
) -> None:
    printed = by_row(comparisons_of(trained / "results"))[row]
    recorded = read_json(trained / "results" / printed["folder"] / "run.json")
    assert printed["notes"] == [] or all("source" in note for note in printed["notes"])
    run_command(shlex.split(printed["commands"][0])[1:])
    ((request, fabric, resume, _, rhythm, _, accept_data),) = asked
    found = resolve(request)
    assert json.loads(found.config.model_dump_json()) == recorded["config"]
    assert found.row == row
    assert not resume
    assert not accept_data
    for key in ("method", "preset", "seed", "dataset", "dataset_options", "stain", "select"):
        assert getattr(request, key) == recorded[key], key
    assert asdict(request.execution) == recorded["execution"]
    assert len(found.pairs.train) == recorded["train_pairs"]
    assert found.pairs.slides == (recorded["validation"] or {"slides": []})["slides"]
    assert request.validate_every == (recorded["validation"] or {"every": None})["every"]
    assert (fabric.strategy.precision.precision, fabric.world_size) == (recorded["precision"], recorded["world"])
    kept = {"every": rhythm.checkpoint, "keep": rhythm.keep, "keep_every": rhythm.keep_every}
    assert kept == recorded["checkpoints"]


@pytest.mark.parametrize("row", GIVEN)
def test_the_command_trains_the_same_weights(trained: Path, elsewhere: Path, row: str) -> None:
    printed = by_row(comparisons_of(trained / "results"))[row]
    run_command(shlex.split(printed["commands"][0])[1:])
    runs = [Run(place / "results" / printed["folder"]) for place in (trained, elsewhere)]
    first, again = (read_json(run.record_file) for run in runs)
    assert first["train_digest"] == again["train_digest"] == printed["train_digest"]
    assert first["chosen_step"] == again["chosen_step"] == printed["chosen_step"]
    from safetensors.numpy import load_file

    weights, repeated = (load_file(chosen_checkpoint(run).weights) for run in runs)
    assert all(np.array_equal(weights[name], repeated[name]) for name in weights)


def test_evaluations_are_repeated_too(trained: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(evaluations, "evaluate_runs", lambda runs, *rest, **more: calls.append(runs) or ([], []))
    printed = by_row(comparisons_of(trained / "results"))
    run_command(shlex.split(printed["cut+cpu"]["commands"][1])[1:])
    assert [run.folder for run in calls[0]] == [Path("results/runs/folder-er/cut+cpu/seed-0")]
    assert printed["he"]["commands"] == ["vsbench evaluate --all"]


def test_only_settings_that_differ_are_given(trained: Path) -> None:
    printed = by_row(comparisons_of(trained / "results"))
    usual = json.loads(load("vsbench.methods", "cut").configure("cpu", {"variant": "fast"}).model_dump_json())
    settings = printed["cut+fast+cpu"]["settings"]
    assert settings["lr"] == 1e-5
    assert settings
    assert all(usual[key] != value for key, value in settings.items())
    assert {key: usual[key] for key in usual if key not in settings}.items() <= printed["cut+fast+cpu"][
        "config"
    ].items()


def test_nothing_tells_where_it_was_made(trained: Path) -> None:
    comparisons = comparisons_of(trained / "results")
    assert str(trained) not in json.dumps(records(comparisons))
    assert "mallory" not in appendix(comparisons)  # no word that a digest could hold


@pytest.mark.parametrize(
    "value",
    [1e-5, 3, True, None, "1e-4", "null", "{stain}", "a b", "it's", 'say "x"', "x: y", "#c", "", "é", "$x", [1e-5, 0.5],
     [[1, 2], [3]], {"a": 1}, ["a, b", "c"], "2020-01-01", "yes", -0.0, 1e300],
)  # fmt: skip
def test_settings_survive_the_shell_and_yaml(value: Any) -> None:
    text = setting("key", value)
    assert text is not None
    (word,) = shlex.split(shlex.quote(text))
    assert json.dumps(parse_settings([word])["key"]) == json.dumps(value)


def test_what_no_command_line_can_say_is_noted_and_not_said() -> None:
    assert setting("key", {"a": None}) is None  # a mapping of nothing is read as text


def full_record(**changes: Any) -> Record:
    """A run.json of today's CUT."""
    config = json.loads(load("vsbench.methods", "cut").configure("paper").model_dump_json())
    return {
        "kind": "trained", "row": "cut", "title": "CUT", "method": "cut", "preset": "paper", "variant": "",
        "config": config, "seed": 0, "dataset": "mist", "dataset_options": {}, "stain": "er", "data_root": "/mnt/x",
        "train_pairs": 4153, "train_slides": None, "train_digest": "a" * 64, "select": "last", "validation": None,
        "checkpoints": {"every": 5000, "keep": 2, "keep_every": None}, "precision": "32-true", "world": 1,
        "execution": {"compile": False, "channels_last": False, "accumulate": 1, "checkpoint_activations": False},
        "device": "NVIDIA A100", "parameters": {"generator": 1000, "discriminator": 200},
        "versions": {"vsbench": "0.1.0", "torch": "2.14.1"}, "git": "c" * 40, "steps": 100, "chosen_step": 100,
        "wall_time_s": 120.0, "peak_memory_bytes": 5 * 2**29, "finished": True,
    } | changes  # fmt: skip


@pytest.fixture
def add(tree: Tree) -> Callable[..., Path]:
    """``add("cut", seed=1, stain="pr", world=8)``: a run with a record of its own; its folder."""

    def make(
        row: str, *, seed: int = 0, dataset: str = "mist", stain: str = "er", title: str | None = None, **changes: Any
    ) -> Path:
        folder = tree.add(row, {"r_p": 50.0 + seed}, seed=seed, dataset=dataset, stain=stain, title=title or row)
        record = full_record(row=row, seed=seed, dataset=dataset, stain=stain, **changes)
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return make


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (None, "run.json is missing"),
        ("{", "run.json is damaged"),
        ("[1]", "run.json is damaged"),
        ('{"kind": "trained"}', "run.json is damaged"),
        ('{"method": "cut", "config": 3, "dataset": "mist", "stain": "er", "seed": 0}', "run.json is damaged"),
    ],
)
def test_what_is_not_recorded_is_said_and_not_made_up(tree: Tree, content: str | None, note: str) -> None:
    folder = tree.add("cut", {"r_p": 50.0})
    (folder / "run.json").unlink()
    if content is not None:
        (folder / "run.json").write_text(content, encoding="utf-8")
    (record,) = records(comparisons_of(tree.results))
    assert any(note in text for text in record["notes"]), record["notes"]
    assert not [command for command in record["commands"] if " train " in command]
    absent = ("versions", "git", "device", "wall_time_s", "peak_memory_bytes", "parameters", "weights_digest")
    assert {record[key] for key in absent} == {None}
    text = appendix(comparisons_of(tree.results))
    assert "not recorded" in text
    assert "trained on not recorded" in text


def test_a_record_of_before_a_setting_says_so(add: Callable[..., Path], tree: Tree) -> None:
    config = full_record()["config"]
    del config["mirror"]
    add("cut", config=config | {"forgotten": 7, "lr": 0.5})
    (record,) = records(comparisons_of(tree.results))
    assert record["commands"][0] == "vsbench train cut --set lr=0.5 --dataset mist --stain er --seed 0"
    assert any("no setting forgotten" in note and "forgotten = 7" in note for note in record["notes"])
    assert any("as this version has it: mirror = false" in note for note in record["notes"])


def test_fields_of_before_they_were_recorded_say_so(add: Callable[..., Path], tree: Tree) -> None:
    add("cut", world=4, execution=None, precision=None, dataset_options=None, select=None, git="c" * 40 + "+")
    (record,) = records(comparisons_of(tree.results))
    notes = " ".join(record["notes"])
    for part in (
        "execution is not",
        "precision is not",
        "options of the data set",
        "held out",
        "not committed",
        "machines",
    ):
        assert part in notes, part


def test_accepted_data_and_weights_it_started_from_are_told(add: Callable[..., Path], tree: Tree) -> None:
    accepted = {"step": 7, "before": "a" * 64, "after": "b" * 64, "files": ["he/train/x.png"]}
    file = str(tree.results.absolute() / "runs" / "mist-er" / "other" / "w.safetensors")
    continued = {"step": 91, "before": {"steps": 91}, "after": {"steps": 100}}
    add("cut", accepted_data=[accepted], continued=[continued], started_from="c" * 64, started_from_file=file)
    (record,) = records(comparisons_of(tree.results))
    notes = " ".join(record["notes"])
    for part in ("finished at step 91", "from step 7 on", "he/train/x.png", "a" * 12, "b" * 12, "c" * 12):
        assert part in notes, part
        assert part in appendix(comparisons_of(tree.results)).replace(r"\allowbreak{}", "").replace("{}", ""), part
    assert "--from results/runs/mist-er/other/w.safetensors" in record["commands"][0]


def test_a_method_that_is_not_installed_gets_all_its_settings(add: Callable[..., Path], tree: Tree) -> None:
    add("lost", method="lost", config={"variant": "", "lr": 1e-5, "name": "it's"})
    (record,) = records(comparisons_of(tree.results))
    words = shlex.split(record["commands"][0])
    assert words[:7] == ["vsbench", "train", "lost", "--set", "lr=1.0e-05", "--set", "name=it's"]
    assert any("all settings are given" in note for note in record["notes"])


def test_settings_that_cannot_be_brought_back_are_named(add: Callable[..., Path], tree: Tree) -> None:
    add("cut", config=full_record()["config"] | {"lr": -1.0})
    (record,) = records(comparisons_of(tree.results))
    assert any("does not bring back" in note and "lr" in note for note in record["notes"])


def test_paths_in_options_become_the_users_own(add: Callable[..., Path], tree: Tree) -> None:
    add("cut", dataset="ihc4bc", dataset_options={"labels": "/mnt/x/deep/l.csv", "split_seed": 3})
    add("cut", seed=1, dataset="ihc4bc", dataset_options={"labels": "/opt/secret/l.csv"})
    first, second = sorted(records(comparisons_of(tree.results)), key=lambda record: record["seed"])
    assert "--data labels=deep/l.csv --data split_seed=3" in first["commands"][0]
    assert "--data 'labels=<elsewhere>/l.csv'" in second["commands"][0]
    assert any("path of your own" in note for note in second["notes"])


def external(tree: Tree, *, suffix: str | None = None, resize: str | None = None, **changes: Any) -> Path:
    folder = tree.add("their-cut", {"r_p": 40.0}, kind="external", **changes)
    if resize is not None:
        tree.also_in(folder, f"resize-{resize}")
        shutil.rmtree(folder / "evaluation/native")
    record = {"kind": "external", "row": "their-cut", "title": "their cut", "dataset": "mist", "stain": "er"}
    record |= {"images": "/opt/secret/cut fakes", "suffix": suffix, "resize": resize, "dataset_options": {}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_images_made_elsewhere(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    external(tree, suffix="_fake_B", resize="box")
    (record,) = records(comparisons_of(tree.results))
    calls: list[Any] = []
    monkeypatch.setattr("vsbench.evaluation.group.Group", lambda *given: given)
    monkeypatch.setattr(evaluations, "evaluate_images", lambda *given: calls.append(given) or ([], []))
    run_command(shlex.split(record["commands"][0])[1:])
    folder, name, group, _, _, suffix, resize, _ = calls[0]
    assert (folder, name, suffix, resize) == (Path("<elsewhere>/cut fakes"), "their-cut", "_fake_B", "box")
    assert group[:3] == ("mist", {}, "er")
    text = appendix(comparisons_of(tree.results)).replace(r"\allowbreak{}", "")
    assert r"images of \textless{}elsewhere\textgreater{}/cut fakes, found by the pair's name and \_fake\_B" in text


def test_evaluations_at_a_common_size_say_so_in_their_commands(tree: Tree, add: Callable[..., Path]) -> None:
    for folder in (external(tree), add("cut")):
        tree.also_in(folder, "size-16x16-box")
    found = records(compare(load_results(tree.results, protocol="size-16x16-box")))
    assert len(found) == 2
    assert all("--size 16x16 --resize box" in record["commands"][-1] for record in found)
    assert not any("--size" in record["commands"][-1] for record in records(comparisons_of(tree.results)))


def test_how_a_result_folder_was_matched(tree: Tree) -> None:
    external(tree, warnings=["images made elsewhere", "CycleGAN result folder: *_fake_B of 12 files"])
    assert r"found by CycleGAN result folder: *\_fake\_B of 12 files" in appendix(comparisons_of(tree.results))


def test_evaluation_options_come_back(tree: Tree, add: Callable[..., Path]) -> None:
    folder = add("cut")
    file = folder / "evaluation/native/summary.json"
    summary = read_json(file)
    summary["values"]["fd_encoder"] = summary["values"]["lpips_vgg"] = summary["values"]["r_p"]
    summary |= {"skipped": {"003": "bad"}, "provenance": {"alexnet": "random:7", "encoder=own": "0" * 64}}
    file.write_text(json.dumps(summary), encoding="utf-8")
    (record,) = records(comparisons_of(tree.results))
    expected = "results/runs/mist-er/cut/seed-0 --also encoder=own --also lpips_vgg --weights random:7 --on-bad skip"
    assert record["commands"][1] == f"vsbench evaluate {expected}"


def test_loops_say_the_same_as_the_commands() -> None:
    commands = [
        f"vsbench train cut --set 'name={name}' --stain {stain} --seed {seed}"
        for name, seeds in (("it'\"'\"'s", (0, 1, 2)), ("b c", (5,)))
        for stain in ("er", "'p r'")
        for seed in seeds
        if (stain, seed) != ("er", 2)
    ]
    short = loops(commands)
    assert len(short) == 3
    script = 'vsbench() { for word in "$@"; do printf "%s\\0" "$word"; done; printf "\\n"; }; '
    done = subprocess.run(["bash", "-c", script + "; ".join(short)], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.splitlines()) == sorted(
        "".join(f"{word}\0" for word in shlex.split(command)[1:]) for command in commands
    )


def test_what_is_shared_is_said_once_and_what_differs_names_its_runs(add: Callable[..., Path], tree: Tree) -> None:
    for stain in ("er", "pr"):
        for seed in (0, 1):
            add(
                "cut",
                seed=seed,
                stain=stain,
                title="CUT",
                device="NVIDIA H100" if (stain, seed) == ("pr", 1) else "A100",
            )
    text = appendix(comparisons_of(tree.results)).replace(r"\allowbreak{}", "")
    assert text.count("torch 2.14.1") == 1
    assert "A100 (all but what follows); NVIDIA H100 (CUT: PR seed 1)" in text
    assert text.count(r"-{}-stain \typed{34}\$stain") == 1
    assert r"for stain in er pr; do for seed in 0 1; do vsbench train cut" in text
    assert "2.0 & 2.50 &" in text  # minutes, GiB


def test_the_speed_of_translation_and_its_weights_are_told(add: Callable[..., Path], tree: Tree) -> None:
    folder = add("cut")
    made = {"weights": "b" * 64, "he": "d" * 64, "seconds": 4.0, "images": 10, "device": "A100"}
    (folder / "images/test.json").write_text(json.dumps(made), encoding="utf-8")
    (record,) = records(comparisons_of(tree.results))
    assert (record["translated_images_per_s"], record["translated_on"]) == (2.5, "A100")
    assert record["weights_digest"] == "b" * 64
    assert r"2.5 & \texttt{bbbbbbbb}" in appendix(comparisons_of(tree.results))


def test_csv_has_a_line_for_each_run(add: Callable[..., Path], tree: Tree) -> None:
    add("cut", title='a, "b"\nc')
    add("cut", seed=1)
    found = records(comparisons_of(tree.results))
    lines = list(csv.DictReader(io.StringIO(as_csv(found), newline="")))
    assert [line["seed"] for line in lines] == ["0", "1"]
    assert lines[0]["title"] == found[0]["title"]
    assert json.loads(lines[0]["config"]) == found[0]["config"]
    assert as_csv([]) == "" == appendix([])


@pytest.mark.skipif(shutil.which("pdflatex") is None or shutil.which("pdftotext") is None, reason="needs pdflatex")
def test_it_compiles_without_a_warning_and_commands_can_be_copied(
    add: Callable[..., Path], tree: Tree, tmp_path: Path
) -> None:
    hostile = r"50%_a&b <b>x</b> \input{/etc/passwd} $x$ #~^{}"
    add("cut", title=hostile, dataset_options={"slide": 'it\'s "$x" `y`'}, git="c" * 40 + "+")
    for stain in ("er", "pr"):
        for seed in (0, 1, 2):
            add("x" * 60, title="n" * 60, seed=seed, stain=stain, world=8)
    external(tree)
    tree.add("he", {"r_p": 1.0}, kind="reference", title="H&E unchanged")
    packages = "\\usepackage{booktabs}\n\\usepackage{array}\n\\usepackage{longtable}"
    text = document("Appendix", [appendix(comparisons_of(tree.results))]).replace("\\usepackage{booktabs}", packages)
    (tmp_path / "main.tex").write_text(text, encoding="ascii")
    for _ in range(3):  # longtable finds its widths
        latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
        done = subprocess.run(latex, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "main.log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if re.search(r"Warning|Overfull|Underfull", line)]
    printed = subprocess.run(
        ["pdftotext", "-raw", "main.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    words = "".join(printed.stdout.split())
    assert "50%_a&b<b>x</b>\\input{<elsewhere>/passwd}$x$#~^{}" in words
    assert "forseedin012;dovsbenchtraincut--label" in words
    assert '--stain"$stain"--seed"$seed";done;done' in words
    assert """--data'slide=it'"'"'s"$x"`y`'""" in words
