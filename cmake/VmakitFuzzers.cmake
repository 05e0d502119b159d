# SPDX-License-Identifier: MIT
#
# tests/fuzz/NAME.c -> build/fuzz/fuzz/NAME, one libFuzzer target each (clang). They may include src/ and tool/.
if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "the libFuzzer targets need clang (preset fuzz)")
endif()

file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/fuzz/*.c)
foreach(source IN LISTS fuzz_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(fuzz_${name} ${source})
  set_target_properties(fuzz_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(fuzz_${name} PRIVATE _GNU_SOURCE=)
  target_link_libraries(fuzz_${name} PRIVATE vmakit_tool)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  vmakit_warnings(fuzz_${name})
  target_compile_options(fuzz_${name} PRIVATE -Wno-missing-prototypes)
endforeach()
