/* SPDX-License-Identifier: MIT */
/* json_name.h - names, which may hold any bytes, as JSON strings. */
#ifndef VMAKIT_TOOL_JSON_NAME_H
#define VMAKIT_TOOL_JSON_NAME_H

#if VMAKIT_HAVE_JANSSON
#include <jansson.h>

/* A JSON string of a name that may be no UTF-8: its bytes are then taken as Latin-1. NULL: memory ran out. */
json_t *json_name(const char *name);
#endif

#endif
