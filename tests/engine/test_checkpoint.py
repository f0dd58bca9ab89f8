"""Checkpoints: all comes back, bit for bit; what is damaged, foreign or hostile is refused by name."""

import json
import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from vsbench.engine.checkpoint import (
    Checkpoint,
    DamagedError,
    checkpoints,
    chosen_checkpoint,
    load_method,
    load_state,
    load_weights,
    prune,
    remove_leftovers,
    save_checkpoint,
    save_weights,
)
from vsbench.engine.run import Run
from vsbench.errors import RunError, UserError
from vsbench.files import file_digest
from vsbench.method import Batch, Method
from vsbench.records.run import TrainedRecord

Build = Callable[..., Method[Any]]


def take_steps(method: Method[Any], optimizers: dict[str, Any], steps: int) -> None:
    """So that optimizers and image pools hold something."""
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        he, ihc = (torch.rand((2, 3, 32, 32), generator=generator) * 2 - 1 for _ in range(2))
        maps = torch.rand((2, 5, 32, 32), generator=generator)  # for methods that ask for them
        for phase in method.training_step(Batch(he, ihc, maps=maps)):
            for name in phase.drives:
                optimizers[name].zero_grad()
            torch.stack(list(phase.losses.values())).sum().backward()
            for name in phase.drives:
                optimizers[name].step()


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Nested dictionaries, lists and tensors are equal bit for bit."""
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}, {key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for place, value in enumerate(expected):
            assert_same(found[place], value, f"{where}, {place}")
    else:
        assert found == expected, where


def drawn() -> tuple[float, ...]:
    """What the random generators give next."""
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002  the global one


@pytest.fixture
def saved(build: Build, tmp_path: Path) -> Checkpoint:
    method = build("cyclegan")
    optimizers = method.optimizers()
    take_steps(method, optimizers, 1)
    return save_checkpoint(tmp_path, 1, "cyclegan", method, optimizers)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit_in_the_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def flip_a_bit_of_a_weight(path: Path) -> None:
    """In the last bytes: of a tensor in a weights file. Both formats' own readers do not notice."""
    flip(path, path.stat().st_size - 2)


def grow_to_a_terabyte(path: Path) -> None:
    """Of holes: it takes no room, and hours to read."""
    os.truncate(path, 1 << 40)


def require_written(dtype: torch.dtype) -> None:
    """Skip where this release of safetensors writes no such numbers: then nobody can have been given a file of them."""
    try:
        save({"x": torch.zeros(1, dtype=dtype)})
    except KeyError:
        pytest.skip(f"this safetensors writes no {dtype}")


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_round_trip(build: Build, tmp_path: Path, name: str) -> None:
    method = build(name)
    optimizers = method.optimizers()
    take_steps(method, optimizers, 3)
    np.random.standard_normal()  # noqa: NPY002  leaves its twin behind, which is part of the generator's state
    checkpoint = save_checkpoint(tmp_path, 3, name, method, optimizers)
    expected = [*drawn(), float(np.random.standard_normal())]  # noqa: NPY002

    torch.manual_seed(99)
    fresh = build(name)
    restored = fresh.optimizers()
    take_steps(fresh, restored, 1)  # what was there before must be gone
    load_state(checkpoint, fresh, restored)
    assert [*drawn(), float(np.random.standard_normal())] == expected  # noqa: NPY002
    assert_same(fresh.state_dict(), method.state_dict(), "weights")
    for key, optimizer in optimizers.items():
        assert len(optimizer.state_dict()["state"]) > 0
        assert_same(restored[key].state_dict(), optimizer.state_dict(), key)
    assert_same(fresh.training_state(), method.training_state(), "training state")


def test_the_image_pools_are_in_it(build: Build, tmp_path: Path) -> None:
    method = build("cyclegan", pool_size=3)
    take_steps(method, method.optimizers(), 2)
    pools = torch.load(save_checkpoint(tmp_path, 2, "cyclegan", method, {}).state, weights_only=True)["method"]
    assert {name: len(images) for name, images in pools.items()} == {"ihc": 3, "he": 3}


