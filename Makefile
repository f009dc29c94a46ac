# `make demo` runs the whole loop on drawn images, `make test` the tests. Both set up .venv by themselves, once.
PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.requirements-installed

.PHONY: demo test clean

demo: $(READY)
	$(PYTHON) demo.py

test: $(READY)
	$(PYTHON) -m pytest

# Touched last, so an interrupted installation is done again.
$(READY): requirements.txt
	$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")'
	$(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

clean:
	rm -rf $(VENV)
