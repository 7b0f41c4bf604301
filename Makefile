# Two commands do everything: `make up` and `make test`. A fresh machine needs Python 3.11 or newer and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python 3.11 or newer is needed; this is " + sys.version)'
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# npm runs the first node of the PATH, which may be an older one of the machine's.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm --prefix web
SECONDS := 600
BODIES := 10000
PAGE := gateway/static/index.html
PAGE_SOURCES := $(shell find web docs/runbook.md -type f -not -path 'web/node_modules/*' 2>/dev/null)

export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help up down status logs doctor test soak fuzz check format page bench bench-peers bench-all lock clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/run.stamp $(PAGE) ## install, start everything and the demo classroom, print the dashboard's address
	@$(BIN)/classpulse up $(ARGS)

down: $(VENV)/run.stamp ## stop what `make up` started
	@$(BIN)/classpulse down

status: $(VENV)/run.stamp ## what runs, where, and how it is
	@$(BIN)/classpulse status

logs: $(VENV)/run.stamp ## the last lines of every process
	@$(BIN)/classpulse logs

doctor: $(VENV)/run.stamp ## look at this machine and say what to mend
	@$(BIN)/classpulse doctor

test: $(VENV)/dev.stamp $(PAGE) ## install, then run every test against real servers; ARGS go to pytest (-n 0: in one process)
	@$(BIN)/python tests/e2e/browser.py
	@$(BIN)/python tests/parts.py
	@$(BIN)/python tests/prometheus.py
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(VENV)/dev.stamp ## kill workers and their broker at random, compare after each; 10 min, or SECONDS=60
	@$(BIN)/python tests/soak.py --seconds $(SECONDS) $(ARGS)

fuzz: $(VENV)/dev.stamp ## ask every route what its OpenAPI does not allow, and post BODIES (10000) that are broken
	@$(BIN)/python -m pytest -n 0 -s --timeout 3600 tests/integration/test_fuzz.py --examples 200 --bodies $(BODIES) $(ARGS)

check: $(VENV)/dev.stamp $(PAGE) ## formatting, lint, types, import arrows, secrets, known vulnerabilities, the page's types and tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/leaks.py
	$(BIN)/python requirements/audit.py requirements/dev.txt
	@$(NPM) run check
	@$(NPM) test

format: $(VENV)/dev.stamp ## write the code as ruff would
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

page: $(PAGE) ## build the dashboard into gateway/static

bench: $(VENV)/run.stamp ## events a second of ours beside plain Faust and raw aiokafka; 2 min
	@$(BIN)/python -m bench.count $(ARGS)

bench-peers: $(VENV)/run.stamp $(VENV)-bench/stamp ## the same with Quix Streams, Bytewax and Kafka Streams; 5 min
	@$(BIN)/python -m bench.count --peers $(ARGS)

bench-all: $(VENV)/run.stamp $(VENV)-bench/stamp ## every question of bench/README.md; 75 min on a quiet machine
	@$(BIN)/python -m bench.everything $(ARGS)

lock: ## renew requirements/*.txt from pyproject.toml (needs uv)
	uv pip compile pyproject.toml requirements/build.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header -q -o requirements/run.txt
	uv pip compile pyproject.toml requirements/build.in --group dev -c requirements/run.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q -o requirements/dev.txt
	uv pip compile requirements/bench.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header -q -o requirements/bench.txt
	uv pip compile requirements/bench-ralph.in --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header -q -o requirements/bench-ralph.txt

clean: ## remove what was installed and built; the data in .classpulse stays
	rm -rf $(VENV) $(VENV)-bench web/node_modules gateway/static

# The development set holds the running set, pin for pin, so a machine with the one has the other.
$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@$(NEW_ENOUGH)
	@echo "Installing what the tests need (pinned, with hashes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python requirements/install.py requirements/dev.txt
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $(VENV)/dev.stamp $(VENV)/run.stamp

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	@$(NEW_ENOUGH)
	@echo "Installing (pinned, with hashes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python requirements/install.py requirements/run.txt
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

# Of their own, because their pins and ours disagree; nothing of ours runs in it but bench/contestants.
$(VENV)-bench/stamp: requirements/bench.txt
	@echo "Installing the peers to compare with (pinned, with hashes) ..."
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	@$(VENV)-bench/bin/python requirements/install.py requirements/bench.txt
	@touch $@

$(PAGE): $(PAGE_SOURCES) | $(VENV)/run.stamp
	@echo "Building the page ..."
	@$(NPM) ci --loglevel error --no-audit --no-fund
	@$(NPM) run --silent build
	@touch $@
