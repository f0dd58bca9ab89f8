"""The tables of the USIGAN paper from the ledger: every printed number in its place, ours below, nothing invented."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vsbench.evaluation.ablate import Study, study_rows
from vsbench.report.latex.document import document
from vsbench.report.latex.literature import literature_tables
from vsbench.report.published import Paper, load
from vsbench.report.tables import compare, load_results

Tree = Any  # the class in conftest.py, which cannot be imported from here

LEDGER = Path(__file__).parents[2] / "results" / "published" / "usigan.csv"
NAMES = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
HEAD = "table,dataset,stain,method,metric,value,flag,note"


@pytest.fixture(scope="module")
def paper() -> Paper:
    return load(LEDGER)


@pytest.fixture(scope="module")
def tables(paper: Paper) -> dict[str, str]:
    """Table → LaTeX, where nothing is measured."""
    return {file.removeprefix("literature-usigan-").removesuffix(".tex"): tex for file, tex in files(paper).items()}


def files(paper: Paper, *comparisons: Any) -> dict[str, str]:
    return literature_tables([paper], comparisons)


def body(tex: str) -> list[list[str]]:
    """Lines of a table as cells, without marks, blanks and notes; headings of further panels too."""
    text = re.sub(
        r"\\(?:midrule|addlinespace|toprule|cmidrule\S*)", "", tex.split(r"\toprule")[1].split(r"\bottomrule")[0]
    )
    text = re.sub(r"\\rlap\{\\textsuperscript\{[\w,\\]+\}\}", "", text)
    text = re.sub(r"\\phantom\{(?:[^{}]|\{[^{}]*\})*\}", "", text)
    for _ in range(2):
        text = re.sub(r"\\(?:textbf|underline|textit)\{([^{}]*)\}", r"\1", text)
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in text.split("\\\\\n") if line.strip()]


def test_all_tables_are_there_and_hold_every_number_in_its_place(paper: Paper, tables: dict[str, str]) -> None:
    assert tuple(tables) == NAMES
    for name, tex in tables.items():
        rows = [row for row in paper.rows if row.table == name]
        printed = re.findall(r"\\textit\{([\d.,]+)\}", tex.split(r"\toprule")[1].split(r"\bottomrule")[0])
        wanted = [row.value.rstrip("%") for row in rows]
        extra = {"VII": 5, "VIII": 4}.get(name, 0)  # settings are numbers in italics too
        assert len(printed) == len(wanted) + extra
        assert not set(wanted) - set(printed)
    for stain, first in (("ki67", 1), ("er", 4), ("pr", 7), ("her2", 10)):
        for line in body(tables["III"])[3:]:
            wanted = [r.value for r in paper.rows if (r.table, r.stain, r.method) == ("III", stain, line[0])]
            assert line[first : first + 3] == wanted


def test_layouts_are_those_of_the_paper(tables: dict[str, str]) -> None:
    assert tables["II"].count(r"\cmidrule") == 4
    panels = re.findall(r"\{c\}\{(Ki67|ER|PR|HER2)\}", tables["IV"])
    assert panels == ["Ki67", "ER", "PR", "HER2"]
    assert tables["IV"].count(r"\addlinespace") == 1  # two panels of two stains
    heads = body(tables["VI"])[1][:3]
    assert heads == [r"$L_\mathrm{odc}$", r"$L_\mathrm{cc}$", r"$L_\mathrm{tcyc}$"]
    assert [line[:3] for line in body(tables["VI"])[3:]] == [
        [r"$\surd$" if term in on else "--" for term in ("odc", "cc", "tcyc")]
        for on in (
            (),
            ("odc",),
            ("cc",),
            ("odc", "cc"),
            ("tcyc",),
            ("cc", "tcyc"),
            ("odc", "tcyc"),
            ("odc", "cc", "tcyc"),
        )
    ]
    assert [line[0] for line in body(tables["VII"])[2:]] == ["1", "2", "4", "8", "16"]
    assert "Batch size &" in tables["VII"]
    assert [line[0] for line in body(tables["VIII"])[3:]] == ["0.0001", "0.001", "0.01", "0.1"]
    assert r"$\tau$ &" in tables["VIII"]
    assert body(tables["I"])[0][:2] == ["Data set", "Stain"]
    assert body(tables["V"])[4][0] == r"\textit{$L_\mathrm{1}$ w OT}"


def test_best_and_second_are_those_of_the_digits_and_the_impossible_is_neither(tables: dict[str, str]) -> None:
    """The paper's 4612 in a column from 0 to 1; and ties share a mark."""
    er = [re.split(r" & ", line)[4] for line in tables["III"].splitlines() if line.startswith(r"\textit{")]
    marked = {mark: [cell for cell in er if mark in cell] for mark in ("textbf", "underline")}
    assert [len(cells) for cells in marked.values()] == [1, 1]
    assert "0.3751" in marked["textbf"][0]
    assert "0.3761" in marked["underline"][0]
    assert "4612" in "".join(er)
    assert tables["III"].count(r"\underline{\textit{37.01}}") == 2  # FID of PR, twice
    assert "textbf" not in tables["I"].split(r"\bottomrule")[0]


