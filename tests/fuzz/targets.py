"""What reads the files: each target with the folder it reads, the files in it that are changed, and the reading."""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import corpus

from vsbench.cli.app import app
from vsbench.config import parse_settings
from vsbench.data.decode import read_rgb, read_size
from vsbench.data.headers import require_trainable
from vsbench.data.manifest import Manifest
from vsbench.data.pairs import Pair
from vsbench.data.splits import read_list
from vsbench.engine.checkpoint import checkpoints, inner_digest, load_method, load_state
from vsbench.engine.log import HEAD, kept_rows
from vsbench.engine.request import Request, resolve
from vsbench.engine.run import Run, find_runs
from vsbench.engine.validate import HEAD as VALIDATION
from vsbench.errors import RunError, UserError
from vsbench.evaluation.compare import compare as compare_runs
from vsbench.evaluation.digests import Digests
from vsbench.evaluation.evaluated import read
from vsbench.evaluation.known import KnownFeatures
from vsbench.exchange.board import write_board
from vsbench.exchange.bundle import open_bundle
from vsbench.exchange.sources import Pairs, run_at
from vsbench.exchange.submissions import check, read_submissions
from vsbench.files import only_ours, write_json
from vsbench.names import checked_name
from vsbench.reader_study.analyse import analyse
from vsbench.reader_study.draw import draw, read_key
from vsbench.reader_study.scores import read_scores
from vsbench.records.bundle import CARD, GENERATOR
from vsbench.records.data import TrainingData
from vsbench.records.images import Stamp
from vsbench.records.summary import Summary
from vsbench.registry import load
from vsbench.report.ledger import Ledger, read_ledger
from vsbench.report.published import audit
from vsbench.report.spread import spreads_of
from vsbench.report.spread_text import pairs_table
from vsbench.report.studies import read_studies
from vsbench.report.tables import compare, load_results, problems, tidy

UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError, RunError)
ROWS = "runs/folder-ki67"
TRAINED = f"{ROWS}/pix2pix+cpu/seed-0"
FROM_RESULTS = ("results", "readers", "bundles", "submissions")  # folders
LOG = (*HEAD, "d_real", "d_fake", "g_adversarial", "g_l1")


@dataclass(frozen=True)
class Target:
    """``act`` reads a copy of ``folder`` in which one file is changed, ``act(copy, file)``. The pairs lie beside it.

    ``share``: how often it is taken, to one of 1. ``seconds``: it must take less.
    """

    folder: str
    files: str  # a pattern below the folder
    act: Callable[[Path, Path], None]  # (the folder, the file that was changed)
    share: float = 1.0
    seconds: int = 10
    seal: bool = False  # most of the time, digests of what was changed are made to hold
    named: bool = True  # a refusal names the file, or a folder it lies in


def each(*acts: Callable[[], object]) -> None:
    """All of these. Raises what was refused as one group, and at once whatever else is raised."""
    refused = []
    for act in acts:
        try:
            act()
        except UserError as error:
            refused.append(error)
    if refused:
        raise ExceptionGroup("refused", refused)


def pairs(folder: Path) -> Path:
    """The images of the data set, which nobody has changed."""
    return folder.parent / "pairs"


def command(*words: object) -> None:
    """The command line. Raises what it raises."""
    app([str(word) for word in words], standalone_mode=False)


def image(folder: Path, file: Path) -> None:
    """Whole, by its header, and as a tile to train on."""
    pair = Pair("x", file, folder / "plain.png", None, "train")
    each(lambda: read_rgb(file), lambda: read_size(file), lambda: require_trainable([pair], [], 16, True))


def archive(folder: Path, file: Path) -> None:
    """Prepared; what is refused leaves nothing behind."""
    dest = folder / "dest"
    try:
        command("data", "prepare", "folder", file, dest, "--stain", "ki67")
    except UserError:
        left = [found for found in dest.rglob("*") if found.is_file()]
        assert not left, f"refused, and {left[0].relative_to(folder)} is left"
        raise


