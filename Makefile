# Everything runs from .venv, which the first command creates. PYTHON chooses the interpreter (3.11 or later).
# WORKERS is how many processes share the tests; most of a test is waiting, so a little more than cores is right.
PYTHON ?= python3
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: run test test-slow test-soak test-clusters check bench format clean

run: $(STAMP)  ## a chaos run of every shipped scenario on the embedded cluster
	$(BIN)/lab run $(ARGS)

test: $(STAMP)  ## all tests; ARGS="-k name" chooses some
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow and not soak and not cluster" $(ARGS)

test-slow: $(STAMP)  ## the tests that judge many policies in full (some minutes)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "slow and not soak and not cluster" $(ARGS)

test-soak: $(STAMP)  ## more of the same kinds, a minute each
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m soak $(ARGS)

test-clusters: $(STAMP)  ## the tests of clusters of containers, or of a cockroach binary
	$(BIN)/pytest -n 2 --dist loadfile -m "cluster and not soak" $(ARGS)

check: $(STAMP)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## every figure of the README, as ratios measured side by side
	$(BIN)/python -m benchmarks

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 4; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 4; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
