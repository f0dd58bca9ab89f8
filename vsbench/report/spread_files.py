"""Printed numbers beside reruns as files: figures, tables in LaTeX, and all of it as CSV."""

from pathlib import Path

from vsbench.cells import neutral_table
from vsbench.files import write_text
from vsbench.report.figures.spread import draw_spreads
from vsbench.report.latex.spread import spread_tables
from vsbench.report.spread import Spreads
from vsbench.report.spread_text import pairs_table, summary_table

TABLES = {"pairs.csv": pairs_table, "summary.csv": summary_table}


def write_spreads(spreads: Spreads, folder: Path) -> list[Path]:
    """Write everything into ``folder``; what was written."""
    texts = {
        name: neutral_table(table(spreads.columns)).to_csv(index=False, lineterminator="\n")
        for name, table in TABLES.items()
    } | spread_tables(spreads)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [*(folder / name for name in texts), *(p for drawn in draw_spreads(spreads, folder) for p in drawn.files)]
