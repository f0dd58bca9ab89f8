"""The results as Markdown, to be read in a minute: what failed first, then the numbers part by part."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.gpu.parts import Row
from vsbench.data.pairs import few

TOLERANCE = 0.15  # of memory against a dry run's estimate
IDLE = 0.03  # at most, of the GPU's time for want of images


@dataclass(frozen=True)
class Ended:
    """A part that is over. ``how``: done, failed, stopped, not begun; ``said``: how its output ended, if not done."""

    name: str
    title: str
    how: str
    seconds: float
    rows: list[Row]
    said: str

    @property
    def well(self) -> bool:
        """Whether it ended by itself, and no test failed."""
        return self.how == "done" and not any(row.get("outcome") == "failed" for row in self.rows)

    @property
    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def slug(done: Sequence[Ended]) -> str:
    """The card's name as a file's."""
    names = [row["name"] for ended in done for row in ended.rows if row.get("what") == "card"]
    return re.sub(r"[^a-z0-9]+", "-", (names or ["unknown card"])[0].lower()).strip("-")


def page(done: Sequence[Ended]) -> str:
    """Everything that was measured, in words and tables."""
    rows = {ended.name: ended.rows for ended in done}
    lines = ["# The GPU put to the test", "", *card(rows.get("card", []))]
    lines += ["", *table(["part", "ended", "s"], [[e.title, e.how, f"{e.seconds:.0f}"] for e in done])]
    for ended in done:
        build = SECTIONS.get(ended.name)
        if ended.rows and build is not None:
            lines += ["", f"## {ended.title}", "", *build(ended.rows, rows)]
        if ended.said:
            lines += ["", f"## {ended.title}: {ended.how}", "", "```", *ended.said.splitlines(), "```"]
    return "\n".join(lines) + "\n"


def table(heading: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    """Markdown."""
    return [
        f"| {' | '.join(heading)} |", f"|{' --- |' * len(heading)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |" for cells in body),
    ]  # fmt: skip


def card(rows: list[Row]) -> list[str]:
    """The card in a paragraph, and its ceilings."""
    lines = []
    for row in rows:
        if row["what"] == "card":
            memory = f", {row['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in row else ""
            versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
            lines.append(f"{row['name']}{memory}; {row['machine']}; {versions}; source {row['git'] or 'unknown'}.")
        elif row["what"] == "product":
            lines.append(f"Matrix products in {row['kind']}: {shown(row, 'flops_per_s', 1e12)} TFLOP/s.")
        else:
            lines.append(f"Copies on the device: {shown(row, 'bytes_per_s', 1e12)} TB/s, read and written.")
    return lines or ["The card's own part is missing."]


def tests(rows: list[Row], _: dict[str, list[Row]]) -> list[str]:
    """How many tests passed, what the others say, and the largest errors that were noted."""
    passed = [row for row in rows if row["outcome"] == "passed"]
    lines = [f"{len(passed)} of {len(rows)} tests passed."]
    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["outcome"] != "passed":
            alike.setdefault((row["outcome"], row.get("why", "")), []).append(row["test"].rpartition("::")[2])
    if alike:
        lines += ["", *table(["tests", "", "why"], [[few(names), *how] for how, names in alike.items()])]
    by_way: dict[str, list[Row]] = {}
    for row in rows:
        if "losses" in row:
            by_way.setdefault(way_of(row["test"]), []).append(row)
    if by_way:
        lines += ["", "Largest relative errors over the methods, and whose:", ""]
        lines += table(["way, batch", "loss", "of", "gradient", "of"], [worst(way, r) for way, r in by_way.items()])
    if memory := [row for row in rows if "taken" in row]:
        body = [[r["test"], *in_gib(r["taken"], r["estimated"])] for r in memory]
        lines += ["", *table(["memory", "GiB", "dry run", "ratio"], body)]
    return lines


def way_of(test: str) -> str:
    """``test_first_step.py::test_it_is_the_cpus[float32-1-cut]`` → ``float32-1``: without the method."""
    found = re.search(r"\[(.*)-[^-]*\]", test)
    return found[1] if found else "compiled"


def worst(way: str, rows: list[Row]) -> list[str]:
    """The row of a table: the largest errors of a way, and the methods that have them."""
    cells = [way]
    for key in ("losses", "gradients"):
        row = max(rows, key=lambda row: float(row[key]))
        method = row["test"].rpartition("-")[2].rpartition("[")[2].rstrip("]")
        cells += [f"{float(row[key]):.1e}", f"{method} {row['worst']}" if key == "losses" else method]
    return cells


def steps(rows: list[Row], others: dict[str, list[Row]]) -> list[str]:
    """Seconds and memory of steps, against the plain one, the card's ceiling and the dry run."""
    ceilings = {row["kind"]: row.get("flops_per_s") for row in others.get("card", []) if row["what"] == "product"}
    dry_runs = [*others.get("estimates", []), *others.get("other-estimates", [])]
    said = {(row["method"], row["way"]): row for row in dry_runs}
    flops = {row["method"]: row["flops"] for row in dry_runs if "flops" in row}
    plain = {row["kind"]: row["s"] for row in others.get("usigan", []) if row["way"].startswith("plain") and "s" in row}
    body = []
    for row in rows:
        if "failed" in row:
            body.append([row["method"], row["way"], row["failed"], *[""] * 6])
            continue
        ceiling, count = ceilings.get(row["kind"]), flops.get(row["method"])
        share = ""
        if ceiling and count and not row["way"].startswith("plain"):  # which computes more
            share = f"{100 * count / row['s'] / ceiling:.0f} %"
        against = f"{plain[row['kind']] / row['s']:.2f}" if row["method"] == "usigan" and row["kind"] in plain else ""
        estimate = said.get((row["method"], row["way"]), {}).get("estimated_bytes")
        taken = in_gib(row["bytes"], estimate) if row["bytes"] else ["", "", ""]
        size = f"{row['batch']} × {row['crop']}²"
        body.append([row["method"], row["way"], f"{1000 * row['s']:.1f}", size, against, share, *taken])
    heading = ["method", "way", "ms/step", "images", "× plain", "of products", "GiB", "dry run", "ratio"]
    lines = table(heading, body)
    firsts = [row for row in rows if row.get("first_s", 0) > 10]
    lines += ["", *(f"First step of {row['method']}, {row['way']}: {row['first_s']:.0f} s." for row in firsts)]
    return lines


