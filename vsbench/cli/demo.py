"""``vsbench demo``: everything once, on the built-in phantom."""

from pathlib import Path
from typing import Annotated

import typer

from vsbench.bounds import SEED
from vsbench.cli.options import Device
from vsbench.cli.output import note, say
from vsbench.cli.report import ledger, print_warning

METHODS = ("pix2pix", "cyclegan", "cut", "usigan")
DATASET, STAIN = "phantom", "ki67"


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of its runs and report.")] = Path("results/demo"),
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", min=0, max=SEED, help="Of all random numbers.")] = 0,
) -> None:
    """Train four methods for some minutes each on the phantom, evaluate them, and write the report."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.evaluate import print_outcomes
    from vsbench.cli.options import make_fabric
    from vsbench.engine.interrupt import Interrupted
    from vsbench.engine.request import Request
    from vsbench.engine.start import start
    from vsbench.engine.trainer import Rhythm
    from vsbench.evaluation.evaluate import evaluate_runs
    from vsbench.evaluation.instrument import Instrument
    from vsbench.report.build import build_report
    from vsbench.report.spread import spreads_of

    fabric = make_fabric(device, 1, "32-true")
    runs = []
    try:
        with TrainingDisplay() as display:
            for method in METHODS:
                request = Request(method, DATASET, STAIN, preset="cpu", seed=seed, results=out)
                display.say(f"training {method} on the {DATASET} ({STAIN})")
                runs.append(start(request, fabric, True, 1, Rhythm(log=50, sheet=200, checkpoint=200), display))
            display.say("evaluating")
            instrument = Instrument.build(str(fabric.device))
            outcomes, failures = evaluate_runs(runs, None, out, instrument, fabric.device, tell=display.count)
    except Interrupted as stop:
        note(f"{stop}; the same command goes on")
        raise typer.Exit(stop.exit_code) from None
    for failure in failures:
        note(f"error: {failure}")
    print_outcomes(outcomes)
    numbers = ledger(None)
    written = build_report(
        out, out / "report", latex=True, papers=numbers.papers, spreads=spreads_of(numbers), warn=print_warning
    )
    say()
    say("The phantom is procedural tissue: what is learned on it says nothing about real stains.")
    say("Written:")
    for path in written:
        if "page" not in path.relative_to(out / "report").parts[:1]:  # hundreds of small images
            say(f"  {path}")
    say(f"Open {out / 'report' / 'index.html'} in a browser.")
    if failures:
        raise typer.Exit(1)