def config(folder: Path, file: Path) -> None:
    """``--config`` of a training that is planned only."""
    command(
        "train", "pix2pix", "--preset", "cpu", "--dataset", "folder", "--stain", "ki67", "--data-root", pairs(folder),
        "--device", "cpu", "--dry-run", "--config", file,
    )  # fmt: skip


def settings(folder: Path, file: Path) -> None:
    """``--set`` and ``--data``, one a line."""
    method, data = load("vsbench.methods", "pix2pix"), load("vsbench.datasets", "folder")
    for line in _text(file).splitlines():
        with suppress(UserError):
            method.configure("cpu", parse_settings([line]))
        with suppress(UserError):
            list(data.from_options(parse_settings([line])).pairs(pairs(folder), "ki67", "test"))
        with suppress(UserError):
            checked_name(line, "--stain")


def request(folder: Path, file: Path) -> None:
    """A line of a study, and what it comes to."""
    asked = Request.from_yaml(_text(file))
    assert Request.from_yaml(asked.as_yaml()) == asked
    resolve(asked)


def _text(file: Path) -> str:
    """What a user gives as text; "" where there is no file to take it from."""
    return file.read_bytes().decode(errors="surrogateescape") if _is_small(file) else ""


def lists(folder: Path, file: Path) -> None:
    """Lists of stems."""
    read_list(file)


def published(folder: Path, file: Path) -> None:
    """Printed numbers and reruns with their cards, and how far they lie apart."""
    ledger = read_ledger(folder / "published", lambda _: None)
    for paper in ledger.papers:
        audit(paper)
    pairs_table(spreads_of(ledger).columns)


def manifest(folder: Path, file: Path) -> None:
    """What ``data prepare`` left, read by itself and by ``data verify``."""
    each(
        lambda: Manifest(file.parent),
        lambda: command("data", "verify", "folder", "--stain", "ki67", "--data-root", folder),
    )


def records(folder: Path, file: Path) -> None:
    """Each reader of what lies in a results folder, and what is asked of the records."""
    run = Run(folder / TRAINED)

    def ask() -> None:
        for one in find_runs(folder):
            record = one.record
            assert record.made
            if one.folder == run.folder:
                run.trained.differences(run.trained)

    each(
        ask,
        lambda: TrainingData.read(run.data_file),
        lambda: Stamp.read(run.stamp("test")),
        lambda: Summary.read(run.evaluation("native") / "summary.json").require_whole(run.evaluation("native")),
        lambda: read_studies(folder),
        lambda: KnownFeatures(folder / ROWS / "real.npz", Digests(folder / "digests.json")),
        lambda: kept_rows(run.log_file, LOG, 2),
        lambda: kept_rows(run.validation_file, VALIDATION.split(","), 2),
    )


def tables(folder: Path, file: Path) -> None:
    """What a report begins with."""
    told: list[str] = []
    for comparison in compare(load_results(folder, told.append)):
        problems(comparison)
    for line in told:
        assert len(line.replace("\n", " " * 2000)) < 2000, f"said in {len(line)} characters"
    tidy(load_results(folder))


def comparison(folder: Path, file: Path) -> None:
    """Two trainings and a reference."""
    rows = ("pix2pix+cpu/seed-0", "pix2pix+cpu/seed-1", "macenko/reference")
    compare_runs(read([Run(folder / ROWS / row) for row in rows]), resamples=100)


def weights(folder: Path, file: Path) -> None:
    """Checkpoints, for translation and to go on from."""
    for checkpoint in checkpoints(folder / TRAINED / "checkpoints"):
        if checkpoint.weights.name.partition(".")[0] == file.name.partition(".")[0]:
            load_method(checkpoint.weights)
            method = load("vsbench.methods", "pix2pix")
            fresh = method(method.configure("cpu", corpus.SETTINGS))
            load_state(checkpoint, fresh, fresh.optimizers(), "pix2pix")


