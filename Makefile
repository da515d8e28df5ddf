# make demo: environment, install, the main job on embedded data.   make test: everything that CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check tests test-slow sweep bench gpu-check bench-audit planted unaided curves bench-report docs format clean

demo: .make/core
	$(BIN)/seewhy demo

test: check tests

check: .make/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

tests: .make/dev .make/chromium
	@command -v chromium >/dev/null || echo "Browser tests will be skipped: there is no chromium, and it could not be installed."
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .make/dev
	$(BIN)/python -m pytest -m slow

sweep: .make/dev
	$(BIN)/python -m tests.sweep.run

bench: .make/dev
	$(BIN)/python benchmarks/bench.py

# On a machine with CUDA, whose python may be another one than that of .venv; at most eight minutes.
gpu-check:
	PYTHONPATH=src:benchmarks $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu_check.py

bench-audit: .make/dev
	$(BIN)/python benchmarks/audit.py

# Hours: it goes on where it was stopped.
planted: .make/dev
	$(BIN)/python -m benchmarks.planted --workers 2

# Hours too, over the networks of the former; other tools are asked where their packages are on PYTHONPATH.
unaided: .make/dev
	$(BIN)/python -m benchmarks.unaided

curves: .make/dev
	$(BIN)/python -m benchmarks.unaided.curves --workers 2

bench-report: .make/dev .make/chromium
	$(BIN)/python benchmarks/pages.py

docs: .make/dev
	$(BIN)/python docs/generate.py

format: .make/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .make

# Each step runs once; afterwards everything works without a network.
.make/venv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "seewhy needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	mkdir -p .make && touch $@

.make/core: .make/venv pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e ".[plot]"
	$(BIN)/python -m compileall -q src  # as pip does for a package that is no folder of sources
	touch $@

.make/dev: .make/core requirements-dev.txt requirements-parity.txt
	$(BIN)/pip install -q -c constraints.txt -r requirements-dev.txt
	$(BIN)/pip install -q --no-deps -r requirements-parity.txt
	touch $@

# The pages of a report are tried in Debian's browser, where it is or can be installed; no other target asks for it.
.make/chromium:
	@mkdir -p .make
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then \
		if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as="sudo -n"; else as=false; fi; \
		{ $$as apt-get update -qq && $$as apt-get install -qq -y chromium; } >/dev/null 2>&1 || true; \
	fi
	@touch $@
