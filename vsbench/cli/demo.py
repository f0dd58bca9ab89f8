"""``vsbench demo``: everything once, on the built-in phantom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsbench.bounds import SEED
from vsbench.cli.options import Device
from vsbench.cli.output import say
from vsbench.cli.sweep import run_study

if TYPE_CHECKING:
    from vsbench.studies.file import StudyFile

METHODS = ("usigan", "cyclegan", "cut", "pix2pix")  # the longest first, so that both processors end together
DATASET, STAIN = "phantom", "ki67"
AT_ONCE = 2  # networks this small gain more by a core each than by a second thread


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of its runs and report.")] = Path("results/demo"),
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of all random numbers.")] = 0,
) -> None:
    """Train four methods for some minutes each on the phantom, evaluate them, and write the report."""
    from vsbench.cli.options import one_device

    one_device(device)  # said now, not by each row
    run_study(study_of(out, device, seed), out / "report", True, "wait for it or stop it", "the same command")
    say("The phantom is procedural tissue: what is learned on it says nothing about real stains.")
    say(f"Open {out / 'report' / 'index.html'} in a browser.")


def study_of(out: Path, device: str, seed: int) -> "StudyFile":
    """What the demo trains, measures and reports, and where."""
    from vsbench.environment import processors
    from vsbench.studies.file import DatasetEntry, Local, MethodEntry, StudyFile, Training

    return StudyFile(
        methods=[MethodEntry(method=method) for method in METHODS],
        datasets=[DatasetEntry(dataset=DATASET, stains=[STAIN])],
        seeds=[seed],
        preset="cpu",
        training=Training(workers=1, sheet_every=200, checkpoint_every=200),
        results=out,
        executor=Local.model_validate(
            {"device": device, "jobs": min(AT_ONCE, processors()) if device == "cpu" else None}
        ),
    )