def resume(folder: Path, file: Path) -> None:
    """The command goes on, from a record that says the training is not finished."""
    with suppress(UserError):
        record = Run(folder / TRAINED).trained
        if file.name != "run.json":
            Run(folder / TRAINED).write_record(record.model_copy(update={"finished": False}))
            for newest in (folder / TRAINED / "checkpoints").glob("step-00000002*"):
                if newest.name != file.name:
                    newest.unlink()
    sets = [f"--set={key}={value}" for key, value in corpus.SETTINGS.items()]
    command(
        "train", "pix2pix", "--preset", "cpu", "--dataset", "folder", "--stain", "ki67", "--data-root", pairs(folder),
        "--device", "cpu", "--data", f"slide={corpus.SLIDES['slide']}", *sets, "--select", "best", "--validate-every",
        1, "--validation-share", 0.5, "--workers", 0, "--results", folder, "--resume",
    )  # fmt: skip


def translate(folder: Path, file: Path) -> None:
    """The command, with a run folder."""
    command("translate", folder / TRAINED, pairs(folder) / "he/test", folder / "out", "--device", "cpu")


def report(folder: Path, file: Path) -> None:
    """Tables, page and LaTeX, without figures."""
    command("report", "--results", folder, "--out", folder / "out", "--no-figures", "--latex")


def drawn_report(folder: Path, file: Path) -> None:
    """With figures and the bundle."""
    command("report", "--results", folder, "--out", folder / "out", "--bundle", folder / "all.zip")


def evaluate(folder: Path, file: Path) -> None:
    """All runs, of which those are measured again that have to be."""
    command("evaluate", "--all", "--results", folder, "--device", "cpu")


def compare_command(folder: Path, file: Path) -> None:
    """Of two trainings, with seeds."""
    row = folder / ROWS / "pix2pix+cpu"
    command("compare", row / "seed-0", row / "seed-1", "--resamples", 100)
    command("compare", row, "--seeds", "--resamples", 100)


def bundles(folder: Path, file: Path) -> None:
    """Opened, a row on pairs, and the command that translates."""
    source = file if file.suffix == ".zip" else folder / "unpacked"

    def opened() -> None:
        with open_bundle(source) as bundle:
            load_method(bundle.generator)

    each(
        opened,
        lambda: run_at(source, folder / "results", Pairs("folder", "ki67", dict(corpus.SLIDES), pairs(folder))).record,
        lambda: command("translate", source, pairs(folder) / "he/test", folder / "out", "--device", "cpu"),
    )


def submissions(folder: Path, file: Path) -> None:
    """All that is wrong with each; and a board of them, where nothing is."""
    faults = [fault for sent in sorted(folder.glob("*.json")) for fault in check(sent)[1]]
    if faults:
        raise ExceptionGroup("refused", [UserError(fault) for fault in faults])
    write_board(read_submissions([folder]), Ledger((), (), ()), folder / "board")


def form(folder: Path, file: Path) -> None:
    """Images for readers are drawn."""
    draw(folder, n=2, repeats=1, real=True)


def readers(folder: Path, file: Path) -> None:
    """Key and scores."""
    analyse(read_scores(read_key(folder / "key.json"), [folder / "ann.csv", folder / "bob.csv"]), resamples=100)


def ledger(folder: Path, file: Path) -> None:
    """The list of what was written into a folder."""
    with only_ours(folder, "--out", ["list.txt"]):
        pass


def tiles(folder: Path, file: Path) -> None:
    """A data root with a bad image."""
    command("data", "verify", "folder", "--stain", "ki67", "--data-root", folder)


