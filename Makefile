# Every target sets up what it needs. `make run` and `make test` work in a fresh clone with only Python 3.11+ and make.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Tried in this order; `make PYTHON=/path/to/python run` puts another one first.
PYTHONS := $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python

# Real servers, and a browser, that some tests judge against. Those tests skip, with the reason, where the programs are absent;
# `make test SYSTEM_PACKAGES=` leaves the machine's packages alone.
SYSTEM_PACKAGES := redis-server prometheus chromium mosquitto

.PHONY: help setup run demo pictures test lint system-packages bench campaign wire clean

help:
	@echo 'make run       serve on http://127.0.0.1:8000, data kept under ./data'
	@echo 'make demo      watch the service learn the load of this machine (ctrl-C ends it)'
	@echo 'make pictures  draw the pictures of the README anew'
	@echo 'make test      format, lint, types, layers, then every test'
	@echo 'make lint      the same without the tests'
	@echo 'make bench     one table of measured ratios'
	@echo 'make wire      make the code of the remote write messages anew'
	@echo 'make campaign  the long fault campaigns: kills of the server and of Redis under load'
	@echo 'make clean     remove the environment and every cache (./data stays)'

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml clients/python/pyproject.toml constraints.txt
	@for python in $(PYTHONS) ''; do \
	    if [ -z "$$python" ]; then \
	        echo 'make: no Python 3.11 or newer with its venv module was found; install one or name it: make PYTHON=/path/to/python' >&2; \
	        exit 1; \
	    fi; \
	    "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ ! -x $(BIN)/python ]; then "$$python" -m venv --clear $(VENV); fi
	@echo 'installing into $(VENV); the first time takes a minute or so'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e clients/python -e '.[dev]'
	@touch $@

run: $(INSTALLED)
	UORO_AUTO_CREATE=$${UORO_AUTO_CREATE:-true} UORO_DATA_DIR=$${UORO_DATA_DIR:-./data} $(BIN)/uoro serve

demo: $(INSTALLED)
	$(BIN)/python examples/machine_load.py $(DEMO_OPTIONS)

pictures: $(INSTALLED)
	$(BIN)/python examples/picture.py --out docs/pictures/learning.svg
	$(BIN)/python examples/console_pictures.py --out docs/pictures

# Fastest first, so that a slip is told within seconds.
lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint system-packages
	$(BIN)/python -m pytest -m "not campaign"

# Never a reason to fail: without root or passwordless sudo, without apt or a network, those tests skip.
system-packages:
	@missing=''; for program in $(SYSTEM_PACKAGES); do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -z "$$missing" ] || ! command -v apt-get >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then as_root='env'; \
	elif sudo -n true 2>/dev/null; then as_root='sudo -n env'; \
	else echo "not root: tests that need$$missing will skip"; exit 0; fi; \
	echo "installing$$missing for the tests that judge against them"; \
	apt="$$as_root DEBIAN_FRONTEND=noninteractive timeout 300 apt-get --quiet --quiet -o DPkg::Lock::Timeout=30"; \
	for package in $$missing; do \
	    $$apt install --yes --no-install-recommends $$package >/dev/null 2>&1 \
	    || { $$apt update >/dev/null 2>&1; $$apt install --yes --no-install-recommends $$package >/dev/null 2>&1; } \
	    || echo "could not install $$package: the tests that need it will skip"; \
	done

# The code of Prometheus' messages, made anew from the .proto files; protoc comes in an environment of its own.
wire:
	$(BIN)/python -m venv --clear build/protoc
	build/protoc/bin/python -m pip install --quiet --disable-pip-version-check grpcio-tools==1.85.1
	cd service && ../build/protoc/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. uoro/ingest/wire/*.proto

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py --markdown docs/benchmarks.md --json docs/results/benchmarks.json

campaign: $(INSTALLED)
	$(BIN)/python -m pytest -m campaign -s

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	rm -rf service/*.egg-info clients/python/src/*.egg-info
	find service clients tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
