"""What is printed, and what happens where printing or writing can't be done."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vsbench.cli

VSBENCH = [sys.executable, "-c", "from vsbench.cli.app import main; main()"]
ESCAPES = "\x1b]0;title\x07\x1b[31mred"


def test_commands_print_through_the_one_place_that_escapes() -> None:
    for file in Path(vsbench.cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and file.name != "output.py":
                assert ast.unparse(node.func) not in ("print", "typer.echo", "click.echo"), file
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
                assert file.name == "display.py", file


@pytest.mark.parametrize("name", [f"{ESCAPES}.png", "a\nerror: forged.png", "--\x1b[31mx", "\u202egnp.png"])
def test_names_reach_the_terminal_escaped_and_in_one_line(vsbench, name: str) -> None:  # type: ignore[no-untyped-def]
    done = vsbench("measure", name)
    said = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert not any(line.startswith("error: forged") for line in said.splitlines())
    assert said.count("error:") == 1 + name.count("error:")
    assert "Traceback" not in said


def test_a_full_device_and_closed_streams_end_without_a_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*VSBENCH, "datasets"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert "No space left on device; make room" in done.stderr
        assert done.stderr.count("\n") == 1
        assert subprocess.run([*VSBENCH, "datasets"], stdout=full, stderr=full, check=False).returncode == 1
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*VSBENCH, "datasets"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
    closed = f'"{sys.executable}" -c "from vsbench.cli.app import main; main()" datasets >&- 2>&-'
    assert subprocess.run(closed, shell=True, check=False).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_character_is_shown_in_any_encoding(vsbench, encoding: str) -> None:  # type: ignore[no-untyped-def]
    done = vsbench("methods", "--json", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert vsbench("--help", PYTHONIOENCODING=encoding).returncode == 0


def test_a_forgotten_name_of_the_csv_file_costs_no_image(vsbench, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from PIL import Image

    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16), (150, 100, 60)).save(tmp_path / name)
    before = (tmp_path / "a.png").read_bytes()
    done = vsbench("measure", "--csv", "a.png", "b.png")
    assert done.returncode == 1
    assert "a.png: exists already and was not written by vsbench" in done.stderr
    assert (tmp_path / "a.png").read_bytes() == before
    for _ in range(2):
        assert vsbench("measure", "--csv", "table.csv", "b.png").returncode == 0
