PYTHON ?= python3
VENV ?= .venv
STUDIES ?=
BIN = $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help reproduce ablations test test-all lab lint clean

reproduce: $(BIN)/.installed  ## run the pipeline; STUDIES="library" chooses others than params.yaml's
	$(if $(STUDIES),crystalgen select $(STUDIES))
	crystalgen compile
	dvc repro
	crystalgen show

help:  ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

ablations: $(BIN)/.installed  ## variants that differ in one thing; about forty minutes on two cores
	crystalgen compile ablations
	dvc repro ablations/dvc.yaml

test: $(BIN)/.installed  ## the tests that fit into CI
	pytest -m "not slow"

test-all: $(BIN)/.installed  ## every test
	pytest

lab: $(BIN)/.installed  ## JupyterLab on the notebooks
	jupyter lab notebooks

lint: $(BIN)/.installed  ## style and format
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks

clean:  ## remove what the pipeline wrote; the environment and committed results stay
	git clean -fdXq data figures reports models notebooks src tests

$(BIN)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
