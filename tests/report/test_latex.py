"""The printed numbers against pandas on the summaries, and the document against pdflatex."""

import json
import re
import shutil
import subprocess
from typing import Any

import pandas as pd
import pytest

from vsbench.report.build import build_report
from vsbench.report.latex import full_tables, paper_table
from vsbench.report.tables import compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here

HOSTILE = r"a_b & 100% $x$ \input{/etc/passwd} ~^{}#"
PLACES = {"phv_avg": 4, "r_avg": 2, "fid": 3, "r_p": 2, "r_c": 2, "psnr": 2}
needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None, reason="needs pdflatex and pdftotext"
)


def fill(tree: Tree) -> None:
    """Three methods, one of two seeds, one of hostile name, one made elsewhere, on two stains; two references."""
    numbers = iter(range(1, 200))

    def some(*values: str) -> dict[str, Any]:
        scale = {"phv_avg": 0.00531, "r_avg": 0.9137, "fid": 3.1717, "r_p": 0.731, "r_c": 0.777, "psnr": 0.2391}
        return {value: scale[value] * (10 + (37 * next(numbers)) % 97) for value in values}

    for stain in ("er", "pr"):
        tree.add("cut", some(*PLACES), stain=stain, title="CUT", seed=0)
        tree.add("cut", some(*PLACES), stain=stain, title="CUT", seed=1)
        tree.add("hostile", some("r_avg", "r_p", "r_c") | {"fid": "no weights; run x_y"}, stain=stain, title=HOSTILE)
        tree.add("elsewhere", some(*PLACES), stain=stain, title="Elsewhere", kind="external")
        tree.add("he", some(*PLACES), stain=stain, title="H&E unchanged", kind="reference")
    tree.add("pix2pix", some(*PLACES) | {"psnr": "inf"}, stain="er", title="Pix2Pix")


def expected(tree: Tree, stain: str) -> pd.DataFrame:
    """(mean, sd) over seeds by (title, value), by pandas from the files."""
    lines = []
    for path in tree.results.rglob("summary.json"):
        summary = json.loads(path.read_text())
        if summary["stain"] == stain:
            lines += [
                {"kind": summary["kind"], "title": summary["title"], "value": name, "number": float(v["value"])}
                for name, v in summary["values"].items()
                if v["value"] is not None
            ]
    return pd.DataFrame(lines).groupby(["kind", "title", "value"])["number"].agg(["mean", "std"]).reset_index()


def cells(tex: str) -> list[list[str]]:
    """The body of a table as lists of cells, without notes and spacing."""
    body = tex.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    body = re.sub(r"\\rlap\{\\textsuperscript\{\w+\}\}", "", body.replace("\\midrule\n", ""))
    body = re.sub(r"\\phantom\{(?:[^{}]|\{[^{}]*\})*\}", "", body)
    return [re.split(r"(?<!\\) & ", line) for line in body.strip().removesuffix(r"\\").split(" \\\\\n")]


def test_paper_table_prints_what_pandas_computes(tree: Tree) -> None:
    fill(tree)
    rows = cells(paper_table(compare(load_results(tree.results))))
    checked = 0
    for i, stain in enumerate(("er", "pr")):
        numbers = expected(tree, stain).set_index(["title", "value"])
        for row in rows:
            title = HOSTILE if "textbackslash" in row[0] else row[0].strip().replace(r"\&", "&")
            for value, cell in zip(("phv_avg", "r_avg", "fid"), row[1 + 3 * i : 4 + 3 * i], strict=True):
                if (title, value) not in numbers.index:
                    assert cell.strip() == "--"
                    continue
                printed = re.findall(r"\d+\.\d+", cell)
                mean, spread = numbers.loc[(title, value), ["mean", "std"]]
                assert printed[0] == f"{mean:.{PLACES[value]}f}"
                assert printed[1:] == ([] if pd.isna(spread) else [f"{spread:.{PLACES[value]}f}"])
                checked += 1
    assert checked == 3 * 7 + 2  # of 4 + 3 rows with all three values, and the hostile one twice with one


def test_best_and_second_are_those_of_pandas(tree: Tree) -> None:
    fill(tree)
    for comparison in compare(load_results(tree.results)):
        numbers = expected(tree, comparison.stain)
        methods = numbers[numbers["kind"] != "reference"].set_index("title")
        panels = [cells(panel) for panel in full_tables(comparison).split(r"\begin{table*}")[1:]]
        rows = [panels[0][i] + [cell for panel in panels[1:] for cell in panel[i][1:]] for i in range(len(panels[0]))]
        for i, value in enumerate(comparison.columns, start=1):
            order = methods[methods["value"] == value]["mean"].sort_values(ascending=value in ("phv_avg", "fid")).index
            marked = {mark: [row[0].strip() for row in rows if mark in row[i]] for mark in (r"\textbf", r"\underline")}
            names = [r"a\_b" if name == HOSTILE else name for name in order]
            assert marked[r"\textbf"][0].startswith(names[0])
            assert marked[r"\underline"][0].startswith(names[1])
            assert len(marked[r"\textbf"]) == len(marked[r"\underline"]) == 1


def test_references_stand_below_a_rule(tree: Tree) -> None:
    fill(tree)
    tex = paper_table(compare(load_results(tree.results)))
    methods, references = tex.split(r"\toprule")[1].split("\\midrule\n")[1:]
    assert "H\\&E unchanged" in references
    assert "CUT" in methods
    assert "textbf" not in references.split(r"\bottomrule")[0]


