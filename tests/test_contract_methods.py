"""Every registered method under every check."""

import pytest

from vsbench.checks.methods import Check, maker, method_checks
from vsbench.registry import load, names

GROUP = "vsbench.methods"
KNOWN_FAILURES: dict[tuple[str, str], str] = {}  # (method, check): why, and what will mend it


@pytest.mark.parametrize("check", method_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", names(GROUP))
def test_method(name: str, check: Check, request: pytest.FixtureRequest) -> None:
    if reason := KNOWN_FAILURES.get((name, check.__name__)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    try:
        check(maker(load(GROUP, name)))
    except pytest.skip.Exception as skipped:
        pytest.fail(f"{check.__name__} skips {name}: {skipped}")


def test_known_failures_are_of_methods_and_checks_that_exist() -> None:
    checks = [check.__name__ for check in method_checks()]
    for name, check in KNOWN_FAILURES:
        assert name in names(GROUP)
        assert check in checks


@pytest.mark.parametrize("name", names(GROUP))
def test_no_method_is_excused_from_every_check(name: str) -> None:
    assert any((name, check.__name__) not in KNOWN_FAILURES for check in method_checks())
