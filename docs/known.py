"""Numbers in the manual's prose that the code or the results know, each by a name: ``{{ name }}`` in a page."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import median

import pandas as pd

from vsbench.audit.mismatched import ALLOWED
from vsbench.benchmark import BENCHMARK
from vsbench.data.archive import MAX_RATIO
from vsbench.exchange.graphs import ON_AVERAGE, OPSET
from vsbench.files import read_json
from vsbench.metrics.clinical import THRESHOLDS
from vsbench.metrics.places import GRIDS
from vsbench.report.figures import critical
from vsbench.report.ledger import read_ledger
from vsbench.report.spread import spreads_of
from vsbench.slides import pyramid, reading, registration, tissue
from vsbench.slides.translate import ALIKE
from vsbench.stain.nuclei import BANDS
from vsbench.stats.paired import ALPHA, least_p
from vsbench.studies.file import Slurm

RESULTS = Path(__file__).parents[1] / "results"
PHANTOM, VALIDITY = RESULTS / "examples" / "phantom", RESULTS / "examples" / "validity"
OUTLINES = ("mask_hd95", "mask_msd", "mask_hd95_hed", "mask_msd_hed")


def known() -> dict[str, str]:
    """All of them, as they are printed."""
    return dict(chain(_constants(), _phantom(), _validity(), _spreads()))


def _constants() -> Iterator[tuple[str, str]]:
    yield "benchmark", f"`{BENCHMARK}`"
    yield "opset", str(OPSET)
    yield "apart_on_average", f"{ON_AVERAGE:.0e}".replace("e-0", "e-")
    yield "unpacked_times", str(MAX_RATIO)
    yield "false_alarms", f"{100 * ALLOWED:g} %"
    yield "grace_s", str(Slurm.model_fields["grace_s"].default)
    for stain in ("er", "ki67"):
        cutoffs = THRESHOLDS[stain]
        yield f"cutoffs_{stain}", f"{cutoffs.low:g} and {cutoffs.high:g} %"
    yield "blocks", ", ".join(f"{side}²" for side in GRIDS)
    yield "block_sides", f"1/{GRIDS[0]} to 1/{GRIDS[-1]}"
    yield "slides_for_cd", str(critical.MIN_SLIDES)
    yield "slides_for_p", str(next(slides for slides in range(1, 20) if least_p(slides, 10**6) < ALPHA))
    yield "slide_tile", str(pyramid.TILE)
    yield "slide_quality", str(pyramid.QUALITY)
    yield "slide_alike", f"{100 * ALIKE:g} %"
    yield "slide_coarsest", f"{reading.COARSEST:g}"
    yield "tissue_pixel", f"{tissue.PIXEL:g}"
    yield "register_agreed", f"{registration.AGREED:g}"
    yield "register_found", f"{100 * registration.TRUSTED:g} %"
    yield "register_clearly", f"{100 * registration.BEYOND_DOUBT:g} %"
    yield "dab_positive", f"{BANDS[0]:g}"


def _phantom() -> Iterator[tuple[str, str]]:
    """What the rows without training measured."""
    table = pd.read_csv(PHANTOM / "summary.csv")
    rows = table[table["kind"] == "reference"].pivot_table(index="row", columns="metric", values="value")
    yield "psnr_flat", f"{rows['psnr']['mean-colour']:.1f}"
    yield "psnr_best", f"{rows['psnr']['best']:.1f}"
    yield "r_p_nearest", f"{rows['r_p']['nearest']:.0f}"


def _validity() -> Iterator[tuple[str, str]]:
    """Spearman's ρ with the true error; ``sets``: of how many sets of images."""
    table = pd.read_csv(VALIDITY / "tracking.csv")
    against = table[table["against"] == "true_error"].set_index("metric")
    study = read_json(VALIDITY / "validity.json")
    yield "validity_tiles", str(study["n"])
    yield "validity_slides", str(study["n_slides"])
    yield "validity_sets", str(against["sets"]["r_avg"])
    for name in ("r_avg", "iod", "iod_balanced", "ssim", "psnr", "nuclei_share_mae", "nuclei_kappa", "mask_dice",
                 "cell_auc", "fd_vgg16", "lpips", "dists"):  # fmt: skip
        yield f"rho_{name}", _signed(against["rho"][name])
    outlines = [against["rho"][name] for name in OUTLINES]
    yield "rho_outlines", f"{_signed(min(outlines))} to {_signed(max(outlines))}"


def _signed(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def _spreads() -> Iterator[tuple[str, str]]:
    """How far printed and rerun numbers lie apart."""
    ledger = read_ledger(None, lambda _: None)
    yield "reruns", str(sum(len(source.rows) for source in ledger.reruns))
    own = [column for column in spreads_of(ledger).on(own_test=True) if column.dataset == "mist" and column.claims]
    for metric, digits in (("fid", 1), ("phv_avg", 3)):
        columns = [column for column in own if column.metric == metric]
        differences = [difference for column in columns for difference in column.differences]
        gaps = [spread.typical for column in columns for spread in column.spreads]
        lead = median(column.lead for column in columns if column.lead is not None)
        yield f"{metric}_gap", _short(median(gaps), digits)
        yield f"{metric}_apart", _short(median(differences), digits)
        yield f"{metric}_lead", _short(lead, digits + digits // 3)
    yield "fid_gaps", str(sum(len(column.spreads) for column in own if column.metric == "fid"))
    (er,) = (column for column in own if (column.stain, column.metric) == ("er", "fid"))
    yield "fid_er_gap", _short(er.typical, 1)
    yield "fid_er_smaller", f"{er.smaller} of {len(er.differences)}"
    yield "fid_er_order", "{} of {}".format(*er.order)


def _short(number: float, digits: int) -> str:
    """As papers print it: nothing before the point where there is nothing."""
    return f"{number:.{digits}f}".removeprefix("0")
