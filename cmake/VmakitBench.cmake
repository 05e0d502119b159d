# SPDX-License-Identifier: MIT
#
# bench/*.cc -> build/bench/bench/NAME, one Google Benchmark program each; bench/*.c are linked to all of them. What is in
# bench/peers and bench/callgrind is built by scripts of its own. The only C++ of the project.
enable_language(CXX)
find_package(benchmark REQUIRED)

file(GLOB bench_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/*.cc)
vmakit_glob(bench_support bench/*.c EXCLUDE "/bench/(peers|callgrind)/")
add_library(vmakit_bench_support STATIC ${bench_support})
target_include_directories(vmakit_bench_support PUBLIC ${PROJECT_SOURCE_DIR}/bench)
target_compile_definitions(vmakit_bench_support PUBLIC $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE=>)
target_link_libraries(vmakit_bench_support PUBLIC vmakit_static Threads::Threads)
vmakit_warnings(vmakit_bench_support)
foreach(source IN LISTS bench_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(bench_${name} ${source})
  set_target_properties(bench_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  target_link_libraries(bench_${name} PRIVATE vmakit_bench_support benchmark::benchmark)
  target_compile_options(bench_${name} PRIVATE -Wall -Wextra $<$<BOOL:${VMAKIT_WERROR}>:-Werror>)
endforeach()
