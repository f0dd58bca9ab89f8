"""The lock of tested releases satisfies the bounds, is whole, and says where it comes from and nothing of a machine."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
TESTED = ("networks", "slides", "onnx", "slurm", "dev")  # extras, as the dev extra takes them
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
RELEASES = dict(line.split("==") for line in LINES if not line.startswith("#"))


def bounds() -> Iterator[Requirement]:
    """Of dependencies and extras. An extra that names vsbench's own is none of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *(text for extra in extras.values() for text in extra)):
        if (requirement := Requirement(text)).name != "vsbench":
            yield requirement


def test_the_lock_satisfies_the_bounds_and_lacks_nothing_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *(t for extra in TESTED for t in project["optional-dependencies"][extra])]
    names = {canonicalize_name(Requirement(text).name) for text in needed} - {"vsbench"}
    assert names - RELEASES.keys() == set(), "make lock"
    for requirement in bounds():
        release = RELEASES.get(canonicalize_name(requirement.name))
        assert release is None or requirement.specifier.contains(release, prereleases=True), f"{requirement}: make lock"


def test_the_lock_says_what_it_is_of_and_nothing_of_a_machine() -> None:
    assert re.fullmatch(r"# .+: Python 3\.\d+\.\d+, \w+ \w+, \d{4}-\d\d-\d\d\. Made by make lock\.", LINES[0])
    for line in LINES[2:]:
        name, _, release = line.partition("==")
        assert canonicalize_name(name) == name
        assert str(Version(release).public) == release, "a release of an index, without a local label"


def test_releases_known_to_be_malicious_are_excluded() -> None:
    sharing = [requirement for requirement in bounds() if "lightning" in requirement.name]
    assert [requirement.name for requirement in sharing] == ["lightning-fabric"]
    for requirement in sharing:
        assert not any(requirement.specifier.contains(release) for release in ("2.6.2", "2.6.3"))
    assert {"lightning", "pytorch-lightning"}.isdisjoint(RELEASES)
