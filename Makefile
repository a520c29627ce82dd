# Flowloom's commands. `make` alone lists them; everything else installs what it needs first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Most of a test's time is waiting for a server or a process, so more run at once than there are cores.
WORKERS ?= 3
# A checkout without .venv on the path still finds buf, envoy and protoc's plug-ins.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A company's own certificates are usually in the system's store; pip looks there by itself.
export UV_SYSTEM_CERTS := 1
export UV_NATIVE_TLS := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the commands
	@echo "Flowloom: a BPMN 2.0 process engine as a mesh of gRPC services"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-14s %s\n", $$1, $$2}'
	@echo
	@echo "  make conformance takes CORPUS=<folder> FACE=grpc|rest STORE=sqlite|mysql ONLY=<area>"

$(STAMP): pyproject.toml requirements-dev.lock
	@echo "==> installing Flowloom and its development tools into $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "expected Python 3.11 or newer as $(PYTHON), found $$($(PYTHON) --version)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

.PHONY: install
install: $(STAMP) ## Install Flowloom and its tools into .venv

.PHONY: demo
demo: $(STAMP) ## Start the mesh, run a leave approval over REST to its end, show it, stop
	@$(BIN)/flowloom demo

.PHONY: up
up: $(STAMP) ## Start the whole mesh on this machine and keep it running
	@$(BIN)/flowloom up

.PHONY: servers
servers: ## Install the real servers that the tests need (as root, with apt)
	@sh tests/install-servers.sh

.PHONY: test
test: $(STAMP) servers ## Install what the tests need, real MariaDB, Redis and Kafka included, and run every test
	@echo "==> running the tests, $(WORKERS) files at a time"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: check
check: $(STAMP) ## Format, lint, strict types, import contracts, contract lint, generated files, migrations
	@echo "==> format"   && $(BIN)/ruff format --check .
	@echo "==> lint"     && $(BIN)/ruff check .
	@echo "==> types"    && $(BIN)/mypy
	@echo "==> imports"  && $(BIN)/lint-imports
	@echo "==> contract" && $(BIN)/buf lint && sh tests/buf-breaking.sh
	@echo "==> generated files" && $(BIN)/python -m host.gen --check
	@echo "==> migrations" && $(BIN)/python -m pytest -q tests/engine/storage/test_migrations.py tests/forms/test_migrations.py tests/history/test_migrations.py tests/identity/test_migrations.py tests/notify/test_migrations.py -k "not mariadb"

.PHONY: conformance
conformance: $(STAMP) ## Run a corpus of behaviour cases against a mesh of its own
	@$(BIN)/python -m tests.conformance --corpus "$(or $(CORPUS),tests/conformance/corpus)" --face "$(or $(FACE),grpc)" --store "$(or $(STORE),sqlite)" --only "$(ONLY)"

.PHONY: bench
bench: $(STAMP) servers ## Measure the budgets, each as a ratio of two things run side by side
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: faults
faults: $(STAMP) servers ## Kill the engine under load, again and again, and count what was lost
	@$(BIN)/python -m tests.faults $(ARGS)

.PHONY: gen
gen: $(STAMP) ## Generate the stubs and the descriptor set from proto/
	@$(BIN)/python -m host.gen

.PHONY: lock
lock: $(STAMP) ## Pin the development tools anew
	@$(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --group dev pyproject.toml -o requirements-dev.lock

.PHONY: clean
clean: ## Remove caches and the environment
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .flowloom
