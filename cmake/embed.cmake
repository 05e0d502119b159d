# SPDX-License-Identifier: MIT
#
# cmake -DIN=tool/report -DOUT=report_page.c -P embed.cmake: the report's page as two arrays of bytes, what comes before
# the data and what comes after. {{STYLE}} and {{SCRIPT}} in page.html are replaced by those files.
file(READ ${IN}/page.html page)
file(READ ${IN}/style.css style)
file(READ ${IN}/script.js script)
string(REPLACE "{{STYLE}}" "${style}" page "${page}")
string(REPLACE "{{SCRIPT}}" "${script}" page "${page}")
string(FIND "${page}" "{{DATA}}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "page.html has no {{DATA}}")
endif()
string(SUBSTRING "${page}" 0 ${at} head)
math(EXPR after "${at} + 8")
string(SUBSTRING "${page}" ${after} -1 tail)

set(text "/* Made by cmake/embed.cmake from tool/report/. */\n#include <stddef.h>\n\n")
foreach(part head tail)
  file(WRITE ${OUT}.${part} "${${part}}")
  file(READ ${OUT}.${part} bytes HEX)
  file(REMOVE ${OUT}.${part})
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
  string(APPEND text "extern const unsigned char report_page_${part}[];\nextern const size_t report_page_${part}_len;\n"
    "const unsigned char report_page_${part}[] = {\n${bytes}};\n"
    "const size_t report_page_${part}_len = sizeof(report_page_${part});\n")
endforeach()
file(WRITE ${OUT} "${text}")
