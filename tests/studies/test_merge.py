"""Results of several machines become one: nothing is lost, mixed, half written, or changed where it came from."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsbench.engine.lock import locked
from vsbench.engine.run import Run, find_runs
from vsbench.errors import RunError, UsageError
from vsbench.evaluation.evaluate import evaluate_runs
from vsbench.evaluation.instrument import Instrument
from vsbench.studies import merge as merging
from vsbench.studies.merge import Merged, merge

Read = Callable[..., Any]
Snapshot = dict[str, tuple[bytes, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``trained`` keeps what was trained once."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture
def trained(study: Read, train_here: Any, whole: Path) -> Path:
    """A results folder: ``a`` with seeds 0 and 1, ``b`` with seed 0, all evaluated on two images."""
    if not (whole / "runs").exists():
        _, rows = study(methods=[{"method": "regression", "label": "a"}], seeds=[0, 1], results=str(whole))
        _, others = study(methods=[{"method": "regression", "label": "b", "options": {"lr": 0.5}}], results=str(whole))
        for row in (*rows, *others):
            train_here(row)
        import torch

        runs = [row.run for row in (*rows, *others)]
        outcomes, failures = evaluate_runs(runs, None, whole, Instrument({}), torch.device("cpu"))
        assert (len(outcomes) > len(runs), failures) == (True, [])
    return whole


@pytest.fixture
def part(trained: Path, tmp_path: Path) -> Callable[..., Path]:
    """``part("one", "a/seed-0")``: a copy of the results with these runs alone, references beside them."""

    def copy(name: str, *kept: str) -> Path:
        shutil.copytree(trained, tmp_path / name)
        for run in find_runs(tmp_path / name, "trained"):
            if "/".join(run.folder.parts[-2:]) not in kept:
                shutil.rmtree(run.folder)
        return tmp_path / name

    return copy


def group(results: Path) -> Path:
    return results / "runs" / "folder-ki67"


def snapshot(folder: Path) -> Snapshot:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in snapshot(folder).items() if not name.endswith(".lock")}


def together(*folders: Path, **more: Any) -> Merged:
    return merge(folders[:-1], folders[-1], lambda line: None, **more)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("copy", [False, True])
def test_parts_are_the_whole_again_and_stay_what_they_were(
    part: Any, trained: Path, tmp_path: Path, copy: bool
) -> None:
    one, two = part("one", "a/seed-0"), part("two", "a/seed-1", "b/seed-0")
    before = snapshot(one), snapshot(two)
    merged = together(one, two, tmp_path / "into", copy=copy)
    assert contents(group(tmp_path / "into")) == contents(group(trained))
    assert (snapshot(one), snapshot(two)) == before
    assert not merged.left
    weights = next(group(tmp_path / "into").glob("a/seed-0/checkpoints/*.safetensors"))
    assert weights.samefile(one / weights.relative_to(tmp_path / "into")) is not copy
    log, record = (group(tmp_path / "into") / "a/seed-0" / name for name in ("log.csv", "run.json"))
    for file in (log, record):
        assert not file.samefile(one / file.relative_to(tmp_path / "into")), "it may be written in place later"
    again = together(one, two, tmp_path / "into", copy=copy)
    assert (again.added, again.replaced) == ([], [])
    assert len(again.there) == len(merged.added) > 3


def test_two_different_runs_of_one_name_are_named_before_anything_is_written(part: Any, tmp_path: Path) -> None:
    """Between two sources, and between a source and what is there; other settings, and other weights."""
    one, two, into = part("one", "a/seed-0", "a/seed-1"), part("two", "a/seed-0"), tmp_path / "into"
    weights = next(group(two).glob("a/seed-0/checkpoints/*.safetensors"))
    other = next(group(one).glob("a/seed-1/checkpoints/*.safetensors"))
    for file in weights.parent.iterdir():  # as another device would have trained them
        shutil.copyfile(other.parent / file.name, file)
    with pytest.raises(RunError, match=r"two/.*a/seed-0 and .*one/.*a/seed-0: two different runs .*other weights"):
        together(one, two, into)
    assert not into.exists() or set(contents(into)) == set()
    edit(
        group(two) / "a/seed-0/run.json",
        config=json.loads((group(two) / "a/seed-0/run.json").read_text())["config"] | {"lr": 9.0},
    )
    together(one, into)
    before = contents(into)
    with pytest.raises(RunError, match=r"two/.*and .*into/.*a/seed-0.*lr = "):
        together(two, into)
    assert contents(into) == before


def test_a_row_holds_seeds_of_one_training_alone(part: Any, tmp_path: Path) -> None:
    one, two = part("one", "a/seed-0"), part("two", "b/seed-0")
    shutil.move(group(two) / "b/seed-0", group(two) / "a/seed-7")
    file = group(two) / "a/seed-7/run.json"
    edit(file, row="a", title="a", seed=7)
    with pytest.raises(RunError, match=r"folder-ki67/a: .*rows of one name, made otherwise"):
        together(one, two, tmp_path / "into")
    edit(file, row="c")
    with pytest.raises(RunError, match=r"speaks of another row than its folder"):
        together(two, tmp_path / "into")


def test_an_interrupted_merge_shows_nothing_half_made_and_goes_on(
    part: Any, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, into = part("one", "a/seed-0", "a/seed-1", "b/seed-0"), tmp_path / "into"
    place, wanted = merging._place, len(contents(group(one)))
    reached, left = 0, 0
    while True:
        left = reached + wanted // 4

        def stops(*words: Any, left: int = left, **more: Any) -> None:
            nonlocal reached
            if reached == left:
                raise KeyboardInterrupt
            reached += 1
            place(*words, **more)

        monkeypatch.setattr(merging, "_place", stops)
        try:
            together(one, into)
            break
        except KeyboardInterrupt:
            for run in find_runs(into):
                assert contents(run.folder) == contents(one / run.folder.relative_to(into)), "whole, or not there"
    assert contents(group(into)) == contents(group(trained))
    assert reached < 2 * wanted, "what was made is gone on with"
    assert not (into / ".merging").exists()


def test_killed_between_the_two_names_of_a_replacement(part: Any, tmp_path: Path) -> None:
    into = part("into", "a/seed-0")
    place = (group(into) / "a/seed-0").relative_to(into)
    before = into / merging.BEFORE / place
    before.parent.mkdir(parents=True)
    (into / place).rename(before)
    together(part("one", "b/seed-0"), into)
    assert Run(into / place).record.row == "a"


def test_of_one_training_that_is_not_finished_the_further_one_stays(part: Any, tmp_path: Path) -> None:
    finished, behind = part("finished", "a/seed-0"), part("behind", "a/seed-0")
    run = group(behind) / "a/seed-0"
    edit(run / "run.json", finished=False)
    for file in run.glob("checkpoints/step-00000002*"):
        file.unlink()
    shutil.rmtree(run / "evaluation")
    into = tmp_path / "into"
    assert together(behind, into).left == []
    assert Run(group(into) / "a/seed-0").trained.finished is False
    assert together(finished, into).replaced == [group(into) / "a/seed-0"]
    assert contents(group(into) / "a/seed-0") == contents(group(finished) / "a/seed-0")
    (left,) = together(behind, into).left
    assert "is further with this training" in left
    assert contents(group(into) / "a/seed-0") == contents(group(finished) / "a/seed-0")
    assert together(behind, finished, tmp_path / "both").added
    assert Run(group(tmp_path / "both") / "a/seed-0").trained.finished is True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a second process")
def test_a_run_that_is_being_trained_is_left_for_the_next_time(part: Any, tmp_path: Path) -> None:
    one = part("one", "a/seed-0", "b/seed-0")
    edit(group(one) / "a/seed-0/run.json", finished=False)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with locked(group(one) / "a/seed-0", print):
            os.write(write, b"x")
            os.read(os.open("/dev/null", os.O_RDONLY), 1)
            signal_pause()
        os._exit(0)
    try:
        os.read(read, 1)
        (left,) = together(one, tmp_path / "into").left
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert f"in use by process {child}" in left
    assert not (group(tmp_path / "into") / "a").exists()
    together(one, tmp_path / "into")
    assert (group(tmp_path / "into") / "a/seed-0/run.json").exists()


def signal_pause() -> None:
    import signal

    signal.pause()


@pytest.mark.parametrize("name", ["checkpoints/step-00000002.safetensors", "checkpoints/step-00000002.state.pt",
                                  "evaluation/native/per_image.csv", "run.json"])  # fmt: skip
def test_what_is_damaged_is_named_and_not_taken_over(part: Any, tmp_path: Path, name: str) -> None:
    one, into = part("one", "a/seed-0"), tmp_path / "into"
    file = group(one) / "a/seed-0" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(RunError, match=name.rpartition("/")[2].replace(".", r"\.")):
        together(one, into)
    assert not (group(into) / "a/seed-0").exists()


def test_evaluations_and_images_of_the_same_run_are_added(part: Any, trained: Path, tmp_path: Path) -> None:
    bare = part("bare", "a/seed-0")
    for name in ("evaluation", "images"):
        shutil.rmtree(group(bare) / "a/seed-0" / name)
    together(part("one", "a/seed-0"), bare)
    assert contents(group(bare) / "a/seed-0") == contents(group(trained) / "a/seed-0")


def test_of_two_places_that_have_the_same_run_each_adds_what_it_alone_has(
    part: Any, trained: Path, tmp_path: Path
) -> None:
    """One measured it, one kept its images, one neither; in any order, and where it is there already."""
    parts = [part(name, "a/seed-0") for name in ("measured", "drawn", "bare")]
    for results, lacks in zip(parts, (("images",), ("evaluation",), ("images", "evaluation")), strict=True):
        for name in lacks:
            shutil.rmtree(group(results) / "a/seed-0" / name)
    for into, sources in (("one", parts), ("two", parts[::-1]), ("three", [*parts, parts[0]])):
        merged = together(*sources, tmp_path / into)
        assert group(tmp_path / into) / "a/seed-0" in merged.added
        assert contents(group(tmp_path / into) / "a/seed-0") == contents(group(trained) / "a/seed-0")
    shutil.copytree(parts[2], tmp_path / "four")
    assert not [run for run in together(*parts, tmp_path / "four").added if run.parent.name == "a"]
    assert contents(group(tmp_path / "four") / "a/seed-0") == contents(group(trained) / "a/seed-0")


def test_links_that_lead_out_of_a_run_are_not_followed(part: Any, tmp_path: Path) -> None:
    one = part("one", "a/seed-0")
    (tmp_path / "secret").write_text("x")
    (group(one) / "a/seed-0" / "job.log").symlink_to(tmp_path / "secret")
    (group(one) / "a/seed-0" / "job.json").write_text("{}")
    together(one, tmp_path / "into")
    assert not (group(tmp_path / "into") / "a/seed-0/job.json").exists(), "a process of another machine is none here"
    assert not (group(tmp_path / "into") / "a/seed-0/job.log").exists()


@pytest.mark.parametrize("copy", [False, True])
def test_what_slurm_said_of_a_job_comes_along(part: Any, tmp_path: Path, copy: bool) -> None:
    """Its logs lie beside the runs, linked; in the merged folder they are files, which nobody writes to any more."""
    one, into = part("one", "a/seed-0", "a/seed-1"), tmp_path / "into"
    (one / "slurm").mkdir()
    (one / "slurm" / "5_0_0_log.out").write_text("submitit INFO\n")
    (tmp_path / "secret").write_text("x")
    for name, leads_to in (("5_0", "../../../../slurm/5_0_0_log.out"), ("6", one / "slurm" / "5_0_0_log.out"),
                           ("7", "../../../../slurm/7_log.out"), ("8", "../../../../../secret")):  # fmt: skip
        (group(one) / "a/seed-0" / f"slurm-{name}.log").symlink_to(leads_to)
    before = snapshot(one)
    together(one, into, copy=copy)
    assert snapshot(one) == before
    logs = sorted((group(into) / "a/seed-0").glob("slurm-*.log"))
    assert [log.name for log in logs] == ["slurm-5_0.log", "slurm-6.log"], "nothing dangles, nothing leads out"
    assert not any(log.is_symlink() for log in logs)
    shutil.rmtree(one)
    assert {log.read_text() for log in logs} == {"submitit INFO\n"}
    assert together(into, tmp_path / "third").added


def test_folders_that_cannot_be_merged(part: Any, tmp_path: Path) -> None:
    one = part("one", "a/seed-0")
    for folders in ((one, one), (one, one / "into"), (one / "runs", tmp_path), (tmp_path / "none", tmp_path / "into")):
        with pytest.raises(UsageError):
            together(*folders)


def test_ablation_studies_have_the_seeds_of_all(part: Any, tmp_path: Path) -> None:
    record = json.loads((Path(__file__).parents[1] / "records/results-0.1.0/report/suites/"
                         "usigan+cpu-table8-folder-ki67.json").read_text())  # fmt: skip
    places = []
    for name, seeds in (("one", [0, 1]), ("two", [2])):
        places.append(part(name, "a/seed-0"))
        file = places[-1] / "report/suites/x.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(record | {"seeds": seeds}))
    together(*places, tmp_path / "into")
    assert json.loads((tmp_path / "into/report/suites/x.json").read_text())["seeds"] == [0, 1, 2]
    edit(places[1] / "report/suites/x.json", preset="paper")
    with pytest.raises(RunError, match=r"x\.json: another study"):
        together(*places, tmp_path / "into")
