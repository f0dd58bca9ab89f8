"""The appendix in LaTeX: what it takes to repeat every row. What all runs share is said once, then what differs.

Needs array, booktabs and longtable. Digests are cut to what tells them apart; ``provenance.json`` has them whole.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vsbench.report.notation import code, escape, prose, shorten, stain_name
from vsbench.report.provenance.commands import loops
from vsbench.report.provenance.places import ELSEWHERE
from vsbench.report.provenance.records import records
from vsbench.report.tables import Comparison

Record = Mapping[str, Any]
UNKNOWN = "not recorded"
LONGEST = 40  # letters of a title in a table
DIGITS = 12  # of a digest
MARKS = {"'": 13, '"': 34, "`": 18}  # where TeX's oldest typewriter font has them upright
RULES = ("CycleGAN result folder: ", "CUT result folder: ", "*")  # how warnings begin that say how images were found
HEAD = r"""% Needs array, booktabs and longtable.
\providecommand{\typed}[1]{{\fontencoding{OT1}\fontfamily{cmtt}\selectfont\char#1}}% quotation marks that can be copied
"""


def appendix(comparisons: Sequence[Comparison]) -> str:
    """The appendix for all data sets and stains; "" for no comparison. Names and commands are escaped."""
    found = records(comparisons)
    if not found:
        return ""
    evaluated = dict.fromkeys(_options(record) for record in found if record["kind"] == "trained")
    lines = [r"\section*{How to repeat every row}", f"{_introduction(found)}\n", *_shared(found, list(evaluated))]
    for dataset in dict.fromkeys(record["dataset"] for record in found):
        own = [record for record in found if record["dataset"] == dataset]
        rows: dict[tuple[str, str], list[Record]] = {}
        for record in own:
            rows.setdefault((record["kind"], record["title"]), []).append(record)
        titles = ", ".join(dict.fromkeys(record["data_name"] for record in own))
        lines += [f"\\subsection*{{{escape(titles)}}}", *_data(own)]
        lines += [line for group in rows.values() for line in _block(group, len(evaluated) == 1)]
        if any(kind == "reference" for kind, _ in rows):
            lines.append(_heading("References, which every evaluation measures too"))
        lines += [line for (kind, _), group in rows.items() if kind == "reference" for line in _fitted(group)]
        lines += _costs([record for record in own if record["kind"] == "trained"])
    return HEAD + "\n".join(lines) + "\n"


def _introduction(found: Sequence[Record]) -> str:
    text = (
        "Made from the records that training and evaluation left (run.json, summary.json). The commands write to "
        "results/, and look for the data sets under --data-root, $VSBENCH_DATA or the settings file. What they leave "
        "out changes no number: processes that load images, and how often is logged."
    )
    if any(ELSEWHERE in command for record in found for command in record["commands"]):
        text += f" {ELSEWHERE} stands for a place of your own."
    return prose(text)


def _shared(found: Sequence[Record], evaluated: Sequence[tuple[str, ...]]) -> list[str]:
    """What all rows have in common, and which differ from it. ``evaluated``: the options of their evaluations."""
    trained = [record for record in found if record["kind"] == "trained"]
    versions = {name for record in trained for name in record["versions"] or ()}
    networks = {name for record in found for name in record["measured_with"] or ()}
    facts = {}
    if trained:
        facts["Versions"] = "; ".join(_each(trained, "versions", versions)) or UNKNOWN
        facts["Source"] = _agreed(trained, lambda r: r["git"] and f"commit {r['git']}")
        facts["Device"] = _agreed(trained, lambda r: r["device"])
    facts |= {
        "Evaluated by": _agreed(found, lambda r: f"vsbench {r['evaluated_by']}"),
        "Evaluation protocol": _agreed(found, lambda r: r["protocol"]),
        "Intervals": _agreed(found, _bootstrap),
        "Measured with": "; ".join(_each(found, "measured_with", networks)) or "no pretrained network",
    }
    lines = [_item(name, prose(text)) for name, text in facts.items()]
    if len(evaluated) == 1:
        everything = command_line(shlex.join(["vsbench", "evaluate", "--all", *evaluated[0]]))
        lines.append(_item("Evaluation", f"{everything} translates where images are missing, and measures all rows"))
    return lines


def _data(own: Sequence[Record]) -> list[str]:
    lines = []
    for stain in dict.fromkeys(record["stain"] for record in own):
        here = [record for record in own if record["stain"] == stain]
        trained = [record for record in here if record["kind"] == "trained"]
        text = f"tested on {_agreed(here, _tested)}"
        if trained:
            text += f"; trained on {_agreed(trained, _learnt)}"
        lines.append(_item(stain_name(stain), prose(text)))
    return lines


def _block(group: Sequence[Record], evaluated_alike: bool) -> list[str]:
    """One row on all its stains: commands, networks, and what must be minded. Nothing for a reference."""
    kind, title = group[0]["kind"], group[0]["title"]
    if kind == "reference":
        return []
    lines = [_heading(title)]
    if kind == "trained":
        lines += [
            _command(line) for line in loops(record["commands"][0] for record in group if len(record["commands"]) > 1)
        ]
        if not evaluated_alike:
            lines += [_command(line) for line in _evaluations(group)]
        lines.append(_item("Parameters", prose(_agreed(group, _parameters))))
    else:
        lines += [_command(line) for record in group for line in record["commands"]]
        for record in group if kind == "external" else ():
            place = f"{stain_name(record['stain'])}: images of {record['images'] or UNKNOWN}, found by {_rule(record)}"
            lines.append(_item("Made elsewhere", prose(f"{place}; digest {_cut(record['images_digest']) or UNKNOWN}")))
    for note in dict.fromkeys(note for record in group for note in record["notes"]):
        where = _where([record for record in group if note in record["notes"]], group)
        lines.append(_item("Note", prose(f"{note}{f' ({where})' if where else ''}")))
    return lines


def _evaluations(group: Sequence[Record]) -> list[str]:
    """The evaluations of a row, one command for all runs that were evaluated alike."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for record in group:
        if record["commands"]:
            runs.setdefault(_options(record), []).append(shlex.split(record["commands"][-1])[2])
    return [shlex.join(["vsbench", "evaluate", *folders, *options]) for options, folders in runs.items()]


def _fitted(group: Sequence[Record]) -> list[str]:
    """What a reference took from the images, on each stain."""
    values: dict[str, list[str]] = {}
    for record in group:
        values.setdefault(_state(record["fitted"]), []).append(stain_name(record["stain"]))
    texts = [value if len(values) == 1 else f"{', '.join(stains)}: {value}" for value, stains in values.items()]
    return [_item(group[0]["title"], prose("; ".join(texts)))]


def _costs(trained: Sequence[Record]) -> list[str]:
    """Steps, time, memory, speed and weights: one line per row and stain, its seeds side by side."""
    if not trained:
        return []
    head = r"Method & Stain & Seeds & Steps & Chosen & Minutes & GiB & Images/s & Weights \\"
    lines = [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}",
        r"\begin{longtable}{@{}>{\raggedright\arraybackslash}p{0.2\linewidth}lrrrrrr>{\raggedright\arraybackslash}p{0.26\linewidth}@{}}",
        r"\toprule", head, r"\midrule\endhead", r"\bottomrule\endfoot",
    ]  # fmt: skip
    before = None
    groups: dict[str, dict[str, list[Record]]] = {}  # title → stain
    for record in trained:
        groups.setdefault(record["title"], {}).setdefault(record["stain"], []).append(record)
    for title, stain, group in [(t, s, g) for t, stains in groups.items() for s, g in stains.items()]:
        cells = [
            prose(shorten(title, LONGEST)) if title != before else "",
            escape(stain_name(stain)),
            escape(", ".join(str(record["seed"]) for record in group)),
            _range([record["steps"] for record in group], 1, 0),
            _range([record["chosen_step"] for record in group], 1, 0),
            _range([record["wall_time_s"] for record in group], 60, 1),
            _range([record["peak_memory_bytes"] for record in group], 2**30, 2),
            _range([record["translated_images_per_s"] for record in group], 1, 1),
            ", ".join(code(digest[:8]) for record in group if (digest := record["weights_digest"])) or "--",
        ]
        lines.append(" & ".join(cells) + r" \\")
        before = title
    under = (
        "Minutes of training; GiB: highest memory of the GPU in training; images per second in translation, on one "
        "device, files not counted; weights: SHA-256 of the file that translated, its first digits. --: not recorded."
    )
    return [*lines, r"\end{longtable}", rf"\vspace{{-6pt}}{prose(under)}\par}}"]


def command_line(text: str) -> str:
    """A command in typewriter type, breaking at blanks, whose quotation marks stay what the shell wants."""
    words = []
    for word in text.split():
        parts = re.split(r"(['\"`])", word)
        words.append("".join(rf"\typed{{{MARKS[part]}}}" if part in MARKS else prose(part) for part in parts))
    return rf"\texttt{{{' '.join(words)}}}"


def _command(text: str) -> str:
    return rf"{{\footnotesize\raggedright\hangindent=2em\hangafter=1 {command_line(text)}\par}}"


def _heading(title: str) -> str:
    return rf"\medskip{{\small\bfseries\raggedright {prose(title)}\par}}\nopagebreak"


def _item(name: str, text: str) -> str:
    return rf"{{\footnotesize\raggedright\hangindent=2em\hangafter=1 \textit{{{escape(name)}}}: {text}.\par}}"


def _agreed(found: Sequence[Record], fact: Any, before: str = "") -> str:
    """What a fact is: once where all agree; else the most common, and the others with the runs they hold for."""
    values: dict[str, list[Record]] = {}
    for record in found:
        values.setdefault(str(fact(record) or UNKNOWN), []).append(record)
    if len(values) == 1:
        return before + next(iter(values))
    ordered = sorted(values.items(), key=lambda item: -len(item[1]))
    usual = f"{before}{ordered[0][0]} (all but what follows)"
    return "; ".join([usual, *(f"{before}{value} ({_where(runs, found)})" for value, runs in ordered[1:])])


def _each(found: Sequence[Record], key: str, names: Iterable[str]) -> list[str]:
    """Facts of one kind by name: versions, weights."""
    return [_agreed(found, lambda r, name=name: _cut((r[key] or {}).get(name)), f"{name} ") for name in sorted(names)]


def _where(runs: Sequence[Record], among: Sequence[Record]) -> str:
    """The rows, stains and seeds of these runs, as short as it can be said; "" for all of them."""
    if len(runs) == len(among):
        return ""
    rows: dict[str, list[str]] = {}
    several = len({(record["dataset"], record["stain"]) for record in among}) > 1
    for record in runs:
        place = [record["dataset"]] if len({other["dataset"] for other in among}) > 1 else []
        place += [stain_name(record["stain"])] if several else []
        place += [] if record["seed"] is None else [f"seed {record['seed']}"]
        rows.setdefault(record["title"], []).append(" ".join(place))
    whole = {title: sum(record["title"] == title for record in among) for title in rows}
    return ", ".join(
        title if len(places) == whole[title] else f"{title}: {', '.join(places)}" for title, places in rows.items()
    )


def _options(record: Record) -> tuple[str, ...]:
    """What an evaluation was told besides the run."""
    return tuple(shlex.split(record["commands"][-1])[3:]) if record["commands"] else ()


def _rule(record: Record) -> str:
    if record["suffix"]:
        return f"the pair's name and {record['suffix']}"
    rule = next((text for text in record["warnings"] or () if text.startswith(RULES)), "the pair's name")
    kind, _, how = record["protocol"].partition("-")
    return rule + (f", resized ({how})" if kind == "resize" else "")


def _state(state: Any) -> str:
    if state is None:
        return UNKNOWN
    return "; ".join(f"{key} {_rounded(value)}" for key, value in state.items()) or "nothing is fitted"


def _rounded(value: Any) -> str:
    if isinstance(value, dict):
        return f"{len(value)} entries"
    if isinstance(value, list):
        return f"[{', '.join(map(_rounded, value))}]"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _parameters(record: Record) -> str | None:
    counts = record["parameters"]
    if not counts:
        return None
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) + f"; {sum(counts.values()):,} in all"


