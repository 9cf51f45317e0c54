# The project's everyday commands; `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Options for the program that a target runs: make evaluate ARGS="--preference 0.9"
ARGS ?=

SEEDS := 1 2 3 4 5

.DEFAULT_GOAL := help
CLOUDS := openstack kubernetes s3 prometheus
.PHONY: help venv up train train-full seeds evaluate tune compete study bench test docs coverage lint clean \
	$(addprefix test-,$(CLOUDS))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## Install the project and its tools into .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@

up: $(STAMP) ## Start the whole service on this machine (ARGS="--help" lists the options)
	$(BIN)/python -m deploy.up $(ARGS)

train: $(STAMP) ## Train a policy in under 10 minutes (ARGS="--help" lists the options)
	$(BIN)/python -m training.train --preset quick $(ARGS)

train-full: $(STAMP) ## Train a policy by the full preset
	$(BIN)/python -m training.train $(ARGS)

seeds: $(STAMP) ## Train anew the quick policies of five seeds that take part in the competition
	for seed in $(SEEDS); do \
		$(BIN)/python -m training.train --preset quick --seed $$seed --name seed$$seed $(ARGS) || exit; \
	done

evaluate: $(STAMP) ## Compare the frozen policy with its rivals on the test scenarios
	$(BIN)/python -m training.evaluate $(ARGS)

tune: $(STAMP) ## Tune the rivals on the training scenarios
	$(BIN)/python -m training.tune $(ARGS)

compete: $(STAMP) ## The competition: docs/competition.md made anew
	$(BIN)/python -m training.compete $(ARGS)

study: $(STAMP) ## The study: docs/study.md and its pictures made anew
	$(BIN)/python -m training.study $(ARGS)

bench: $(STAMP) ## Measure the speed of the simulator and of training
	$(BIN)/python -m training.bench $(ARGS)

test: lint ## Run every check and every test (one at a time: ARGS="-n 0")
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

docs: $(STAMP) ## Build the documentation's site into site/; a warning is an error
	$(BIN)/python -m mkdocs build --strict $(ARGS)

coverage: $(STAMP) ## The share of each file that tests run, also into htmlcov/ (a part: ARGS="tests/env")
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html $(ARGS)

test-openstack: $(STAMP) ## Run the tests against a real OpenStack on this machine (root)
test-kubernetes: $(STAMP) ## Run the tests against a real Kubernetes (root; builds it once)
test-s3: $(STAMP) ## Run the tests against a real S3 server (root)
test-prometheus: $(STAMP) ## Run the tests against a real Prometheus (root)
$(addprefix test-,$(CLOUDS)): test-%:
	$(BIN)/python -m tests.clouds.run $* $(ARGS)

lint: $(STAMP) ## Check style, format, the floors and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

clean: ## Remove the virtual environment and all caches; runs/ and models/ stay
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
