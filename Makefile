# Every command of the project; hooks and CI call these.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIO ?=
FORMAT ?= timed
MODEL ?= tiny.en

# Strangers and recordings that are made to do harm belong to it, wherever else they are tried.
BREAKING := tests/chaos tests/server/test_hostile_input.py tests/server/test_access_matrix.py \
	tests/e2e/test_secrets.py tests/integration/test_reference_files.py tests/integration/test_bombs.py

.DEFAULT_GOAL := help
.PHONY: help run serve test lint types arch unit chaos soak bench fmt sbom lock tables clean

help: ## Show the commands
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/' | sort

# Installed once for each lock file; a changed lock installs again.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@scripts/install $(PYTHON) $(VENV) requirements/run.txt
	@touch $@

$(VENV)/.serve: requirements/serve.txt requirements/run.txt pyproject.toml
	@scripts/install $(PYTHON) $(VENV) requirements/serve.txt
	@touch $(VENV)/.run $@

$(VENV)/.test: requirements/test.txt pyproject.toml
	@scripts/install $(PYTHON) $(VENV) requirements/test.txt
	@touch $(VENV)/.run $(VENV)/.serve $@

run: $(VENV)/.run ## Transcribe a recording: the demo, or AUDIO=path
	@$(BIN)/stretto transcribe --format $(FORMAT) --model $(MODEL) "$(or $(AUDIO),$$($(BIN)/python scripts/demo_recording.py))"

serve: $(VENV)/.serve ## Serve: OpenAI's audio API, the own one, and a page for people
	@STRETTO_MODEL=$(MODEL) $(BIN)/stretto serve

test: lint types arch unit ## Everything that must hold: lint, types, architecture, tests

lint: $(VENV)/.test ## Style
	@$(BIN)/ruff check src tests benchmarks scripts
	@$(BIN)/ruff format --check src tests benchmarks scripts

types: $(VENV)/.test ## Static types
	@$(BIN)/mypy

arch: $(VENV)/.test ## Who may import whom
	@$(BIN)/lint-imports

unit: $(VENV)/.test ## The tests alone
	@$(BIN)/pytest

chaos: $(VENV)/.test ## Break it on purpose: CHAOS=times as often as the tests, SEED=which way, SHARE=in how many processes
	@STRETTO_CHAOS=$(or $(CHAOS),10) STRETTO_CHAOS_SEED=$(or $(SEED),1) $(BIN)/pytest -v -n $(or $(SHARE),3) --dist worksteal --durations 40 $(BREAKING)

soak: $(VENV)/.test ## Mixed work and random faults: MINUTES=120, SEED=which way
	@STRETTO_CHAOS_MINUTES=$(or $(MINUTES),120) STRETTO_CHAOS_SEED=$(or $(SEED),1) $(BIN)/pytest -n 0 -s tests/chaos/test_long_run.py

bench: $(VENV)/.test ## Measure against other systems (about two hours); results go to docs/benchmarks.md
	@$(BIN)/python -m benchmarks.run

fmt: $(VENV)/.test ## Format the code
	@$(BIN)/ruff check --fix -q src tests benchmarks scripts
	@$(BIN)/ruff format -q src tests benchmarks scripts

sbom: $(VENV)/.serve ## What the server is made of (sbom.json), and what is known to be wrong with it
	@$(BIN)/python scripts/sbom.py requirements/serve.txt > sbom.json
	@$(BIN)/python scripts/audit.py sbom.json

lock: $(VENV)/.test ## Resolve the dependencies anew
	@$(BIN)/python scripts/lock.py

tables: $(VENV)/.test ## Write down what all revisions make of an empty file, after a new one
	@$(BIN)/python scripts/newest_tables.py

clean: ## Remove what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
