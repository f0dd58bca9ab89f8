# Each target creates .venv and installs what it needs; nothing is done twice.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := vsbench methods datasets benchmarks tests
# mypy reads our methods and data sets as files: their import names come from package-dir, which it cannot see
TYPED := vsbench benchmarks $(wildcard methods/[!_]*.py) $(wildcard datasets/[!_]*.py)

MINUTES ?= 1

.PHONY: demo test test-vectors test-exports test-cluster test-matrix lock fuzz gpu-check leaderboard docs check install format clean

demo: .venv/.demo   ## train, evaluate and report four methods on the built-in phantom (minutes on two cores)
	$(BIN)/vsbench demo

test: .venv/.dev    ## all tests
	$(BIN)/pytest

test-vectors: .venv/.dev   ## all stored vectors, those too that take long (minutes)
	HEAVY_VECTORS=1 $(BIN)/pytest tests/oracles

test-exports: .venv/.dev   ## every method as ONNX and TorchScript, held against itself (minutes)
	EVERY_EXPORT=1 $(BIN)/pytest tests/exchange/test_graphs.py

test-cluster: .venv/.dev  ## a sweep on a real SLURM cluster of two nodes on loopback (root; Debian's slurm-wlm and munge)
	$(BIN)/python tests/cluster/slurm.py $(BIN)/pytest --numprocesses=0 tests/cluster

test-matrix: .venv/.dev   ## the wheel's fast part on the oldest and newest Python, and on the oldest releases promised
	.ci/matrix

lock: .venv/.dev    ## constraints.txt: the exact releases that the tests ran on
	.ci/lock

fuzz: .venv/.dev    ## reads damaged and hostile files for so many MINUTES; finds are printed, and kept in .fuzz
	$(BIN)/python tests/fuzz --minutes $(MINUTES)

gpu-check: .venv/.dev  ## the GPU put to the test in eight minutes; results in benchmarks/gpu
	$(BIN)/python -m benchmarks.gpu

leaderboard: .venv/.demo   ## what results/leaderboard lacks, two rows at a time (hours; goes on where it was)
	$(BIN)/python -m benchmarks.leaderboard
	$(BIN)/python -m benchmarks.chosen
	$(BIN)/python -m benchmarks.claims
	$(BIN)/python -m benchmarks.board_page
	$(BIN)/python -m benchmarks.submitted

docs: .venv/.docs   ## the manual, docs/_build/index.html
	$(BIN)/sphinx-build -W --keep-going --quiet docs docs/_build

check: .venv/.dev   ## formatting, lint, types
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(TYPED)

install: .venv/.demo  ## vsbench in .venv, editable

format: .venv/.dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[networks]'
	touch $@

.venv/.dev: .venv/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.venv/.docs: .venv/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv .matrix .fuzz build dist docs/_build *.egg-info
