# Everything that is done with this checkout. The first target that needs it makes .venv and installs into it; later
# ones only look at two stamp files, so `make run` costs nothing the second time.

VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
# A person sees pip's progress bars, a log does not.
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(if $(CI),--quiet) --constraint constraints.txt
# A line in a .pth file instead of an import hook: 12 ms less at every start.
PLAIN_PATH := --config-settings editable_mode=compat

# The first interpreter that is new enough; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Tests are many small processes on few cores: threads of their own would only be in each other's way.
TEST_ENV := OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help run demo model setup test check lint bench constraints clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

run: model ## set up what is missing, fetch the default model where there is none, open the app
	@$(BIN)/finetui

demo: model ## ask a model its name, teach it another, ask again: a training from beginning to end
	@FINETUI=$(BIN)/finetui examples/demo.sh

# A machine without a network still gets the app; its welcome says what is missing and offers the same again.
model: $(RUN_STAMP)
	@$(BIN)/finetui models info default >/dev/null 2>&1 || $(BIN)/finetui models pull default || \
		echo "make: going on without a model" >&2

setup: $(DEV_STAMP)

test: $(DEV_STAMP) ## set up what is missing, then every test
	@$(TEST_ENV) $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder \
		$(PYTEST_ARGS)

check: lint test ## format, lint, types, the walls between the packages, every test

lint: $(DEV_STAMP) ## check, without the tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(DEV_STAMP) ## measure what benchmarks/README.md promises, each figure beside its budget
	@$(BIN)/python -m benchmarks

constraints: $(DEV_STAMP) ## pin the versions that are installed now
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## remove what make made, models and conversations excepted
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed, and none was found." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing finetui and what it stands on: PyTorch is the large one, this takes minutes"
	@$(PIP) $(PLAIN_PATH) --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing finetui and its tools: PyTorch is the large one, this takes minutes"
	@$(PIP) $(PLAIN_PATH) --editable '.[dev]'
	@touch $(RUN_STAMP) $@
