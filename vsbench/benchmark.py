"""The version of the benchmark: splits, protocols and rules together. Numbers of two versions are not compared.

It rises when any number would change, and the changelog says which. What a version means is recorded in
``benchmarks/versions/<version>.json`` (``python -m benchmarks.version``), which a test holds against the code.
"""

VERSIONS = {"vsbench-2026.1": "the first"}  # → what it changed; the last is the present one
BENCHMARK = list(VERSIONS)[-1]


def version_said(version: str | None) -> str:
    """A version as it is printed; None: a file that was written before there were any."""
    return version or f"before {next(iter(VERSIONS))}"
