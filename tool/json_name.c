/* SPDX-License-Identifier: MIT */
#include "json_name.h"

#if VMAKIT_HAVE_JANSSON

#include <stdlib.h>
#include <string.h>

json_t *json_name(const char *name)
{
    json_t *string = json_string(name);
    if (string != NULL)
        return string;
    size_t len = strlen(name), used = 0;
    char *wide = malloc(2 * len + 1);
    if (wide == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c >= 0x80) {
            wide[used++] = (char)(0xc0 | c >> 6);
            wide[used++] = (char)(0x80 | (c & 0x3f));
        } else {
            wide[used++] = (char)c;
        }
    }
    wide[used] = '\0';
    string = json_string(wide);
    free(wide);
    return string;
}

#else
typedef int json_name_without_jansson;
#endif
