# The two commands that a newcomer needs: make demo, make test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/src:$(CURDIR)/cloud:$(CURDIR)

.PHONY: help demo test scenarios test-py39 lint lint-cloud build offline crash years picture bench lock clean

RUNTIME ?= both
PYTHON39 ?= python3.9

help: ## say what each command does
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(VENV)/lab ## the component, into greengrass-build (ARGS="--wheels": with its packages; ARGS=--help)
	@$(BIN)/python gdk_build.py $(ARGS)

offline: $(VENV)/lab ## the component with its packages, installed and started without a network
	@$(BIN)/python -m lab offline --runtime $(RUNTIME)

demo: $(VENV)/lab ## a core device and an AWS IoT account on this machine: watch a certificate near its end
	@$(BIN)/python -m lab demo --runtime $(RUNTIME)

test: $(VENV)/dev ## every test, and each scenario on one kind of nucleus
	$(BIN)/python -m pytest

scenarios: $(VENV)/dev ## every scenario on both kinds of nucleus (make test plays each on one)
	CERTKEEPER_EVERY_SCENARIO=1 $(BIN)/python -m pytest tests/lab/test_scenarios_*.py -n 4 --dist load

test-py39: ## what ships, under a real Python 3.9 (PYTHON39=/path/to/python3.9)
	sh tests/packaging/run_on_python39.sh $(PYTHON39)

lint: $(VENV)/dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint cloud/template.yaml

lint-cloud: $(VENV)/dev $(VENV)/tools/sam/ready $(VENV)/tools/scan/ready ## the template and what is deployed of it: SAM's own look, a security scan, and a build
	cd cloud && SAM_CLI_TELEMETRY=0 ../$(VENV)/tools/sam/bin/sam validate --lint
	$(VENV)/tools/scan/bin/checkov --config-file cloud/.checkov.yaml --file cloud/template.yaml
	CERTKEEPER_SAM=$(CURDIR)/$(VENV)/tools/sam/bin/sam CERTKEEPER_SCAN=$(CURDIR)/$(VENV)/tools/scan/bin/python $(BIN)/python -m pytest tests/sam -n 0

crash: $(VENV)/lab ## kill the component before every call of a rotation, boot, and look (SAMPLE=60: only so many; PART=2/8: the second of eight parts)
	$(BIN)/python -m lab crash $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(PART),--part $(PART))

years: $(VENV)/lab ## a small fleet lives ten years of mishaps in simulated time (SEED=2: another fate)
	$(BIN)/python -m lab years $(if $(SEED),--seed $(SEED))

picture: $(VENV)/dev ## record the picture of a deployment in the README anew
	@$(BIN)/python -m tests.deployment.picture

bench: $(VENV)/lab ## measure, and print docs/benchmarks.md's table
	$(BIN)/python -m lab bench

lock: ## pin again what requirements/*.in name (needs uv)
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.9.2 requirements/device.in -o requirements/device.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.9.2 requirements/installer.in -o requirements/installer.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/build.in -o requirements/build.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/lab.in -o requirements/lab.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/deploy.in -o requirements/deploy.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/dev.in -o requirements/dev.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.12 requirements/cloud.in -o requirements/cloud.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/sam.in -o requirements/sam.txt
	uv pip compile -q --generate-hashes --universal --no-header --python-version 3.11 requirements/scan.in -o requirements/scan.txt

clean: ## remove what the commands above made
	rm -rf $(VENV) cloud/.aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis build greengrass-build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/%: requirements/%.txt | $(VENV)/bin/python
	@echo "Installing requirements/$*.txt into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Tools that want other versions than the rest. Without --no-deps pip does not know a package with
# extras for the one that is pinned; each list is complete.
$(VENV)/tools/%/ready: requirements/%.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing requirements/$*.txt into $(VENV)/tools/$* (once, some minutes) ..."
	@$(PYTHON) -m venv $(VENV)/tools/$*
	@$(VENV)/tools/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@
