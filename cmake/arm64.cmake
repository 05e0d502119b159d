# SPDX-License-Identifier: MIT
#
# arm64 Linux: static programs that run under qemu-aarch64. Libraries come from Debian's arm64 packages (multiarch);
# without them the tool is built without seccomp and JSON, and the unit tests are left out.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(VMAKIT_CROSS_PKG_CONFIG_LIBDIR /usr/lib/aarch64-linux-gnu/pkgconfig)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
