# `make demo` runs the whole loop on drawn images, `make test` the tests, `make test-quick` those of
# the engine in under a minute, `make lint` the checks of style and types.
# They set up .venv by themselves, once. CONSTRAINTS="-c constraints.txt" installs the versions that were tested.
PYTHON3 ?= python3
CONSTRAINTS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
PIP_INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS)
READY := $(VENV)/.requirements-installed
READY_DEV := $(VENV)/.requirements-dev-installed

# What has a say in which channels go, read and written: no training, no command.
QUICK := tests/models/test_yolo.py $(addprefix tests/utils/,boxes cli files pruning/channels pruning/choice pruning/scores pruning/repair \
	sparsity training/test_optim.py)

.PHONY: demo test test-quick lint format clean

demo: $(READY)
	$(PYTHON) demo.py

test: $(READY_DEV)
	$(PYTHON) -m pytest

test-quick: $(READY_DEV)
	$(PYTHON) -m pytest -m 'not slow' $(QUICK)

lint: $(READY_DEV)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pip check
	$(PYTHON) .ci/licences.py

format: $(READY_DEV)
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

# Touched last, so an interrupted installation is done again.
$(READY): requirements.txt
	$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")'
	$(PYTHON3) -m venv $(VENV)
	$(PIP_INSTALL) -r requirements.txt
	touch $@

$(READY_DEV): $(READY) requirements-dev.txt
	$(PIP_INSTALL) -r requirements.txt -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV)
