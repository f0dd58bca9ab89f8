"""A finished training of a tiny network, made without training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vsbench.engine.checkpoint import save_checkpoint
from vsbench.engine.run import Run
from vsbench.method import Method
from vsbench.records.run import TrainedRecord
from vsbench.registry import load

TINY = {"width": 4, "blocks": 1, "steps": 2}


Tiny = Callable[..., Method[Any]]


def made(name: str, **settings: Any) -> Method[Any]:
    """A method with a small generator whose norms and weights are not what they begin with."""
    cls = load("vsbench.methods", name)
    usual = cls.configure("cpu").model_dump()
    torch.manual_seed(0)
    method: Method[Any] = cls(cls.configure("cpu", {k: v for k, v in TINY.items() if k in usual} | settings))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        for module in method.modules():
            if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_(0, 0.1)
                assert module.running_var is not None
                module.running_var.uniform_(0.5, 2)
    return method.eval()


@pytest.fixture
def tiny() -> Tiny:
    """``made``."""
    return made


@pytest.fixture
def pairs(tmp_path: Path, draw_pairs: Callable[..., Path]) -> Path:
    """Three test pairs of 40 × 36 pixels."""
    names = ("S1_a", "S2_b", "S3_c")
    return draw_pairs(tmp_path / "pairs", (40, 36), train=names, test=names)


@pytest.fixture
def run(tmp_path: Path, pairs: Path) -> Run:
    """A training of CUT on those pairs, as a folder."""
    method = made("cut")
    run = Run(tmp_path / "results" / "runs" / "folder-ki67" / "cut+cpu" / "seed-3")
    save_checkpoint(run.checkpoints, 2, "cut", method, method.optimizers())
    run.write_record(
        TrainedRecord(
            schema=2, row="cut+cpu", title="CUT (cpu)", method="cut", preset="cpu", variant="", seed=3,
            config=method.config.model_dump(mode="json"), dataset="folder", dataset_options={"pixel_size": 0.5},
            stain="ki67", data_root=str(pairs), data_name="pairs", train_pairs=3, train_digest="0" * 64,
            device="cpu, x86_64, 1 threads", versions={"vsbench": "0.1.0"}, chosen_step=2, finished=True,
        )
    )  # fmt: skip
    return run
