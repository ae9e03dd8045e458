# Everything needs Python 3.11 or newer, make and git only; the environment is built in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.cryosway-installed
EXTRAS := test,dev,docs

# Test processes have one thread each: they must not fight for the cores.
TEST_WORKERS ?= 2

.PHONY: help install demo test lint docs bench clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## build the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or give make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: give make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## simulate adenylate kinase opening, find the motion, write a report
	$(BIN)/cryosway demo --out demo

lint: $(STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

test: lint ## all checks and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS)

docs: $(STAMP) ## API documentation in docs/api
	$(BIN)/pdoc --docformat numpy --math -o docs/api cryosway

bench: $(STAMP) ## the figures of docs/benchmarks.md (long)
	$(MAKE) -C benchmarks PYTHON="$(abspath $(BIN)/python)"

clean: ## remove the environment and everything made
	rm -rf $(VENV) demo docs/api build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
