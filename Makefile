# SPDX-License-Identifier: MIT
#
# A thin front for CMake and scripts/. Every preset of CMakePresets.json builds in build/PRESET, release in build/.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
SEED ?= 1
N ?= 200
MINUTES ?= 10
export JOBS SEED MINUTES

# What make leaves; the release folder holds more when tests were built there.
PRODUCTS = vmakit_static vmakit_shared $(if $(wildcard tool/main.c),vmakit_command)

.PHONY: all help run run-programs trace-programs run-database run-build test quick unit stress model bench bench-quick \
	bench-scale fuzz breaks install amalgamation mutate coverage tidy format clean
all: build/build.ninja
	@cmake --build build -j $(JOBS) --target $(PRODUCTS)

help:
	@echo 'make               build/vmakit, build/libvmakit.a, build/libvmakit.so'
	@echo 'make run           trace some programs and compare every map with the kernel'
	@echo 'make run-programs  48 programs natively and under vmakit run: the same output, no divergence'
	@echo 'make trace-programs  the same traced, with fixed and randomised layout: every address predicted, no divergence'
	@echo 'make run-database  PostgreSQL and Redis under vmakit run, each with its own benchmark for a minute'
	@echo 'make run-build     this project built and unit-tested under vmakit run'
	@echo 'make test          all checks and tests (quick: without sanitizers, arm64, clang-tidy; unit: ctest only)'
	@echo 'make stress        threads and interleavings, N times as long as in make test'
	@echo 'make model         the Spin models of the tree and its lanes, larger than in make test (EDITS=3 LOOKUPS=2)'
	@echo 'make bench         benchmarks (bench-quick: short; bench-scale: 10 to 10^8 areas; FILTER=regex)'
	@echo 'make fuzz          the oracle (OPS, SEED) and the libFuzzer targets (MINUTES each)'
	@echo 'make breaks        breaks each rule of the engine: does the oracle notice, for three seeds of three?'
	@echo 'make install       PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make amalgamation  build/amalgamation/vmakit.c and vmakit.h'
	@echo 'make mutate        N mutants (SEED); make coverage, make tidy, make format, make clean'

# Configured once; afterwards ninja runs cmake again by itself when a file list or a CMake file changes.
build/build.ninja: CMakePresets.json
	@scripts/deps.sh build
	@cmake --preset release >/dev/null

run:
	@scripts/deps.sh run
	@$(MAKE) --no-print-directory all
	@scripts/run.sh

run-programs trace-programs run-database run-build:
	@$(MAKE) --no-print-directory all
	@scripts/$@.sh

test:
	@scripts/deps.sh test
	@scripts/test.sh

quick:
	@scripts/deps.sh test
	@QUICK=1 scripts/test.sh

unit:
	@cmake --preset release >/dev/null
	@cmake --build build -j $(JOBS) -- -k 0
	@ctest --test-dir build -j $(JOBS) --output-on-failure -L unit

stress:
	@scripts/deps.sh test
	@N=$(N) scripts/stress.sh

model:
	@SRC=$(CURDIR) EDITS=$(or $(EDITS),3) LOOKUPS=$(or $(LOOKUPS),2) bash tests/models/test_tree_model.sh
	@SRC=$(CURDIR) CALLS=$(or $(CALLS),5) bash tests/models/test_lanes_model.sh

bench bench-quick:
	@scripts/deps.sh bench
	@cmake --preset bench >/dev/null
	@cmake --build --preset bench -j $(JOBS)
	@scripts/bench.sh $(patsubst bench-%,%,$(filter bench-quick,$@))

bench-scale:
	@scripts/deps.sh bench
	@cmake --preset bench >/dev/null
	@cmake --build --preset bench -j $(JOBS)
	@scripts/bench-scale.sh

fuzz:
	@scripts/deps.sh fuzz
	@$(MAKE) --no-print-directory all
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS)
	@scripts/fuzz.sh

breaks:
	@scripts/deps.sh test
	@cmake --preset testing >/dev/null
	@cmake --build --preset testing -j $(JOBS) --target vmakit_command
	@scripts/check-breaks.sh

install: all
	@DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

amalgamation:
	@scripts/deps.sh amalgamation
	@scripts/amalgamate.sh

mutate:
	@scripts/deps.sh mutate
	@perl scripts/mutate.pl $(N) $(SEED) $(MUTATE)

coverage:
	@scripts/deps.sh coverage
	@scripts/coverage.sh

tidy:
	@scripts/deps.sh tidy
	@scripts/check-tidy.sh

format:
	@scripts/deps.sh format
	@scripts/format.sh

clean:
	rm -rf build
