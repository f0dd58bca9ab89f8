"""Folders whose H&E and IHC do not correspond: who may train on them, and what is drawn."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vsbench.data.pairs import Pair
from vsbench.engine.run import Run
from vsbench.engine.trainer import plan
from vsbench.errors import DataError, UsageError
from vsbench.evaluation.ablate import Study, require_ready, study_rows
from vsbench.evaluation.group import Group
from vsbench.registry import load

UNPAIRED = {"dataset_options": {"paired": False}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two H&E and five IHC training images of other names, and one test pair."""
    root, rng = tmp_path_factory.mktemp("unpaired"), np.random.default_rng(1)
    for place, stems in (("he/train", "ab"), ("ihc/train", "pqrst"), ("he/test", "z"), ("ihc/test", "z")):
        (root / place).mkdir(parents=True)
        for stem in stems:
            blocks = rng.integers(60, 256, (10, 11, 3), dtype=np.uint8)
            Image.fromarray(blocks.repeat(4, axis=0).repeat(4, axis=1)).save(root / place / f"{stem}.png")
    return root


@pytest.mark.parametrize("name", ["cut", "cyclegan"])
def test_methods_that_need_no_pairs_train_on_them(
    name: str, train: Callable[..., Run], root: Path, tmp_path: Path
) -> None:
    run = train(tmp_path, name, root=root, request=UNPAIRED)
    record = json.loads(run.record_file.read_text())
    assert record["finished"]
    assert record["train_pairs"] == 5  # as many as the larger side: an epoch sees all of it
    with pytest.raises(DataError, match="no partner"):
        train(tmp_path / "as-pairs", name, root=root)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("pix2pix", {}, r"Pix2Pix learns from pairs here \(pairing: paired, .*: cut, cyclegan"),
        ("usigan", {}, "learns from pairs here"),
        ("cut", {"loader": "aligned"}, "loader: aligned"),
        ("pix2pix", {"loader": "unaligned"}, "pairing: paired"),
    ],
)
def test_others_refuse_them_and_say_why(
    name: str, options: dict[str, str], reason: str, train: Callable[..., Run], root: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        train(tmp_path, name, root=root, request=UNPAIRED, **options)
    assert not list(tmp_path.iterdir())


def test_an_ablation_refuses_them_before_its_first_training(root: Path) -> None:
    study = Study("usigan", "table6", "folder", "er", "cpu", dataset_options={"paired": False}, data_root=root)
    with pytest.raises(UsageError, match=r"row .* of table6: USIGAN learns from pairs here"):
        require_ready(study, study_rows(study))


def test_validation_refuses_them(train: Callable[..., Run], root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="validation compares with the IHC of the same tissue"):
        train(tmp_path, "cut", root=root, request={**UNPAIRED, "select": "best"})


def test_no_row_of_an_evaluation_is_made_from_them(root: Path, tmp_path: Path) -> None:
    """A nearest H&E's IHC, say: here it would be of any tissue."""
    group = Group("folder", {"paired": False}, "er", root, tmp_path)
    assert [pair.id for pair in group.pairs] == ["z"]
    assert group.train == []
    assert "training images are unpaired: no rows made from them" in group.warnings


@pytest.mark.parametrize(("he", "ihc"), [(4, 6), (6, 4)])
def test_every_image_is_drawn_and_the_ihc_alike(
    he: int, ihc: int, build: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    """Going round the smaller side must not make its first images likelier where it is the IHC."""
    for side, count in (("he", he), ("ihc", ihc)):
        (tmp_path / side / "train").mkdir(parents=True)
        for number in range(count):
            (tmp_path / side / "train" / f"{side}-{number}.png").symlink_to(root / "he/train/a.png")
    pairs: list[Pair] = (
        load("vsbench.datasets", "folder").from_options({"paired": False}).pairs(tmp_path, "er", "train")
    )
    assert len({pair.id for pair in pairs}) == len(pairs) == 6
    batches, _ = plan(build("cut"), sorted(pairs, key=lambda pair: pair.ihc), seed=0)
    read: Counter[Path] = Counter()
    original = batches.tile

    def counted(path: Path, size: int) -> Any:
        read[path] += 1
        return original(path, size)

    batches.tile = counted
    for step in range(600):
        batches[step]
    per_he, per_ihc = ([n for path, n in read.items() if side in path.parts] for side in ("he", "ihc"))
    assert (len(per_he), len(per_ihc)) == (he, ihc)
    assert max(per_he) <= 2 * min(per_he)
    assert max(per_ihc) < 1.3 * min(per_ihc)
