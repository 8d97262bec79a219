# Everything that a person or CI does here. Needs Linux, Python 3.11 to 3.13, git and make.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo lint types imports unit test test-worker test-system test-system-build playground bench build clean

PYTHON ?= python3
VENV := .venv/bin
# uv from the PATH, or one of our own below .uv when there is none.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
# Gone when the environment is gone, and another file for another interpreter: both install again.
STAMP := .venv/.synced-$(subst /,-,$(PYTHON))
SYSTEM_STAMP := $(STAMP)-system
# Killing make ends what it started, too.
SYSTEM = exec setpriv --pdeathsig TERM $(VENV)/python -m tests.system

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/' | expand -t 25

.uv/bin/uv:
	@echo "==> uv is not installed: getting it from the package index into .uv"
	@rm -rf .uv
	@pip="-m pip install --quiet --disable-pip-version-check"; \
	{ $(PYTHON) -m venv .uv >/dev/null 2>&1 && .uv/bin/python $$pip 'uv>=0.8'; } \
	|| { rm -rf .uv; $(PYTHON) $$pip --target .uv 'uv>=0.8'; } \
	|| { rm -rf .uv; echo "uv could not be installed with $(PYTHON). Install it from" \
	"https://docs.astral.sh/uv/, or install python3-venv or pip, then run make again." >&2; exit 2; }

$(STAMP): pyproject.toml uv.lock hatch_build.py $(wildcard infra/copy/*.[ch]) $(filter .uv/bin/uv,$(UV))
	@echo "==> Installing the locked dependencies into .venv (about 800 MB, a minute or two)"
	@UV_PYTHON_DOWNLOADS=never $(UV) sync --locked --inexact --quiet --python $(PYTHON)
	@rm -f .venv/.synced-* && touch $@

$(SYSTEM_STAMP): $(STAMP)
	@UV_PYTHON_DOWNLOADS=never $(UV) sync --locked --inexact --group system --quiet --python $(PYTHON)
	@touch $@

setup: $(STAMP)  ## Install everything into .venv; done by the other targets when needed

demo: $(STAMP)  ## Release the example twice on this machine and write demo/report.html
	@echo "==> Releasing the example twice, into demo/"
	@$(VENV)/modelflight demo --keep demo

lint: $(STAMP)  ## Check style, names and docstrings
	@echo "==> ruff"
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check

types: $(STAMP)  ## Check types
	@echo "==> mypy"
	@$(VENV)/mypy

imports: $(STAMP)  ## Check who imports whom
	@echo "==> import-linter"
	@$(VENV)/lint-imports --no-cache

unit: $(STAMP)  ## Run the tests
	@echo "==> pytest"
	@$(VENV)/python -m pytest -n 2 --dist worksteal -m "not worker"

test: lint types imports unit  ## Run all checks and tests but those with a worker or real parts

test-worker: $(STAMP)  ## Run the tests whose releases run in Prefect's own worker, one by one
	@$(VENV)/python -m pytest -m worker

test-system: $(SYSTEM_STAMP)  ## Run the tests on real parts: Kubernetes, Flagger, registries, Git server (root, Go)
	@$(SYSTEM) test

test-system-build: $(SYSTEM_STAMP)  ## Get and build those parts, and no more
	@$(SYSTEM) build

playground: $(SYSTEM_STAMP)  ## Hold the real parts open to try Modelflight on, until Ctrl-C (root, Go)
	@$(SYSTEM) playground

bench: $(STAMP)  ## Measure, and print tables
	@$(VENV)/python -m tests.bench

build: $(STAMP)  ## Build the wheel and the source distribution into dist/
	@$(UV) build --quiet && ls dist

clean:  ## Remove everything that the targets above made
	rm -rf .venv .uv demo dist infra/copy/bin .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