def _tested(record: Record) -> str:
    digests = f"digest {_cut(record['data_digest'])}, split {_cut(record['split_digest']) or UNKNOWN}"
    return f"{record['n']} pairs of {_sizes(record)}, {_slides(record['n_slides'])}, {digests}"


def _learnt(record: Record) -> str | None:
    if not record["train_pairs"]:
        return None
    return f"{record['train_pairs']} pairs, {_slides(record['train_slides'])}, digest {_cut(record['train_digest'])}"


def _bootstrap(record: Record) -> str | None:
    settings = record["bootstrap"]
    if not settings:
        return None
    return f"{settings['resamples']} resamples of {settings.get('unit') or 'slide'}s, seed {settings['seed']}"


def _range(values: Iterable[float | None], unit: float, places: int) -> str:
    """Least and largest of the seeds; -- where none is recorded."""
    known = [value / unit for value in values if value is not None]
    printed = list(dict.fromkeys(f"{value:.{places}f}" for value in (min(known), max(known)))) if known else ["--"]
    return "--".join(printed)


def _cut(digest: str | None, digits: int = DIGITS) -> str | None:
    """A digest's first digits; a version number as it is."""
    return digest[:digits] if digest is not None and re.fullmatch(r"[0-9a-f]{64}", digest) else digest


def _sizes(record: Record) -> str:
    return ", ".join(record["sizes"] or [UNKNOWN]).replace("x", "×") + " pixels"


def _slides(count: int | None) -> str:
    return "slides unknown" if count is None else f"{count} slide{'s' * (count != 1)}"
