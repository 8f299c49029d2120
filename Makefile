# Each target works on a fresh clone: it makes the virtual environment and installs what it needs.
PYTHON ?= python3
PORT ?= 8000
BIN = .venv/bin

.PHONY: help demo test relations slow conformance trust made chaos bench lint format clean

help: ## Show what each target does.
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 13

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch .venv/installed

demo: .venv/installed ## Post the demo's books to an embedded PostgreSQL and serve its pages until Ctrl-C; PORT=8080 for another port.
	$(BIN)/tickmark demo --port $(PORT)

test: .venv/installed ## Run the whole suite, with an embedded PostgreSQL of its own.
	$(BIN)/python -m pytest -n 2 --dist worksteal

relations: .venv/installed ## Hold histories that nobody chose to what is always the same: N=300 of each, SEED=1 tells the same again.
	TICKMARK_SEED=$(or $(SEED),$(shell date +%s)) N=$(or $(N),300) $(BIN)/python -m pytest tests/test_relations.py -n 2 --dist worksteal

slow: .venv/installed ## Run the tests that `make test` leaves out, and the properties and relations five times as long, elsewhere each time.
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal || test $$? -eq 5
	TICKMARK_EXAMPLES=5 TICKMARK_SEED=$(or $(SEED),$(shell date +%s)) $(BIN)/python -m pytest -n 2 --dist worksteal \
		tests/test_properties.py tests/test_model.py tests/test_relations.py

conformance: .venv/installed ## Run the cases of both accounting standards and write what they show to docs/conformance.md.
	$(BIN)/python -m tests.conformance

trust: .venv/installed ## Verify whole books, run the tests that break each invariant, and write docs/trust.md.
	$(BIN)/python -m tests.trust

made: .venv/installed ## Write what a new database is made of to ledger/database/made.txt, which `verify` compares: after each migration.
	TICKMARK_DATABASE_URL= TICKMARK_DATA=$(CURDIR)/.venv/made $(BIN)/python -c "from ledger.database import connect, guards; \
	from contextlib import ExitStack; guards.write_made(ExitStack().enter_context(connect.opened()).connect())"
	rm -rf .venv/made

chaos: .venv/installed ## Kill clients, connections and the server for a minute and see whether everything holds; SEED=1 SECONDS=60.
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --seconds $(or $(SECONDS),60)

bench: .venv/installed ## Measure the books against PostgreSQL itself; QUICK=1 for a tenth of it.
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(ONLY)

lint: .venv/installed ## Check format, style, types, the arrows between rooms, and known vulnerabilities.
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.audit

format: .venv/installed ## Format the code, and mend what the style checker can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the virtual environment and the demo's data.
	rm -rf .venv tickmark-data tickmark-demo
