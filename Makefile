# SPDX-License-Identifier: MIT
#
# A thin front for CMake and scripts/. Every preset of CMakePresets.json builds in build/PRESET, release in build/.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
SEED ?= 1
N ?= 200
MINUTES ?= 10

.DELETE_ON_ERROR:
.PHONY: all release run test clean

all: release

# The compile options of a build folder are fixed by its first `cmake --preset`; ninja re-runs cmake when needed.
build/build.ninja: CMakePresets.json
	cmake --preset release

release: build/build.ninja
	cmake --build build -j $(JOBS) --target vmakit_static vmakit_shared vmakit_command

unit: build/build.ninja
	cmake --build build -j $(JOBS)
	ctest --test-dir build --output-on-failure

clean:
	rm -rf build
