"""Names that become paths, and text from outside that is shown."""

import json

import pytest

from vsbench.errors import UsageError
from vsbench.evaluation.references import REFERENCES, checked_row_name
from vsbench.names import checked_name, shown, shown_json

LEAD_ELSEWHERE = [
    "../../evil", "a/b", "a\\b", ".", "..", "", " ", "-x", "CON", "nul.txt", "com1", "a.", "a ", "a\n", "a\x1b[31m",
    "\u202eabc", "a\0", "\udce4", "x" * 101, "漢" * 99, "/etc", "C:x",
]  # fmt: skip


@pytest.mark.parametrize("name", LEAD_ELSEWHERE)
def test_a_name_that_is_no_folder_of_its_own_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="--stain") as caught:
        checked_name(name, "--stain")
    assert len(str(caught.value)) < 300
    assert shown(str(caught.value)) == str(caught.value)


def test_two_forms_of_a_name_are_one() -> None:
    assert checked_name("e\u0301", "--label") == checked_name("é", "--label") == "é"
    assert checked_name("Ki-67", "--stain") == "Ki-67"


@pytest.mark.parametrize("name", [*REFERENCES, "HE", "ihc", "mean_colour", "Shuffled", "real.ihc"])
def test_names_of_rows_of_ours_are_taken(name: str) -> None:
    with pytest.raises(UsageError, match="always there"):
        checked_row_name(name, "--name")
    assert checked_row_name(f"{name}2", "--name") == f"{name}2"


@pytest.mark.parametrize("name", LEAD_ELSEWHERE[:14])
def test_commands_refuse_such_a_stain_and_write_nothing(name, vsbench, tmp_path) -> None:  # type: ignore[no-untyped-def]
    if "\0" in name:
        return
    done = vsbench("train", "pix2pix", "--dataset", "phantom", f"--stain={name}", "--dry-run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: --stain")
    assert not list(tmp_path.rglob("*"))


def test_what_a_terminal_would_act_on_is_escaped() -> None:
    text = "a\nerror: forged\x1b]0;title\x07\x9b31m\u202e\udce4\r\t é漢 \\n"
    assert shown(text) == r"a\nerror: forged\x1b]0;title\x07\x9b31m\u202e\udce4\r\t é漢 \n"
    assert json.loads(shown_json(json.dumps(text, ensure_ascii=False))) == text
    assert "\u202e" not in shown_json(json.dumps(text, ensure_ascii=False))
