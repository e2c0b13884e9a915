# Each target alone is enough on a fresh clone: it makes .venv, installs once, and does its job.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.documented
BENCH_STAMP := $(VENV)/.measured
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DEMO ?= work/demo
SITE ?= work/docs

.PHONY: demo test test-all bench docs lint install notebooks clean jja_asia

demo: $(STAMP)
	$(BIN)/xdownscale demo --out $(DEMO) --overwrite

# as many tests at once as there are cores, each with one thread; WORKERS=0 for one after another in this process
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m ""

# What is measured side by side with other software, stored, and made into docs/performance.md; BENCH=NAME runs one,
# BENCH=--long the paper's recipe in full too. On a quiet machine: half an hour, and an hour more with --long.
BENCH ?=
bench: $(BENCH_STAMP)
	$(BIN)/python benchmarks/bench.py $(BENCH); found=$$?; $(BIN)/python benchmarks/bench.py --page && exit $$found

# The documentation as HTML: every code cell run anew, every warning an error; once installed it needs no network.
docs: $(DOCS_STAMP)
	$(BIN)/python -m sphinx -E -W --keep-going -q docs $(SITE)
	@echo "open $(SITE)/index.html"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict xdownscale

install: $(STAMP)

# examples/notebooks from examples/*.py
notebooks: $(STAMP)
	$(BIN)/python -m pip install -qq -e '.[notebooks]' -c constraints.txt
	$(BIN)/python examples/notebooks/make.py

# The bundled models; each step resumes where it was killed. jja_asia is made from nothing, in three hours on
# two cores that have bfloat16 (`xdownscale doctor` tells), longer on others; the other seasons go on from it, with
# their own days, in some two hours each.
ASIA ?= work/asia
BUNDLED := xdownscale/models/bundled
RUN := $(BIN)/xdownscale nature-run
SEASONS := djf_asia mam_asia son_asia
djf_asia score_djf_asia: FIRST := 11-28
djf_asia score_djf_asia: MONTHS := 12,1,2
mam_asia score_mam_asia: FIRST := 02-25
mam_asia score_mam_asia: MONTHS := 3,4,5
jja_asia score_jja_asia: FIRST := 05-28
jja_asia score_jja_asia: MONTHS := 6,7,8
son_asia score_son_asia: FIRST := 08-28
son_asia score_son_asia: MONTHS := 9,10,11
SEASON = $@
PAIRS = --coarse $(ASIA)/$(SEASON)_2005.zarr/coarse --coarse $(ASIA)/$(SEASON)_2006.zarr/coarse \
	--fine $(ASIA)/$(SEASON)_2005.zarr --fine $(ASIA)/$(SEASON)_2006.zarr --months $(MONTHS)
