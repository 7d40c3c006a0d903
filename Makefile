# Two commands: `make run` opens the chat, `make test` passes the tests. Both create what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOAD := .switchboard/load
FOR ?= 600
VISITORS ?= 32

.PHONY: run test test-servers test-faults faults-table test-attacks setup audit load bench browser check format docs clean help

run: setup  ## Open the chat on http://127.0.0.1:7860 (PORT=7861 make run for another port)
	@$(BIN)/python app.py

setup: $(VENV)/.ready  ## Create .venv with everything the app needs, models and index included

test: setup check  ## What `make check` does, and all tests, browser included
	$(BIN)/python -m pytest

test-servers: setup $(VENV)/.test-ready  ## The tests that start other servers: nginx, Chroma, PostgreSQL, and a model server
	$(BIN)/python -m pytest -m servers

check: $(VENV)/.test-ready  ## Lint, format and types: all that CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-faults: setup $(VENV)/.test-ready  ## Damage, kill, fill and jump for real, and see that all of it is survived (10 minutes)
	$(BIN)/python -m pytest -q -m "faults or not faults" tests/faults tests/test_hostile_files.py \
		tests/test_remote.py tests/test_chroma_server.py tests/test_database.py

faults-table: $(VENV)/.test-ready  ## Write docs/faults.md from the tests' own words
	$(BIN)/python -m pytest -q -m faults --collect-only --write-faults tests/faults >/dev/null

format: $(VENV)/.test-ready  ## Put the code in order
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: $(VENV)/.test-ready  ## The pages that are made from the code, and all docstrings as a site in docs/html
	$(BIN)/python docs/tools/architecture.py
	$(BIN)/python docs/tools/reference.py
	$(BIN)/python docs/tools/sizing.py
	$(BIN)/pdoc --output-directory docs/html switchboard '!switchboard.__main__' '!switchboard.bench.llamacpp'

audit: $(VENV)/.test-ready  ## Look the pinned versions up among known vulnerabilities
	@$(BIN)/python tests/audit.py

load: setup $(LOAD)/.ready  ## Thirty-two visitors for ten minutes: make load, or make load FOR=120 VISITORS=8
	@$(BIN)/python tests/load/run.py --locust $(LOAD)/bin/locust --seconds $(FOR) --visitors $(VISITORS)

$(LOAD)/.ready:
	@echo "Installing the load tool in an environment of its own ..."
	@$(PYTHON) -m venv $(LOAD)
	@$(LOAD)/bin/python -m pip install --quiet --disable-pip-version-check locust==2.47.0
	@touch $@

test-attacks: setup $(VENV)/.test-ready  ## Injections, XSS and paths, all of them, with a line of figures (a quarter of an hour)
	PYTHONPATH=tests:tests/browser $(BIN)/python tests/attacks/run.py

bench: setup .switchboard/bench/.ready  ## Time it beside transformers and llama.cpp, which is built here first (needs a compiler)
	$(BIN)/python -m switchboard bench --peers .switchboard/bench/venv

.switchboard/bench/.ready:
	@echo "Building llama.cpp for this machine in an environment of its own (some minutes) ..."
	@$(PYTHON) -m venv .switchboard/bench/venv
	@CMAKE_ARGS="-DGGML_NATIVE=ON" .switchboard/bench/venv/bin/python -m pip install --quiet llama-cpp-python==0.3.36
	@touch $@

clean:  ## Remove the environment; models, index and feedback in .switchboard stay
	rm -rf $(VENV)

help:  ## This list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else f"Switchboard needs Python 3.10 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.11 run")'
	@echo "[1/3] Creating the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: install it (Debian: apt install python3-venv)."; exit 1; }

$(VENV)/.installed: requirements.txt constraints.txt pyproject.toml | $(VENV)/bin/python
	@echo "[2/3] Installing the libraries (about 1 GB with PyTorch; some minutes) ..."
	@$(PIP) install -r requirements.txt -c constraints.txt
	@$(PIP) install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.ready: $(VENV)/.installed
	@echo "[3/3] Making the model and the index (about a minute) ..."
	@$(BIN)/python -m switchboard setup
	@touch $@

$(VENV)/.test-ready: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests and the training need ..."
	@$(PIP) install -r requirements-dev.txt -c constraints.txt
	@$(MAKE) --no-print-directory browser
	@touch $@

browser:  ## Have a Chromium for the browser tests, where apt and root allow
	@for name in "$$CHROMIUM" chromium chromium-browser google-chrome; do \
		command -v "$$name" >/dev/null && exit 0; done; { \
		echo "Installing Chromium for the browser tests ..."; \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
		else \
			echo "That needs root and apt: install chromium yourself, or name one in CHROMIUM."; \
		fi; }
