PYTHON ?= python3.11
BIN := .venv/bin
SHELL := /bin/bash

SYSTEM_PACKAGES := chromium chromium-driver libimage-exiftool-perl imagemagick libvips-tools libgs-common libjpeg-turbo-progs prometheus \
	$(if $(shell command -v kubectl;),,kubernetes-client)

COUNT_PACKAGES := '/^Collecting/ { printf "\r\033[K  package %d: %s", ++n, $$2; fflush() } \
	/^Installing/ { printf "\r\033[K  writing %d packages", n; fflush() } END { printf "\r\033[K  %d packages\n", n }'

.PHONY: install demo test check faults fuzz bench bench-files bench-gpu bench-peers clean system-packages

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/demo-installed

# The demonstration needs neither torch nor what tests need. pip's lines become one that counts packages.
demo: .venv/demo-installed
	$(BIN)/python -m flows.demo build/demo

.venv/demo-installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing cleanplate into .venv: 1.3 GB on disk, a minute or two."
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt \
		--editable '.[demo]' 2>.venv/install.log | awk $(COUNT_PACKAGES) || { cat .venv/install.log; exit 1; }
	@touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/lint-imports
	$(BIN)/mypy

# Other programs that tests compare with or need. Where they cannot be installed, those tests are skipped and say why.
# No service is started: Debian asks policy-rc.d first.
system-packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1; then \
		test -e /usr/sbin/policy-rc.d || { trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
			printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; }; \
		apt-get update -qq || true; \
		for package in $(SYSTEM_PACKAGES); do \
			DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package >/dev/null \
				|| echo "$$package cannot be installed: the tests that need it will be skipped"; \
		done; \
	fi

test: check system-packages
	$(BIN)/python -m pytest

# Ten thousand images through a worker, a node, a driver and a storage that go away; `make test` takes 500.
faults: install
	CLEANPLATE_FAULT_IMAGES=10000 $(BIN)/python -m pytest -s tests/faults

# Damaged headers of every format, ten minutes for each parser; `make test` takes forty examples.
fuzz: install
	CLEANPLATE_FUZZ_SECONDS=600 $(BIN)/python -m pytest -s -o timeout=0 tests/operators/pictures/test_fuzzed_headers.py

# A forced edit of every picture in the packages and in Pillow's own tests, which only its source distribution holds.
bench-files: install build/pillow/images
	$(BIN)/python -m benchmarks.files build/pillow/images $$($(BIN)/python -c 'import PIL, pathlib; print(pathlib.Path(PIL.__file__).parents[1])') \
		--report benchmarks/results/files.json

build/pillow/images: constraints.txt
	mkdir -p $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(@D)/tools pybind11
	PYTHONPATH=$(CURDIR)/$(@D)/tools $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--no-binary :all: --constraint constraints.txt --dest $(@D) pillow
	tar --extract --gzip --directory $(@D) --file $(@D)/pillow-*.tar.gz --strip-components 2 --wildcards '*/Tests/images'
	touch $@

bench: install
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.masks
	$(BIN)/python -m benchmarks.rungs
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.four_times_larger
	$(BIN)/python -m benchmarks.generator_tolerance
	$(BIN)/python -m benchmarks.enlarge
	$(BIN)/python -m benchmarks.enhance

# What a GPU gives, with models of full size and random weights: 9 GB in build/gpu. Without a GPU it says so and fails.
bench-gpu: install
	$(BIN)/python -m benchmarks.gpu

# Contenders that cannot share our environment get one each: Daft wants another Arrow, IOPaint an older everything.
bench-peers: install build/peers/daft/installed build/peers/iopaint/installed
	$(BIN)/python -m benchmarks.peers

build/peers/%/installed: benchmarks/peers/%.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clean:
	rm -rf build .venv