def loader(rows: list[Row], _: dict[str, list[Row]]) -> list[str]:
    """Whether the GPU waits for images."""
    lines, body = [], []
    for row in rows:
        if row["what"] == "alone":
            lines.append(f"A step with images that are there: {1000 * row['s']:.1f} ms ({row['way']}).")
            continue
        if row["what"] == "scaling":
            lines.append(f"To scale a batch and hand it over takes {shown(row, 's', 1e-3)} ms of these.")
            continue
        about = [row["files"], "yes" if row["cache"] else "no", str(row["workers"])]
        if "failed" in row:
            body.append([*about, row["failed"], "", "", ""])
        else:
            shares = [f"{100 * row[key]:.1f} %" for key in ("waits", "slower")]
            body.append([*about, f"{1000 * row['s']:.1f}", *shares, "yes" if row["waits"] <= IDLE else "no"])
    heading = ["files of 1024²", "tile cache", "workers", "ms/step", "GPU waits", "slower by"]
    return [*lines, "", *table([*heading, f"at most {100 * IDLE:.0f} %"], body)]


def evaluation(rows: list[Row], _: dict[str, list[Row]]) -> list[str]:
    """Images a second."""
    body = []
    for row in rows:
        name = {"family": row.get("family"), "lpips backbone": f"LPIPS's backbone, {row.get('batch')} at once"}
        rate = row.get("pairs_per_s", row.get("images_per_s"))
        unit = "pairs" if "pairs_per_s" in row else "images"
        body.append([name.get(row["what"]) or row["what"], f"{rate:.1f} {unit}/s" if rate else row["failed"]])
    return table(["1024²", ""], body)


def learning(rows: list[Row], _: dict[str, list[Row]]) -> list[str]:
    """What was trained, its losses and what became of the test tiles."""
    lines = []
    for row in rows:
        if row["what"] == "training":
            said = {key: value for key, value in row.items() if key not in ("what", "at_s") and value is not None}
            lines.append(", ".join(f"{key} {value}" for key, value in said.items()) + ".")
    points = [row for row in rows if row["what"] == "checkpoint"]
    measured = [row for row in points if "failed" not in row]
    names = list(dict.fromkeys(key for row in measured for key in row if key not in ("what", "at_s", "step")))
    body = [[str(row["step"]), *(f"{row[name]:.3f}" if name in row else "" for name in names)] for row in measured]
    lines += ["", *table(["step", *names], body)]
    losses = [row for row in rows if row["what"] == "losses"]
    chosen = losses[:: max(1, len(losses) // 10)]
    terms = [key for key in (chosen[0] if chosen else {}) if key not in ("what", "at_s", "epoch", "memory_mb")]
    lines += ["", *table(terms, [[f"{row[term]:.4g}" if term in row else "" for term in terms] for row in chosen])]
    return lines + [f"\n{row['what']}: {row['failed']}" for row in rows if "failed" in row]


def in_gib(taken: float, estimated: float | None) -> list[str]:
    """Taken, estimated, and their ratio, in bold where it is farther from 1 than it may be."""
    if not estimated:
        return [f"{taken / 2**30:.2f}", "", ""]
    ratio = f"{taken / estimated:.2f}"
    near = abs(taken / estimated - 1) <= TOLERANCE
    return [f"{taken / 2**30:.2f}", f"{estimated / 2**30:.2f}", ratio if near else f"**{ratio}**"]


def shown(row: Row, key: str, unit: float) -> str:
    """A number in a unit, or why there is none."""
    return f"{row[key] / unit:.3g}" if key in row else row["failed"]


SECTIONS: dict[str, Callable[[list[Row], dict[str, list[Row]]], list[str]]] = {
    **dict.fromkeys(("first-step", "resume", "compiled-step", "memory", "contract"), tests),
    **dict.fromkeys(("usigan", "others", "compiled"), steps),
    "loader": loader,
    "evaluation": evaluation,
    "learning": learning,
}
