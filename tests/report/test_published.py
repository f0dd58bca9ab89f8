"""The published numbers: as the paper printed them, and their contradictions found by rule."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from vsbench.errors import UserError
from vsbench.registry import load as load_plugin
from vsbench.report.ledger import read_ledger, shipped
from vsbench.report.published import COLUMNS, Paper, audit, flags, load, load_all

LEDGER = Path(__file__).parents[2] / "results" / "published"
NUMBER = re.compile(r"(?<![\w.,\\-])\d[\d,]*(?:\.\d+)?%?(?!\w)")  # in running text; no part of a name or of a word
SOURCE = "source: Someone et al. A method. 2025\n"
# without a contradiction: the second table rounds the first one's FID and gives its best method another name
CLEAN = (
    "I,mist,er,A,r_c,81.63,,",
    "I,mist,er,A,r_p,73.88,,",
    "I,mist,er,A,r_avg,77.75,,",
    "I,mist,her2,A,r_c,60.11%,,",
    "I,mist,her2,A,r_p,50.22%,,",
    "I,mist,her2,A,r_avg,55.2,,",
    "I,mist,er,A,fid,27.363,,",
    "I,mist,er,B,fid,31.92,,",
    "I,mist,pr,A,phv_avg,0.4560,,",
    "I,mist,pr,,pairs,'1,000',,",
    "I,mist,er,,pairs,'1,000',,",
    "II,mist,er,ours,fid,27.36,,",
    "II,ihc4bc,pr,ours,phv_avg,0.456,,some note",
)


@pytest.fixture
def ledger() -> Paper:
    return load(LEDGER / "usigan.csv")


@pytest.fixture
def text(shared: Path) -> list[str]:
    return (shared / "paper" / "usigan.txt").read_text(encoding="utf-8").splitlines()


def write(folder: Path, *rows: str, sidecar: str | None = SOURCE, head: str = ",".join(COLUMNS)) -> Path:
    """A paper of these rows, ``'`` for the CSV's quotation mark; its CSV file."""
    path = folder / "paper.csv"
    path.write_text("\n".join([head, *(row.replace("'", '"') for row in rows)]) + "\n", encoding="utf-8")
    if sidecar is not None:
        path.with_suffix(".yaml").write_text(sidecar, encoding="utf-8")
    return path


def found(folder: Path, *rows: str) -> list[tuple[str, tuple[str, ...]]]:
    """(rule, values that take part) of a paper in which ``ours`` and ``A`` are the same."""
    paper = load(write(folder, *rows, "III,bci,her2,ours,psnr,20,,", sidecar=SOURCE + "same: {ours: A}\n"))
    return [(finding.rule, tuple(row.value for row in finding.rows)) for finding in audit(paper)]


def test_every_number_of_the_tables_is_there_as_printed_and_no_other(ledger: Paper, text: list[str]) -> None:
    printed: dict[str, list[str]] = defaultdict(list)
    table = ""
    for line in text:
        if heading := re.match(r"\s*TABLE ([IVX]+)\b", line):
            table = heading[1]
        elif table and "\t" in line:
            cells = [numbers for cell in line.split("\t")[1:] if (numbers := NUMBER.findall(cell))]
            for row in zip(*cells, strict=True):  # the scan has put four rows of Table IV into one
                printed[table] += row
    typed: dict[str, list[str]] = defaultdict(list)
    for row in ledger.rows:
        if not row.table.startswith("text"):
            typed[row.table].append(row.value)
    assert typed == printed  # in the order of print too


def test_the_numbers_stand_beside_their_methods(ledger: Paper, text: list[str]) -> None:
    lines = [line.split("\t", 1) for line in text if "\t" in line]
    printed = {(re.sub(r" \[\d+\]$", "", name), *NUMBER.findall(rest)) for name, rest in lines}
    typed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in ledger.rows:
        if row.table in ("II", "III", "IX"):
            typed[row.table, row.method].append(row.value)
    assert len(typed) == 3 * 14
    assert {(method, *values) for (_, method), values in typed.items()} <= printed


@pytest.mark.parametrize(
    ("place", "value"),  # read in the paper by eye, a cell or more of each table
    [
        (("I", "ihc4bc", "er", "", "pairs_train"), "26,395"),
        (("II", "mist", "her2", "ASP", "r_avg"), "76.31"),
        (("III", "ihc4bc", "pr", "TDKStain", "fid"), "107.13"),
        (("IV", "mist", "pr", "Baseline", "iod"), "2.4654"),
        (("IV", "mist", "her2", "w/o PC-SCM", "phv_avg"), "0.5247"),
        (("V", "mist", "er", "L_1 w OT", "iod"), "2.5027"),
        (("VI", "mist", "er", "L_cc + L_tcyc", "r_p"), "70.85"),
        (("VII", "", "", "batch size 8", "fid"), "57.81"),
        (("VIII", "mist", "er", "tau 0.01", "r_p"), "48.41"),
        (("IX", "ihc4bc", "her2", "ASP", "psnr"), "10.9916"),
    ],
)
def test_a_cell_is_where_the_paper_has_it(ledger: Paper, place: tuple[str, ...], value: str) -> None:
    assert [r.value for r in ledger.rows if (r.table, r.dataset, r.stain, r.method, r.metric) == place] == [value]


def test_the_ablations_a_method_declares_carry_the_same_numbers(ledger: Paper) -> None:
    suites = load_plugin("vsbench.methods", "usigan").suites
    for table, name in {"IV": "table4", "V": "table5", "VI": "table6", "VII": "table7", "VIII": "table8"}.items():
        declared = [
            (data, metric, number)
            for row in suites[name].rows
            for data, numbers in row.numbers.items()
            for metric, number in numbers.items()
        ]
        # Table VII names no stain; the study takes it as MIST ER
        printed = [
            (f"{row.dataset or 'mist'}-{row.stain or 'er'}", row.metric, float(row.number))
            for row in ledger.rows
            if row.table == table
        ]
        assert sorted(declared) == sorted(printed), table


def test_every_percentage_of_the_text_is_there_and_no_other(ledger: Paper, text: list[str]) -> None:
    prose = " ".join(line for line in text if "\t" not in line)
    typed = Counter(row.value for row in ledger.rows if row.table.startswith("text") and row.value.endswith("%"))
    assert typed == Counter(re.findall(r"\d+\.\d+%", prose))
    (pairs,) = (row.value for row in ledger.rows if row.metric == "pairs")
    assert f"approximately {pairs} H&E-IHC pairs" in prose


@pytest.mark.parametrize(
    ("rule", "places"),
    [
        ("range", {("III", "er", "MoNCE", "phv_avg", "4612")}),
        ("average", {("VI", "er", "L_odc + L_cc", "r_avg", "81.01")}),
        ("differs", {("VI", "er", "L_odc + L_cc", "r_avg", "81.01"), ("IV", "er", "w/o UOT-CTM", "r_avg", "82.78")}),
        ("copy", {("IX", "pr", "SRC", "r_p", "54.68"), ("III", "pr", "SRC", "r_avg", "54.68")}),
        ("copy", {("IX", "pr", "UNSB", "r_p", "56.31"), ("III", "pr", "UNSB", "r_avg", "56.31")}),
        ("copy", {("II", "pr", "USI-GAN (ours)", "phv_avg", "0.4560"),
                  ("III", "pr", "USI-GAN (ours)", "phv_avg", "0.4560")}),
        ("differs", {("IX", "pr", "USIGAN(ours)", "r_p", "36.57"),
                     ("text IV-D2", "pr", "our method", "r_p", "36.56%")}),
    ],
)  # fmt: skip
def test_the_known_contradictions_of_the_paper_are_found(
    ledger: Paper, rule: str, places: set[tuple[str, ...]]
) -> None:
    groups = [
        {(row.table, row.stain, row.method, row.metric, row.value) for row in finding.rows}
        for finding in audit(ledger)
        if finding.rule == rule
    ]
    assert any(places <= group for group in groups)


def test_the_flags_in_the_files_are_those_of_the_rules() -> None:
    for paper in load_all(LEDGER):
        assert {row.line: row.flag for row in paper.rows if row.flag} == flags(audit(paper)), paper.name


def test_what_rounding_can_do_and_counts_that_repeat_are_no_contradiction(tmp_path: Path) -> None:
    assert found(tmp_path, *CLEAN[:-1]) == []


@pytest.mark.parametrize(
    ("was", "printed", "finding"),
    [
        ("B,fid,31.92", "B,fid,-31.92", ("range", ("-31.92",))),
        ("phv_avg,0.4560", "phv_avg,4560", ("range", ("4560",))),
        ("r_avg,77.75", "r_avg,77.77", ("average", ("77.77", "81.63", "73.88"))),
        ("ours,fid,27.36", "ours,fid,27.37", ("differs", ("27.363", "27.37"))),
        ("ours,fid,27.36", "ours,fid,27.364", ("differs", ("27.363", "27.364"))),
        ("B,fid,31.92", "B,fid,27.363", ("copy", ("27.363", "27.363"))),
        ("A,fid,27.363,,", "A,fid,27.363,,\nI,mist,er,A,psnr,81.63,,", ("copy", ("81.63", "81.63"))),
        ("ours,fid,27.36,,", "ours,fid,27.36,,\n" + CLEAN[-1], ("copy", ("0.4560", "0.456"))),
    ],
)
def test_each_planted_contradiction_is_found_alone(
    tmp_path: Path, was: str, printed: str, finding: tuple[str, tuple[str, ...]]
) -> None:
    rows = "\n".join(CLEAN[:-1])
    assert rows.count(was) == 1
    assert found(tmp_path, *rows.replace(was, printed).split("\n")) == [finding]


MARKED = ("I,mist,er,A,fid,27.363,,,best", "I,mist,er,B,fid,31.92,,,second", "I,mist,er,C,fid,40.10,,,")


@pytest.mark.parametrize(
    ("was", "printed", "finding"),
    [
        ("27.363,,,best", "27.363,,,", []),
        ("40.10,,,", "40.10,,,best", [("mark", ("40.10", "27.363"))]),
        ("31.92,,,second", "41.92,,,second", [("mark", ("41.92", "40.10"))]),
        ("C,fid,40.10,,,", "C,ssim,0.4,,,best", []),
        (
            "I,mist,er,C,fid,40.10,,,",
            "I,mist,er,A,ssim,0.4,,,best\nI,mist,er,B,ssim,0.5,,,",
            [("mark", ("0.4", "0.5"))],
        ),
    ],
)
def test_what_is_marked_as_best_is_the_best(
    tmp_path: Path, was: str, printed: str, finding: list[tuple[str, tuple[str, ...]]]
) -> None:
    rows = "\n".join(MARKED).replace(was, printed).split("\n")
    paper = load(write(tmp_path, *rows, head=",".join((*COLUMNS, "mark"))))
    assert [(f.rule, tuple(row.value for row in f.rows)) for f in audit(paper)] == finding


def test_an_unknown_mark_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: unknown mark 'bold'; one of best, second"):
        load(write(tmp_path, "I,mist,er,A,fid,1,,,bold", head=",".join((*COLUMNS, "mark"))))


def test_the_marks_are_those_of_the_text(ledger: Paper, text: list[str]) -> None:
    """The scan has kept those of one row alone."""
    printed = re.findall(r"<u>([\d.]+)</u>", "\n".join(line for line in text if "\t" in line))
    assert sorted(row.value for row in ledger.rows if row.mark == "second") == sorted(printed)
    assert not [line for line in text if "\t" in line and re.search(r"\*\*\d", line)]


def test_parts_of_an_average_may_stand_elsewhere(tmp_path: Path) -> None:
    rows = ("II,mist,her2,A,r_avg,58.77,,", "text,mist,her2,A,r_c,92.96%,,", "text,mist,her2,ours,r_p,24.58%,,")
    assert found(tmp_path, *rows) == []
    rows = (rows[0].replace("58.77", "58.87"), *rows[1:])
    assert found(tmp_path, *rows) == [("average", ("58.87", "92.96%", "24.58%"))]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("I,mist,er,A,fid,n/a,,", "line 3: value 'n/a' is no number"),
        ("I,mist,er,A,fid,'4,36',,", "line 3: value '4,36' is no number"),
        ("I,mist,er,A,fid,,,", "line 3: no value"),
        (",mist,er,A,fid,1,,", "line 3: no table"),
        ("I,mist,er,A,,1,,", "line 3: no metric"),
        ("I,mist,er,A,fid,1,typo,", "line 3: unknown flag 'typo'; one of range, average"),
        ("I,mist,er,A,r_c,9,,", "line 3: the same place as line 2"),
        ("I,mist,er,A,fid,4,361,,", "Expected 8 fields in line 3, saw 9"),
        ("I,mist,er,A,fid", "line 3: no value"),
        ("", "line 3: no table"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        load(write(tmp_path, CLEAN[0], row, CLEAN[1]))
    assert "paper.csv" in str(error.value)


@pytest.mark.parametrize(
    ("sidecar", "says"),
    [
        (None, "missing; write it"),
        ("", "no citation"),
        ("source: ''\n", "no citation"),
        ("- source\n", "no citation"),
        ("source: [\n", "can't be read as YAML"),
        (SOURCE + "sauce: x\n", "unknown key 'sauce'"),
        (SOURCE + "same: [A]\n", "same must map names to names"),
        (SOURCE + "same: {A: 1}\n", "same must map names to names"),
        (SOURCE + "same: {1: A}\n", "the key 1 is no text; write it in quotes"),
        (SOURCE + "same: {A: Z}\n", "no method 'Z' in paper.csv"),
    ],
)
def test_a_faulty_sidecar_is_named(tmp_path: Path, sidecar: str | None, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        load(write(tmp_path, *CLEAN, sidecar=sidecar))
    assert "paper.yaml" in str(error.value)


def test_a_table_with_other_columns_or_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lines have more than 8 fields"):
        load(write(tmp_path, "I,mist,er,A,fid,4,361,,"))
    with pytest.raises(UserError, match="the first line must be table,dataset"):
        load(write(tmp_path, head="table,dataset"))
    (tmp_path / "paper.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="can't be read as CSV"):
        load(tmp_path / "paper.csv")


def test_the_commands_print_findings_and_numbers_as_printed(vsbench, tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    write(tmp_path / "published", CLEAN[0], "I,mist,er,MoNCE,phv_avg,4612,,", "I,bci,er,A,phv_avg,0.4560,copy,")
    listed, told, as_json = (
        vsbench("published", *words, "--results", tmp_path)
        for words in (["list", "--json"], ["audit"], ["audit", "--json"])
    )
    (rows,) = (one["rows"] for one in json.loads(listed.stdout) if one.get("paper") == "paper")
    assert [row["value"] for row in rows] == ["81.63", "4612", "0.4560"]
    assert "Table I mist er MoNCE phv_avg 4612: phv_avg is from 0 to 1" in told.stdout
    assert "paper.csv, line 3: flag is '', by the rules 'range'" in told.stdout
    assert "paper.csv, line 4: flag is 'copy', by the rules ''" in told.stdout
    (finding,) = (found for found in json.loads(as_json.stdout) if found["paper"] == "paper")
    assert (finding["rule"], [row["line"] for row in finding["rows"]]) == ("range", [3])
    assert [run.returncode for run in (listed, told, as_json)] == [0, 0, 0]


def test_a_folder_without_numbers_is_an_error_in_one_line(vsbench, tmp_path: Path) -> None:
    refused = vsbench("published", "audit", "--results", tmp_path)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "no published numbers" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["published", "list"], ["published", "audit"]])
def test_the_ledger_is_found_where_there_is_none(vsbench, words: list[str]) -> None:
    ran = vsbench(*words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usigan: ")


def test_what_ships_is_what_the_repository_has() -> None:
    assert shipped().resolve() == LEDGER
    assert read_ledger().papers == tuple(load_all(LEDGER))


def test_own_papers_come_on_top_and_one_of_the_same_name_counts_and_is_told(tmp_path: Path) -> None:
    write(tmp_path, *CLEAN)
    said: list[str] = []
    assert [paper.name for paper in read_ledger(tmp_path, said.append).papers] == ["paper", "usigan"]
    for suffix in ("csv", "yaml"):
        (tmp_path / f"usigan.{suffix}").write_bytes((LEDGER / f"usigan.{suffix}").read_bytes())
    assert read_ledger(tmp_path, said.append).papers[1] == load(LEDGER / "usigan.csv")
    assert said == []
    for suffix in ("csv", "yaml"):
        (tmp_path / f"paper.{suffix}").rename(tmp_path / f"usigan.{suffix}")
    (paper,) = read_ledger(tmp_path, said.append).papers
    assert len(paper.rows) == len(CLEAN)
    assert said == [f"{tmp_path / 'usigan.csv'} stands in the place of the usigan that ships with vsbench"]
