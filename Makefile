# make help lists what there is; run, test and ui set up the environment first, where that is needed.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run

PYTHON ?= python3.11
PREFECT_PORT ?= 4200
MLFLOW_PORT ?= 5000

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Threads that wait for work must not keep a core busy that another stage needs.
export OMP_WAIT_POLICY ?= PASSIVE
export DO_NOT_TRACK ?= 1
export PREFECT_HOME ?= $(CURDIR)/.prefect
export MLFLOW_DISABLE_TELEMETRY ?= true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false

# The environment is complete when this file exists: it is written last, and its name tells lock file and folder
# (an environment cannot be moved). Otherwise an installation broke off or is out of date, and is redone; a .venv that
# somebody made by other means is left alone.
OURS := .venv/made-by-make
COMPLETE := .venv/complete-$(shell { pwd; cat requirements.lock; } | cksum | cut -d ' ' -f 1)

.PHONY: run test types tests ui environment lock clean-environment help

# Independent stages at the same time; `dvc repro` is equivalent, one after the other.
run: environment ## the whole study: what is not up to date is run, then the table of models is printed
	python -m flows.pipeline
	python -m stages.summary

test: environment ## all checks: style, types, tests
	ruff check .
	@$(MAKE) --no-print-directory --jobs 2 types tests

# On a fresh checkout two minutes of one core.
types: environment ## types alone
	mypy

tests: environment ## tests alone
	python -m pytest --numprocesses 2 --dist loadscope

# Prefect, MLflow and the flow's deployments on this machine only, their databases in this folder; Ctrl-C ends all.
ui: environment ## Prefect, MLflow and the deployments, until Ctrl-C (PREFECT_PORT=4200 MLFLOW_PORT=5000)
	@PREFECT_PORT=$(PREFECT_PORT) MLFLOW_PORT=$(MLFLOW_PORT) python -m flows.ui

environment: $(COMPLETE) ## the pinned packages in .venv (PYTHON=python3.11)
	@test -e .git || dvc config --local core.no_scm true

$(COMPLETE):
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or name it: make PYTHON=..."; exit 1; }
	@test ! -e .venv -o -e $(OURS) || { echo ".venv was not made by make: move it away, then run make again"; exit 1; }
	@echo "Setting up .venv, some minutes, once."
	rm -rf .venv
	mkdir .venv && touch $(OURS)
	$(PYTHON) -m venv .venv
	python -m pip install "$$(grep '^torch==' requirements.lock)"
	python -m pip install --no-deps -r requirements.lock
	python -m pip check
	touch $@

# requirements.lock anew, from what pyproject.toml asks for and the newest versions that fit. What torch needs on one kind
# of machine only ("+cpu", CUDA libraries) is left out: installing torch first brings it.
lock: ## requirements.lock anew, from pyproject.toml and the newest versions that fit
	rm -rf .venv.partial
	$(PYTHON) -m venv .venv.partial
	$(PYTHON) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")' >.venv.partial/wanted.txt
	.venv.partial/bin/python -m pip install "$$(grep '^torch==' .venv.partial/wanted.txt)"
	.venv.partial/bin/python -m pip install -r .venv.partial/wanted.txt
	.venv.partial/bin/python -m pip check
	.venv.partial/bin/python -m pip freeze | sed 's/+[a-z0-9.]*$$//' | grep -v -i -E '^(nvidia|cuda|triton)[-_=]' >requirements.lock
	rm -rf .venv.partial

clean-environment: ## remove .venv
	rm -rf .venv .venv.partial

help: ## this list
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 27
