# Every target sets up what it needs, can be run twice, and says what it is doing. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STEP := $(PYTHON) tests/tools/step.py
TOPOLOGY ?= fleet
DEBIAN ?= 13
APPS ?= 2
LAB ?= lab
# Two at a time, for each of them waits half of its time; the longest first.
SCENARIO ?= data_services+default+fleet+edge+single_host

# Nothing is written to the home folder, and no other copy of the collection is ever found.
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_HOME := $(CURDIR)/.ansible
export ANSIBLE_SSH_CONTROL_PATH_DIR := $(CURDIR)/.ansible/cp
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/$(VENV)/collections
export XDG_CACHE_HOME := $(CURDIR)/.cache
export MOLECULE_GLOB := molecule/*/molecule.yml
# Compiled once, and not between the sources: without it every start of ansible-playbook costs half a second more.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/python
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1
export COLUMNS ?= 140
export PIP_NO_CACHE_DIR := 1
export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export UV_LINK_MODE := hardlink

.PHONY: help
help: ## List every target with one line
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/ready ## Build .venv with the pinned toolchain

$(VENV)/ready: requirements.txt tests/tools/setup.sh
	@$(STEP) "Build the toolchain in $(VENV)" bash tests/tools/setup.sh $(PYTHON) $(VENV)

.PHONY: demo
demo: setup ## Show the main job on real hosts: deploy, upgrade, refuse a broken release, roll back, under load
	@$(STEP) "Demo" $(BIN)/python tests/lab/demo.py

.PHONY: test
test: setup ## Run every test (the command CI runs)
	@started=$$(date +%s); export STEP_LOG=$(CURDIR)/tests/output/steps; rm -f "$$STEP_LOG"; \
	$(MAKE) --jobs=2 lint unit sanity; $(MAKE) package molecule; \
	$(MAKE) faults FAULTS="--seed 1 --count 25"; \
	seconds=$$(($$(date +%s) - started)); mkdir -p tests/output; echo $$seconds > tests/output/test_seconds; \
	echo; cat "$$STEP_LOG"; echo; echo "All tests passed in $$((seconds / 60)) min $$((seconds % 60)) s."

.PHONY: lint
lint: setup ## Check YAML, Ansible, Python style and types
	@$(STEP) "yamllint" $(BIN)/yamllint --strict .
	@$(STEP) "ruff check" $(BIN)/ruff check .
	@$(STEP) "ruff format" $(BIN)/ruff format --check .
	@$(STEP) "mypy" $(BIN)/mypy
	@$(STEP) "Python 3.9 on hosts" $(BIN)/vermin --quiet --no-tips --violations --target=3.9- plugins/module_utils plugins/modules
	@$(STEP) "ansible-lint, production profile" $(BIN)/ansible-lint --offline

.PHONY: unit
unit: setup ## Run the unit tests
	@$(STEP) "Unit tests" $(BIN)/python -m pytest tests/unit

.PHONY: sanity
sanity: setup ## Run ansible-test sanity on a copy of the collection
	@$(STEP) "ansible-test sanity" bash tests/tools/sanity.sh

.PHONY: package
package: setup ## Build the tarball, install it and run from it
	@$(STEP) "Build and install the collection" bash tests/tools/package.sh

.PHONY: molecule
molecule: setup ## Run the Molecule scenarios (SCENARIO=name for one, name+name for two at a time)
	@$(BIN)/python tests/tools/scenarios.py $(SCENARIO)

.PHONY: bench
bench: setup ## Measure the figures and print them as a table (kept in tests/output/bench.json)
	@$(STEP) "Benchmarks" $(BIN)/python tests/bench/bench.py

.PHONY: faults
faults: setup ## Kill rollouts at every step on a real fleet under load (FAULTS="--seed 1 --count 25" for a part)
	@$(STEP) "Fault suite" $(BIN)/python tests/faults/faults.py $(FAULTS)

.PHONY: lab-up
lab-up: setup ## Start test hosts (TOPOLOGY=fleet|pair|single DEBIAN=13|12 APPS=2 LAB=lab)
	@$(STEP) "Lab $(LAB) up" $(BIN)/python tests/lab/lab.py up --name $(LAB) --topology $(TOPOLOGY) --debian $(DEBIAN) --apps $(APPS) --inventory $(if $(filter lab,$(LAB)),inventories/lab/hosts.yml,.lab/$(LAB)-inventory/hosts.yml)

.PHONY: lab-down
lab-down: setup ## Remove the test hosts and everything they left
	@$(STEP) "Lab $(LAB) down" $(BIN)/python tests/lab/lab.py down --name $(LAB)

.PHONY: clean
clean: ## Remove the labs and their images, the toolchain and every built file
	@if [ -x $(BIN)/python ]; then $(STEP) "All labs and images" $(BIN)/python tests/lab/lab.py down --all --images; fi
	@rm -rf $(VENV) .cache .ansible .build .lab .mypy_cache .ruff_cache .pytest_cache tests/output inventories/lab/hosts.yml molecule/*/inventory/hosts.yml *.tar.gz
	@echo "Clean."
