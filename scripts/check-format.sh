#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-format.sh - every C source is as `make format` would leave it. Versions of clang-format differ in taste; the
# project's is Debian 12's, 14.
. "$(dirname "$0")/lib.sh"
version=$(clang-format --version | grep -o 'version [0-9]*' | cut -d' ' -f2)
if [ "$version" != 14 ]; then
    echo "clang-format $version, not 14: not checked"
    exit 0
fi
source_files '*.c' '*.h' '*.cc' | xargs -r clang-format --dry-run -Werror || fail "run: make format"
echo "$(source_files '*.c' '*.h' '*.cc' | grep -c .) files are formatted"
