"""The wheel holds the tree, and works where the tree is not."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from vsbench.registry import CONTRACTS, names

ROOT = Path(__file__).parents[1]
FOLDERS = {  # tree → wheel
    "vsbench": "vsbench",
    "methods": "vsbench/methods",
    "datasets": "vsbench/datasets",
    "results/published": "vsbench/published",
}
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
WHERE = """
import importlib.util, json, vsbench
from vsbench.registry import CONTRACTS, entries
modules = [entry.module for group in CONTRACTS for entry in entries(group).values()]
print(json.dumps([vsbench.__file__, *(importlib.util.find_spec(module).origin for module in modules)]))
"""


def run(*command: object, cwd: Path) -> str:
    """Run a command that knows nothing of this process's Python path; its standard output."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP_", "VSBENCH_"))}
    ran = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the repository: the build leaves nothing in the tree, and finds nothing old there."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in (*FOLDERS, "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--wheel-dir", out]
    run(sys.executable, "-m", "pip", "wheel", *options, copy, cwd=copy)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and what the wheel needs from the environment of the tests.

    The packages of the latter are seen through a .pth file. Python does not run the .pth files of a folder that comes
    in that way: so the finder of an editable install, which would lead back to the tree, is not put to work.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / SCRIPTS / "python"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder.parent)
    # after the install: pip would take the vsbench of the tests' environment for the one it is asked for
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder.parent).strip())
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "others.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    return folder


def test_the_wheel_holds_the_tree_and_nothing_else(wheel: Path) -> None:
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in FOLDERS.items()
        for pattern in ("*.py", "py.typed", "*.csv", "*.yaml", "*.html", "*.css", "*.js", "*.LICENSE.txt")
        for path in (ROOT / folder).rglob(pattern)
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_all_is_found_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    found = [Path(file) for file in json.loads(run(environment / SCRIPTS / "python", "-c", WHERE, cwd=tmp_path))]
    assert len(found) == 1 + sum(len(names(group)) for group in CONTRACTS)
    for file in found:
        assert environment in file.parents, f"{file} is not the wheel's"
        assert ROOT not in file.parents


@pytest.mark.parametrize("kind", ["methods", "datasets", "metrics"])
def test_the_installed_command_lists_what_the_tree_has(environment: Path, tmp_path: Path, kind: str) -> None:
    rows = json.loads(run(environment / SCRIPTS / "vsbench", kind, "--json", cwd=tmp_path))
    assert [row["name"] for row in rows] == names(f"vsbench.{kind}")
    assert all(row["summary"] for row in rows)


def test_a_method_loads_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    name = names("vsbench.methods")[0]
    card = json.loads(run(environment / SCRIPTS / "vsbench", "methods", name, "--json", cwd=tmp_path))
    assert card["name"] == name
    assert card["settings"]


def test_the_ledger_comes_with_the_wheel_and_own_numbers_on_top(environment: Path, tmp_path: Path) -> None:
    command = [environment / SCRIPTS / "vsbench", "published", "list", "--json"]
    shipped = {one.get("paper") or one["reruns"]: len(one["rows"]) for one in json.loads(run(*command, cwd=tmp_path))}
    assert shipped == {"usigan": 669, "basicvs": 177, "dekerf": 1260, "skoltech": 710}
    own = tmp_path / "results" / "published"
    own.mkdir(parents=True)
    (own / "own.csv").write_text("table,dataset,stain,method,metric,value,flag,note\nI,mist,er,A,fid,1.0,,\n")
    (own / "own.yaml").write_text("source: Someone et al. 2026\n")
    found = json.loads(run(*command, cwd=tmp_path))
    assert [one["paper"] for one in found if "paper" in one] == ["own", "usigan"]
