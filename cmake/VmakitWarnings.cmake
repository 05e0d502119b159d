# SPDX-License-Identifier: MIT
#
# vmakit_warnings(TARGET [STRICT]): one set of warnings for gcc and clang. Tests go without the conversion warnings,
# since cmocka's assertions convert everything to one integer type.
function(vmakit_warnings target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "STRICT" "" "")
  set(flags -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wvla -Wundef
    -Wformat=2)
  if(arg_STRICT)
    list(APPEND flags -Wconversion -Wsign-conversion)
  endif()
  if(VMAKIT_WERROR)
    list(APPEND flags -Werror)
  endif()
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:${flags}>)
endfunction()
