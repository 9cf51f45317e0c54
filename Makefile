# The project's everyday commands; `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Options for the program that a target runs: make evaluate ARGS="--preference 0.9"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help venv train train-full evaluate bench test lint clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Install the project and its tools into .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@

train: $(STAMP) ## Train a policy in under 10 minutes (ARGS="--help" lists the options)
	$(BIN)/python -m training.train --preset quick $(ARGS)

train-full: $(STAMP) ## Train as the shipped policy was trained
	$(BIN)/python -m training.train $(ARGS)

evaluate: $(STAMP) ## Compare the frozen policy with its rivals on the test scenarios
	$(BIN)/python -m training.evaluate $(ARGS)

bench: $(STAMP) ## Measure the speed of the simulator and of training
	$(BIN)/python -m training.bench $(ARGS)

test: lint ## Run every check and every test
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP) ## Check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean: ## Remove the virtual environment and all caches; runs/ and models/ stay
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
