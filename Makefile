# Everything that a person or CI does here. Needs Linux, Python 3.11 to 3.13, git and make.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo lint types imports unit test bench build clean

PYTHON ?= python3
VENV := .venv/bin
# uv from the PATH, or one of our own below .uv when there is none.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
# The interpreter in use is part of the stamp, so that another one makes a new environment.
STAMP := .make/environment

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*  ## (.*)/  make \1\t\2/' | expand -t 18

.uv/bin/uv:
	@echo "==> uv is not installed: getting it from the package index into .uv"
	@$(PYTHON) -m venv .uv || { echo "python3 cannot make virtual environments: install python3-venv" >&2; exit 2; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

$(STAMP): pyproject.toml uv.lock $(filter .uv/bin/uv,$(UV))
	@echo "==> Installing the locked dependencies into .venv"
	@UV_PYTHON_DOWNLOADS=never $(UV) sync --locked --quiet --python $(PYTHON)
	@mkdir -p $(@D) && touch $@

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
	@$(VENV)/python -m pytest -n 2 --dist worksteal

test: lint types imports unit  ## Run all checks and tests

bench: $(STAMP)  ## Measure, and print tables
	@$(VENV)/python -m tests.bench

build: $(STAMP)  ## Build the wheel and the source distribution into dist/
	@$(UV) build --quiet && ls dist

clean:  ## Remove everything that the targets above made
	rm -rf .venv .uv .make demo dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
