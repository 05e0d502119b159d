# SPDX-License-Identifier: MIT
#
# arm64 Linux. The tool and the examples are static and run under qemu-aarch64 as they are. Libraries come from Debian's
# arm64 packages (multiarch, scripts/deps.sh); without them the tool is built without seccomp and JSON, and the unit
# tests, which need cmocka, are left out.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(VMAKIT_CROSS_PKG_CONFIG_LIBDIR /usr/lib/aarch64-linux-gnu/pkgconfig)
set(VMAKIT_STATIC_PROGRAMS ON)
