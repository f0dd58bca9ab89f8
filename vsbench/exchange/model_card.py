"""README.md of a bundle: a model card as model hubs read it, front matter first."""

import html
import re
from typing import Any

import yaml

from vsbench.benchmark import version_said
from vsbench.markers import stain_name
from vsbench.metric import Value
from vsbench.records.bundle import SHEET, BundleCard
from vsbench.records.summary import Reading, Summary
from vsbench.report.notation import plain
from vsbench.report.printed import declared

LICENCES = (  # as hubs write those they know
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "agpl-3.0", "openrail",
)  # fmt: skip
SHOWN = ("ccc", "iod_bias", "r_p", "iod_mae", "r_c", "ssim", "psnr", "cell_auc", "mask_dice_best", "fid", "lpips")
BODY = """\
# {title}

Generator for **virtual staining**: H&E histology in, {stain} immunohistochemistry out. Not a medical device: what it
paints is a prediction, and may be wrong where it looks right.

{sheet}| | |
|---|---|
| version | {version} |
| method | {method} |
| learnt from | {data} |
| resolution | {resolution} |
| licence of the weights | {licence} |
| licence of the data | {data_licence} |
| weights, digest | `{weights}` |

## Use

    pip install vsbench
    vsbench translate {file} HE_IMAGES OUT
    vsbench evaluate {file} --dataset folder --stain {stain_word} --data-root YOUR_PAIRS

`{file}` is this bundle as a zip, or its folder. `bundle.json` has the digest of each file, `training.json` how it was
trained; nothing in here is executed.

## Measured

{measured}

## Changes

{changes}
"""


def model_card(card: BundleCard, summary: Summary | None, has_sheet: bool) -> str:
    """The text; ``summary``: what was measured of the run at its images' own size."""
    values = _values(summary)
    front = yaml.safe_dump(_front(card, summary, values), sort_keys=False, allow_unicode=True, width=1000)
    trained = ", ".join(filter(None, [
        f"{card.data_name or card.dataset}, {stain_name(card.stain)}",
        f"{card.train_pairs:,} pairs" if card.train_pairs else "",
        f"{card.train_slides:,} slides" if card.train_slides else "",
    ]))  # fmt: skip
    body = BODY.format(
        title=_text(f"{card.title}, {stain_name(card.stain)}"),
        stain=_text(stain_name(card.stain)),
        stain_word=card.stain,
        sheet=f"![H&E, and what the generator makes of it]({SHEET})\n\n" if has_sheet else "",
        version=card.version,
        method=_text(", ".join(filter(None, (card.method, card.variant, card.preset and f"preset {card.preset}")))),
        data=_text(trained),
        resolution=f"{card.pixel_size:g} µm a pixel" if card.pixel_size else "not known",
        licence=_text(card.licence or "not stated: ask before use"),
        data_licence=_text(card.data_licence),
        weights=card.weights,
        file=f"{card.name}.zip",
        measured=_table(summary, values),
        changes="\n".join(f"- **{change.version}** {_text(change.says)}" for change in card.changes),
    )
    return f"---\n{front}---\n\n{body}"


def _values(summary: Summary | None) -> list[tuple[Value, Reading]]:
    known = declared()
    found = [(known[name], summary.values[name]) for name in SHOWN if summary and name in summary.values]
    return [(value, reading) for value, reading in found if reading.value is not None]


def _front(card: BundleCard, summary: Summary | None, values: list[tuple[Value, Reading]]) -> dict[str, Any]:
    licence = (card.licence or "").lower()
    known = licence in LICENCES
    front: dict[str, Any] = {"license": licence if known else "other"}
    if card.licence and not known:
        front["license_name"] = re.sub(r"[^a-z0-9.]+", "-", licence).strip("-")[:50] or "see-below"
    front |= {
        "library_name": "vsbench",
        "pipeline_tag": "image-to-image",
        "tags": ["virtual-staining", "histology", "immunohistochemistry", card.stain, card.method],
    }
    if summary is not None and values:
        front["metrics"] = [value.name for value, _ in values]
        front["model-index"] = [{
            "name": f"{card.name} {card.version}",
            "results": [{
                "task": {"type": "image-to-image", "name": "virtual staining"},
                "dataset": {
                    "name": f"{summary.data_name or summary.dataset}, {stain_name(summary.stain)}",
                    "type": summary.dataset, "split": summary.split, "revision": summary.data_digest,
                },
                "metrics": [
                    {"type": value.name, "name": f"{plain(value.label)} ({reading.protocol})", "value": reading.value}
                    for value, reading in values
                ],
            }],
        }]  # fmt: skip
    return front


def _table(summary: Summary | None, values: list[tuple[Value, Reading]]) -> str:
    if summary is None or not values:
        return "Nothing yet; vsbench evaluate measures it on any pairs."
    slides = f", {summary.n_slides} slides" if summary.n_slides else ""
    lines = [
        f"On {summary.n} test images{slides} of {_text(summary.data_name or summary.dataset)}, "
        f"{_text(version_said(summary.benchmark))}:",
        "",
    ]
    lines += ["| value | | 95 % interval | protocol |", "|---|---|---|---|"]
    for value, reading in values:
        limits = reading.interval or {}
        low, high = limits.get("low"), limits.get("high")
        interval = f"{low:.4g} to {high:.4g}" if isinstance(low, float) and isinstance(high, float) else ""
        unit = "" if value.unit == "1" else f" {value.unit}"
        lines.append(f"| {_text(plain(value.label))} | {reading.value:.4g}{unit} | {interval} | `{value.protocol}` |")
    return "\n".join(lines)


def _text(text: str) -> str:
    """Any text in one line of Markdown, in which nothing of it is markup."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", line)