def test_an_impossible_number_is_never_best(tmp_path: Path) -> None:
    lines = [f"II,mist,er,{name},r_avg,{value},," for name, value in (("A", "4612"), ("B", "60"), ("C", "70"))]
    (tmp_path / "doe.csv").write_text("\n".join([HEAD, *lines]))
    (tmp_path / "doe.yaml").write_text("source: Doe et al. 2030")
    [tex] = files(load(tmp_path / "doe.csv")).values()
    assert r"\textbf{\textit{70}}" in tex
    assert r"\underline{\textit{60}}" in tex


def test_the_points_of_a_column_stand_below_each_other(tables: dict[str, str]) -> None:
    """FID of F-LseSim on MIST has one digit less in print than the others."""
    assert r"\textit{143.57}\phantom{0}" in tables["II"]
    assert r"\textit{11.3663}}\phantom{0} " in tables["IX"]  # PPT has five digits after the point
    assert r"\textit{11.38007}} " in tables["IX"]


def test_flags_are_notes_and_what_holds_for_all_numbers_is_said_once(paper: Paper, tables: dict[str, str]) -> None:
    tex = tables["VI"]
    letter = re.search(r"81\.01\}\\rlap\{\\textsuperscript\{(\w),(\w)\}\}", tex)
    assert letter
    under = tex.split(r"\bottomrule")[1]
    assert (
        rf"\textsuperscript{{{letter[1]}}}\,Table VI: $R_\mathrm{{avg}}$ 81.01 is not the mean of $R_c$ 83.65" in under
    )
    assert rf"\textsuperscript{{{letter[2]}}}\,Printed differently: 82.78 (Table IV), 81.01 (Table VI)" in under
    assert tables["VII"].count("textsuperscript") == 0
    assert tables["VII"].count("data set and stain not printed") == 1
    for name in NAMES:
        flagged = [row for row in paper.rows if row.table == name and row.flag]
        assert bool(flagged) == ("textsuperscript" in tables[name]), name


