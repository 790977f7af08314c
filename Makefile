PYTHON ?= python3.11
BIN := .venv/bin

SYSTEM_PACKAGES := libimage-exiftool-perl imagemagick libvips-tools libgs-common

.PHONY: install demo test check bench clean system-packages

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/python -m flows.demo build/demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Other programs that tests compare with. Where they cannot be installed, those tests are skipped and say why.
system-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1; then \
		apt-get update -qq || true; \
		for package in $(SYSTEM_PACKAGES); do \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package >/dev/null \
				|| echo "$$package cannot be installed: the tests that need it will be skipped"; \
		done; \
	fi

test: check system-packages
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m tests.benchmarks.throughput
	$(BIN)/python -m tests.benchmarks.masks
	$(BIN)/python -m tests.benchmarks.rungs
	$(BIN)/python -m tests.benchmarks.routing
	$(BIN)/python -m tests.benchmarks.generator_tolerance
	$(BIN)/python -m tests.benchmarks.enlarge
	$(BIN)/python -m tests.benchmarks.enhance

clean:
	rm -rf build .venv
