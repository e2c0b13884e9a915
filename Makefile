# Each target alone is enough on a fresh clone: it makes .venv, installs once, and does its job.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DEMO ?= work/demo

.PHONY: demo test test-all lint install clean jja_asia

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

# The bundled model from nothing, in about two hours on two cores; each step resumes where it was killed.
ASIA ?= work/asia
RECIPE := recipes/jja_asia
MODEL := xdownscale/models/bundled/jja_asia.safetensors
jja_asia: $(STAMP)
	$(BIN)/xdownscale nature-run $(ASIA)/record.zarr --start 1998-01-01 --days 1096 --seed 2 --stride 4 --coarse-only
	$(BIN)/xdownscale nature-run $(ASIA)/2005.zarr --start 2005-05-28 --days 96 --seed 1
	$(BIN)/xdownscale nature-run $(ASIA)/2006.zarr --start 2006-05-28 --days 96 --seed 1
	$(BIN)/xdownscale nature-run $(ASIA)/unseen.zarr --start 2005-05-28 --days 96 --seed 3
	$(BIN)/xdownscale pretrain $(ASIA)/encoder.safetensors --coarse $(ASIA)/record.zarr/coarse \
		--config $(RECIPE)/pretrain.json --folder $(ASIA)/stage1 --overwrite
	$(BIN)/xdownscale train $(MODEL) --coarse $(ASIA)/2005.zarr/coarse --coarse $(ASIA)/2006.zarr/coarse \
		--fine $(ASIA)/2005.zarr --fine $(ASIA)/2006.zarr --encoder $(ASIA)/encoder.safetensors \
		--config $(RECIPE)/train.json --card $(RECIPE)/card.json --folder $(ASIA)/stage2 --half --overwrite
	$(BIN)/python benchmarks/score_season.py $(MODEL) $(ASIA)/unseen.zarr --every 16 --box 8 80 6 86 --write

# torch first and by its exact version, so that a CPU build offered locally is preferred to the much larger default
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 on the path; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq $$(grep '^torch==' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install -qq -e '.[test]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis work
