"""Puts the report's page together."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsbench.files import write_text
from vsbench.report.dab_scale import FULL, colours, positive_density
from vsbench.report.decision import Decision
from vsbench.report.figures.drawn import Drawn
from vsbench.report.figures.style import COLUMN_WIDTH, DPI
from vsbench.report.notation import markup
from vsbench.report.page.assemble import assembled
from vsbench.report.page.cards import dataset_cards, method_cards
from vsbench.report.page.explorer import no_explorer, write_explorer
from vsbench.report.page.heat import dab_filter
from vsbench.report.page.leaderboard import Leaderboard
from vsbench.report.page.ranks import rank_data
from vsbench.report.page.slides import write_slides
from vsbench.report.page.texts import address
from vsbench.report.published import Paper
from vsbench.report.tables import Comparison

# in this order one script; each part tells at its top what it needs
SCRIPTS = (
    "elements",
    "panel",
    "constants",
    "leaderboard",
    "decision",
    "figures",
    "viewer",
    "explorer",
    "slides",
    "cards",
    "start",
)
FIGURE_WIDTH = 2200  # pixels; the page holds figures reduced to it, and points to the PDF
FIGURE_QUALITY = 80


def write_page(
    out: Path,
    comparisons: Sequence[Comparison],
    decisions: Mapping[str, Decision],
    galleries: Mapping[str, Sequence[Drawn]],
    papers: Sequence[Paper],
    warn: Callable[[str], None],
) -> list[Path]:
    """Write ``index.html`` and the folder ``page`` under ``out``; all files written, ``index.html`` first.

    ``decisions`` and ``galleries`` are by name of the comparison, and may lack some. ``warn`` is told, one sentence
    each, what can't be shown.
    """
    board = Leaderboard(out, papers)
    details: list[dict[str, Any]] = []
    figures: dict[str, Any] = {}
    written: list[Path] = []
    methods: dict[str, None] = {}
    for place, comparison in enumerate(comparisons):
        decision = decisions.get(comparison.name)
        methods |= dict.fromkeys(facts.method for facts in board.add(comparison, decision) if facts.method)
        paths, offer = (no_explorer if comparison.of_slides else write_explorer)(comparison, out, warn)
        written += paths
        paths, slides = write_slides(comparison, out, warn) if comparison.of_slides else ([], None)
        written += paths
        drawn = galleries.get(comparison.name, ())
        details.append({
            "dataset": comparison.title,
            "warnings": [text for text, rows in comparison.warnings.items() if len(rows) == len(comparison.rows)],
            "decision": rank_data(decision) if decision else None,
            "explorer": offer,
            "slides": slides,
        })  # fmt: skip
        figures[f"figures-{place}"] = [_figure(one, out) for one in drawn]
    cards = {
        "methods": method_cards(sorted(methods)),
        "datasets": dataset_cards(dict.fromkeys(c.dataset for c in comparisons if not c.of_slides)),
        "papers": [{"title": paper.name, "lines": [["Citation", [paper.source]]]} for paper in papers],
    }
    heat = {"full": FULL, "positive": round(positive_density(), 4), "colours": np.rint(255 * colours()).tolist()}
    data = {"board": board.data(), "details": details, "cards": cards, "heat": heat}
    write_text(out / "index.html", assembled("page", SCRIPTS, data, figures, filter=dab_filter()))
    return list(dict.fromkeys([out / "index.html", *written]))


def _figure(drawn: Drawn, out: Path) -> dict[str, Any]:
    with Image.open(drawn.file("png")) as image:
        small = image.convert("RGB")
    small.thumbnail((FIGURE_WIDTH, 4 * FIGURE_WIDTH), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "WEBP", quality=FIGURE_QUALITY)
    return {
        "image": f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}",
        "size": small.size,
        "wide": small.width > 1.5 * COLUMN_WIDTH * DPI,  # else two stand side by side
        "caption": markup(drawn.caption),
        "missing": list(drawn.missing),
        "files": [[suffix.upper(), address(drawn.file(suffix), out)] for suffix in ("pdf", "png", "csv")],
    }
