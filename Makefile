# Stepwire: what a person runs here. `make help` lists it; every target sets itself up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FLOW ?= invoices
BUS ?= local
# with Kafka: a broker that is started for it (STEPWIRE_TEST_KAFKA, else Docker, else Java 17 and Maven)
DEMO_local = $(BIN)/stepwire demo $(FLOW)
DEMO_kafka = $(BIN)/python -m tests.brokers.lend $(BIN)/stepwire demo $(FLOW) --folder .demo/kafka --bus kafka://{} $(if $(STEPWIRE_TEST_KAFKA),,--bus-ends)
# compiled once, not in each of the processes that the tests start
export PYTHONDONTWRITEBYTECODE :=

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv resolves from uv.lock, so that every machine gets the same versions
$(VENV)/.ready: pyproject.toml uv.lock
	@echo "setting up $(VENV) from uv.lock: about a minute, once" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet 'uv>=0.13,<0.14'
	@UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --all-extras --inexact --compile-bytecode
	@touch $@

setup: $(VENV)/.ready ## install everything into .venv

demo: $(VENV)/.ready ## the main job on real PDFs, no key: make demo FLOW=invoices|support|articles|review|polish BUS=local|kafka
	@echo "make demo: the flow $(FLOW), BUS=$(BUS)" >&2
	@$(or $(DEMO_$(BUS)),echo 'BUS=$(BUS): there is local and kafka'; exit 2)

operate: $(VENV)/.ready ## Kafka (or a file), workers, door, console, Prometheus; a PDF goes through; STAY=1 keeps it up
	@echo "make operate: starting Kafka or a file as bus, workers, door, console and Prometheus; what is missing of Kafka and Prometheus is fetched, once" >&2
	@$(BIN)/python -m tests.operate.run

broker: $(VENV)/.ready ## a Kafka for your own project on this machine, until Ctrl-C (Docker, or Java 17 and Maven)
	@$(BIN)/python -m tests.brokers.lend sh -c 'echo "export STEPWIRE_BUS=kafka://$$1"; sleep 2147483 & trap "kill $$!; exit 0" INT TERM; wait' sh {}

test: $(VENV)/.ready ## the tests (under 5 minutes); a missing service skips
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

# three at a time on two cores: a third of what the tests do is waiting; in the order that tests/conftest.py gives
test-all: $(VENV)/.ready ## all tests; needs Node, Java 17 and Maven (or Docker, or STEPWIRE_TEST_KAFKA=host:port) and skips nothing
	@STEPWIRE_TEST_ALL=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.ready ## format, lint, strict types, import contracts
	@$(BIN)/ruff format --check -q . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.ready ## rewrite files in the project's format
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

bench: $(VENV)/.ready ## speed and memory: against peers, and on a Kafka broker that is started for it (needs Java)
	@UV_PROJECT_ENVIRONMENT=.venv-peers $(BIN)/uv sync --quiet --frozen --only-group peers
	@$(BIN)/uv sync --quiet --frozen --script bench/peer_quix.py
	@$(BIN)/python -m bench.run; local=$$?; $(BIN)/python -m bench.kafka; exit $$((local + $$?))

load: $(VENV)/.ready ## a door, once it is filled, under 500 events a second for a minute, on a quiet machine: make load FOR=seconds RATE=events
	@$(BIN)/python -m tests.door.load $(if $(FOR),--seconds $(FOR)) $(if $(RATE),--rate $(RATE))

chaos: $(VENV)/.ready ## all five flows, 2,000 events, 30 x kill -9, judged from outside (about 6 minutes): make chaos BUS=local|kafka
	@$(BIN)/python -m tests.chaos.run --bus $(BUS) $(if $(FAULTS),--faults $(FAULTS))

kubernetes: $(VENV)/.ready ## image and chart on a real cluster: KUBECONFIG's, else one of this machine (root; builds once)
	@STEPWIRE_TEST_KEDA=$(KEDA) STEPWIRE_TEST_NETWORK=$(NETWORK) $(BIN)/python -m tests.kubernetes.run

soak: $(VENV)/.ready ## the property tests with a large budget, for hours: make soak SOAK=times as many examples (100)
	@HYPOTHESIS_PROFILE=soak STEPWIRE_SOAK_FACTOR=$(or $(SOAK),100) $(BIN)/python -m pytest -q -o timeout=0 tests/properties

mutations: $(VENV)/.ready ## break the kernel in the ways that nobody sees, each must be noticed (about 2 minutes)
	@$(BIN)/python -m tests.mutations.run

audit: $(VENV)/.ready ## known vulnerabilities of everything in uv.lock: asks OSV's database, or AUDIT_DATABASE=folder of advisories
	@$(if $(AUDIT_DATABASE),$(BIN)/python -m tests.audit.stored $(AUDIT_DATABASE),$(BIN)/uv audit --frozen --preview-features audit-command)

docs: $(VENV)/.ready ## write the pages that are made from the code (one of them needs Java)
	@$(BIN)/python -m typer stepwire_handlers.cli.main utils docs --name stepwire --output docs/cli.md
	@sed -i '1i <!-- made from the code: make docs -->' docs/cli.md
	@$(BIN)/python -m tests.telemetry.test_telemetry
	@$(BIN)/python -m tests.configuration.test_settings_page
	@$(BIN)/python -m helm.grafana.write
	@$(BIN)/python -m helm.readme.parameters
	@$(BIN)/python -m tests.kernel.test_refusals
	@$(BIN)/python -m tests.drawing.test_flows_page
	@$(BIN)/python -m tests.failures.test_failures
	@$(BIN)/python -m tests.failures.test_failures_on_kafka

clean: ## remove what runs leave behind
	@rm -rf .stepwire .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup demo operate broker test test-all check format bench load chaos kubernetes soak mutations audit docs clean
