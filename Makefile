# One command a purpose; each makes its own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q --durations=10 --timeout=900 --timeout-method=thread
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-fast test-browser docs app latency lab sync clean

demo: $(VENV)/.run  ## SoftRas and SSR side by side on built-in shapes: demo/report.html
	$(BIN)/ssr_demo --out demo

test: $(VENV)/.dev  ## every claim, then every notebook top to bottom, its claims aside
	$(PYTEST) -n $(JOBS) --dist worksteal tests
	rm -rf lessons
	$(BIN)/python -m ssr_nb._dev.sync --lessons lessons
	$(PYTEST) -n $(JOBS) --dist worksteal --nbmake --nbmake-timeout=900 \
	    $$(ls -r lessons/*.ipynb)  # the long chapters come late in the book: first

test-fast: $(VENV)/.dev  ## the generated tests that take seconds
	$(PYTEST) -n $(JOBS) -m 'not slow' tests

test-browser: $(VENV)/.all  ## widgets, app and site, operated in a real browser
	$(PYTEST) -m browser tests

latency: $(VENV)/.all  ## how long a key press takes until the new picture
	$(BIN)/ssr_nb_latency

docs: $(VENV)/.all  ## the book as a site that needs no network: _docs/index.html
	$(BIN)/ssr_nb_docs --out _docs

app: $(VENV)/.all  ## the widgets as an app on this machine
	$(BIN)/ssr_nb_app

lab: $(VENV)/.dev  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir nbs nbs/index.ipynb

sync: $(VENV)/.dev  ## notebooks -> modules, tests, README
	$(BIN)/python -m ssr_nb._dev.sync

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned, so that nothing else chooses another build of it
$(VENV)/.run: $(VENV)/bin/python settings.ini setup.py constraints.txt
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
	rm -rf $(VENV) _docs demo lessons runs build *.egg-info .pytest_cache
