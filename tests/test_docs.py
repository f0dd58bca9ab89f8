"""The manual and the README: commands that exist, links that lead somewhere, worked examples that work."""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import typer

from vsbench.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = {"commands", "methods", "datasets", "metrics"}  # by docs/generate.py
EXAMPLES = sorted((ROOT / "docs" / "extend").glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^(?: {4}|\t)(?:\$ )?(vsbench(?: .*)?)$", re.MULTILINE)
INLINE = re.compile(r"`(vsbench [^`]+)`")
NAMED = re.compile(r"\{\{ (\w+) \}\}")
CODE = re.compile(r"^(?: {4}|\t).*$|```.*?```|`[^`]*`", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"```python\n# file: (\S+)\n(.*?)```", re.DOTALL)


def written() -> list[Path]:
    return [page for page in PAGES if not (page.parent.name == "reference" and page.stem in MADE)]


def shown(page: Path) -> Iterator[str]:
    """The commands of a page, without comments, and with words of a synopsis as they stand."""
    text = page.read_text(encoding="utf-8")
    for line in (*COMMAND.findall(text), *INLINE.findall(text)):
        yield line.split("   #")[0].strip()


@pytest.mark.parametrize("page", written(), ids=lambda page: page.stem)
def test_every_shown_command_is_one(page: Path) -> None:
    for line in shown(page):
        words = [word for word in shlex.split(line)[1:] if word not in ("…", "RUN…", "IMAGE…")]
        try:
            understood(words)
        except Exception as error:
            raise AssertionError(f"{page.name}: {line}: {error}") from error


def understood(words: list[str]) -> None:
    """Raises where a command has no such name, or no such option. What it would do is not done."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="vsbench")
    while words and hasattr(command, "commands"):
        name, *words = words
        if name.startswith("--"):  # of vsbench itself
            assert any(name in parameter.opts for parameter in command.params), f"no option {name}"
            continue
        found = command.get_command(context, name.rstrip(","))
        assert found is not None, f"no command {name}"
        command, context = found, typer.Context(found, info_name=name, parent=context)
        if name.endswith(","):  # `vsbench methods`, `datasets`: the next is another
            return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in {*known, "--help"}, f"no option {word}"


@pytest.mark.parametrize("page", written(), ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target, _, _ = link.partition("#")
        if not target or "://" in target:
            continue
        made = Path(target).stem in MADE and Path(target).parent.name == "reference"
        assert made or (page.parent / target).exists(), f"{page.name}: {link} leads nowhere"


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    """What the manual reads from code and results when it is built."""
    found: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "known.py"))["known"]()
    return found


def test_names_of_numbers_are_those_that_are_known(known: dict[str, str]) -> None:
    named = {name for page in written() for name in NAMED.findall(page.read_text(encoding="utf-8"))}
    assert named == known.keys()


def test_a_number_that_is_known_is_typed_on_no_page(known: dict[str, str]) -> None:
    telling = {text for text in known.values() if "." in text or " of " in text or len(text) > 3}
    assert len(telling) > 20
    for page in written():
        if page.name != "README.md":
            prose = CODE.sub("", page.read_text(encoding="utf-8"))
            typed = {text for text in telling if re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.]*\d)", prose)}
            assert typed == set(), f"{page.name}: write the name that docs/known.py has for it"


def test_the_readme_has_the_numbers_of_the_manual_and_of_the_demo(known: dict[str, str]) -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"(ρ {known['rho_r_avg'].removeprefix('0')})" in text
    table = pd.read_csv(ROOT / "results" / "examples" / "phantom" / "summary.csv")
    of = table[table["metric"] == "cell_auc"].set_index("row")
    trained = of[of["kind"] == "trained"]
    assert len(trained) == 4
    for title, auc in (*trained.set_index("title")["value"].items(), ("the best", of["value"]["best"])):
        assert f"{auc:.2f} for {title.partition(' (')[0]}".removeprefix("0") in text


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_a_worked_example_is_registered_and_passes_the_checks(page: Path, tmp_path: Path) -> None:
    files = FILE.findall(page.read_text(encoding="utf-8"))
    if page.stem == "index":
        assert not files
        return
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    points = re.search(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert points is not None
    information = tmp_path / "example-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n", encoding="utf-8")
    group, entry = re.fullmatch(r'\[project\.entry-points\."(.+)"\]\n(.+)\n', points[1]).groups()  # type: ignore[union-attr]
    (information / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n", encoding="utf-8")
    name = entry.partition(" ")[0]
    asks = f"from vsbench import registry; assert registry.entries({group!r})[{name!r}].source == 'example'; "
    asks += f"import runpy; runpy.run_path({str(tmp_path / files[-1][0])!r})"
    command = [sys.executable, "-c", asks]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]


def environment(folder: Path) -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
