"""The table of an ablation study shows what its runs give, what is printed, and what is missing; and is found again."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vsbench.errors import RunError, UserError
from vsbench.evaluation.ablate import Study, StudyRow, study_rows
from vsbench.method import Suite, SuiteRow
from vsbench.registry import load
from vsbench.report.ablations import suite_report
from vsbench.report.latex.suite import suite_latex
from vsbench.report.studies import read_studies, set_apart
from vsbench.report.suites import (
    SuiteTable,
    lines,
    markdown,
    printed_name,
    setting_name,
    settings,
    suite_table,
    tidy,
    write_suite,
)
from vsbench.report.tables import load_results

ROWS = (
    SuiteRow("whole", {}, "Table I, all", {"mist-er": {"r_p": 84.07, "iod": 0.5109}, "mist-pr": {"r_p": 87.37}}),
    SuiteRow("loose", {"tau": 0.1}, "Table I, 0.1", {"mist-er": {"r_p": 42.69}}),
    SuiteRow("fast", {"lr": 0.5}, "not in the paper"),
    SuiteRow("usual", {"lr": 1e-3}, "not in the paper"),  # what the cpu preset has anyway
)
Trained = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    suites = {"table1": Suite("Slack and rate", ROWS, ("no stain is named",))}
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", suites)
    return Study("usigan", "table1", "mist", "er", "cpu", results=tmp_path / "results")


@pytest.fixture
def trained(tree: Any, study: Study) -> Trained:
    """``trained("whole", 0, r_p=80.0)``: a finished and evaluated run of a row; its folder."""

    def add(name: str, seed: int, *, data_digest: str | None = None, **values: Any) -> Path:
        changes = {} if data_digest is None else {"data_digest": data_digest}
        values = {"iod": 1.0, "r_p": 0.0, "psnr": 9.0} | values
        folder: Path = tree.add_row(named(study)[name], values, seed=seed, **changes)
        return folder

    return add


def named(study: Study) -> dict[str, StudyRow]:
    return {row.name: row for row in study_rows(study)}


def table_of(study: Study, *seeds: int, failed: tuple[Path, ...] = ()) -> SuiteTable:
    return suite_table(study, study_rows(study), seeds or (0, 1), failed)


def cells(table: SuiteTable) -> dict[str, dict[str, str]]:
    heading, body = lines(table)
    return {line[0]: dict(zip(heading, line, strict=True)) for line in body}


def csv_lines(table: SuiteTable, **wanted: str) -> list[dict[str, str]]:
    found = csv.DictReader(io.StringIO(tidy(table)))
    return [line for line in found if wanted.items() <= line.items()]


def test_a_cell_is_the_mean_and_deviation_over_seeds_beside_the_printed_number(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    trained("whole", 1, r_p=84.0)
    trained("fast", 0, r_p=10.0)
    found = cells(table_of(study))
    assert found["whole"]["r_p"] == "82.00 ± 2.83 (84.07)"
    assert (found["whole"]["seeds"], found["whole"]["N"]) == ("2", "6")
    assert (found["fast"]["r_p"], found["fast"]["seeds"]) == ("10.00", "1 of 2")


def test_the_main_values_and_all_printed_ones_are_shown(study: Study, trained: Trained) -> None:
    trained("whole", 0, iod_mae=0.2, fid="weights are missing")
    heading, _ = lines(table_of(study))
    assert heading == ["row", "seeds", "N", "iod_mae", "r_p", "fid", "iod"]  # psnr is neither
    assert cells(table_of(study))["whole"]["fid"] == "n/a"
    assert "- fid: n/a, weights are missing" in markdown(table_of(study))


def test_printed_numbers_are_those_of_the_data_set_and_stain(study: Study) -> None:
    for stain, printed in (("pr", "(87.37)"), ("er", "(84.07)")):
        other = Study("usigan", "table1", "mist", stain, "cpu", results=study.results)
        assert cells(table_of(other))["whole"]["r_p"] == printed
    other = Study("usigan", "table1", "bci", "er", "cpu", results=study.results)
    assert lines(table_of(other))[0] == ["row", "seeds", "N"]


def test_a_missing_row_is_shown_as_missing(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    found = cells(table_of(study))
    assert found["loose"] == {"row": "loose", "seeds": "missing", "N": "", "r_p": "(42.69)", "iod": ""}
    assert "- row loose, seed 1 is missing: to do" in markdown(table_of(study))
    (line,) = csv_lines(table_of(study), row="loose", seed="1", metric="r_p")
    assert (line["value"], line["published"], line["reason"]) == ("", "42.69", "to do")


def test_rows_of_one_configuration_show_the_same_runs(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    found = cells(table_of(study))
    assert (found["usual"]["r_p"], found["usual"]["seeds"]) == ("80.00", "1 of 2")
    assert settings(named(study)["usual"]) == "same configuration as whole"
    assert "| usual | same configuration as whole | not in the paper | usigan+cpu |" in markdown(table_of(study))


def test_settings_say_what_differs(study: Study) -> None:
    rows = named(study)
    assert [settings(rows[name]) for name in ("whole", "loose")] == ["the method as it is", "tau=0.1"]


def test_the_csv_has_each_value_with_its_provenance(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0, fid="weights are missing")
    (line,) = csv_lines(table_of(study), row="whole", seed="0", metric="r_p")
    assert line.pop("data_digest")
    assert line.pop("benchmark") == "before vsbench-2026.1"
    assert line == {
        "row": "whole", "seed": "0", "metric": "r_p", "value": "80.0", "unit": "%", "protocol": "r_p/iod-fiji",
        "n": "6", "published": "84.07", "reason": "", "run": "usigan+cpu",
    }  # fmt: skip
    (absent,) = csv_lines(table_of(study), row="whole", seed="0", metric="fid")
    assert (absent["value"], absent["reason"]) == ("", "weights are missing")
    grid = [(line["row"], line["seed"], line["metric"]) for line in csv_lines(table_of(study))]
    assert len(grid) == len(set(grid)) == len(ROWS) * 2 * 4


def test_what_is_not_this_study_does_not_count(study: Study, trained: Trained) -> None:
    folder = trained("whole", 0)
    record = json.loads((folder / "run.json").read_text())
    for change, words in (
        ({"finished": False}, "unfinished at step 4 of 4"),
        ({"config": record["config"] | {"lr": 0.25}}, "lr = 0.25 there, 0.001 here"),
        ({"stain": "pr"}, "holds another run"),
    ):
        (folder / "run.json").write_text(json.dumps(record | change))
        table = table_of(study)
        assert cells(table)["whole"]["seeds"] == "missing"
        assert words in table.missing["whole", 0]


def test_an_old_measurement_of_a_run_that_failed_does_not_count(study: Study, trained: Trained) -> None:
    folder = trained("whole", 0)
    assert cells(table_of(study))["whole"]["seeds"] == "1 of 2"
    assert cells(table_of(study, failed=(folder,)))["whole"]["seeds"] == "missing"
    shutil.rmtree(folder / "evaluation")
    assert "run vsbench evaluate" in table_of(study).missing["whole", 0]


def test_seeds_that_were_not_asked_for_do_not_count(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    trained("whole", 7, r_p=0.0)
    assert cells(table_of(study, 0))["whole"]["r_p"] == "80.00 (84.07)"


def test_rows_measured_on_other_images_are_named(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    trained("whole", 1)
    trained("loose", 0, data_digest="e" * 64)
    assert "measured on other images (N = 6, data eeeeeeeeeeee)" in markdown(table_of(study))


def test_the_text_tells_what_one_must_know(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    written = write_suite(table_of(study), study.results / "report" / "suites")
    assert [path.name for path in written] == [
        f"usigan+cpu-table1-mist-er.{suffix}" for suffix in ("csv", "md", "json")
    ]
    assert written[0].read_text() == tidy(table_of(study))
    text = written[1].read_text()
    assert text == markdown(table_of(study))
    for words in (
        "Slack and rate", "Preset: cpu", "Seeds: 0, 1.", "Table I, 0.1", "- no stain is named",
        "- r_p: r_p/iod-fiji in %, higher is better", "- slides are shared by train and test",
    ):  # fmt: skip
        assert words in text


FOLDER = Path("report") / "suites"
needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None, reason="needs pdflatex and pdftotext"
)


def published(suite: str) -> SuiteTable:
    study = Study("usigan", suite, "mist", "er", results=Path("/nowhere"))
    return suite_table(study, study_rows(study), [0, 1])


def test_a_study_is_found_again_as_it_was_asked_for(study: Study) -> None:
    asked = replace(study, options={"steps": 4, "taps": [0, 4], "variant": "released"}, dataset_options={"seed": 3})
    write_suite(suite_table(asked, study_rows(asked), [4, 7]), study.results / FOLDER)
    (found,) = read_studies(study.results)
    assert found.study == asked
    assert found.record.seeds == [4, 7]


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "damaged"), ("[]", "no JSON object"), ('{"schema": 1}', "method"), ('{"schema": 2}', "schema")],
)
def test_a_damaged_study_is_named(study: Study, content: str, says: str) -> None:
    *_, file = write_suite(table_of(study), study.results / FOLDER)
    file.with_name(".usigan-interrupted.json").write_text("{")  # what a writer that was killed leaves behind
    assert len(read_studies(study.results)) == 1
    file.write_text(content)
    with pytest.raises(RunError, match=rf"{re.escape(str(file))}: .*{says}.*vsbench ablate"):
        read_studies(study.results)


def test_rows_that_only_a_study_has_are_set_apart(study: Study, trained: Trained, tree: Any) -> None:
    whole, loose = trained("whole", 0), trained("loose", 0)
    elsewhere = tree.add(loose.parent.name, {"r_p": 1.0}, stain="pr")  # of a stain that the study is not of
    other = tree.add("usigan+cpu+tau-0.5", {"r_p": 1.0})  # a row that the user named so
    runs = load_results(study.results)
    assert set_apart(runs, read_studies(study.results)) == (runs, [])
    write_suite(table_of(study), study.results / FOLDER)
    kept, own = set_apart(runs, read_studies(study.results))
    assert {run.folder for run in kept} == {whole, other, elsewhere}
    assert {run.folder for run in own} == {loose}


def test_what_the_literature_calls_a_row(study: Study) -> None:
    assert [printed_name(row) for row in study_rows(study)] == ["all", "0.1", "fast", "usual"]


def test_settings_are_named_as_the_field_does() -> None:
    assert [setting_name(key) for key in ("tau", "lambda_odc", "batch_size", "lambda_a_b", "lr")] == [
        "τ", r"$L_\mathrm{odc}$", "Batch size", "Lambda a b", "Lr",
    ]  # fmt: skip


def test_what_varies_decides_the_layout() -> None:
    assert published("table7").axis == ("batch_size", [1, 2, 4, 8, 16])
    assert published("table8").axis == ("tau", [0.0001, 0.001, 0.01, 0.1])
    switches = published("table6").switches
    assert switches is not None
    assert list(switches) == ["lambda_odc", "lambda_cc", "lambda_tcyc"]
    assert list(zip(*switches.values(), strict=True))[3] == (True, True, False)
    for suite in ("table4", "table5", "paper-vs-released"):
        assert published(suite).axis is None
        assert published(suite).switches is None


def tex_rows(tex: str) -> list[list[str]]:
    """The cells of the body, without notes, spreads and italics."""
    body = tex.split(r"\midrule", 1)[1].split(r"\bottomrule")[0].replace("\\addlinespace[2pt]\n", "")
    body = re.sub(r"\\rlap\{\\textsuperscript\{\w+\}\}|\\textit\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1", body)
    return [[cell.strip() for cell in line.split("&")] for line in body.strip().split(r" \\") if line.strip()]


def test_the_latex_has_measured_above_printed_numbers(study: Study, trained: Trained) -> None:
    trained("whole", 0, r_p=80.0)
    trained("whole", 1, r_p=84.0)
    trained("fast", 0, r_p=10.0, iod=0.5)
    rows = tex_rows(suite_latex(table_of(study)))
    spread = r"\,{\scriptsize$\pm$\,2.83}"
    assert rows[0] == ["all", "82.00" + spread, r"1.000\,{\scriptsize$\pm$\,0.000}"]
    assert rows[1] == [r"\quadas printed", "84.07", "0.5109"]
    assert rows[2] == ["0.1", r"\multicolumn{2}{c}{not run}"]
    assert rows[3] == [r"\quadas printed", "42.69", ""]
    assert rows[4] == ["fast", "10.00", "0.500"]
    assert rows[5][0] == "usual"
    assert rows[5][1:] == rows[0][1:]


def test_the_latex_says_why_something_is_missing_or_does_not_compare(study: Study, trained: Trained) -> None:
    trained("whole", 0)
    trained("whole", 1)
    trained("fast", 0, data_digest="e" * 64)
    tex = suite_latex(table_of(study))
    for words in (
        "Not run: to do.", "measured on other images", "not comparable with this column",
        "Same configuration, and so the same runs, as whole", "No stain is named.", "Preset: cpu.", "slides are shared",
    ):  # fmt: skip
        assert words in tex


def test_the_latex_of_the_published_suites_has_their_layout() -> None:
    six, eight, four = (suite_latex(published(f"table{number}")) for number in (6, 8, 4))
    head = r"$L_\mathrm{odc}$ & $L_\mathrm{cc}$ & $L_\mathrm{tcyc}$ & \multicolumn{1}{c}{$R_c$\,$\uparrow$} &"
    assert head in six
    marks = [row[:3] for row in tex_rows(six)[::2]]
    assert marks == [["--" if part == "-" else r"$\surd$" for part in text] for text in
                     ("---", "+--", "-+-", "++-", "--+", "-++", "+-+", "+++")]  # fmt: skip
    assert [row[0] for row in tex_rows(eight)[::2]] == ["0.0001", "0.001", "0.01", "0.1"]
    assert r"$\tau$ & " in eight
    assert [row[0] for row in tex_rows(four)[::2]] == ["Baseline", "w/o UOT-CTM", "w/o PC-SCM", "USI-GAN (ours)"]
    assert tex_rows(four)[1][1:] == ["0.8598", "80.71", "42.18", "61.44", "35.27", "0.5103"]


def test_the_report_needs_no_more_than_the_name(study: Study, trained: Trained, tmp_path: Path) -> None:
    trained("whole", 0, r_p=80.0)
    write_suite(table_of(study), study.results / FOLDER)
    write_suite(table_of(replace(study, stain="pr")), study.results / FOLDER)
    warned: list[str] = []
    written = suite_report(study.results, "table1", tmp_path / "out", warn=warned.append)
    assert all(path.is_file() for path in written)
    assert len(written) == len(set(written)) == 2 * 7 + 1
    table = (tmp_path / "out" / "suites" / "usigan+cpu-table1-mist-er.md").read_text()
    assert table == markdown(table_of(study))
    rows = "whole (seed 1), loose (seeds 0, 1), fast (seeds 0, 1), usual (seed 1)"
    assert f"usigan+cpu-table1-mist-er: missing (to do): {rows}" in warned
    assert [path.name for path in written if path.suffix == ".tex"][-1] == "suite-table1.tex"


def test_a_suite_that_was_not_run_is_said_with_those_that_were(study: Study, tmp_path: Path) -> None:
    write_suite(table_of(study), study.results / FOLDER)
    for name, method, says in (("tabel1", None, "no study tabel1"), ("table1", "asp", "no study table1 of asp")):
        with pytest.raises(UserError, match=rf"{says} \(there: table1 of usigan\); run vsbench ablate"):
            suite_report(study.results, name, tmp_path / "out", method)
    with pytest.raises(UserError, match="there: none"):
        suite_report(tmp_path / "elsewhere", "table1", tmp_path / "out")


@needs_latex
def test_the_document_compiles_and_prints_hostile_names(
    study: Study, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = r"50%_a&b \x{} <b> $x$ #"
    rows = (SuiteRow("whole", {}, f"Table I, {hostile}", {"mist-er": {"r_p": 84.07}}), *ROWS[1:])
    monkeypatch.setattr(load("vsbench.methods", "usigan"), "suites", {"table1": Suite(hostile, rows, (hostile,))})
    trained("whole", 0, fid=f"no weights {hostile}")
    trained("fast", 0, r_p="inf")
    write_suite(table_of(study), study.results / FOLDER)
    out = tmp_path / "out"
    suite_report(study.results, "table1", out, warn=lambda _: None)
    for _ in range(2):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "suite-table1.tex"]
        done = subprocess.run(command, cwd=out, capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    log = (out / "suite-table1.log").read_text(errors="replace")
    assert not [line for line in log.splitlines() if "Warning" in line or line.startswith(("Overfull", "!"))]
    command = ["pdftotext", "-layout", "suite-table1.pdf", "-"]
    text = subprocess.run(command, cwd=out, capture_output=True, text=True, check=True).stdout
    assert text.count(hostile) >= 2
    assert "∞" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": {"crop_size": "{1}"}}, "crop_size"),
        ({"options": {"variant": []}}, "variant"),
        ({"preset": "nonesuch"}, "nonesuch"),
        ({"suite": "nonesuch"}, "nonesuch"),
        ({"method": "nonesuch"}, "nonesuch"),
    ],
)
def test_a_study_that_cannot_be_is_named_by_its_file(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    before = Path(__file__).parents[1] / "records/results-0.1.0/report/suites/usigan+cpu-table8-folder-ki67.json"
    file = tmp_path / "report/suites/study.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(before.read_bytes())
    assert len(read_studies(tmp_path)) == 1
    file.write_text(json.dumps(json.loads(before.read_text()) | change))
    with pytest.raises(RunError, match=rf"study\.json: .*{said}"):
        read_studies(tmp_path)
