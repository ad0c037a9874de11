# The few commands. Everything is installed inside .venv; nothing outside the repository is touched.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
MELTANO := .venv-meltano/bin/meltano
# Hundreds of processes start in the tests: none should compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
PIP_FLAGS := --quiet --disable-pip-version-check --no-input

.PHONY: help setup demo test test-long check format constraints meltano-demo bench campaign mutants screenshots wheel-check clean

help: ## what there is to call
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/ready ## the environment, from pinned versions and hashes

.venv/ready: constraints.txt pyproject.toml
	@echo "setting up .venv (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install $(PIP_FLAGS) --no-compile --no-deps --require-hashes -r constraints.txt
	@$(BIN)/python -W ignore -m compileall -q -j 0 .venv/lib || true # pip would use one processor
	@$(BIN)/pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the main job on this machine, against the simulator
	@$(BIN)/hubspot-calls demo --once

test: setup ## the tests, three at a time: most of them wait for something
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not long"

test-long: setup .venv-meltano/ready ## the long ones: Meltano, several hosts, a cluster that falls over; and the mutants
	$(BIN)/python -m pytest -n 3 --dist loadfile -m long
	$(BIN)/python -m tests.mutants.run

check: setup ## format, lint, types, rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports

format: setup ## puts the code in shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

constraints: setup ## newest versions that fit, with hashes and without any address
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra nats --extra postgresql --universal --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --upgrade -q -o constraints.txt
	printf '%s\n' 'meltano>=4.4,<5' 'tap-spreadsheets>=1.1,<2' | $(BIN)/uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --upgrade -q -o constraints-meltano.txt

.venv-meltano/ready: constraints-meltano.txt
	@echo "setting up .venv-meltano"
	@$(PYTHON) -m venv .venv-meltano
	@.venv-meltano/bin/pip install $(PIP_FLAGS) --no-compile --no-deps --require-hashes -r constraints-meltano.txt
	@.venv-meltano/bin/python -W ignore -m compileall -q -j 0 .venv-meltano/lib || true
	@touch $@

meltano-demo: setup .venv-meltano/ready ## meltano run tap-vapi target-hubspot-calls, against the simulator
	@MELTANO_DATABASE_URI=sqlite:///hubspot-calls-demo/meltano.db \
	  $(BIN)/hubspot-calls demo --once --sync-command '$(MELTANO) run --force tap-vapi target-hubspot-calls'

bench: setup ## what we claim about speed, measured
	$(BIN)/python benchmarks/requests_per_thousand.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/delivery.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/live_sync.py
	$(BIN)/python benchmarks/webhooks.py
	$(BIN)/python benchmarks/slow_clients.py
	$(BIN)/python benchmarks/history.py
	$(BIN)/python benchmarks/tap.py
	$(BIN)/python benchmarks/tap_api.py
	$(BIN)/python benchmarks/streams.py
	$(BIN)/python benchmarks/claims.py
	$(BIN)/python benchmarks/retry.py
	$(BIN)/python benchmarks/start_times.py
	$(BIN)/python -m benchmarks.workers

campaign: setup ## seeded faults, kills and lost answers; every call must end with one note
	$(BIN)/python -m tests.campaign.run --runs 50

mutants: setup ## mistakes put into a copy of the code; the tests must notice each
	$(BIN)/python -m tests.mutants.run

screenshots: setup ## the pictures of the pages in docs/images, taken in chromium
	@$(BIN)/python -m tests.browser.screenshots

wheel-check: setup ## the built wheel, installed in an empty environment, does what it promises
	@.ci/wheel-check $(abspath $(BIN)/python)

clean: ## removes environments and what demos left
	rm -rf .venv .venv-meltano .meltano hubspot-calls-demo
