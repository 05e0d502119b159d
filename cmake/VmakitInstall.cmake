# SPDX-License-Identifier: MIT
#
# make install: headers, both libraries, the tool, its manual pages and completion files, a pkg-config file and a CMake
# package with the targets vmakit::vmakit (shared) and vmakit::static.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/vmakit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(TARGETS ${VMAKIT_LIBRARIES} EXPORT vmakitTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET vmakit_command)
  install(TARGETS vmakit_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tool/*.1 ${PROJECT_SOURCE_DIR}/docs/man/*.1)
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  # Named as in tool/completion: vmakit.bash, vmakit.zsh (or _vmakit), vmakit.fish.
  file(GLOB completions CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tool/completion/*)
  foreach(file IN LISTS completions)
    if(file MATCHES "\\.bash$")
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME vmakit)
    elseif(file MATCHES "(\\.zsh|/_vmakit)$")
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _vmakit)
    elseif(file MATCHES "\\.fish$")
      install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME vmakit.fish)
    endif()
  endforeach()
endif()

# The prefix is known only when installing (cmake --install --prefix); DESTDIR is file(INSTALL)'s business.
install(CODE "
  set(PROJECT_DESCRIPTION \"${PROJECT_DESCRIPTION}\")
  set(PROJECT_VERSION \"${PROJECT_VERSION}\")
  set(CMAKE_INSTALL_INCLUDEDIR \"${CMAKE_INSTALL_INCLUDEDIR}\")
  set(CMAKE_INSTALL_LIBDIR \"${CMAKE_INSTALL_LIBDIR}\")
  configure_file(\"${PROJECT_SOURCE_DIR}/cmake/vmakit.pc.in\" \"${PROJECT_BINARY_DIR}/vmakit.pc\" @ONLY)
  file(INSTALL \"${PROJECT_BINARY_DIR}/vmakit.pc\"
    DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\")
")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vmakit)
install(EXPORT vmakitTargets NAMESPACE vmakit:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vmakitConfig.cmake.in
  ${PROJECT_BINARY_DIR}/package/vmakitConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/vmakitConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/vmakitConfig.cmake ${PROJECT_BINARY_DIR}/package/vmakitConfigVersion.cmake
  DESTINATION ${package_dir})
