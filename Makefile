# One command each; every target can be run again at any time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LEAST := $(VENV)/.runs
STAMP := $(VENV)/.installed
AGENTS := .agents

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check agents bench docs clean

## demo: set up, then run the repo-report bundle on this repository
demo: $(LEAST)
	$(BIN)/aiworkflow bundle run bundles/repo-report

## test: set up, then run the tests (EXHAUSTIVE=true: more faults, all real agents)
test: $(STAMP)
	@# hypothesis writes its tables of characters once, before two processes would
	@$(BIN)/python -c 'from hypothesis import strategies as st; st.characters(codec="utf-8").validate()'
	$(BIN)/python -m pytest -q -n 4 --dist worksteal $(if $(EXHAUSTIVE),--timeout=3600) tests

## check: ruff, mypy --strict and the import contracts
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## agents: install the agents that tests drive for real (1.8 GB; the tests are skipped without them)
agents: $(AGENTS)/.programs $(AGENTS)/.aider

$(AGENTS)/.programs: tests/agents/package.json
	mkdir -p $(AGENTS)
	cp tests/agents/package.json $(AGENTS)/package.json
	npm install --prefix $(AGENTS) --no-audit --no-fund --no-package-lock --loglevel=error
	touch $@

$(AGENTS)/.aider: tests/agents/requirements.txt
	test -x $(AGENTS)/aider/bin/python || $(PYTHON) -m venv $(AGENTS)/aider
	$(AGENTS)/aider/bin/python -m pip install -q -r tests/agents/requirements.txt
	touch $@

## bench: print one JSON line for each figure
bench: $(STAMP)
	$(BIN)/python tests/benchmarks/run.py

## docs: write the generated pages of the reference
docs: $(STAMP)
	$(BIN)/python docs/generate.py

## clean: remove what the other targets made
clean:
	rm -rf $(VENV) $(AGENTS) dist build out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LEAST): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "aiworkflow needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(STAMP): $(LEAST)
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@
