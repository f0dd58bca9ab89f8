"""What an evaluation left is looked at whenever it is read: whatever is wrong with it, the file is named."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vsbench import __version__
from vsbench.data.arrays import read_arrays
from vsbench.engine.run import Run
from vsbench.errors import RunError
from vsbench.evaluation.compare import compare, seed_effects
from vsbench.evaluation.digests import Digests
from vsbench.evaluation.evaluated import read, read_features, read_table
from vsbench.evaluation.known import KnownFeatures
from vsbench.records.summary import Summary

BEFORE = Path(__file__).parents[1] / "records/results-0.1.0/runs/folder-ki67"
EVALUATION = "evaluation/native"

Spoil = Callable[[pd.DataFrame], pd.DataFrame]
TABLES: dict[str, Spoil] = {
    "text": lambda t: t.assign(iod_mae=["x", *t["iod_mae"][1:]]),
    "text everywhere": lambda t: t.assign(ssim="\x1b[31m"),
    "a number to Python alone": lambda t: t.assign(iod_mae=["1_0", *t["iod_mae"][1:]]),
    "too many digits": lambda t: t.assign(psnr=str(10**400)),
    "greater than anything": lambda t: t.assign(psnr=1e200),
    "doubled": lambda t: pd.concat([t, t.iloc[:1]]),
    "without an id": lambda t: t.assign(id=None),
    "without ids": lambda t: t.drop(columns="id"),
    "without slides": lambda t: t.drop(columns="slide"),
    "no lines": lambda t: t.iloc[:0],
    "a line short": lambda t: t.iloc[1:],
    "another order": lambda t: t.iloc[::-1],
    "no size": lambda t: t.assign(height=0),
}
BYTES = {
    "empty": b"",
    "binary": b"\x00\xff\xfe" * 50,
    "more cells": b"id,slide\na,b,1\nc,d,2\n",
    "a quote": b'id,"slide',
}


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """Two seeds of a row, without digests, as of the first version."""
    for seed in (0, 1):
        shutil.copytree(BEFORE / "pix2pix+cpu/seed-0", tmp_path / f"seed-{seed}")
    return [Run(tmp_path / f"seed-{seed}") for seed in (0, 1)]


@pytest.mark.parametrize("how", [*TABLES, *BYTES])
def test_a_damaged_table_is_named_by_what_reads_it(how: str, runs: list[Run]) -> None:
    file = runs[0].folder / EVALUATION / "per_image.csv"
    if how in BYTES:
        file.write_bytes(BYTES[how])
    else:
        TABLES[how](pd.read_csv(file, dtype=str)).to_csv(file, index=False)
    with pytest.raises(
        RunError, match=r"seed-0/evaluation/native/per_image\.csv: .*; remove it and evaluate again"
    ) as e:
        read(runs)
    assert len(str(e.value).split()) < 60


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("name", ["per_image.csv", "features.npz"])
def test_what_is_no_file_is_not_waited_for(name: str, runs: list[Run]) -> None:
    file = runs[0].folder / EVALUATION / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(RunError, match="a FIFO, not a file"):
        read(runs)


def test_half_a_pair_of_columns_is_named(runs: list[Run]) -> None:
    file = runs[0].folder / EVALUATION / "per_image.csv"
    pd.read_csv(file, dtype=str).drop(columns="intden_real").to_csv(file, index=False)
    for ask in (compare, seed_effects):
        with pytest.raises(RunError, match=r"pix2pix\+cpu/seed-0: its per_image\.csv has no column 'intden_real'"):
            ask(read(runs))


def test_a_summary_without_bounds_is_refused(runs: list[Run]) -> None:
    file = runs[0].folder / EVALUATION / "summary.json"
    whole = json.loads(file.read_text())
    name = next(iter(whole["values"]))
    whole["values"][name] |= {"value": -1e200, "reason": None}
    file.write_text(json.dumps(whole))
    with pytest.raises(RunError, match=rf"values\.{name}\.value: .*greater than anything"):
        Summary.read(file)


def test_a_file_larger_than_its_images_can_give_is_not_read_for_its_digest(runs: list[Run]) -> None:
    summary = Summary.read(runs[0].folder / EVALUATION / "summary.json")
    file = runs[0].folder / EVALUATION / "per_image.csv"
    os.truncate(file, 1 << 40)  # an hour of reading
    with pytest.raises(RunError, match=r"per_image\.csv: 1,099,511,627,776 bytes"):
        summary.model_copy(update={"digests": {file.name: "0" * 64}}).require_whole(file.parent)
    with pytest.raises(RunError, match=r"per_image\.csv: damaged \(1,099,511,627,776 bytes"):
        read_table(file.parent)


ROWS = np.zeros((3, 4), np.float32)
FEATURES: dict[str, dict[str, Any]] = {
    "of other images": {"fid_fake": ROWS[1:]},
    "flat": {"fid_fake": ROWS[0]},
    "no numbers": {"fid_fake": np.array([["a"] * 4] * 3)},
    "whole numbers": {"fid_fake": ROWS.astype(int)},
    "not finite": {"fid_fake": ROWS + np.nan},
    "of two widths": {"fid_fake": ROWS, "fid_real": ROWS[:, 1:]},
}


@pytest.mark.parametrize("how", [*FEATURES, "packed", "objects", "text", "claims", "one array"])
def test_damaged_features_are_named(how: str, tmp_path: Path) -> None:
    file = tmp_path / "features.npz"
    if how in FEATURES:
        np.savez(file, **FEATURES[how])
    elif how == "packed":
        np.savez_compressed(file, fid_fake=ROWS)
    elif how == "objects":
        np.savez(file, fid_fake=np.array([{}] * 3, dtype=object))
    elif how == "text":
        file.write_text("nothing of the kind")
    elif how == "claims":  # 10¹² numbers, with the checksum that fits
        np.savez(file, fid_fake=ROWS)
        with zipfile.ZipFile(file) as whole:
            array = whole.read("fid_fake.npy")
        claimed = array.replace(b"(3, 4), }".ljust(24), b"(3, 999999999999), }".ljust(24))
        assert claimed != array
        with zipfile.ZipFile(file, "w") as out:
            out.writestr("fid_fake.npy", claimed)
    else:
        with file.open("wb") as out:
            np.save(out, ROWS)
    with pytest.raises(RunError, match=r"features\.npz: .*; remove it and evaluate again"):
        read_features(tmp_path, 3)


def test_known_features_that_are_damaged_are_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "real.npz"
    own = {"version": np.array(__version__), "protocols": np.array(["fid"]), "images_0": np.array(["a", "b", "c"])}
    np.savez(file, **own, features_0=ROWS)
    digests = Digests(tmp_path / "digests.json")
    assert set(KnownFeatures(file, digests).rows["fid"]) == {"a", "b", "c"}
    for rows in (ROWS[1:], ROWS + np.inf, ROWS[0], ROWS.astype(int)):
        np.savez(file, **own, features_0=rows)
        assert KnownFeatures(file, digests).rows == {}
    np.savez(file, version=np.array([1, 2]))
    assert KnownFeatures(file, digests).rows == {}
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none.npz")


def test_of_several_ranks_the_first_stores_what_all_have_worked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = Digests(tmp_path / "digests.json")
    mine, others = ({"fid": {name: row}} for name, row in zip("ba", ROWS, strict=False))
    for rank in (1, 0):
        known = KnownFeatures(tmp_path / "real.npz", digests)
        known.rows, known.new = ({"fid": dict(mine["fid"])} for _ in range(2))
        monkeypatch.setattr("vsbench.evaluation.known.ranks.rank", lambda rank=rank: rank)
        monkeypatch.setattr("vsbench.evaluation.known.ranks.collect", lambda new: [new, others])
        known.save()
        assert (tmp_path / "real.npz").exists() == (rank == 0)
    stored = KnownFeatures(tmp_path / "real.npz", digests).rows["fid"]
    assert list(stored) == ["a", "b"]
    assert np.array_equal(stored["a"], others["fid"]["a"])
    monkeypatch.setattr("vsbench.evaluation.known.ranks.collect", lambda new: [new, {}])
    before = (tmp_path / "real.npz").stat().st_mtime_ns
    known.save()  # nothing new since
    assert (tmp_path / "real.npz").stat().st_mtime_ns == before


def test_to_a_table_of_many_columns_more_can_be_added(tmp_path: Path) -> None:
    """With every metric on request it has more than a hundred: pandas warns of so many loose ones."""
    columns = {f"c{number}": [0.5, 1.5] for number in range(120)}
    pd.DataFrame({"id": ["a", "b"], "slide": ["S1", "S2"], **columns}).to_csv(tmp_path / "per_image.csv", index=False)
    table = read_table(tmp_path).reset_index()
    assert table.assign(od=1.0, od_real=2.0).shape == (2, 124)
