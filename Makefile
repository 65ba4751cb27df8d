# One command a purpose; each makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
# a file's tests share a process (and what it has built), in their order; the
# chapters, which take longest, come first
PYTEST := $(BIN)/python -m pytest -q --durations=10 --timeout=900 --timeout-method=thread
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEV := $(BIN)/python -m ssr_nb._dev

.PHONY: help demo test test-fast test-browser lessons lint lint-js docs app gpu latency \
        lab sync hooks clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

demo: $(VENV)/.run  ## SoftRas and SSR side by side on built-in shapes: demo/report.html
	$(BIN)/ssr_demo --out demo

# BROWSER=1: the browser tests at the same time, as CI does
test: $(VENV)/$(if $(BROWSER),.all,.dev) lessons  ## every claim, and every chapter once from top to bottom
	$(PYTEST) $(PARALLEL) $(if $(BROWSER),--browser) --nbmake --nbmake-timeout=900 lessons tests

test-fast: $(VENV)/.dev  ## the claims that take seconds
	$(PYTEST) $(PARALLEL) -m 'not slow and not browser' tests

test-browser: $(VENV)/.all  ## widgets, app and site, operated in a real browser
	$(PYTEST) -m browser tests

lessons: $(VENV)/.dev  # the chapters without their claims, which tests/ holds already
	rm -rf lessons
	$(DEV).sync --lessons lessons

lint: $(VENV)/.dev  ## style, types, what is generated, imports from a room above
	$(BIN)/ruff check ssr_nb tests setup.py
	$(BIN)/mypy
	$(MAKE) --no-print-directory lint-js
	$(DEV).sync --check

lint-js:  # eslint where node is there
	@if ! command -v npm >/dev/null; then echo 'no node: the JavaScript is not checked'; \
	else [ -x node_modules/.bin/eslint ] || \
	    npm install --no-package-lock --no-audit --no-fund --silent; \
	    npm run --silent lint; fi

gpu: $(VENV)/.dev  ## what a GPU makes of it, in 8 minutes: nbs/results/gpu.md (REHEARSE=1: small, on a CPU)
	$(DEV).gpu $(if $(REHEARSE),--rehearse)

latency: $(VENV)/.all  ## how long a key press takes until the new image
	$(DEV).latency

docs: $(VENV)/.all  ## the book as a site that needs no network: _docs/index.html
	$(DEV).site --out _docs

app: $(VENV)/.all  ## the widgets as an app on this machine
	$(BIN)/ssr_nb_app

lab: $(VENV)/.dev  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir nbs nbs/index.ipynb

sync: $(VENV)/.dev  ## notebooks -> modules, tests, README
	$(DEV).sync

hooks: $(VENV)/.dev  ## let git run ruff and the check of what is generated at a commit
	$(PIP) pre-commit
	$(BIN)/pre-commit install

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned, so that nothing else chooses another build of it
$(VENV)/.run: $(VENV)/bin/python settings.ini setup.py pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --constraint constraints.txt --editable '.[dev,widgets,ray]'
	touch $@

$(VENV)/.all: $(VENV)/.dev
	$(PIP) --constraint constraints.txt --editable '.[dev,widgets,ray,app,browser,docs]'
	touch $@

clean:  ## remove the virtual environment and what runs have left
	rm -rf $(VENV) _docs demo lessons runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
