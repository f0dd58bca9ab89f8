"""Loops over files find what our families find in one pass: the benchmark of pixel metrics compares like with like."""

from pathlib import Path

import pytest


def test_one_pass_finds_what_the_chain_of_loops_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks.pixel_metrics import EXACT, chain, differences, make_files, one_pass

    make_files(tmp_path, pairs=3, side=72)
    table, other = chain(tmp_path), one_pass(tmp_path)
    assert (table[list(EXACT)].nunique() > 1).all()  # a comparison of constants would show nothing
    found = differences(table, other)
    assert all(found[column] <= limit for column, limit in EXACT.items()), found
