"""``vsbench evaluate``."""

import atexit
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vsbench.bounds import DEVICES, DRAWS
from vsbench.cli.options import RESULTS, DataName, DataOptions, DataRoot, Device, Results, checked_row, checked_stains
from vsbench.cli.output import note, say
from vsbench.numbers import digits

if TYPE_CHECKING:
    from vsbench.evaluation.evaluate import Outcome
    from vsbench.evaluation.onepass import OnBad
    from vsbench.records.draws import Draws
    from vsbench.records.summary import Reading, Summary
    from vsbench.slides.alignment import Direction


def evaluate(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders, or bundles (.zip).", metavar="RUN…")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every finished run under --results.")] = False,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images made elsewhere; needs --name, --dataset, --stain.")
    ] = None,
    slides: Annotated[
        Path | None,
        typer.Option(
            "--slides",
            metavar="PAIRS",
            help="Whole slides: CSV as of data tiles, with a column generated; needs --name.",
        ),
    ] = None,
    references: Annotated[
        bool, typer.Option("--references", help="The reference rows of --dataset and --stain alone.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", callback=checked_row, help="Row name of --images, --slides.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Data set of --images, --references, bundles.")
    ] = None,
    stain: Annotated[
        str | None, typer.Option("--stain", callback=checked_stains, help="Stain of --images, --references, bundles.")
    ] = None,
    suffix: Annotated[
        str | None, typer.Option("--suffix", help="What follows a pair's name in those of --images: _fake_B.")
    ] = None,
    resize: Annotated[
        Literal["bicubic", "box", "lanczos", "nearest"] | None,
        typer.Option("--resize", help="Resize --images to the real ones; enters the protocol.  [default: an error]"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HEIGHTxWIDTH",
            help="Measure all rows at this one size, by the rule of --resize; enters the protocol.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also", metavar="FAMILY", help="Measure this family too, of those on request; =CHOICE where it has one."
        ),
    ] = None,
    nuclei: Annotated[
        Path | None,
        typer.Option(
            "--nuclei",
            metavar="FOLDER",
            help="Nuclei outlined elsewhere in place of the detector's: real/, he/, and a folder named as each row, "
            "with a label image (16 bits) or GeoJSON for each test pair.",
        ),
    ] = None,
    maps: Annotated[
        Literal["he-to-ihc", "ihc-to-he"] | None,
        typer.Option("--transform-maps", help="Whose pixels transforms of --slides start from.  [he-to-ihc]"),
    ] = None,
    on_missing: Annotated[
        Literal["n/a", "error"],
        typer.Option("--on-missing", help="Where weights are missing, leave these metrics out, or stop."),
    ] = "n/a",
    on_bad: Annotated[
        Literal["stop", "skip"],
        typer.Option("--on-bad", help="At a bad image, stop, or skip its pair and list it in the summary."),
    ] = "stop",
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="random:SEED", help="Random networks: marked, comparable to nothing."),
    ] = None,
    draws: Annotated[
        int,
        typer.Option("--draws", min=1, max=DRAWS, help="Translate with so many seeds where a method samples (UNSB)."),
    ] = 1,
    data_root: DataRoot = None,
    data_name: DataName = None,
    data: DataOptions = None,
    device: Device = "auto",
    devices: Annotated[
        int, typer.Option("--devices", min=1, max=DEVICES, help="Share the images among so many devices.")
    ] = 1,
    results: Results = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Results folder for all that is written; runs are only read. See report --results."),
    ] = None,
) -> None:
    """Translate test images where they are missing and measure them; reference rows come with every data set."""
    from vsbench.cli.display import TrainingDisplay
    from vsbench.cli.options import dataset_options, make_fabric
    from vsbench.config import parse_settings
    from vsbench.errors import UsageError, UserError
    from vsbench.evaluation import evaluate as engine
    from vsbench.evaluation.draws import require_draws
    from vsbench.evaluation.given_nuclei import GivenNuclei
    from vsbench.evaluation.group import Group
    from vsbench.evaluation.instrument import Instrument, chosen_of
    from vsbench.evaluation.sizes import CommonSize
    from vsbench.exchange.sources import Pairs, run_at
    from vsbench.ranks import leave
    from vsbench.weights.seeded import seed_of

    if [bool(runs), every, images is not None, references, slides is not None].count(True) != 1:
        raise UsageError("say what to evaluate: --all, run folders, --images FOLDER, --slides PAIRS, or --references")
    if slides is not None:
        given = {
            "--dataset": dataset, "--stain": stain, "--suffix": suffix, "--resize": resize, "--size": size,
            "--also": also, "--nuclei": nuclei, "--weights": weights, "--data-root": data_root, "--data": data,
            "--draws": draws > 1, "--devices": devices > 1,
        }  # fmt: skip
        if not_for := [option for option, value in given.items() if value]:
            raise UsageError(f"{not_for[0]}: not for --slides, whose list says what there is; leave it out")
        if name is None:
            raise UsageError("--slides needs --name, which its row is called by")
        _evaluate_slides(slides, name, out or results, maps or "he-to-ihc", data_name, on_bad)
        return
    if maps is not None:
        raise UsageError("--transform-maps is about --slides PAIRS")
    if images is not None and name is None:
        raise UsageError("--images needs --name, --dataset and --stain")
    if (images is not None or references) and (dataset is None or stain is None):
        raise UsageError(f"{'--references' if references else '--images'} needs --dataset and --stain")
    if runs and (dataset is None) != (stain is None):
        raise UsageError("--dataset and --stain: of a bundle give both, or neither for those it learnt from")
    if data_name is not None and images is None and not references and dataset is None:
        raise UsageError("--data-name is about --images and --references: of a run it is given to train, or to report")
    if images is None and (name or suffix or (resize and size is None)):
        raise UsageError("--name, --suffix and --resize without --size are about --images FOLDER")
    if draws > 1 and not (runs or every):
        raise UsageError("--draws is about runs, whose methods translate; give --all or run folders")
    common = None if size is None else CommonSize.parse(size, resize)
    families = also or []
    chosen_of(families)  # before any process is started
    fabric = make_fabric(device, devices, "32-true")
    fabric.launch()
    atexit.register(leave)
    outlined = None if nuclei is None else GivenNuclei(nuclei)
    seed, digest = seed_of(weights) if weights else None, outlined.digest if outlined else None
    instrument = Instrument.build(str(fabric.device), families, on_missing, seed, digest)
    with TrainingDisplay(quiet=not fabric.is_global_zero) as display:
        if dataset is not None and stain is not None and not runs:
            where = data_root, out or results
            group = Group(
                dataset, dataset_options(dataset, data, data_root), stain, *where, common, data_name, outlined
            )
            if images is not None and name is not None:
                outcomes, failures = engine.evaluate_images(
                    images, name, group, instrument, on_bad, suffix, None if common else resize, display.count
                )
            else:
                outcomes, failures = engine.evaluate_references(group, instrument, on_bad, display.count)
        else:
            given = parse_settings(data or []) if dataset is None else dataset_options(dataset, data, data_root)
            pairs = Pairs(dataset, stain, given, data_root, data_name)
            chosen, incomplete = [run_at(place, out or results, pairs) for place in runs or []], list[str]()
            if not chosen:
                chosen, incomplete = engine.every_run(results, out)
            if not chosen and not incomplete:
                raise UserError(f"{results}: no run yet; train one with vsbench train METHOD --dataset … --stain …")
            if runs and draws > 1:
                require_draws(chosen)
            outcomes, failures = engine.evaluate_runs(
                chosen,
                data_root,
                out or results,
                instrument,
                fabric.device,
                on_bad,
                display.count,
                elsewhere=out is not None,
                draws=draws,
                size=common,
                nuclei=outlined,
            )
            failures = [*incomplete, *failures]
    if fabric.is_global_zero:
        print_outcomes(outcomes)
        for failure in failures:
            note(f"error: {failure}")
        if failures:  # not the others: a launcher would kill the first process for the failure of another
            raise typer.Exit(1)


