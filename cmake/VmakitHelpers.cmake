# SPDX-License-Identifier: MIT

# vmakit_glob(VAR PATTERN... [EXCLUDE REGEX]): the files, at any depth, that match below the source tree; when there are none, one
# empty translation unit, so that a target can be defined before its sources exist. Headers may be none.
function(vmakit_glob variable)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXCLUDE" "")
  set(patterns ${arg_UNPARSED_ARGUMENTS})
  list(TRANSFORM patterns PREPEND ${PROJECT_SOURCE_DIR}/)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${patterns})
  if(arg_EXCLUDE)
    list(FILTER files EXCLUDE REGEX "${arg_EXCLUDE}")
  endif()
  if(NOT files AND NOT "${patterns}" MATCHES "\\.h$")
    set(placeholder ${PROJECT_BINARY_DIR}/placeholder.c)
    if(NOT EXISTS ${placeholder})
      file(WRITE ${placeholder} "typedef int vmki_placeholder; /* no source yet */\n")
    endif()
    set(files ${placeholder})
  endif()
  set(${variable} ${files} PARENT_SCOPE)
endfunction()

# vmakit_find_package(NAME MODULE): the imported target NAME::NAME for a pkg-config module, when it is there for the
# target machine. When cross-compiling, only the cross machine's own pkg-config folder is searched.
function(vmakit_find_package name module)
  if(CMAKE_CROSSCOMPILING)
    set(ENV{PKG_CONFIG_LIBDIR} "${VMAKIT_CROSS_PKG_CONFIG_LIBDIR}")
    set(ENV{PKG_CONFIG_PATH} "")
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
  endif()
  pkg_check_modules(${name} QUIET IMPORTED_TARGET GLOBAL ${module})
  if(TARGET PkgConfig::${name})
    add_library(${name}::${name} INTERFACE IMPORTED GLOBAL)
    target_link_libraries(${name}::${name} INTERFACE PkgConfig::${name})
  else()
    message(STATUS "${module}: not found")
  endif()
endfunction()

# vmakit_program(TARGET): what every program that may leave the build machine needs.
function(vmakit_program target)
  if(VMAKIT_STATIC_PROGRAMS)
    target_link_options(${target} PRIVATE -static)
  endif()
endfunction()
