# Two commands do all the set-up: `make bench` (the main job) and `make test`.
PYTHON ?= # the fastest `python3` on PATH
BIN := .venv/bin
INSTALL := scripts/install.sh $(BIN)/python --no-deps
BENCH_FLAGS ?=
CONFORMANCE_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev bench bench-all up down images test check perf perf-profile perf-against soak-compare report notebooks baseline \
	conformance conformance-soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BIN)/.bench ## Make .venv with everything that `make bench` needs
setup-dev: $(BIN)/.dev

bench: setup ## Run scenarios/quick.yaml on every store that this machine can run, with a report
	$(BIN)/eslab run scenarios/quick.yaml --report $(BENCH_FLAGS)

bench-all: setup ## Every variant of every store, more workers, longer
	$(BIN)/eslab run scenarios/append-scaling.yaml scenarios/hot-streams.yaml --stores all --report $(BENCH_FLAGS)

up: setup ## The servers as containers, ports on 127.0.0.1 alone; pulls what is missing
	$(BIN)/eslab up

down: setup ## Remove those containers with their data
	$(BIN)/eslab down

images: ## Build their images from packages, where none can be pulled
	images/build.sh

report: setup ## Write report.html of the newest run again
	$(BIN)/eslab report "$$(ls -d results/2*/ | grep -v -- -conformance- | tail -n 1)"

notebooks: setup ## Open the notebooks in JupyterLab; they show the newest run
	$(BIN)/jupyter lab --notebook-dir=. notebooks/start-here.ipynb

baseline: setup .otava/.made ## Make results/baseline again: small real runs to commit, with page and notebooks
	ESLAB_OTAVA="$$PWD/.otava/bin/otava" scripts/baseline.sh

test: setup-dev .otava/.made ## Run every test; the end lists what was not run and why
	ESLAB_OTAVA="$$PWD/.otava/bin/otava" $(BIN)/python -m pytest -n 4 --dist worksteal $(PYTEST_FLAGS)

check: setup-dev ## Formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: setup-dev ## Print the speed goals beside what this machine reaches
	$(BIN)/python tests/perf

perf-profile: setup-dev ## PART=pgbench: a flame graph of a part, and the share of driver, lab and system
	$(BIN)/python tests/perf --profile $(PART)

perf-against: setup-dev ## DIR=../old: the lab of this checkout and of another one, in turns, beside its peers
	$(BIN)/python tests/perf/in_turns.py $(DIR)

soak-compare: setup-dev ## How often verdicts are right here: 60 pairs of identical code, ten hidden indexes
	$(BIN)/python tests/soak/compare.py

conformance: setup ## Check what the stores promise: declared against measured, with evidence
	$(BIN)/eslab conformance $(CONFORMANCE_FLAGS)

conformance-soak: setup-dev ## Broken stores against all checks, then hundreds of runs on sound ones for false alarms; hours
	$(BIN)/python -m tests.soak.conformance

lock: setup ## Pin the requirements again
	requirements/lock.sh

clean: ## Remove the environment and caches; results stay
	rm -rf .venv .otava build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What pip was killed at looks installed to the next pip: .venv/.unfinished stays until all is done,
# and an environment that has it, or cannot run pip, is made again.
$(BIN)/.bench: requirements/bench.txt requirements/umadb.txt pyproject.toml
	@if [ -e .venv/.unfinished ]; then echo "the last installation was cut off: making .venv again"; rm -rf .venv; fi
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
		python=$$(scripts/python.sh $(PYTHON)) && rm -rf .venv && mkdir .venv && touch .venv/.unfinished && "$$python" -m venv .venv; fi
	@echo "installing the lab into .venv (up to a minute the first time)"
	@touch .venv/.unfinished
	$(INSTALL) --require-hashes -r requirements/bench.txt
	@$(INSTALL) --require-hashes --only-binary :all: -r requirements/umadb.txt 2>.venv/umadb.log || \
		echo "without UmaDB's server, whose package does not install here: $$(tail -n 1 .venv/umadb.log)"
	$(INSTALL) --no-build-isolation -e .
	@touch $@ && rm .venv/.unfinished

$(BIN)/.dev: requirements/dev.txt $(BIN)/.bench
	@touch .venv/.unfinished && rm $(BIN)/.bench
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $(BIN)/.bench $@ && rm .venv/.unfinished

# Change points come from Apache Otava, which pins other libraries than the lab: it lives apart.
.otava/.made: requirements/otava.txt | setup
	@rm -rf .otava
	$(BIN)/python -m venv --without-pip .otava
	scripts/install.sh .otava/bin/python --no-deps --require-hashes -r requirements/otava.txt
	@touch $@
