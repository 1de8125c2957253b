# Every target does its own set-up: Python 3.11+ and make are enough.
PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV := .venv
else
# A Python that is named has an environment of its own; it may be one of pyenv's that is not chosen.
FOUND := $(shell python3 tools/pythons.py find '$(PYTHON)')
ifeq ($(FOUND),)
$(error there is no $(PYTHON) here, neither on PATH nor among the versions of pyenv)
endif
override PYTHON := $(FOUND)
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
endif
BIN := $(VENV)/bin
# uv where it is present, pip otherwise; both pin with the same constraints.
INSTALL := $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install --quiet --python $(BIN)/python" || echo "$(BIN)/python -m pip install --quiet --disable-pip-version-check")

.PHONY: demo chat story browser-runtime test test-all test-core docs bench soak conformance check lint types imports format clean help

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 18

demo: $(VENV)/.web ## Open the echo page and the chat in a browser
	$(BIN)/sockstore demo

chat: $(VENV)/.dev ## Chat in the terminal, in a room of a server of its own
	$(BIN)/sockstore chat

story: $(VENV)/.web ## Watch a connection survive the death of its server, in the terminal
	$(BIN)/sockstore demo --terminal

browser-runtime: ## Get Python for pages from npm and compile it, for: sockstore demo --browser
	$(PYTHON) tools/browser_runtime/stage.py build/browser-runtime

test: $(VENV)/.dev ## Run all tests
	$(BIN)/python -m pytest -n 3 --dist loadgroup --contract-report

test-all: $(VENV)/.dev ## Run the tests on the other Pythons that are found (under 25 minutes)
	$(BIN)/python tools/pythons.py test

HAS_EAGER_TASKS = $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 12) else "")')

# All but browsers and what draws: what another version of Python may change.
test-core: $(VENV)/.dev
	$(BIN)/python -m pytest -n 3 --dist loadgroup --ignore=tests/browser --ignore=tests/kits --ignore=tests/emscripten
	$(if $(HAS_EAGER_TASKS),$(BIN)/python -m pytest -n 3 --eager tests/integration)

docs: $(VENV)/.dev ## Build the documentation: build/docs/index.html
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d build/doctrees docs build/docs

bench: $(VENV)/.bench browser-runtime ## Measure beside the peers (16 minutes); rewrites docs/reference/performance.md
	$(BIN)/python -m benchmarks --write

soak: $(VENV)/.dev ## 100,000 messages through 200 faults, with SQLite and with Redis (some minutes)
	$(BIN)/python -m tests.soak.soak

conformance: $(VENV)/.dev ## Run all of Autobahn's cases (15 minutes) and write down the results
	$(BIN)/python -m tests.conformance.autobahn

check: lint types imports docs test ## Everything: lint, types, import layers, documentation, tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# It runs on the Node that is installed, and asks no registry whether there is a newer pyright.
PYRIGHT = PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy typing_tests
	$(BIN)/mypy benchmarks
	$(PYRIGHT)

imports: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the targets made
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("sockstore needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.web: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -c constraints.txt -e '.[web]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt requirements-dev.txt | $(BIN)/python
	$(INSTALL) -c constraints.txt -e '.[web,textual,otel]' -r requirements-dev.txt
	touch $@

$(VENV)/.bench: $(VENV)/.dev requirements-bench.txt
	$(INSTALL) -c constraints.txt -r requirements-bench.txt
	touch $@