def _evaluate_slides(
    listed: Path, name: str, results: Path, maps: "Direction", data_name: str | None, on_bad: "OnBad"
) -> None:
    from vsbench.cli.display import TrainingDisplay
    from vsbench.evaluation.slides import evaluate_slides

    with TrainingDisplay() as display:
        outcomes, failures = evaluate_slides(listed, name, results, maps, data_name, on_bad, display.count)
    print_outcomes(outcomes)
    for failure in failures:
        note(f"error: {failure}")
    if failures:
        raise typer.Exit(1)


SHOWN = (
    "iod_mae", "r_p", "r_c", "r_avg", "ssim", "psnr", "fid", "phv_avg", "lpips", "truth_mae", "truth_dab_mae",
    "cell_auc",
)  # fmt: skip
SHOWN_OF_SLIDES = (
    "iod_bias", "iod_mae", "r_p", "positive_area_error", "mask_dice", "r_block_8", "hotspot_overlap", "hotspot_rank",
    "seam_jump",
)  # fmt: skip


def print_outcomes(outcomes: "list[Outcome]") -> None:
    """A table of the rows and their main values, what was skipped, and what is missing and why."""
    from rich.table import Table

    from vsbench.benchmark import version_said
    from vsbench.cli.display import Console
    from vsbench.records.run import SLIDES

    if not outcomes:
        return
    shown = SHOWN_OF_SLIDES if outcomes[0].summary.dataset == SLIDES else SHOWN
    present = [key for key in shown if any(key in o.summary.values for o in outcomes)]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("data", "row", "seed", "n", *present, ""):
        table.add_column(column, justify="right" if column in ("seed", "n", *present) else "left")
    for outcome in outcomes:
        s = outcome.summary
        seed = "" if s.seed is None else str(s.seed)
        cells = [_cell(s.values.get(key)) for key in present]
        state = "unchanged" if outcome.cached else "measured"
        table.add_row(f"{s.dataset}-{s.stain}", s.title, seed, str(s.n), *cells, state)
    console = Console()
    console.print(table)
    console.print(f"benchmark {version_said(outcomes[0].summary.benchmark)}")
    for outcome in outcomes:
        if outcome.draws is not None:
            console.print(_spread(outcome.summary.title, outcome.draws, present))
    bad = [(o.summary.title, [f"skipped {pair}: {why}" for pair, why in o.summary.skipped.items()]) for o in outcomes]
    for skipped in _of_rows(bad):
        console.print(skipped)
    for outcome in outcomes:
        if outcome.damaged:
            say(f"warning: {outcome.damaged.split(';')[0]}; measured again")
    for warning in _of_rows([(o.summary.title, list(o.summary.warnings)) for o in outcomes]):
        say(f"warning: {warning}")
    for absent in _of_rows([(o.summary.title, _absent(o.summary, present)) for o in outcomes]):
        console.print(absent)


