# Every target does its own setup: it needs only Python, make and a package index.

UV_VERSION := 0.13.9
# A uv on the PATH that does not run (a version manager's stub) is ignored.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)
# Not only the Python that .python-version names: it may be missing, and its download impossible.
export UV_PYTHON ?= >=3.12
RUN := $(UV) run --frozen --all-extras
# Where the shell forbids Python to keep what it has compiled, each process would compile all tests.
PYTEST := PYTHONDONTWRITEBYTECODE= $(RUN) python -m pytest --numprocesses 4 --dist loadgroup

# Settings for tools that load the project without running it.
for_lint = DJANGO_DEBUG=true DJANGO_SECRET_KEY=lint DATABASE_URL=sqlite://:memory:
for_production = DJANGO_DEBUG=false DATABASE_URL=sqlite://:memory: \
	REDIS_URL=redis://localhost DJANGO_ALLOWED_HOSTS=tidy.example TRUSTED_PROXIES=1 \
	DJANGO_SECRET_KEY=only-for-the-check-0123456789-abcdefghijklmnopqrstuvwxyz

.DEFAULT_GOAL := help
.PHONY: help run test test-fast chromium prometheus pictures chaos compose-test compose-images hosts-test runbook-test monitoring-test bench year lint audit sbom fuzz format clean

help: ## Show these lines
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv ## Run all of Tidy on this machine: web, worker, scheduler and broker (PORT=8001 for another port)
	@$(RUN) manage.py dev $(if $(PORT),--port $(PORT))

test: chromium prometheus ## Run the tests, on PostgreSQL and on SQLite
	TIDY_TEST_DATABASE=postgresql $(PYTEST)
	TIDY_TEST_DATABASE=sqlite $(PYTEST) -m sql

test-fast: .venv ## Run the tests that start no programs, on SQLite, with few examples
	TIDY_TEST_DATABASE=sqlite TIDY_TEST_EXAMPLES=20 $(PYTEST) -m "not processes"

chromium: .venv ## Find or install a browser for the tests
	$(RUN) python -m tests.browser.chromium

prometheus: .venv ## Find or get a Prometheus for the tests
	$(RUN) python -m tests.monitoring.prometheus

pictures: chromium ## Take the screenshots of the documentation again
	TIDY_PICTURES=docs/pictures TIDY_TEST_DATABASE=postgresql $(RUN) python -m pytest -q tests/browser/test_pages.py tests/browser/test_people.py

chaos: .venv ## Inject faults for ten minutes; nothing may be lost, doubled, stuck or silent
	$(RUN) python -m tests.chaos --minutes 10

hosts-test: .venv ## Put all parts on hosts of their own and break what is between them; needs Linux and root
	$(RUN) python -m tests.hosts

runbook-test: .venv ## Follow docs/operations.md: deploy, upgrade, go back, restore; takes ten minutes
	$(RUN) python -m tests.runbook

monitoring-test: prometheus ## Make each alert fire once, by its fault, in a real Prometheus; ten minutes
	$(RUN) python -m tests.monitoring

compose-test: .venv ## Put the stack of docker-compose.yml to the test on a Docker engine; takes half an hour
	$(RUN) python -m tests.compose

compose-images: .venv ## Make stand-ins for the images that it pulls, where none can be pulled
	$(RUN) python -m tests.compose.images

bench: .venv ## Measure the sweep, the pages, the API and the worker, also beside alternatives; takes an hour
	$(RUN) python -m tests.benchmarks.sweep
	$(RUN) python -m tests.benchmarks.pages
	$(RUN) python -m tests.benchmarks.console
	$(RUN) python -m tests.benchmarks.visits
	$(RUN) python -m tests.benchmarks.api
	$(RUN) python -m tests.benchmarks.latency
	$(RUN) python -m tests.benchmarks.recovery
	$(RUN) python -m tests.benchmarks.scrape
	$(RUN) python -m tests.benchmarks.away
	$(RUN) python -m tests.benchmarks.load

year: .venv ## Live through a year of nights in half an hour; nothing may grow
	$(RUN) python -m tests.year --days 365

lint: .venv ## Check style, types, migrations, translations, the API's document and the production settings
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(for_lint) $(RUN) mypy .
	$(for_lint) $(RUN) manage.py makemigrations --check --dry-run
	$(for_lint) $(RUN) python -m tests.migrations_lint
	$(RUN) python -m tests.translations
	$(for_lint) $(RUN) python -m tests.openapi
	$(RUN) python -m tests.supply
	$(for_production) $(RUN) manage.py collectstatic --no-input --verbosity 0
	$(for_production) $(RUN) manage.py check --deploy --fail-level WARNING

audit: .venv ## Ask OSV.dev whether a package that Tidy uses has a known weakness; needs a network
	@$(RUN) python -m tests.supply --audit

sbom: .venv ## Write the bill of materials (CycloneDX) to sbom.cdx.json
	$(RUN) python -m tests.supply --write sbom.cdx.json

fuzz: .venv ## Send 100,000 hostile requests, to both databases; takes half an hour on two idle cores
	$(RUN) python -m tests.fuzz

format: .venv ## Format the code
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean: ## Remove what these targets created, except this machine's data in var/ and .env
	rm -rf .venv .uv .prometheus .mypy_cache .ruff_cache .pytest_cache .hypothesis staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment, as uv.lock says.
.venv: pyproject.toml uv.lock $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv)
	$(UV) sync --frozen --all-extras
	@touch .venv

# From the package index. Made outside this folder, whose .python-version might name a Python that
# a version manager does not have; pip alone serves where the venv module is missing.
.uv/bin/uv:
	cd / && { python3 -m venv "$(CURDIR)/.uv" && "$(CURDIR)/.uv/bin/python" -m pip install -q uv==$(UV_VERSION); } \
		|| python3 -m pip install -q --target "$(CURDIR)/.uv" uv==$(UV_VERSION)
