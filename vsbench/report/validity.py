"""The validity study as a heatmap, tables and data: which value follows the true error, and what else it follows."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from vsbench.cells import neutral_table
from vsbench.evaluation.degrade import DEGRADATIONS
from vsbench.evaluation.validity import CONSTANT, TRUE_ERROR, YARDSTICK, Validity
from vsbench.files import write_json, write_text
from vsbench.report.figures.style import PAGE_WIDTH, new_figure, save, style
from vsbench.report.latex.frame import Footnotes, table_float
from vsbench.report.notation import code, escape, heading, mathtext, number, prose, slug, stain_name

COLUMNS = {TRUE_ERROR: "true error", **{d.name: d.label for d in DEGRADATIONS}}
ROWS_PER_TABLE = 45
ROW_HEIGHT, HEAD_HEIGHT, FOOT_HEIGHT = 0.15, 1.0, 0.42  # inches of the heatmap
COLOURS = "vlag"  # blue to red through white: told apart by colour-blind readers
STILL, ABSENT = "=", "n/a"


def ranking(validity: Validity) -> list[str]:
    """The values in the order of their rank correlation with the true error, best first; those without one last."""
    rho = _pivot(validity, "rho")[TRUE_ERROR].reindex(list(validity.values))
    return list(rho.sort_values(ascending=False, na_position="last", kind="stable").index)


def cells(validity: Validity) -> pd.DataFrame:
    """(value × column) what a cell of a table says: the rank correlation, ``=`` for no change, ``n/a``."""
    lines = validity.tracking.assign(text=[_cell(*line) for line in _rho_and_reason(validity)])
    return lines.pivot(index="metric", columns="against", values="text").loc[ranking(validity), list(COLUMNS)]


def reasons(validity: Validity) -> dict[str, list[str]]:
    """Why values have no correlation with the true error: reason → their names."""
    lines = validity.tracking[validity.tracking["against"] == TRUE_ERROR].set_index("metric")["reason"]
    found: dict[str, list[str]] = {}
    for name in ranking(validity):
        if lines[name]:
            found.setdefault(lines[name], []).append(name)
    return found


def write_validity(validity: Validity, folder: Path) -> list[Path]:
    """Write everything into ``folder``; what was written."""
    tables = {"tracking": validity.tracking, "sets": validity.sets, "per_image": validity.per_image.reset_index()}
    paths = []
    for name, table in tables.items():
        paths.append(folder / f"{name}.csv")
        write_text(paths[-1], neutral_table(table).to_csv(index=False, lineterminator="\n"))
    for suffix, text in (("md", markdown(validity)), ("tex", latex(validity))):
        paths.append(folder / f"validity.{suffix}")
        write_text(paths[-1], text)
    paths.append(folder / "validity.json")
    write_json(paths[-1], validity.record)
    return paths + heatmap(validity, folder / "validity")


def heatmap(validity: Validity, stem: Path) -> list[Path]:
    """Draw ``<stem>.pdf`` and ``.png``: on the left rank correlations, on the right how far each value moves.

    Values of which nothing is known are left out, and counted.
    """
    said = cells(validity)
    order = [name for name in said.index if (said.loc[name] != ABSENT).any()]
    height = HEAD_HEIGHT + FOOT_HEIGHT + ROW_HEIGHT * len(order)
    bottom, share = FOOT_HEIGHT / height, ROW_HEIGHT * len(order) / height
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("pdf", "png")]
    with style():
        figure = new_figure(PAGE_WIDTH, height)
        left = figure.add_axes((0.18, bottom, 0.385, share))
        right = figure.add_axes((0.585, bottom, 0.363, share))
        scale = figure.add_axes((0.585, 0.25 / height, 0.363, 0.07 / height))
        rho = _pivot(validity, "rho").loc[order, list(COLUMNS)]
        change = _pivot(validity, "change").loc[order, [d.name for d in DEGRADATIONS]]
        _panel(left, rho, said.loc[order])
        texts = change.map(lambda share: "" if math.isnan(share) else _two_decimals(share))
        _panel(right, change, texts, scale)
        left.set_yticks([i + 0.5 for i in range(len(order))])
        left.set_yticklabels([mathtext(validity.values[name].label) for name in order], rotation=0)
        right.set_yticks([])
        for axes, text in (
            (left, "Spearman's ρ of getting worse\nwith the true error and with each grade"),
            (right, "change for the worse at the last grade,\nshare of the value's range"),
        ):
            axes.set_title(text, fontsize=7, pad=4)
        absent = len(said) - len(order)
        note = _data_line(validity) + (f"\n{absent} values that are n/a are not shown" if absent else "")
        figure.text(0.01, 0.08 / height, note, fontsize=6, va="bottom", parse_math=False)
        for path in paths:
            save(figure, path)
    return paths


def markdown(validity: Validity) -> str:
    """The table with all that one must know to read it."""
    table = cells(validity)
    heads = ["value", "protocol", *COLUMNS.values()]
    body = [[f"`{name}`", validity.values[name].protocol, *table.loc[name]] for name in table.index]
    levels = [
        [d["name"], d["of"], d["what"], d["level"], ", ".join(f"{level:g}" for level in d["levels"])]
        for d in validity.record["degradations"]
    ]
    return "\n".join(
        [
            f"# Validity of metrics: {_data_line(validity)}",
            "",
            *_explanation(),
            "",
            *_grid(heads, body),
            "",
            *(f"- {', '.join(names)}: {ABSENT}, {reason}" for reason, names in reasons(validity).items()),
            "",
            *_grid(["degradation", "of", "what it does", "level", "grades 1 to 5"], levels),
            "",
            *(f"- {warning}" for warning in validity.record["warnings"]),
            f"- vsbench {validity.record['vsbench']}, data {validity.record['data_digest'][:12]}; all in validity.json",
            "",
        ]
    )


def latex(validity: Validity) -> str:
    """The table in LaTeX, in as many parts as it has pages. Needs booktabs and graphicx."""
    table = cells(validity)
    names = list(table.index)
    parts = [names[i : i + ROWS_PER_TABLE] for i in range(0, len(names), ROWS_PER_TABLE)]
    return "\n".join(_part(validity, table, part, place, len(parts)) for place, part in enumerate(parts, start=1))


def _part(validity: Validity, table: pd.DataFrame, names: Sequence[str], place: int, of: int) -> str:
    notes, why = Footnotes(), {name: reason for reason, names in reasons(validity).items() for name in names}
    heads = [rf"\rotatebox{{60}}{{{escape(label)}}}" for label in COLUMNS.values()]
    lines = []
    for name in names:
        value = validity.values[name]
        numbers = [_printed(str(text)) for text in table.loc[name]]
        if name in why:
            numbers[0] += notes.mark(prose(why[name]))
        lines.append(" & ".join([heading(value.label), code(value.protocol), *numbers]) + r" \\")
    record = validity.record
    part = f" (part {place} of {of})" if of > 1 else ""
    caption = (
        f"Rank correlation of values with the true error, {escape(record['dataset'])}, "
        f"{escape(stain_name(record['stain']))}{part}."
    )
    under = [*map(prose, _explanation()), f"{prose(_data_line(validity))}."]
    tabular = [
        rf"\footnotesize\begin{{tabular}}{{@{{}}ll{'r' * len(COLUMNS)}@{{}}}}",
        r"\toprule",
        " & ".join(["Value", "Protocol", *heads]) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    label = f"tab:validity-{slug(record['dataset'] + '-' + record['stain'])}-{place}"
    return table_float(caption, label, tabular, notes, under)


def _panel(axes: Axes, numbers: pd.DataFrame, texts: pd.DataFrame, scale: Axes | None = None) -> None:
    """A heatmap from −1 to 1 with its texts; cells without a number are grey."""
    axes.set_facecolor("0.92")
    sns.heatmap(
        numbers, ax=axes, cmap=COLOURS, vmin=-1, vmax=1, annot=texts, fmt="", annot_kws={"fontsize": 5}, linewidths=0.4,
        cbar=scale is not None, cbar_ax=scale, cbar_kws={"orientation": "horizontal"}, xticklabels=False,
        yticklabels=False,
    )  # fmt: skip
    for row, column in zip(*numbers.isna().to_numpy().nonzero(), strict=True):  # seaborn leaves these without a text
        axes.text(
            column + 0.5, row + 0.5, str(texts.iat[row, column]), fontsize=5, ha="center", va="center", color="0.4"
        )
    axes.set(xlabel="", ylabel="")
    axes.xaxis.tick_top()
    axes.set_xticks([i + 0.5 for i in range(numbers.shape[1])])
    axes.set_xticklabels(
        [COLUMNS[str(name)] for name in numbers.columns], rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.tick_params(length=0, labelsize=6, pad=1)
    if scale is not None:
        scale.tick_params(length=0, labelsize=5, pad=1)
    if TRUE_ERROR in numbers:
        axes.axvline(1, color="black", linewidth=1)


def _explanation() -> list[str]:
    return [
        f"Spearman's rank correlation of a value's getting worse with the true error ({YARDSTICK}) over all sets of "
        "images, and with the grade of each degradation; grade 0 is the true IHC against the adjacent real one. "
        f"+: it gets worse with it. {STILL}: it does not change.",
        "Where the reference is misregistered, or its light is grey, the generated images stay perfect and the true "
        "error 0: a value that gets worse there blames the method for the pairing, or for the lamp. Ranks say nothing "
        "of how far a value moves (see change in tracking.csv), and those over all sets depend on which degradations "
        "there are, and how strong.",
    ]


def _data_line(validity: Validity) -> str:
    record = validity.record
    sizes, slides = ", ".join(record["sizes"]), record["n_slides"]
    return (
        f"{record['dataset']}, {stain_name(record['stain'])}, {record['n']} images of {sizes} from "
        f"{slides} {'slide' if slides == 1 else 'slides'}, seed {record['seed']}"
    )


def _pivot(validity: Validity, column: str) -> pd.DataFrame:
    return validity.tracking.pivot(index="metric", columns="against", values=column)


def _rho_and_reason(validity: Validity) -> Iterator[tuple[float, str]]:
    yield from zip(validity.tracking["rho"], validity.tracking["reason"], strict=True)


def _cell(rho: float, reason: str) -> str:
    if reason:
        return STILL if reason == CONSTANT else ABSENT
    return _two_decimals(rho)


def _two_decimals(share: float) -> str:
    return f"{share:.2f}".replace("-", "−") if round(share, 2) else "0.00"


def _printed(text: str) -> str:
    if text == STILL:
        return "$=$"
    return "--" if text == ABSENT else number(float(text.replace("−", "-")), 2)


def _grid(heads: list[str], body: list[list[str]]) -> Iterator[str]:
    for line in (heads, ["---"] * len(heads), *body):
        yield f"| {' | '.join(text.replace('|', '/') for text in line)} |"