TARGETS = {
    "image": Target("images", "*", image, 8),
    "archive": Target("archives", "*", archive, 4),
    "config": Target("configs", "settings.yaml", config, 0.5, named=False),
    "settings": Target("configs", "set.txt", settings, 2, named=False),
    "request": Target("configs", "request.yaml", request, 2, named=False),
    "list": Target("configs", "list.txt", lists, 0.3),
    "published": Target("configs", "published/**/*.*", published, 1),
    "ledger": Target("configs", ".vsbench-files", ledger, 0.3),
    "manifest": Target("prepared", "**/vsbench-manifest.json", manifest, 1),
    "tile": Target("prepared", "**/*.png", tiles, 0.5),
    "record": Target("results", "**/*.[jcn][sp][ovz]*", records, 4),
    "table": Target("results", "runs/**/evaluation/**/*.*", tables, 2, seal=True),
    "compare": Target("results", f"{ROWS}/[pm]*/*/evaluation/**/*.*", comparison, 6, seal=True),
    "weights": Target("results", f"{TRAINED}/checkpoints/*", weights, 3, seal=True),
    "resume": Target("results", f"{TRAINED}/[rdlvc]*/**/*", resume, 0.5, 60, seal=True),
    "translate": Target("results", f"{TRAINED}/checkpoints/*.safetensors", translate, 0.5, 60),
    "report": Target("results", "**/*.*", report, 1.5, 90, seal=True),
    "figures": Target("results", "**/evaluation/**/*.*", drawn_report, 0.2, 180, seal=True),
    "evaluate": Target("results", "**/*.*", evaluate, 0.6, 90, seal=True),
    "compare command": Target("results", f"{ROWS}/pix2pix+cpu/**/*.*", compare_command, 1, 60, seal=True),
    "bundle": Target("bundles", "**/*.*", bundles, 2, 60, seal=True),
    "submission": Target("submissions", "*.*", submissions, 2, 60, seal=True),
    "form": Target("results", "**/evaluation/**/*.*", form, 1, seal=True),
    "readers": Target("readers", "*.*", readers, 4),
}


def make(root: Path, names: Collection[str]) -> None:
    """The folders of these targets, or of all where there are none, below ``root``."""
    pairs = corpus.make_pairs(root / "pairs")
    corpus.make_images(root / "images")
    corpus.make_archives(root / "archives", pairs)
    corpus.make_configs(root / "configs")
    with only_ours(root / "configs", "--out"):
        write_json(root / "configs/written.json", 1)
    corpus.make_prepared(root / "prepared", root / "archives")
    if names and {TARGETS[name].folder for name in names}.isdisjoint(FROM_RESULTS):
        return  # they take longest by far
    corpus.make_results(root / "results", pairs)
    corpus.make_reader_study(root / "readers", root / "results")
    corpus.make_bundles(root / "bundles", root / "results" / TRAINED, pairs)
    corpus.make_submissions(root / "submissions", root / "results")


def seal(folder: Path) -> None:
    """Make digests hold again, as in a folder from somebody who meant it."""
    for file in folder.glob("runs/*/*/*/evaluation/*/summary.json"):
        with suppress(*UNREADABLE):
            summary = json.loads(file.read_bytes()) if _is_small(file) else {}
            names = [name for name in summary["digests"] if _is_small(file.with_name(name))]
            summary["digests"] = {name: _digest(file.with_name(name)) for name in names}
            summary.pop("values_digest", None)
            file.write_text(json.dumps(summary), encoding="utf-8")
    for state in folder.glob("runs/*/*/*/checkpoints/*.state.pt"):
        digest = state.with_name(f"{state.name}.sha256")
        if _is_small(state) and _is_small(digest):
            digest.write_text(f"{_digest(state)}  {state.name}\n", encoding="utf-8")
    for card in folder.glob(f"*/{CARD}"):
        with suppress(*UNREADABLE):
            said = json.loads(card.read_bytes()) if _is_small(card) else {}
            said["files"] = {n: _digest(card.with_name(n)) for n in said["files"] if _is_small(card.with_name(n))}
            said["weights"] = inner_digest(card.with_name(GENERATOR))
            card.write_text(json.dumps(said), encoding="utf-8")
    for sent in folder.glob("folder-*.json"):  # submissions
        with suppress(*UNREADABLE):
            row = json.loads(sent.read_bytes()) if _is_small(sent) else {}
            for run, table in zip(row["runs"], sorted(folder.glob(f"{sent.stem}.*.csv")), strict=True):
                run["table"] = _digest(table) if _is_small(table) else run["table"]
            sent.write_text(json.dumps(row), encoding="utf-8")


def _is_small(file: Path) -> bool:
    return file.is_file() and file.stat().st_size < 1 << 24


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
