#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# deps.sh GOAL - see that the Debian packages are there which `make GOAL` needs (run, test, bench, fuzz, coverage ...).
# With all of them there: quick and silent, no network, any user. Otherwise: as root they are installed with apt-get; as
# another user the one command that installs them is printed, and the exit status is 1.
#
# A package is asked for only when what it provides (a command, a header, a pkg-config module) is missing, so that a
# compiler that did not come from Debian does as well. docs/dependencies.md says what each is for.
#
# VMAKIT_NO_INSTALL=1 keeps even root from installing; VMAKIT_NO_MULTIARCH=1 leaves dpkg's architectures alone.
set -u
goal=${1:-run}
missing=()

have_command() { command -v "$1" >/dev/null 2>&1; }
need_command() { # COMMAND PACKAGE
    have_command "$1" || missing+=("$2")
}
need_module() { # PKG-CONFIG-MODULE PACKAGE
    have_command pkg-config && pkg-config --exists "$1" || missing+=("$2")
}
need_file() { # PACKAGE FILE...: one of the files
    local package=$1 file
    shift
    for file in "$@"; do
        [ -e "$file" ] && return
    done
    missing+=("$package")
}

need_build() {
    need_command cmake cmake
    need_command ninja ninja-build
    need_command cc gcc
    need_file libc6-dev /usr/include/stdio.h
    need_command pkg-config pkg-config
    need_module liburcu-bp liburcu-dev
    need_module libseccomp libseccomp-dev
    need_module jansson libjansson-dev
}
need_clang_runtime() {
    have_command clang || {
        missing+=(clang libclang-rt-14-dev)
        return
    }
    [ -e "$(clang -print-runtime-dir)/libclang_rt.fuzzer-x86_64.a" ] ||
        [ -e "$(clang -print-runtime-dir)/libclang_rt.fuzzer-$(uname -m).a" ] || missing+=(libclang-rt-14-dev)
}

need_build
case $goal in
run | build | install | amalgamation | mutate) ;;
test | coverage | tidy | format | fuzz | bench) ;;
*)
    echo "deps.sh: unknown goal '$goal'" >&2
    exit 2
    ;;
esac
case $goal in
test | coverage | mutate) need_module cmocka libcmocka-dev ;;
esac
case $goal in
test | mutate) need_command valgrind valgrind ;;
esac
case $goal in
test | amalgamation)
    need_command gcc gcc
    need_command clang clang
    ;;
esac
case $goal in
test)
    need_command g++ g++
    need_command git git
    need_command clang-format clang-format
    need_command clang-tidy clang-tidy
    if [ "$(uname -m)" != aarch64 ]; then
        need_command aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
        need_file libc6-dev-arm64-cross /usr/aarch64-linux-gnu/include/stdio.h
        need_command qemu-aarch64 qemu-user
    fi
    ;;
coverage) need_command gcovr gcovr ;;
tidy) need_command clang-tidy clang-tidy ;;
format) need_command clang-format clang-format ;;
fuzz) need_clang_runtime ;;
bench)
    need_command g++ g++
    need_module benchmark libbenchmark-dev
    perl -MJSON::PP -e 1 2>/dev/null || missing+=(perl)
    ;;
esac

# The arm64 libraries are a second architecture of dpkg's. They are wished for, not needed: without them the arm64 build
# goes without seccomp, JSON and unit tests, and make test says so.
arm64=()
if [ "$goal" = test ] && [ "$(uname -m)" != aarch64 ] && [ -z "${VMAKIT_NO_MULTIARCH:-}" ]; then
    for pair in libseccomp:libseccomp-dev jansson:libjansson-dev cmocka:libcmocka-dev liburcu-bp:liburcu-dev; do
        [ -e "/usr/lib/aarch64-linux-gnu/pkgconfig/${pair%%:*}.pc" ] && continue
        arm64+=("${pair#*:}:arm64")
    done
fi

# A browser, for the test that opens the page of --report, and Spin, for the model of the tree's protocol: wished for too,
# since those tests say that they were skipped.
wished=()
if [ "$goal" = test ]; then
    have_command chromium || have_command chromium-browser || have_command google-chrome || wished+=(chromium)
    have_command python3 || wished+=(python3)
    have_command spin || wished+=(spin)
fi

[ ${#missing[@]} -eq 0 ] && [ ${#arm64[@]} -eq 0 ] && [ ${#wished[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sed '/^$/d' | sort -u)

if [ "$(id -u)" != 0 ] || [ -n "${VMAKIT_NO_INSTALL:-}" ] || ! have_command apt-get; then
    if [ ${#wished[@]} -ne 0 ]; then
        echo "note: for tests that are skipped otherwise: apt-get install -y --no-install-recommends ${wished[*]}"
    fi
    if [ ${#missing[@]} -eq 0 ]; then
        [ ${#arm64[@]} -eq 0 ] && exit 0
        echo "note: for the whole arm64 build: dpkg --add-architecture arm64 && apt-get update &&" \
            "apt-get install ${arm64[*]}"
        exit 0
    fi
    echo "make $goal needs packages that are not installed. As root:" >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
updated=
update() {
    [ -n "$updated" ] || apt-get update -q || echo "deps.sh: apt-get update failed; trying with what is known" >&2
    updated=yes
}
if [ ${#missing[@]} -ne 0 ]; then
    echo "Installing: ${missing[*]}"
    update
    if ! apt-get install -q -y --no-install-recommends "${missing[@]}"; then
        echo "deps.sh: apt-get could not install: ${missing[*]}" >&2
        exit 1
    fi
fi
if [ ${#wished[@]} -ne 0 ]; then
    # Tried once a machine state, as the arm64 libraries below.
    stamp=/var/cache/vmakit-not-wished
    if [ ! -e $stamp ]; then
        echo "Installing for tests that are skipped otherwise: ${wished[*]}"
        update
        if ! apt-get install -q -y --no-install-recommends "${wished[@]}"; then
            echo "note: ${wished[*]} could not be installed; the tests that need them are skipped"
            touch $stamp
        fi
    fi
fi
if [ ${#arm64[@]} -ne 0 ]; then
    # Tried once a machine state: a mirror without arm64 must not cost every run its time.
    stamp=/var/cache/vmakit-no-arm64
    [ -e $stamp ] && exit 0
    added=
    if ! dpkg --print-foreign-architectures | grep -qx arm64; then
        dpkg --add-architecture arm64 && added=yes
        updated=
    fi
    echo "Installing for the arm64 build: ${arm64[*]}"
    if ! { apt-get update -q && apt-get install -q -y --no-install-recommends "${arm64[@]}"; }; then
        echo "note: the arm64 libraries could not be installed; the arm64 build goes without seccomp, JSON, unit tests"
        touch $stamp
        if [ -n "$added" ] && dpkg --remove-architecture arm64; then
            apt-get update -q >/dev/null 2>&1
        fi
    fi
fi
exit 0