define LEARNED_FROM
$(RUN) $(ASIA)/$@_2005.zarr --start 2005-$(FIRST) --days 96 --seed 1
$(RUN) $(ASIA)/$@_2006.zarr --start 2006-$(FIRST) --days 96 --seed 1
endef
TRAIN = $(BIN)/xdownscale train $(PAIRS) --no-calibrate --half --overwrite --card recipes/$@/card.json
# Runs of other weather, YEAR:SEED in $(1), for the model $(2): made, and as the options --coarse and --$(3)
OTHER = $(ASIA)/$(2)_$(1)_other.zarr
SIMULATE = for run in $(1); do $(RUN) $(call OTHER,$${run%:*},$(2)) --start $${run%:*}-$(FIRST) --days 96 \
	--seed $${run\#*:} || exit 1; done
YEARS = $(foreach run,$(1),$(firstword $(subst :, ,$(run))))
RECORDS = $(foreach year,$(call YEARS,$(1)),--coarse $(call OTHER,$(year),$(2))/coarse --$(3) $(call OTHER,$(year),$(2)))
# a second network for two evaluations, and the spread, fitted on seasons of other weather; in spring and autumn on
# twice as many, for 48 windows told the spread to 2 %, and no better; that of 2 to 8 evaluations on fewer windows
HELD_OUT := 2007:4 2009:5 2013:7 2015:8
WINDOWS := 48
FEW := 8
mam_asia son_asia: HELD_OUT := 2005:3 2007:4 2009:5 2011:6 2012:9 2013:7 2014:10 2015:8
mam_asia son_asia: WINDOWS := 96
djf_asia: FEW := 24
define FINISHED
$(BIN)/xdownscale distil $(ASIA)/$@.safetensors $(ASIA)/$@_distilled.safetensors $(PAIRS) \
	--half --overwrite --config recipes/$@/distil.json --folder $(ASIA)/$@_distilled
$(call SIMULATE,$(HELD_OUT),$@)
$(CALIBRATE) $(ASIA)/$@_distilled.safetensors $(ASIA)/$@_to_8.safetensors $(VALIDATION) --evaluations 2,4,8 \
	--windows $(FEW)
$(CALIBRATE) $(ASIA)/$@_to_8.safetensors $(ASIA)/$@_to_16.safetensors $(VALIDATION) --evaluations 16 --windows 4
$(CALIBRATE) $(ASIA)/$@_to_16.safetensors $(BUNDLED)/$@.safetensors $(VALIDATION) --evaluations fast \
	--windows $(WINDOWS) --folder $(ASIA)/$@_windows --default fast
endef
CALIBRATE = $(BIN)/xdownscale calibrate --half --overwrite
VALIDATION = $(call RECORDS,$(HELD_OUT),$(SEASON),fine) --months $(MONTHS)

.PHONY: $(SEASONS) unet_asia vae_asia jja_state
$(SEASONS): $(STAMP)
	$(LEARNED_FROM)
	$(TRAIN) $(ASIA)/$@.safetensors --start jja_asia --config recipes/$@/train.json --folder $(ASIA)/$@
	$(FINISHED)

# `mean.json` goes on from `train.json` with more samples at the noise end, where the conditional mean is made
jja_asia: $(STAMP)
	$(RUN) $(ASIA)/record.zarr --start 1998-01-01 --days 1096 --seed 2 --stride 4 --coarse-only
	$(BIN)/xdownscale pretrain $(ASIA)/encoder.safetensors --coarse $(ASIA)/record.zarr/coarse \
		--config recipes/$@/pretrain.json --folder $(ASIA)/stage1 --overwrite
	$(LEARNED_FROM)
	$(TRAIN) $(ASIA)/$@_begun.safetensors --encoder $(ASIA)/encoder.safetensors \
		--config recipes/$@/train.json --folder $(ASIA)/$@_begun
	$(TRAIN) $(ASIA)/$@.safetensors --start $(ASIA)/$@_begun.safetensors \
		--config recipes/$@/mean.json --folder $(ASIA)/$@
	$(FINISHED)

# Baselines of jja_asia's architecture and days: a deterministic network, trained as long as it was at first, and a
# variational autoencoder, half as long. `make jja_asia` comes first.
unet_asia vae_asia: SEASON := jja_asia
unet_asia vae_asia: MONTHS := 6,7,8
unet_asia vae_asia: $(STAMP)
	$(TRAIN) $(ASIA)/$@.safetensors --encoder $(ASIA)/encoder.safetensors --config recipes/$@/train.json \
		--folder $(ASIA)/$@

# jja_asia, told the day before as well, and sixty days of its own days. `make jja_asia` comes first.
jja_state: SEASON := jja_asia
jja_state: MONTHS := 6,7,8
jja_state: FIRST := 05-28
jja_state: ROLLED := 2005:3
jja_state: $(STAMP)
	$(TRAIN) $(ASIA)/$@_trained.safetensors --start jja_asia --config recipes/$@/train.json --folder $(ASIA)/$@
	$(CALIBRATE) $(ASIA)/$@_trained.safetensors $(ASIA)/$@.safetensors $(VALIDATION) --evaluations 4 --default 4
	$(call SIMULATE,$(ROLLED),$(SEASON))
	$(BIN)/xdownscale evaluate $(ASIA)/$@.safetensors --task rollout \
		$(call RECORDS,$(ROLLED),$(SEASON),truth) \
		--lat 28 38 --lon 40 55 --first 20 --days 60 --members 8 --out $(ASIA)/$@.nc --overwrite

# Scores of a season's model on days of seasons of weather that it has not seen, onto its card and into
# $(ASIA): of TWO by STEPS evaluations on a box, there with smoothed input too, then of UNSEEN by its default
# beside RIVALS on the whole domain. make score_jja_asia RIVALS=work/asia/unet_asia.safetensors
UNSEEN := 2005:3 2011:6
score_mam_asia: UNSEEN := 2004:17 2019:18
score_son_asia: UNSEEN := 2008:11 2016:12
BOX ?= --lat 20 36 --lon 41 66 --members 4 --every 18
STEPS ?= 2 4 8 16
RIVALS ?=
SCORE = $(BIN)/xdownscale evaluate $(BUNDLED)/$*.safetensors $(call RECORDS,$(1),$*,truth) \
	--months $(MONTHS) --first 10 --block 1 --write --overwrite
TWO = $(UNSEEN)
score_mam_asia: TWO := 2008:11 2016:12
score_%: $(STAMP)
	$(call SIMULATE,$(sort $(UNSEEN) $(TWO)),$*)
	for n in $(STEPS); do $(call SCORE,$(TWO)) $(BOX) --evaluations $$n || exit 1; done
	$(call SCORE,$(TWO)) $(BOX) --smoothing 1
	$(call SCORE,$(UNSEEN)) $(RIVALS) --every 12 --out $(ASIA)/$*.nc --report $(ASIA)/$*.html

# torch first and by its exact version, so that a CPU build offered locally is preferred to the much larger default
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 on the path; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq $$(grep '^torch==' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install -qq -e '.[test]' -c constraints.txt
	touch $@

$(DOCS_STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 on the path; set PYTHON=/path/to/python3" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq $$(grep '^torch==' constraints.txt) -c constraints.txt
	$(BIN)/python -m pip install -qq -e '.[docs]' -c constraints.txt
	touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install -qq -e '.[bench]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis work
