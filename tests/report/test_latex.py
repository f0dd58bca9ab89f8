"""The printed numbers against pandas on the summaries, and the document against pdflatex."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from vsbench.report.build import build_report
from vsbench.report.decision import Decision, ValueDecision
from vsbench.report.latex.comparison import full_tables, main_table
from vsbench.report.latex.document import document
from vsbench.report.published import load
from vsbench.report.tables import Comparison, compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here

LEDGER = Path(__file__).parents[2] / "results" / "published" / "usigan.csv"
CAUTION = "3 slides can't give a p below 0.25"
HOSTILE = r"a_b & 100% $x$ \input{/etc/passwd} ~^{}#"
PLACES = {"phv_avg": 4, "r_avg": 2, "fid": 3, "r_p": 2, "r_c": 2, "psnr": 2}
MAIN = ("r_p", "r_c", "r_avg", "fid", "phv_avg")  # in the order of the main table
needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None, reason="needs pdflatex and pdftotext"
)


METHODS = ("asp", "cut", "cyclegan", "monce", "pix2pix", "ppt", "regression", "src", "usigan")


@pytest.fixture
def tree(make_tree: Callable[..., Tree]) -> Tree:
    """A tree of so many slides that a difference can be shown."""
    return make_tree(n=12, slides=12)


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


def cells(tex: str, spacing: bool = False) -> list[list[str]]:
    """The lines of a table as lists of cells, without rules, and without notes and ``spacing`` where this is False."""
    body = re.sub(r"\\(midrule|cmidrule\S*)", "", tex.split(r"\toprule", 1)[1].split(r"\bottomrule")[0])
    if not spacing:
        body = re.sub(r"\\rlap\{\\textsuperscript\{\w+\}\}", "", body)
        body = re.sub(r"\\phantom\{(?:[^{}]|\{[^{}]*\})*\}", "", body)
    return [
        [c.strip() for c in re.split(r"(?<!\\) & ", line.removesuffix(r"\\"))]
        for line in body.strip("\n").splitlines()
        if line
    ]


def turned(tex: str) -> dict[str, list[str]]:
    """Heading → cells of a table whose columns are methods; the first is of the values."""
    lines = [line for panel in tex.split(r"\begin{table*}")[1:] for line in cells(panel) if line[0]]
    columns: dict[str, list[str]] = {}
    for line in lines:
        if line[0] == "Value":
            heads = [re.sub(r"\\(rotatebox\{60\}|shortstack\[l\]|textit)|[{}]", "", head) for head in line]
            heads = [head.replace(r"\\", " ") for head in heads]
        else:
            for head, cell in zip(heads, line, strict=True):
                columns.setdefault(head, []).append(cell)
    return columns


def test_the_main_table_prints_what_pandas_computes(tree: Tree) -> None:
    fill(tree)
    tex = main_table(compare(load_results(tree.results)))
    heads, _, *rows = cells(tex)
    assert [re.sub(r"\W|mathrm|multicolumn|arrow|down|up", "", head).removeprefix("1c") for head in heads[1:]] == [
        "Seeds", "R_p", "R_c", "R_avg", "FID", "PHV_avg",
    ]  # fmt: skip
    checked, numbers, seeds = 0, pd.DataFrame(), {}
    for row in rows:
        if len(row) == 1:
            (stain,) = re.findall(r"textit\{(\w+)\}", row[0])
            numbers = expected(tree, stain.lower()).set_index(["title", "value"])
            continue
        title = HOSTILE if "textbackslash" in row[0] else row[0].strip().replace(r"\&", "&")
        seeds[title] = row[1]
        for value, cell in zip(MAIN, row[2:], strict=True):
            if (title, value) not in numbers.index:
                assert cell.strip() == "--"
                continue
            printed = re.findall(r"\d+\.\d+", cell)
            mean, spread = numbers.loc[(title, value), ["mean", "std"]]
            assert printed[0] == f"{mean:.{PLACES[value]}f}"
            assert printed[1:] == ([] if pd.isna(spread) else [f"{spread:.{PLACES[value]}f}"])
            checked += 1
    assert checked == 5 * 7 + 2 * 3  # of 4 + 3 rows with all values, and the hostile one twice with three
    assert seeds == {"CUT": "2", HOSTILE: "1", "Elsewhere": "", "Pix2Pix": "1", "H&E unchanged": ""}


def test_many_methods_stand_by_group_and_seeds_have_a_column_only_where_they_differ(tree: Tree) -> None:
    for row in METHODS:
        recorded(tree.add(f"{row}+small", {"r_p": 50.0}, title=f"{row} (small preset)"), row)
    even = main_table(compare(load_results(tree.results)))
    assert "Seeds &" not in even
    assert [line for line in even.splitlines() if "textit{learn" in line or "textit{controls" in line] == [
        rf"\multicolumn{{2}}{{@{{}}l@{{}}}}{{\textit{{{group}}}}} \\"
        for group in ("learn from pairs", "learn from weak pairs", "learn unpaired", "controls")
    ]
    assert "cut &" in even, "what all have in their names is said once"
    assert even.count("small preset") == 0
    recorded(tree.add("cut+small", {"r_p": 52.0}, title="cut (small preset)", seed=1), "cut")
    uneven = main_table(compare(load_results(tree.results)))
    assert r"\multicolumn{3}{@{}l@{}}{\textit{learn unpaired}}" in uneven
    assert re.search(r"^cut & 2 &", uneven, re.MULTILINE)
    assert re.search(r"^src & 1 &", uneven, re.MULTILINE)


def recorded(folder: Path, method: str) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"method": method}))


def test_best_and_second_are_those_of_pandas(tree: Tree) -> None:
    fill(tree)
    for comparison in compare(load_results(tree.results)):
        numbers = expected(tree, comparison.stain)
        methods = numbers[numbers["kind"] != "reference"].set_index("title")
        columns = turned(full_tables(comparison))
        for i, value in enumerate(comparison.columns):
            order = methods[methods["value"] == value]["mean"].sort_values(ascending=value in ("phv_avg", "fid")).index
            marked = {
                mark: [head for head, column in columns.items() if mark in column[i]]
                for mark in (r"\textbf", r"\underline")
            }
            names = [r"a\_b" if name == HOSTILE else name for name in order]
            assert marked[r"\textbf"][0].startswith(names[0])
            assert marked[r"\underline"][0].startswith(names[1])
            assert len(marked[r"\textbf"]) == len(marked[r"\underline"]) == 1


def test_where_nothing_can_be_shown_nothing_is_marked(make_tree: Callable[..., Tree]) -> None:
    few = make_tree(n=4, slides=4)
    for row in "ab":
        few.add(row, {"fid": 10.0, "r_p": 3.0 if row == "a" else 9.0})
    comparisons = compare(load_results(few.results))
    for tex in (main_table(comparisons), full_tables(comparisons[0])):
        assert not any(mark in tex for mark in (r"\textbf{9", r"\underline", "Best method in bold"))


def test_references_stand_below_a_rule(tree: Tree) -> None:
    fill(tree)
    tex = main_table(compare(load_results(tree.results)))
    blocks = tex.split(r"\bottomrule")[0].split(r"\textit{")[1:]
    assert [block[:2] for block in blocks] == ["ER", "PR"]
    for block in blocks:
        methods, references = block.split("\\cmidrule{1-1}\n")
        assert "H\\&E unchanged" in references
        assert "CUT" in methods
        assert "textbf" not in references


def test_provenance_stands_under_the_table(tree: Tree) -> None:
    fill(tree)
    for tex in (main_table(compare(load_results(tree.results))), full_tables(compare(load_results(tree.results))[0])):
        notes = tex.split(r"\footnotesize")[1].replace(r"\allowbreak{}", "")
        for text in (
            r"\texttt{phv/released}",
            r"\texttt{fid/torch-fidelity}",
            "N = 12 test pairs of 32$\\times$32 pixels, 12 slides",
            "Seeds: 0",
            "0, 1 (CUT)",
            "no weights",
            "slides are shared by train and test",
            "vsbench 0.1.0",
        ):
            assert text in notes
        assert "run x" not in notes  # what to type is for the terminal
        digests = [json.loads(p.read_text())["data_digest"] for p in tree.results.rglob("mist-er/**/summary.json")]
        assert digests[0][:12] in notes


def test_remarks_name_stains_only_where_they_differ(tree: Tree) -> None:
    fill(tree)
    tex = main_table(compare(load_results(tree.results))).replace(r"\allowbreak{}", "")
    assert "Not evaluated on PR: Pix2Pix." in tex
    assert re.search(r"Seeds: 0 \(.*Pix2Pix on ER.*\); 0, 1 \(CUT\)", tex)


def test_flagged_cells_carry_their_note(tree: Tree) -> None:
    tree.add("a", {"phv_avg": 0.5})
    tree.add("b", {"phv_avg": 0.6})
    tree.add("c", {"phv_avg": {"value": 0.1, "protocol": "phv/imagenet"}}, title="C")
    tree.add("d", {"phv_avg": 0.2}, title="D", data_digest="f" * 64)
    tex = full_tables(compare(load_results(tree.results))[0])
    assert r"0.1000\rlap{\textsuperscript{a}}" in tex
    assert r"0.2000\rlap{\textsuperscript{b}}" in tex
    assert re.search(r"textsuperscript\{a\}.*protocol, phv/imagenet", tex)
    assert re.search(r"textsuperscript\{b\}.*other images", tex)


def test_wide_tables_are_continued(tree: Tree) -> None:
    for number in range(24):
        for seed in (0, 1):
            values = {"r_p": 10.0 + number + seed, "fid": 100.0 + seed, "psnr": 10.0}
            tree.add(f"m{number}", values, seed=seed, title=f"Method {number:02}")
    tex = full_tables(compare(load_results(tree.results))[0])
    parts = tex.count(r"\begin{table*}")
    assert parts > 1
    columns = turned(tex)
    assert [head for head in columns if head != "Value"] == [f"Method {number:02}" for number in range(24)]
    assert len(columns["Value"]) == 3 * parts
    assert f"part 2 of {parts}" in tex


def test_a_value_that_no_row_has_takes_no_column_but_a_note(tree: Tree) -> None:
    tree.add("a", {"r_p": 1.0, "fid": "weights missing (vsbench weights fetch them)", "phv_avg": "weights missing"})
    tree.add("b", {"r_p": 2.0, "fid": "weights missing (vsbench weights fetch them)", "phv_avg": "weights missing"})
    comparisons = compare(load_results(tree.results))
    for tex in (main_table(comparisons), full_tables(comparisons[0])):
        table, under = tex.split(r"\bottomrule")
        assert "FID" not in table
        assert "--" not in table.split(r"\midrule", 1)[1]
        assert re.search(r"No row has: FID, .*PHV.*\(weights missing\)\.", under)
        assert "vsbench weights" not in under


def test_a_line_under_many_tables_is_printed_where_it_comes_first(tree: Tree) -> None:
    tree.add("a", {"r_p": 1.0})
    tex = full_tables(compare(load_results(tree.results))[0])
    assert tex.count(r"\vsbenchline{") > 2
    (warning,) = re.findall(r"\\vsbenchline\{(\w+)\}\{\\textbf\{Warning\}", tex)
    assert re.fullmatch("[0-9a-f]{12}", warning)
    assert r"\providecommand{\vsbenchline}" in tex  # alone the table has all its lines


def decided(comparison: Comparison, p: dict[str, float], caution: str = "") -> dict[str, Decision]:
    """A decision as it could be, for the values of ``p`` and one method that is like the best."""
    values = {
        name: ValueDecision(
            name, "best", {"like": p[name], "worse": 0.01 if p[name] < 0.9 else 1.0},
            {row.key: (row.cell(name).mean or 0.0 - 1, row.cell(name).mean or 0.0 + 1) for row in comparison.rows[:2]},
            {}, 12, caution,
        )
        for name in p
    }  # fmt: skip
    return {comparison.name: Decision(comparison, values, {"fid": "features were not kept"})}


def three(tree: Tree) -> Comparison:
    tree.add("best", {"r_p": 90.0, "phv_avg": 0.41, "fid": 10.0}, title="Best")
    tree.add("like", {"r_p": 80.0, "phv_avg": 0.42, "fid": 11.0}, title="Like")
    tree.add("worse", {"r_p": 70.0, "phv_avg": 0.43, "fid": 12.0}, title="Worse")
    return compare(load_results(tree.results))[0]


def test_methods_that_cannot_be_told_from_the_best_carry_a_sign(tree: Tree) -> None:
    comparison = three(tree)
    tex = full_tables(comparison, decided(comparison, {"r_p": 0.3, "phv_avg": 0.01}))
    columns = turned(tex)
    assert ["".join(columns[name]).count(r"\dag") for name in ("Best", "Like", "Worse")] == [0, 1, 0]
    assert r"80.00}\rlap{\textsuperscript{\dag}}" in "".join(columns["Like"])
    under = tex.split(r"\footnotesize")[1]
    assert re.search(
        r"dag\}\\,Not distinguishable from the best method at 5\\,\\%.*slide by slide.*Holm.*12 slides", under
    )
    assert "Not tested: FID: features were not kept." in under


def test_where_nothing_can_be_shown_the_table_says_so_and_signs_nothing(tree: Tree) -> None:
    comparison = three(tree)
    tex = full_tables(comparison, decided(comparison, {"r_p": 1.0, "phv_avg": 1.0}, CAUTION))
    assert r"\dag" not in tex
    assert f"No method was shown to be worse than the best: $R_p$, PHV$_\\mathrm{{avg}}$ ({CAUTION})." in tex.replace(
        r"$\mathrm{PHV}_\mathrm{avg}$", r"PHV$_\mathrm{avg}$"
    )
    some = full_tables(comparison, decided(comparison, {"r_p": 0.5, "phv_avg": 0.5}, CAUTION))  # one was shown
    assert some.count(r"\rlap{\textsuperscript{\dag}}") == 2
    assert "Mind in $R_p$" in some


def test_a_method_that_was_not_tested_says_so_and_the_best_that_was_not_ends_all_signs(tree: Tree) -> None:
    comparison = three(tree)
    decision = decided(comparison, {"r_p": 0.3})
    del decision[comparison.name].values["r_p"].p["worse"]
    tex = full_tables(comparison, decision)
    assert r"70.00\rlap{\textsuperscript{a}}" in "".join(re.findall(r"^\$R_p.*$", tex, re.M))
    assert r"\textsuperscript{a}\,Not tested against the best method." in tex
    tree.add("top", {"r_p": 99.0}, title="Top")  # not in the decision: its tables are not here
    [with_top] = compare(load_results(tree.results))
    tex = full_tables(with_top, decision)
    assert r"\dag" not in tex
    assert "Not tested: $R_p$: the best method could not be resampled." in tex


def test_a_sign_and_a_note_on_one_cell_do_not_overlap(tree: Tree) -> None:
    three(tree)
    tree.add("like", {"phv_avg": 0.42, "r_p": "blank"}, title="Like", seed=1)
    comparison = compare(load_results(tree.results))[0]
    assert r"\rlap{\textsuperscript{\dag,a}}" in full_tables(comparison, decided(comparison, {"r_p": 0.3}))


def test_limits_stand_in_place_of_deviations(tree: Tree) -> None:
    three(tree)
    tree.add("like", {"r_p": 84.0, "phv_avg": 0.42, "fid": 11.0}, title="Like", seed=1)
    comparison = compare(load_results(tree.results))[0]
    decision = decided(comparison, {"r_p": 0.3})
    decision[comparison.name].values["r_p"].intervals["like"] = (71.234, 88.0)
    tex = full_tables(comparison, decision, interval=True)
    assert re.search(r"82\.00.*\[71\.23, 88\.00\]", tex)
    assert r"\pm" not in tex
    assert "standard deviation" not in tex
    assert r"Brackets: 95\,\% limits" in tex
    assert r"\pm" in full_tables(comparison, decision)


def test_printed_numbers_stand_below_unranked_with_their_place_and_flags(tree: Tree) -> None:
    for stain in ("er", "pr"):
        tree.add("cut", {"phv_avg": 0.9, "r_avg": 1.0, "fid": 900.0}, dataset="ihc4bc", stain=stain, title="CUT")
        tree.add("usigan", {"phv_avg": 0.8, "r_avg": 2.0, "fid": 800.0}, dataset="ihc4bc", stain=stain, title="USIGAN")
    tex = main_table(compare(load_results(tree.results)), papers=[load(LEDGER)])
    table, under = tex.split(r"\bottomrule")
    for part in table.split(r"\textit{ER}")[1].split(r"\textit{PR}"):
        measured, block = part.split("As printed in Peng et al. [usigan]")
        assert measured.count(r"\textbf") == 3  # as without the paper
        assert "textbf" not in block
        assert "underline" not in block
        assert len(re.findall(r"^\\textit\{", block, re.M)) == 14
    block = table
    monce = next(line for line in block.splitlines() if "MoNCE" in line)
    letter = re.search(r"\\textit\{4612\}\\rlap\{\\textsuperscript\{(\w)\}\}", monce)
    assert letter
    assert rf"\textsuperscript{{{letter[1]}}}\,Table III: outside the metric's range" in under
    assert "Table III: $R_" in under
    assert "not comparable with measured numbers" in under


def test_a_data_set_that_no_paper_has_is_as_without_papers(tree: Tree) -> None:
    tree.add("cut", {"phv_avg": 0.9}, dataset="bci", stain="er", title="CUT")
    tree.add("cut", {"phv_avg": 0.9}, dataset="mist", stain="odd", title="CUT")
    for comparison in compare(load_results(tree.results)):
        assert main_table([comparison], papers=[load(LEDGER)]) == main_table([comparison])


def test_the_points_of_numbers_stand_below_each_other(tree: Tree) -> None:
    """Of measured and printed ones, whatever their digits, spreads and signs: all reserve the same room."""
    tree.add("cut", {"fid": 99.25}, stain="er", title="CUT", seed=0)
    tree.add("cut", {"fid": 7.0}, stain="er", title="CUT", seed=1)
    tree.add("he", {"fid": 101.0}, stain="er", title="H&E", kind="reference")
    tree.add("none", {"fid": "no weights"}, stain="er", title="CUT without")
    tex = main_table(compare(load_results(tree.results)), papers=[load(LEDGER)])
    cells_ = [line[-1] for line in cells(tex, spacing=True) if re.search(r"CUT|H\\&E|F-LseSim", line[0])]
    blank = r"\phantom{\,{\scriptsize$\pm$\,65.231}}"
    assert len(cells_) == 5  # one of them a dash
    assert all(cell.endswith(blank) for cell in cells_)
    assert rf"\textit{{143.57}}\phantom{{0}}{blank}" in cells_


@needs_latex
def test_more_rows_than_a_page_holds_are_made_smaller(tree: Tree) -> None:
    for i in range(70):
        tree.add(f"row-{i}", {"r_p": float(i), "fid": 1.0}, title=f"Method {i}")
    text = compiled(
        tree.results / "high", {"main.tex": document("High", [main_table(compare(load_results(tree.results)))])}
    )
    assert all(f"Method {i}" in text for i in range(70))


@needs_latex
def test_all_that_can_stand_beside_compiles_whatever_the_names(tree: Tree, tmp_path: Path) -> None:
    fill(tree)
    for i in range(14):
        tree.add(f"m{i}", {"r_avg": float(i), "fid": 9.0 - i, "phv_avg": 0.1 * i}, title=f"Method {i} {HOSTILE}"[:60])
    evil = "evil paper"
    cells = [f"II,mist,er,{HOSTILE},{metric},1.25,copy,{HOSTILE}" for metric in ("r_avg", "fid")]
    (tmp_path / f"{evil}.csv").write_text("\n".join(["table,dataset,stain,method,metric,value,flag,note", *cells]))
    (tmp_path / f"{evil}.yaml").write_text(f"source: '{HOSTILE} et al. {HOSTILE}'")
    papers = [load(LEDGER), load(tmp_path / f"{evil}.csv")]
    comparisons = compare(load_results(tree.results))
    decisions: dict[str, Decision] = {}
    for c in comparisons:
        decisions |= decided(c, {"r_avg": 0.3, "phv_avg": 0.2}, HOSTILE)
        decisions[c.name].values["r_avg"].intervals["cut"] = (-1.0, float("inf"))
    for interval in (False, True):
        body = [main_table(comparisons, decisions, papers, interval)]
        body += [full_tables(c, decisions, interval) for c in comparisons]
        assert all(HOSTILE not in tex for tex in body)
        text = compiled(tmp_path / f"beside-{interval}", {"main.tex": document("Beside", body)})
        assert "As printed in Peng et al." in text
        assert "1.25" in text


def compiled(folder: Path, files: dict[str, str]) -> str:
    """The text of ``main.tex``, compiled without a complaint."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    log = (folder / "main.log").read_text(errors="replace")
    log = log.replace("LaTeX Warning: Label(s) may have changed", "")  # after a first run, always
    assert not re.findall(r"^.*(?:Warning|Overfull|Underfull|Missing character).*$", log, re.M)
    text = subprocess.run(["pdftotext", "-layout", "main.pdf", "-"], cwd=folder, capture_output=True, check=True).stdout
    return text.decode()


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
    text = compiled(out, {})
    words = re.sub(r"\s", "", text.translate({0x2019: "'", 0x2018: "`", 0x201D: '"'}))
    for title in (HOSTILE, printable[:39], printable[39:75], printable[75:]):
        assert re.sub(r"\s", "", title) in words, title
    assert "root:" not in words  # /etc/passwd was not read


def test_no_name_reaches_a_file_as_markup(tree: Tree) -> None:
    evil = r"\input{evil}"
    tree.add("a", {"r_avg": "reason " + evil}, title=evil, warnings=[evil], vsbench=evil, sizes=[evil])
    tree.add("b", {"r_avg": {"value": 1.0, "label": f"${evil}$", "unit": evil, "protocol": evil}}, title="b" + evil)
    tree.add("c", {"r_avg": 1.0, "fid": 1.0}, title=evil, data_digest=evil * 3)
    written = build_report(tree.results, tree.results / "report", latex=True, warn=lambda _: None)
    for path in written:
        if path.suffix == ".tex":
            assert evil not in path.read_text().replace(r"\allowbreak{}", "")