@pytest.fixture
def kept(build: Build, tmp_path: Path) -> Callable[..., list[int]]:
    """The steps that stay where each of some steps was saved and what need not stay was removed."""
    method = build("pix2pix")

    def run(*steps: int, **policy: Any) -> list[int]:
        for step in steps:
            save_checkpoint(tmp_path, step, "pix2pix", method, {})
            prune(tmp_path, step, **{"newest": 2, "every": None, "chosen": None, **policy})
        return [checkpoint.step for checkpoint in checkpoints(tmp_path)]

    return run


def test_the_newest_are_kept(kept: Callable[..., list[int]], tmp_path: Path) -> None:
    assert kept(9, 10, 100, 20_000) == [100, 20_000]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000100.safetensors",
        "step-00000100.state.pt",
        "step-00000100.state.pt.sha256",
        "step-00020000.safetensors",
        "step-00020000.state.pt",
        "step-00020000.state.pt.sha256",
    ]


def test_multiples_and_the_chosen_are_kept(kept: Callable[..., list[int]]) -> None:
    assert kept(*range(1, 9), newest=1, every=3, chosen=4) == [3, 4, 6, 8]


def test_a_later_checkpoint_that_was_passed_over_does_not_push_out_the_good(kept: Callable[..., list[int]]) -> None:
    """A resumed training found step 50 damaged and went on from step 10."""
    kept(10, 50)
    assert kept(11, 12, newest=1) == [12, 50]
    assert kept(60, newest=1) == [60]


def test_what_a_killed_process_left_is_removed(saved: Checkpoint) -> None:
    folder = saved.weights.parent
    orphan, temporary = folder / "step-00000002.state.pt", folder / ".step-00000002-x1y2.safetensors"
    for path in (orphan, temporary, folder / f"{orphan.name}.sha256"):
        path.write_bytes(b"half")
    remove_leftovers(folder)
    assert sorted(folder.iterdir()) == sorted([saved.weights, saved.state, saved.state_digest])


def test_a_state_without_weights_is_no_checkpoint(saved: Checkpoint) -> None:
    """Weights are written last: without them the writing was interrupted."""
    saved.weights.unlink()
    assert checkpoints(saved.weights.parent) == []


