# The front of the project: every target sets up what it needs (docs/how-to/develop.md).
# Nothing is assumed but Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
ACMELOAD ?= ../shared/bench/acmeload
N ?=
SEED ?=
WORKERS ?=
export KEEP
export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test check fmt bench crash recipe interop clean

help:
	@echo "make demo    run the main job: a CA, a certificate by ACME, renewals that are seen served (KEEP=1 keeps it)"
	@echo "make test    all tests            make check  format, lint, types, import contracts, planted faults"
	@echo "make crash   kill a CA under load, N=200 times, replay with SEED=; nothing acknowledged may be missing"
	@echo "make recipe  the recipe word for word, in network namespaces with real names and port 80 (as root)"
	@echo "make interop all ACME clients and libraries, built and run (Go, Rust, Java, Node.js as found; minutes); the table"
	@echo "make bench   the benchmark        make fmt    format           make venv  the environment alone"

venv: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Dayfly needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: the venv module is missing. next: apt-get install python3-venv"; exit 1; }
	@echo "building $(VENV) (hash-locked packages, once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/dayfly demo

test: $(STAMP)
	$(BIN)/python $(if $(N),-m pytest,tools/test.py) $(if $(SEED),-p randomly -p "no:cacheprovider" --randomly-seed=$(SEED)) $(N)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/architecture
	@$(BIN)/python tools/sizes.py

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python bench/budget.py
	$(BIN)/python bench/run.py --acmeload $(ACMELOAD) $(if $(N),--seconds $(N))

crash: $(STAMP)
	@PYTHONPATH=tests:src $(BIN)/python -m crash $(if $(N),--rounds $(N)) $(if $(SEED),--seed $(SEED)) $(if $(WORKERS),--workers $(WORKERS))

fuzz: $(STAMP)
	@PYTHONPATH=tests:src $(BIN)/python -m fuzz $(if $(N),--seconds $(N)) $(if $(SEED),--seed $(SEED))

recipe: $(STAMP)
	@PYTHONPATH=tests:src $(BIN)/python -m recipe

interop: $(STAMP)
	DAYFLY_INTEROP=all DAYFLY_INTEROP_TABLE=docs/reference/acme-clients.md \
	  $(BIN)/python -m pytest tests/interop -p no:randomly $(N)

clean:
	rm -rf $(VENV) .cache/interop .mypy_cache .ruff_cache .pytest_cache .hypothesis
