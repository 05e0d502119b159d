#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-install.sh - installs below a fresh folder, and builds and runs a program of another project against it: with
# pkg-config (shared, and static), and with CMake's find_package (both targets). Nothing of the source tree is used.
. "$(dirname "$0")/lib.sh"
root=$PWD/$BUILD/check-install
[ "${BUILD#/}" = "$BUILD" ] || root=$BUILD/check-install
rm -rf "$root"
mkdir -p "$root/project"

cmake --install "$BUILD" --prefix "$root/usr" >"$root/install.log" || fail "cmake --install failed ($root/install.log)"
# With DESTDIR the same files land below it, and vmakit.pc names the prefix without it.
DESTDIR=$root/stage cmake --install "$BUILD" --prefix /opt/vmakit >"$root/stage.log" || fail "install with DESTDIR failed"
diff <(cd "$root/usr" && find . -type f -o -type l | sort) <(cd "$root/stage/opt/vmakit" && find . -type f -o -type l |
    sort) || fail "DESTDIR changes what is installed"

cat >"$root/project/main.c" <<'C'
#include <stdio.h>
#include <vmakit/vmakit.h>

int main(void)
{
    struct vmk_port port = *vmk_port_linux();

    printf("port of %zu bytes\n", port.size);
    return port.alloc == NULL;
}
C
cat >"$root/project/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.25)
project(outside C)
find_package(vmakit 0.1 REQUIRED)
add_executable(with_shared main.c)
target_link_libraries(with_shared PRIVATE vmakit::vmakit)
add_executable(with_static main.c)
target_link_libraries(with_static PRIVATE vmakit::static)
C
cd "$root/project" || exit 2

libdir=$(dirname "$(find "$root/usr" -name libvmakit.so | head -n 1)")
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
[ "$(pkg-config --variable=prefix vmakit)" = "$root/usr" ] || fail "vmakit.pc: prefix is not where it was installed"
# shellcheck disable=SC2046
cc -std=c11 -Wall -Werror main.c -o by-pkg-config $(pkg-config --cflags --libs vmakit) || fail "pkg-config: no build"
./by-pkg-config >out || fail "pkg-config: the program fails"
# shellcheck disable=SC2046
cc -std=c11 -Wall -Werror $(pkg-config --cflags vmakit) main.c -o by-pkg-config-static \
    "$libdir/libvmakit.a" $(pkg-config --static --libs vmakit | sed 's/-lvmakit//') || fail "pkg-config: no static build"
./by-pkg-config-static >out || fail "pkg-config: the static program fails"

cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$root/usr" >cmake.log 2>&1 || fail "find_package: $(tail -n 5 cmake.log)"
cmake --build build >>cmake.log 2>&1 || fail "find_package: $(tail -n 20 cmake.log)"
./build/with_shared >out && ./build/with_static >out || fail "find_package: the program fails"
tool=
[ -x "$root/usr/bin/vmakit" ] && tool=" and the tool"
echo "pkg-config and find_package, shared and static$tool: $(find "$root/usr" -type f | wc -l) files installed"
