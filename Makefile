# Everything here works from a fresh clone; only Python 3.11 or newer with its venv is needed.

# The newest of these that runs and can make virtual environments.
PYTHON := $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
# OpenStack's clients, for tests, in environments of their own.
CLIENTS := var/clients
# Stamps: what is installed.
RUNS := $(VENV)/installed
TESTS := $(VENV)/installed-dev
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url

.PHONY: help run test check format messages lock audit sbom package docs bench bench-nova judge conformance clients e2e clean

## List these targets.
help:
	@awk -F: '/^## / { text = substr($$0, 4) } \
		/^[a-z0-9-]+:/ && text { printf "  make %-12s %s\n", $$1, text; text = "" }' Makefile

## Serve the portal on 127.0.0.1:$PORT (8000): the demo, or attached to NOVA_API_DATABASE_URL.
run: $(RUNS)
	@exec $(BIN)/python manage.py serve

## Run the whole suite, on SQLite, PostgreSQL and (where one answers) MariaDB.
# One process more than there are cores: many tests wait, for servers and browsers.
test: $(TESTS)
	$(BIN)/pytest --numprocesses $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadgroup $(ARGS)

## Formatting, lint, types, imports, migrations, deployment settings.
check: $(TESTS)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	find templates -name '*.html' -exec $(BIN)/djade --target-version 5.2 --check {} +
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	HTTPS=true $(BIN)/python manage.py check --deploy --fail-level WARNING

## Put the code and the templates into the form that is checked.
format: $(TESTS)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	find templates -name '*.html' -exec $(BIN)/djade --target-version 5.2 {} +

## Add new texts to the catalogues of the console's languages, and compile them.
messages: $(TESTS)
	$(BIN)/python -m tests.messages

## Renew the lock files after a change of the ranges; ARGS=--upgrade takes the newest of everything.
lock: $(TESTS)
	$(LOCK) requirements.txt --output-file requirements.lock $(ARGS)
	$(LOCK) requirements-dev.txt --constraints requirements.lock \
		--output-file requirements-dev.lock $(ARGS)
	for name in requirements requirements-ansible; do \
		$(LOCK) tests/os_clients/$$name.txt --output-file tests/os_clients/$$name.lock $(ARGS) || exit 1; done

## Search the code and the locked packages for vulnerabilities; list the licenses. Needs the network.
audit: $(TESTS)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .
	$(BIN)/pip-licenses --order=license
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip \
		--strict

## Write the bill of materials of what the portal runs on, with licenses, as CycloneDX (dist/sbom.json).
sbom: $(TESTS)
	rm -rf build/runtime && $(BIN)/python -m venv build/runtime && mkdir -p dist
	build/runtime/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.lock
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json build/runtime

## Build the package (dist/*.whl), whose command is nova-cells.
package: $(TESTS)
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

## Write the reference from the code, and build the documentation as a site (site/index.html).
docs: $(TESTS)
	$(BIN)/python -m docs.generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

## Measure, on PostgreSQL and (where one answers) MariaDB; see docs/performance.md.
bench: $(TESTS)
	$(BIN)/python -m bench $(ARGS)
	$(BIN)/python -m bench --cells 100 $(ARGS)
	-$(BIN)/python -m bench --engine mysql $(ARGS)
	$(BIN)/python -m bench.costs
	$(BIN)/python -m bench.console
	$(BIN)/python -m bench.console --cells 100
	$(BIN)/python -m bench.plot

## Measure beside nova-api 34, which is installed from PyPI into an environment of its own.
bench-nova: $(TESTS)
	$(BIN)/python -m bench --nova --cells 10 $(ARGS)

## Overload it, kill its workers, take its databases away, and send it 50,000 malformed requests; best on a quiet machine.
judge: $(TESTS)
	$(BIN)/python -m bench.load
	$(BIN)/python -m tests.kills
	$(BIN)/python -m tests.outages
	for seed in 1 2 3 4 5; do $(BIN)/python -m tests.fuzz --requests 10000 --seed $$seed || exit 1; done

## Install the real Nova and compare every answer with it.
conformance: $(TESTS)
	$(BIN)/python -m tests.conformance $(ARGS)

## Install OpenStack's clients; compare what they print of the portal with what they print of Nova.
clients: $(TESTS) $(CLIENTS)/installed $(CLIENTS)-ansible/installed
	$(BIN)/pytest tests/os_clients $(ARGS)

## Install a browser, then walk through the console with it.
e2e: $(TESTS)
	@command -v chromium >/dev/null || apt-get install --yes chromium \
		|| { echo "Chromium is needed: as root, apt install chromium"; exit 1; }
	$(BIN)/pytest tests/e2e $(ARGS)

## Remove what the targets above have made, the demo fleet included.
clean:
	rm -rf $(VENV) var site dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or newer with venv is needed: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(RUNS): requirements.lock | $(BIN)/python
	@echo "Installing requirements.lock into $(VENV) ..."
	@$(PIP) -r requirements.lock
	@touch $@

$(TESTS): requirements-dev.lock requirements.lock | $(BIN)/python
	@echo "Installing requirements-dev.lock into $(VENV) ..."
	@$(PIP) -r requirements-dev.lock
	@touch $(RUNS) $@

$(CLIENTS)/installed: tests/os_clients/requirements.lock
$(CLIENTS)-ansible/installed: tests/os_clients/requirements-ansible.lock

$(CLIENTS)/installed $(CLIENTS)-ansible/installed: | $(BIN)/python
	@echo "Installing $< into $(@D) ..."
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