def test_an_interrupted_write_leaves_the_old_checkpoints(
    saved: Checkpoint, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = saved.weights.parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("vsbench.engine.checkpoint.save_file", disk_full)
    with pytest.raises(RunError, match=r"step-00000002\.safetensors: cannot be written .*No space.* --resume"):
        save_checkpoint(folder, 2, "cyclegan", build("cyclegan"), {})
    assert checkpoints(folder) == [saved]
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]  # no temporary file stays


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sets no such limit")
def test_a_state_that_has_no_room_is_said_in_the_systems_words(saved: Checkpoint, build: Build) -> None:
    """torch's own speak of positions in its archive."""
    import resource

    method = build("cyclegan")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        with pytest.raises(RunError, match=r"step-00000002\.safetensors: cannot be written \(File too large\)"):
            save_checkpoint(saved.weights.parent, 2, "cyclegan", method, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("part", ["weights", "state"])
@pytest.mark.parametrize("harm", [truncate, flip_a_bit_of_a_weight, flip_a_bit_in_the_middle, grow_to_a_terabyte])
def test_damaged_files_are_refused_by_name_and_nothing_is_changed(
    saved: Checkpoint, build: Build, part: str, harm: Callable[[Path], None]
) -> None:
    path: Path = getattr(saved, part)
    harm(path)
    method = build("cyclegan")
    before = {key: value.clone() for key, value in method.state_dict().items()}
    with pytest.raises(DamagedError, match="damaged") as error:
        load_state(saved, method, method.optimizers())
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert_same(method.state_dict(), before)


def test_a_flipped_bit_is_found_when_a_method_is_loaded_for_use(saved: Checkpoint) -> None:
    flip_a_bit_of_a_weight(saved.weights)
    with pytest.raises(RunError, match=rf"{saved.weights.name}: damaged weights"):
        load_method(saved.weights)


def test_weights_of_a_terabyte_are_not_read_though_their_header_holds(saved: Checkpoint) -> None:
    head = json.dumps({"x": {"dtype": "U8", "shape": [1 << 40], "data_offsets": [0, 1 << 40]}}).encode()
    saved.weights.write_bytes(len(head).to_bytes(8, "little") + head)
    os.truncate(saved.weights, 8 + len(head) + (1 << 40))
    with pytest.raises(DamagedError, match=r"bytes, where .* are the most"):
        load_method(saved.weights)


def test_a_flipped_bit_in_the_configuration_is_found(saved: Checkpoint) -> None:
    """Still JSON, still a configuration: only the digest knows."""
    content = saved.weights.read_bytes()
    assert content.count(b'\\"pool_size\\":3') == 1
    saved.weights.write_bytes(content.replace(b'\\"pool_size\\":3', b'\\"pool_size\\":2'))
    with pytest.raises(RunError, match="damaged weights"):
        load_method(saved.weights)


def test_a_state_of_another_writing_is_damaged(saved: Checkpoint, build: Build) -> None:
    """As after a power cut between the two files, when a step is written a second time."""
    other = build("cyclegan")
    save_weights(saved.weights, "cyclegan", other)
    with pytest.raises(DamagedError, match="not the one written with the weights"):
        load_state(saved, other, other.optimizers())


def test_another_configuration_of_equal_shapes_is_refused(saved: Checkpoint, build: Build) -> None:
    method = build("cyclegan", lr=0.002)
    with pytest.raises(RunError, match=r"another configuration \(lr = 0\.001 there, 0\.002 here\)") as error:
        load_state(saved, method, method.optimizers())
    assert not isinstance(error.value, DamagedError)  # the checkpoint before it would be as foreign


def test_another_method_is_refused(saved: Checkpoint, build: Build) -> None:
    method = build("cyclegan")
    with pytest.raises(RunError, match="a checkpoint of cyclegan, not of cut"):
        load_state(saved, method, method.optimizers(), "cut")


def test_weights_that_are_not_finite_are_not_written(saved: Checkpoint, build: Build) -> None:
    method = build("cyclegan")
    key, tensor = next(iter(method.named_parameters()))
    with torch.no_grad():
        tensor.view(-1)[3] = float("nan")
    with pytest.raises(RunError, match=rf"step 2: {key} is not finite, so no checkpoint"):
        save_checkpoint(saved.weights.parent, 2, "cyclegan", method, {})
    assert checkpoints(saved.weights.parent) == [saved]


@pytest.mark.parametrize(("record", "step"), [({}, 9), ({"chosen_step": None}, 9), ({"chosen_step": 6}, 6)])
def test_the_chosen_checkpoint(
    kept: Callable[..., list[int]], tmp_path: Path, record: dict[str, Any], step: int
) -> None:
    kept(3, 6, 9, newest=3)
    run = Run(tmp_path / "run")
    run.checkpoints.parent.mkdir()
    run.checkpoints.symlink_to(tmp_path)
    run.write_record(
        TrainedRecord(
            row="x", title="X", dataset="folder", stain="er", method="cut", config={}, seed=0, finished=True, **record
        )
    )
    assert chosen_checkpoint(run).step == step
    checkpoints(tmp_path)[step // 3 - 1].weights.unlink()
    if record.get("chosen_step"):
        with pytest.raises(RunError, match="holds no checkpoint of step 6"):
            chosen_checkpoint(run)


def test_a_missing_state_is_refused_by_name(saved: Checkpoint, build: Build) -> None:
    saved.state.unlink()
    method = build("cyclegan")
    with pytest.raises(RunError, match=r"step-00000001\.state\.pt"):
        load_state(saved, method, method.optimizers())


def test_weights_of_another_method_or_size_are_refused(saved: Checkpoint, build: Build) -> None:
    for method in (build("cut"), build("cyclegan", width=8)):
        with pytest.raises(RunError, match=rf"{saved.weights.name}: weights of another .* {type(method).__name__}"):
            load_weights(saved.weights, method)


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_hostile_state_does_not_run(saved: Checkpoint, build: Build, tmp_path: Path) -> None:
    marker, method = tmp_path / "it-ran", build("cyclegan")
    torch.save({"optimizers": {}, "method": Hostile(marker), "random": {}}, saved.state)
    saved.state_digest.write_text(file_digest(saved.state))  # whoever wrote it knew of the digest
    with pytest.raises(RunError, match="damaged training state"):
        load_state(saved, method, {})
    assert not marker.exists()
    torch.load(saved.state, weights_only=False)
    assert marker.exists()  # the trap was live


def test_a_method_comes_back_from_its_file_alone(build: Build, tmp_path: Path, name: str) -> None:
    method = build(name, lr=0.00123).eval()
    save_weights(tmp_path / "renamed.safetensors", name, method)
    loaded = load_method(tmp_path / "renamed.safetensors")
    assert type(loaded) is type(method)
    assert loaded.config == method.config
    assert not loaded.training
    multiple = method.size_multiple
    height = -(-32 // multiple) * multiple
    he = torch.rand((1, 3, height, height + multiple), generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(loaded.translate(he), method.translate(he))


def test_what_is_no_weights_file_of_ours(tmp_path: Path) -> None:
    picture, foreign, broken = (tmp_path / f"{name}.safetensors" for name in ("picture", "foreign", "broken"))
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    save_file({"x": torch.zeros(2)}, foreign)
    save_file({"x": torch.zeros(2)}, broken, {"method": "cut", "config": "{"})
    for path, said in (
        (picture, "not a weights file"),
        (tmp_path / "nowhere.safetensors", "not a weights file"),
        (foreign, "not written by vsbench"),
        (broken, "damaged configuration"),
    ):
        with pytest.raises(RunError, match=said) as error:
            load_method(path)
        assert str(path) in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_in_the_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.safetensors"
    os.mkfifo(fifo)
    with pytest.raises(DamagedError, match=r"fifo\.safetensors: .*a FIFO, not a file"):
        load_method(fifo)


def test_an_unknown_method_inside_is_named(saved: Checkpoint, tmp_path: Path) -> None:
    with safe_open(saved.weights, framework="pt") as file:
        config = file.metadata()["config"]
    path = tmp_path / "unknown.safetensors"
    save_file({"x": torch.zeros(2)}, path, {"method": "nonesuch", "config": config})
    with pytest.raises(UserError, match="nonesuch"):
        load_method(path)


def test_metadata_is_plain_json(saved: Checkpoint) -> None:
    """Read as the safetensors specification says: a length, then a JSON header."""
    content = saved.weights.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert metadata["method"] == "cyclegan"
    assert json.loads(metadata["config"])["pool_size"] == 3


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda value: value.fill_(float("nan")), r"is not finite"),
        (lambda value: value.index_fill_(0, torch.tensor(0), float("inf")), r"is not finite"),
        (lambda value: value.double().fill_(1e300), r"is not finite"),
        (lambda value: (value * 100).to(torch.int64), r"holds int64, not weights of CUT"),
        (lambda value: value.to(torch.uint8), r"holds uint8, not weights of CUT"),
        (lambda value: value > 0, r"holds bool, not weights of CUT"),
        (lambda value: value.to(torch.complex64), r"holds complex64, not weights of CUT"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(
    build: Build, spoil: Callable[[torch.Tensor], torch.Tensor], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "cut.safetensors"
    save_weights(path, "cut", build("cut"))
    with safe_open(path, "pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "digest"}
        # Copies: some releases of safetensors map the file, which is written over below.
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118  not a dict
    for key in (min(tensors), max(tensors)):
        spoilt = spoil(tensors[key].clone())
        require_written(spoilt.dtype)
        save_file(tensors | {key: spoilt}, path, metadata)
        with pytest.raises(RunError, match=rf"cut\.safetensors: {key} {reason}"):
            load_method(path)
        with pytest.raises(RunError, match=reason):
            load_weights(path, build("cut"))
    save_file({key: value.half() for key, value in tensors.items()}, path, metadata)
    load_method(path)  # less precise, and still numbers


def test_counts_are_whole_numbers(build: Build, tmp_path: Path) -> None:
    """Of batches that a norm has seen: torch would cast a complex one with a warning."""
    path = tmp_path / "pix2pix.safetensors"
    save_weights(path, "pix2pix", build("pix2pix"))
    with safe_open(path, "pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "digest"}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  not a dict
    key = next(key for key in tensors if key.endswith("num_batches_tracked"))
    for dtype in (torch.float32, torch.complex64):
        require_written(dtype)
        save_file(tensors | {key: tensors[key].to(dtype)}, path, metadata)
        with pytest.raises(RunError, match=rf"{key} holds {str(dtype).removeprefix('torch.')}"):
            load_method(path)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {  # of a training state whose digest holds
    "a slot is gone": lambda s: [slots.pop("exp_avg_sq") for slots in s["optimizers"]["generators"]["state"].values()],
    "of another shape": lambda s: s["optimizers"]["generators"]["state"][0].update(exp_avg=torch.zeros(2)),
    "of another kind": lambda s: s["optimizers"]["generators"]["state"][0].update(
        exp_avg=torch.zeros((), dtype=torch.cfloat)
    ),
    "of one number": lambda s: s["optimizers"]["generators"]["state"][0].update(exp_avg=torch.zeros(())),
    "no tensor": lambda s: s["optimizers"]["generators"]["state"][0].update(exp_avg=[0.0]),
    "steps of many numbers": lambda s: s["optimizers"]["generators"]["state"][0].update(
        step=s["optimizers"]["generators"]["state"][0]["exp_avg"]
    ),
    "no rate": lambda s: s["optimizers"]["generators"]["param_groups"][0].update(lr="x"),
    "not finite": lambda s: s["optimizers"]["generators"]["state"][0]["step"].fill_(torch.nan),
    "other settings": lambda s: s["optimizers"]["generators"]["param_groups"][0].update(betas="x"),
    "no optimizers": lambda s: s.update(optimizers=[]),
    "another number of groups": lambda s: s["optimizers"]["generators"].update(param_groups=[]),
    "random numbers": lambda s: s["random"]["numpy"].__setitem__(3, float("inf")),
    "no engine": lambda s: s.update(engine=[1]),
    "no number of steps": lambda s: s["engine"].update(tally={"steps": {}, "sums": {}}),
    "no sums": lambda s: s["engine"].update(tally={"steps": 1, "sums": {"g": "x"}}),
    "no time": lambda s: s["engine"].update(seconds=float("nan")),
    "weights of another": lambda s: s["engine"].update(own={"x": torch.zeros(2)}),
    "no pools": lambda s: s.update(method={}),
    "no images": lambda s: s["method"].update(ihc=[1.0]),
    "images of another size": lambda s: s["method"].update(ihc=[torch.zeros(3, 2, 2)]),
    "images of whole numbers": lambda s: s["method"].update(ihc=[x.int() for x in s["method"]["ihc"]]),
    "images that are not finite": lambda s: s["method"].update(ihc=[x / 0 for x in s["method"]["ihc"]]),
}


@pytest.mark.parametrize("how", EDITS)
def test_a_state_that_does_not_fit_is_named_when_it_is_read(build: Build, saved: Checkpoint, how: str) -> None:
    state = torch.load(saved.state, weights_only=True)
    EDITS[how](state)
    torch.save(state, saved.state)
    saved.state_digest.write_text(f"{file_digest(saved.state)}  {saved.state.name}\n")
    method = build("cyclegan")
    with pytest.raises(RunError, match=rf"{saved.state.name}: training state of another version"):
        load_state(saved, method, method.optimizers(), "cyclegan")


@pytest.mark.parametrize(
    "inside",
    [{"method": "none"}, {"config": '{"width": 1e400}'}, {"config": '{"lr": -1}'}, {"config": "[]"}, {"config": "{"},
     {"config": '{"betas": ' + "[" * 5000}, {"config": '{"width": 4096, "blocks": 9}'}],
)  # fmt: skip
def test_method_and_settings_inside_weights_are_refused_by_the_name_of_the_file(
    saved: Checkpoint, inside: dict[str, str]
) -> None:
    with safe_open(saved.weights, framework="pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, saved.weights, metadata | inside | {"digest": ""})
    with pytest.raises(RunError, match=saved.weights.name) as error:
        load_method(saved.weights)
    assert len(str(error.value)) < 1000
