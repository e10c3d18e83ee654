# Two commands: `make run` and `make test`. Both set up what they need in .venv, once.
.DEFAULT_GOAL := run
.PHONY: run test setup model check unit browser bench clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Half of the time of an installation went into compiling modules that nobody imports; those that are, are compiled then.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-compile -c constraints.txt
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false
# Where this is set, each process would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE
# glibc then keeps freed buffers for the next tensor; asking the kernel anew each time is dear on virtual machines.
export MALLOC_MMAP_THRESHOLD_ ?= 4294967295
export MALLOC_TRIM_THRESHOLD_ ?= 2147483648

run: setup
	@$(BIN)/python app.py $(ARGS)

setup: model

model: $(VENV)/ready.stamp
	@$(BIN)/python -m analysis.models.default

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Attune needs Python 3.11 or newer; name one with: make run PYTHON=python3.12")'
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/ready.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	@echo "Installing what Attune needs (a few minutes the first time)"
	@$(INSTALL) torch
	@$(INSTALL) -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	@echo "Installing what Attune and its tests need (a few minutes the first time)"
	@$(INSTALL) torch -e ".[dev]"
	@$(BIN)/python scripts/chromium.py
	@touch $(VENV)/ready.stamp $@

# The model is made on one core while the code is checked on the other.
test: $(VENV)/test.stamp
	@$(MAKE) --no-print-directory -j 2 model check
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory browser

check: $(VENV)/test.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/oxlint assets pages
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(VENV)/test.stamp
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/service tests/unit -n 2 --dist loadfile

browser: $(VENV)/test.stamp
	@$(BIN)/python -m analysis.models.default
	@$(BIN)/python -m pytest tests/browser -n 2 --durations=10

bench: $(VENV)/test.stamp
	@$(BIN)/python -m analysis.models.default
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build *.egg-info
