# SPDX-License-Identifier: MIT
#
# Every test is found by its place and its name:
#   tests/unit/test_*.c     one cmocka program each; may include src/ headers      label unit
#   tests/tool/test_*.c     the same for the tool's parts; may include tool/       label tool-unit
#   tests/tool/*.sh, tests/oracle/*.sh   scripts, exit 77 to skip; they see        label tool, oracle
#       VMAKIT (the tool), VMAKIT_TESTING (the one that has --break, perhaps not built), BUILD, SRC; lib*.sh is no test
#   examples/*.c, examples/NAME/*.c      public headers only; run, expect exit 0   label example
# The end of a name adds a label: _threads (run under tsan), _slow (release only), _host (needs the kernel: not under
# qemu), _alone (changes the host: no other test beside it); cmocka programs without one are also `portable`, and so
# are scripts named _portable: these run under qemu-aarch64 too. tests/support/*.c and tests/unit/support*.c are linked to
# every cmocka program.
#   tests/models/test_*.sh  models of protocols under Spin                          label model
#   tests/mock/test_*.c     cmocka programs with a core of their own, compiled for the mock port     label mock
set(VMAKIT_TEST_DIR ${PROJECT_BINARY_DIR}/tests)

vmakit_glob(support_sources tests/support/*.c tests/unit/support*.c)
add_library(vmakit_test_support STATIC ${support_sources})
target_include_directories(vmakit_test_support PUBLIC
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/tests/support)
target_compile_definitions(vmakit_test_support PUBLIC _GNU_SOURCE= "VMK_SYNC_HEADER=\"${VMAKIT_SYNC_HEADER}\""
  VMAKIT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_link_libraries(vmakit_test_support PUBLIC vmakit_static URCU::URCU Threads::Threads)
if(TARGET CMOCKA::CMOCKA)
  target_link_libraries(vmakit_test_support PUBLIC CMOCKA::CMOCKA)
endif()
vmakit_warnings(vmakit_test_support)

function(vmakit_test_properties test name)
  set(labels ${ARGN})
  set(serial OFF)
  if(name MATCHES "_(threads|slow|host|alone|portable)$")
    list(APPEND labels ${CMAKE_MATCH_1})
    if(name MATCHES "_alone$")
      set(serial ON)
    endif()
  elseif("${ARGN}" MATCHES "unit")
    list(APPEND labels portable)
  endif()
  set_tests_properties(${test} PROPERTIES LABELS "${labels}" TIMEOUT 300 RUN_SERIAL ${serial})
endfunction()

# The core for the mock port: its threads take turns, and no sanitizer can follow them.
function(vmakit_mock_tests)
  vmakit_glob(mock_sources src/*.c ports/mock/*.c tests/support/*.c)
  add_library(vmakit_mock STATIC ${mock_sources})
  target_include_directories(vmakit_mock PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests/support)
  target_compile_definitions(vmakit_mock PUBLIC _GNU_SOURCE= "VMK_SYNC_HEADER=\"ports/mock/sync.h\""
    "VMK_ATOMIC_HEADER=\"ports/mock/atomic.h\"")
  target_link_libraries(vmakit_mock PUBLIC CMOCKA::CMOCKA)
  vmakit_warnings(vmakit_mock)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/mock/test_*.c)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${VMAKIT_TEST_DIR})
    target_link_libraries(${name} PRIVATE vmakit_mock)
    vmakit_warnings(${name})
    add_test(NAME mock/${name} COMMAND ${name})
    set_tests_properties(mock/${name} PROPERTIES LABELS mock TIMEOUT 300)
  endforeach()
endfunction()

function(vmakit_cmocka_tests directory label)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${directory}/test_*.c)
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${VMAKIT_TEST_DIR})
    target_link_libraries(${name} PRIVATE vmakit_test_support ${ARGN})
    vmakit_warnings(${name})
    add_test(NAME ${label}/${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    vmakit_test_properties(${label}/${name} ${name} ${label})
  endforeach()
endfunction()

function(vmakit_script_tests directory label)
  file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${directory}/*.sh)
  foreach(script IN LISTS scripts)
    get_filename_component(name ${script} NAME_WE)
    if(name MATCHES "^lib")
      continue() # shared pieces of other scripts
    endif()
    if(CMAKE_CROSSCOMPILING AND NOT name MATCHES "_portable$")
      continue()
    endif()
    add_test(NAME ${label}/${name} COMMAND bash ${script} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    vmakit_test_properties(${label}/${name} ${name} ${label})
    set_tests_properties(${label}/${name} PROPERTIES SKIP_RETURN_CODE 77
      ENVIRONMENT "VMAKIT=${VMAKIT_RUN};VMAKIT_TESTING=${PROJECT_SOURCE_DIR}/build/testing/vmakit;BUILD=${PROJECT_BINARY_DIR};SRC=${PROJECT_SOURCE_DIR}")
  endforeach()
endfunction()

function(vmakit_example name)
  add_executable(example_${name} ${ARGN})
  set_target_properties(example_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  target_compile_definitions(example_${name} PRIVATE _GNU_SOURCE=)
  target_link_libraries(example_${name} PRIVATE vmakit_static Threads::Threads)
  vmakit_program(example_${name})
  vmakit_warnings(example_${name} STRICT)
  add_test(NAME example/${name} COMMAND example_${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(example/${name} PROPERTIES LABELS "example" TIMEOUT 60)
endfunction()

if(TARGET CMOCKA::CMOCKA)
  vmakit_cmocka_tests(tests/unit unit)
  if(NOT VMAKIT_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    vmakit_mock_tests()
  endif()
  if(VMAKIT_TOOL)
    vmakit_cmocka_tests(tests/tool tool-unit vmakit_tool)
  endif()
endif()

# What a script starts as the tool; under an emulator, a small script of our own.
set(VMAKIT_RUN ${PROJECT_BINARY_DIR}/vmakit)
if(CMAKE_CROSSCOMPILING)
  set(VMAKIT_RUN ${PROJECT_BINARY_DIR}/vmakit-run)
  file(WRITE ${VMAKIT_RUN} "#!/bin/sh\nexec ${CMAKE_CROSSCOMPILING_EMULATOR} ${PROJECT_BINARY_DIR}/vmakit \"$@\"\n")
  file(CHMOD ${VMAKIT_RUN} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endif()
if(TARGET vmakit_command)
  vmakit_script_tests(tests/tool tool)
  vmakit_script_tests(tests/oracle oracle)
  vmakit_script_tests(tests/models model)
endif()

file(GLOB singles CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.c)
foreach(source IN LISTS singles)
  get_filename_component(name ${source} NAME_WE)
  vmakit_example(${name} ${source})
endforeach()
file(GLOB nested CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*/*.c)
set(folders "")
foreach(source IN LISTS nested)
  get_filename_component(folder ${source} DIRECTORY)
  list(APPEND folders ${folder})
endforeach()
list(REMOVE_DUPLICATES folders)
foreach(folder IN LISTS folders)
  get_filename_component(name ${folder} NAME)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.c)
  vmakit_example(${name} ${sources})
endforeach()

# What takes long begins first: else one processor waits for it at the end.
foreach(test model/test_tree_model mock/test_lanes_mock mock/test_mm_mock unit/test_tree unit/test_verb_failures
             tool/test_run tool/test_report tool/test_run_calls)
  if(TEST ${test})
    set_tests_properties(${test} PROPERTIES COST 60)
  endif()
endforeach()