def test_measured_numbers_stand_below_their_row_and_nowhere_else(tree: Tree, paper: Paper) -> None:
    for seed, fid in enumerate((30.0, 32.0)):
        tree.add("usigan", {"fid": fid, "r_p": 50.0}, title="USIGAN", seed=seed)
    tree.add("pix2pix+cpu", {"fid": 90.0, "phv_avg": "no weights"}, title="Pix2Pix (cpu preset)", stain="pr")
    tree.add("other", {"fid": 1.5}, title="Other")
    tree.add("he", {"fid": 2.5}, title="CUT", kind="reference")
    found = files(paper, *compare(load_results(tree.results)))
    second = body(found["literature-usigan-II.tex"])
    below = {
        second[i][0].rpartition("quad ")[2].rstrip("}"): (second[i - 1][0], second[i][1:])
        for i in range(len(second))
        if "quad" in second[i][0]
    }
    assert set(below) == {"USIGAN", "Pix2Pix (cpu preset)"}
    assert below["USIGAN"][0] == "USI-GAN (ours)"
    assert below["Pix2Pix (cpu preset)"][0] == "Pix2Pix"
    assert [cell.partition(r"\rlap")[0] for cell in below["USIGAN"][1] if cell != "--"] == ["31.000"]  # ER, FID
    assert [cell for cell in below["Pix2Pix (cpu preset)"][1] if cell != "--"] == ["90.000"]  # PR, FID
    text = "".join(found.values())
    assert "1.500" not in text  # of no printed name
    assert "2.500" not in text  # no method
    assert "USIGAN" in found["literature-usigan-IV.tex"].split(r"\bottomrule")[0].replace("USI-GAN", "")
    assert found["literature-usigan-III.tex"] == files(paper)["literature-usigan-III.tex"]  # other data
    assert "not comparable with measured numbers" in found["literature-usigan-II.tex"]
    assert r"\texttt{fid/torch-fidelity}" in found["literature-usigan-II.tex"].replace(r"\allowbreak{}", "")


def test_rows_of_studies_stand_below_the_rows_that_declare_their_numbers(tree: Tree, paper: Paper) -> None:
    folders = {row.name: row.folder for row in study_rows(Study("usigan", "table6", "mist", "er"))}
    small = {row.name: row.folder for row in study_rows(Study("usigan", "table7", "mist", "er"))}
    tree.add(folders["odc+cc"], {"fid": 61.25})
    tree.add(small["batch-8"], {"fid": 71.25})
    tree.add("usigan+cpu", {"fid": 81.25}, title="USIGAN (cpu preset)")
    found = {file: body(tex) for file, tex in files(paper, *compare(load_results(tree.results))).items()}
    sixth = found["literature-usigan-VI.tex"]
    [below] = [i for i, line in enumerate(sixth) if "61.250" in line]
    assert sixth[below - 1][:3] == [r"$\surd$", r"$\surd$", "--"]
    seventh = found["literature-usigan-VII.tex"]
    [below] = [i for i, line in enumerate(seventh) if "71.250" in line]
    assert seventh[below - 1][0] == "8"
    assert not any("81.250" in line for line in sixth)  # the cpu preset is no row of the paper's study
    assert any("61.250" in line for line in found["literature-usigan-IV.tex"])  # w/o UOT-CTM, the same training
    assert not any("61.250" in line for line in found["literature-usigan-V.tex"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_tables_compile_without_complaint_whatever_the_names(tree: Tree, paper: Paper, tmp_path: Path) -> None:
    evil = r"50%_a&b <b>x \input{/etc/passwd} $x$ #" + "y" * 60
    lines = [f"II,{evil},{evil},{evil},{metric},1.5,," for metric in ("fid", "odd_metric")]
    lines += [f"II,{evil},{evil},L_odc tau {i},fid,{i}.25,range,{evil}" for i in range(3)]
    (tmp_path / "evil.csv").write_text("\n".join([HEAD, *lines, f"III,{evil},,,wsi,3,,"]))
    (tmp_path / "evil.yaml").write_text(f"source: '{evil}'")
    for name, title in (("usigan", "USIGAN"), ("cut", "CUT"), ("sim_gan", "Sim-Gan")):
        for stain in ("ki67", "er", "pr", "her2"):
            for seed in (0, 1):
                tree.add(name, {"fid": 31.5 + seed, "r_avg": 5.0, "phv_avg": 0.4}, title=title, stain=stain, seed=seed)
    parts = literature_tables([paper, load(tmp_path / "evil.csv")], compare(load_results(tree.results)))
    assert len(parts) == 11
    assert all(evil not in tex for tex in parts.values())
    for file, tex in parts.items():
        (tmp_path / file).write_text(tex)
    (tmp_path / "main.tex").write_text(document("Literature", [f"\\input{{{file}}}" for file in parts]))
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    log = (tmp_path / "main.log").read_text(errors="replace").replace("LaTeX Warning: Label(s) may have changed", "")
    assert not re.findall(r"^.*(?:Warning|Overfull|Underfull|Missing character).*$", log, re.M)
