#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# format.sh [FILE...] - clang-format on every C source of the project, or on those named.
. "$(dirname "$0")/lib.sh"
if [ $# -gt 0 ]; then
    clang-format -i "$@"
else
    source_files '*.c' '*.h' '*.cc' | xargs -r clang-format -i
fi
