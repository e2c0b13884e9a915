# Each target alone is enough on a fresh clone: it makes .venv, installs once, and does its job.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DEMO ?= work/demo

.PHONY: demo test test-all lint install clean

demo: $(STAMP)
	$(BIN)/xdownscale demo --out $(DEMO) --overwrite

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ""

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict xdownscale

install: $(STAMP)

# torch first and by its exact version, so that a CPU build offered locally is preferred to the much larger default
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 on the path; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq $$(grep '^torch==' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install -qq -e '.[test]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis work