def test_provenance_stands_under_the_table(tree: Tree) -> None:
    fill(tree)
    for tex in (paper_table(compare(load_results(tree.results))), full_tables(compare(load_results(tree.results))[0])):
        notes = tex.split(r"\begin{minipage}")[1].replace(r"\allowbreak{}", "")
        for text in (
            r"\texttt{phv/released}",
            r"\texttt{fid/torch-fidelity}",
            "N = 6 test pairs of 32$\\times$32 pixels, 3 slides",
            "Seeds: 0",
            "0, 1 (CUT)",
            "no weights; run x\\_y",
            "slides are shared by train and test",
            "vsbench 0.1.0",
        ):
            assert text in notes
        digests = [json.loads(p.read_text())["data_digest"] for p in tree.results.rglob("mist-er/**/summary.json")]
        assert digests[0][:12] in notes


def test_remarks_name_stains_only_where_they_differ(tree: Tree) -> None:
    fill(tree)
    tex = paper_table(compare(load_results(tree.results))).replace(r"\allowbreak{}", "")
    assert "not evaluated on PR: Pix2Pix." in tex
    assert re.search(r"Seeds: 0 \(.*Pix2Pix on ER.*\); 0, 1 \(CUT\)", tex)


def test_flagged_cells_carry_their_note(tree: Tree) -> None:
    tree.add("a", {"phv_avg": 0.5})
    tree.add("b", {"phv_avg": 0.6})
    tree.add("c", {"phv_avg": {"value": 0.1, "protocol": "phv/imagenet"}}, title="C")
    tree.add("d", {"phv_avg": 0.2}, title="D", data_digest="f" * 64)
    tex = full_tables(compare(load_results(tree.results))[0])
    assert re.search(r"^C & 0\.1000\\rlap\{\\textsuperscript\{a\}\}", tex, re.M)
    assert re.search(r"^D & 0\.2000\\rlap\{\\textsuperscript\{b\}\}", tex, re.M)
    assert re.search(r"textsuperscript\{a\}.*protocol, phv/imagenet", tex)
    assert re.search(r"textsuperscript\{b\}.*other images", tex)


def test_wide_tables_are_continued(tree: Tree) -> None:
    values = {"iod": 0.1, "iod_mae": 0.1, "r_p": 1.0, "r_c": 2.0, "r_avg": 1.5, "fid": 1.0, "phv_avg": 0.1}
    for seed in (0, 1):
        tree.add("a", values | {"ssim": 0.1, "psnr": 10.0}, seed=seed, title="A rather long name of a method")
    tex = full_tables(compare(load_results(tree.results))[0])
    heads = [part.split(r"\midrule")[0] for part in tex.split(r"\toprule")[1:]]
    assert len(heads) > 1
    assert sum(head.split("\\\\\n")[0].count("multicolumn") for head in heads) == 9
    assert f"part 2 of {len(heads)}" in tex


@needs_latex
def test_document_compiles_without_complaint_and_shows_every_name(tree: Tree) -> None:
    fill(tree)
    printable = "".join(map(chr, range(32, 127))) + "éØµ"
    tree.add("printable", {"r_avg": 1.0, "r_c": 1.0, "r_p": 1.0}, title=printable[:39])
    tree.add("more", {"r_avg": 1.0, "r_c": 1.0, "r_p": 1.0}, title=printable[39:75])
    tree.add("rest", {"r_avg": 1.0}, title=printable[75:], warnings=[HOSTILE, "unbroken" * 40], dataset="odd_data")
    tree.add("long", {"r_avg": 2.0}, title="long name " * 30, dataset="odd_data")
    out = tree.results / "report"
    build_report(tree.results, out, latex=True, warn=lambda _: None)
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=out, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    log = (out / "main.log").read_text(errors="replace")
    log = log.replace("LaTeX Warning: Label(s) may have changed", "")  # after a first run, always
    assert not re.findall(r"^.*(?:Warning|Overfull|Underfull|Missing character).*$", log, re.M)
    text = subprocess.run(["pdftotext", "-layout", "main.pdf", "-"], cwd=out, capture_output=True, check=True).stdout
    words = re.sub(r"\s", "", text.decode().translate({0x2019: "'", 0x2018: "`", 0x201D: '"'}))
    for title in (HOSTILE, printable[:39], printable[39:75], printable[75:]):
        assert re.sub(r"\s", "", title) in words, title
    assert "root:" not in words  # /etc/passwd was not read


def test_no_name_reaches_a_file_as_markup(tree: Tree) -> None:
    evil = r"\input{evil}"
    tree.add("a", {"r_avg": "reason " + evil}, title=evil, warnings=[evil], vsbench=evil, sizes=[evil], split=evil)
    tree.add("b", {"r_avg": {"value": 1.0, "label": f"${evil}$", "unit": evil, "protocol": evil}}, title="b" + evil)
    tree.add("c", {"r_avg": 1.0, "fid": 1.0}, title=evil, data_digest=evil * 3)
    written = build_report(tree.results, tree.results / "report", latex=True, warn=lambda _: None)
    for path in written:
        if path.suffix == ".tex":
            assert evil not in path.read_text().replace(r"\allowbreak{}", "")
