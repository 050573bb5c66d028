# Two commands do all the set-up: `make bench` (the main job) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
BENCH_FLAGS ?=
CONFORMANCE_FLAGS ?=
ALL_STORES := postgres,postgres:row,postgres:global-lock,postgres:table-lock,postgres:counter,postgres:coalesced,postgres:template,sqlite,memory,kafka,kafka{driver=librdkafka},kafka:single-writer,kafka:single-writer{driver=librdkafka},dynamodb,dynamodb{driver=http},dynamodb:commit,dynamodb:sequenced,dynamodb:template

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev bench bench-all up down images test check perf soak-compare report notebooks baseline \
	conformance conformance-soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BIN)/.bench ## Make .venv with everything that `make bench` needs
setup-dev: $(BIN)/.dev

bench: setup ## Run scenarios/quick.yaml on every store that this machine can run, with a report
	$(BIN)/eslab run scenarios/quick.yaml --report $(BENCH_FLAGS)

bench-all: setup ## Every variant of every store, more workers, longer
	$(BIN)/eslab run scenarios/append-scaling.yaml scenarios/hot-streams.yaml --stores '$(ALL_STORES)' --report $(BENCH_FLAGS)

up: setup ## The servers as containers, ports on 127.0.0.1 alone; pulls what is missing
	$(BIN)/eslab up

down: setup ## Remove those containers with their data
	$(BIN)/eslab down

images: ## Build their images from Debian and Maven packages, where none can be pulled
	images/build.sh

report: setup ## Write report.html of the newest run again
	$(BIN)/eslab report "$$(ls -d results/2*/ | grep -v -- -conformance- | tail -n 1)"

notebooks: setup ## Open the notebooks in JupyterLab; they show the newest run
	$(BIN)/jupyter lab --notebook-dir=. notebooks/start-here.ipynb

baseline: setup .otava/.made ## Make results/baseline again: small real runs to commit, with page and notebooks
	ESLAB_OTAVA=$(CURDIR)/.otava/bin/otava scripts/baseline.sh

test: setup-dev .otava/.made ## Run every test; the end lists what was not run and why
	ESLAB_OTAVA=$(CURDIR)/.otava/bin/otava $(BIN)/python -m pytest -n 3 --dist worksteal $(PYTEST_FLAGS)

check: setup-dev ## Formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: setup-dev ## Print the speed goals beside what this machine reaches
	$(BIN)/python tests/perf

soak-compare: setup-dev ## How often verdicts are right here: 60 pairs of identical code, ten hidden indexes
	$(BIN)/python tests/soak/compare.py

conformance: setup ## Check what the stores promise: declared against measured, with evidence
	$(BIN)/eslab conformance $(CONFORMANCE_FLAGS)

conformance-soak: setup-dev ## The same 290 times, each with another seed, for false alarms; takes an hour
	$(BIN)/python tests/soak/conformance.py

lock: ## Pin the requirements again (needs uv)
	requirements/lock.sh

clean: ## Remove the environment and caches; results stay
	rm -rf .venv .otava build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("eslab needs Python 3.11 or newer; try make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

$(BIN)/.bench: requirements/bench.txt pyproject.toml | $(BIN)/python
	@echo "installing the lab into .venv (a minute the first time)"
	$(PIP) --no-deps --require-hashes -r requirements/bench.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(BIN)/.dev: requirements/dev.txt $(BIN)/.bench
	$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# Change points come from Apache Otava, which pins other libraries than the lab: it lives apart.
.otava/.made: requirements/otava.txt
	$(PYTHON) -m venv .otava
	.otava/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/otava.txt
	@touch $@