def _spread(title: str, draws: "Draws", keys: list[str]) -> str:
    """Mean and standard deviation of a run's values over its translation seeds, in one line."""
    found = {key: spread for key in keys if (spread := draws.spread(key)) is not None}
    values = ", ".join(f"{key} {mean:.4g} ± {deviation:.2g}" for key, (mean, deviation) in found.items())
    return f"{title}: {len(draws.seeds)} translation seeds (draws.json): {values}"


def _absent(summary: "Summary", keys: list[str]) -> list[str]:
    """Which values a row lacks, and why."""
    values = {key: value for key, value in summary.values.items() if key in keys and value.value is None}
    return [f"{key}: n/a, {value.reason or ''}" for key, value in values.items()]


def _of_rows(said: list[tuple[str, list[str]]]) -> list[str]:
    """What there is to say of rows, each sentence once, with the rows that it holds for where these are not all."""
    found: dict[str, list[str]] = {}
    for title, sentences in said:
        for sentence in dict.fromkeys(sentences):
            found.setdefault(sentence, []).append(title)
    return [s if len(rows) == len(said) else f"{', '.join(dict.fromkeys(rows))}: {s}" for s, rows in found.items()]


def _cell(reading: "Reading | None") -> str:
    return "n/a" if reading is None or reading.value is None else digits(reading.value)
