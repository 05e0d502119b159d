/* SPDX-License-Identifier: MIT */
/*
 * golden.h - texts that are compared with a file of tests/unit/golden. VMAKIT_GOLDEN=write writes the files instead: to be
 * read line by line before they are committed, since they are what the tests expect.
 */
#ifndef VMAKIT_TESTS_GOLDEN_H
#define VMAKIT_TESTS_GOLDEN_H

#include "support.h"

struct golden {
    FILE *file;
    const char *name;
    unsigned line;
    bool writes;
    char topic[160]; /* the last line that began with "#" */
};

static VT_UNUSED void golden_open(struct golden *golden, const char *name)
{
    char path[512];
    const char *mode = getenv("VMAKIT_GOLDEN");

    golden->writes = mode != NULL && strcmp(mode, "write") == 0;
    golden->name = name;
    golden->line = 0;
    golden->topic[0] = '\0';
    snprintf(path, sizeof(path), "%s/tests/unit/golden/%s", VMAKIT_SOURCE_DIR, name);
    golden->file = fopen(path, golden->writes ? "w" : "r");
    if (golden->file == NULL)
        fail_msg("cannot open %s", path);
}

static VT_UNUSED void golden_line(struct golden *golden, const char *line, size_t len)
{
    char expected[1024];

    golden->line++;
    if (line[0] == '#')
        snprintf(golden->topic, sizeof(golden->topic), "%.*s", (int)len, line);
    if (golden->writes) {
        fprintf(golden->file, "%.*s\n", (int)len, line);
        return;
    }
    if (fgets(expected, sizeof(expected), golden->file) == NULL)
        expected[0] = '\0';
    expected[strcspn(expected, "\n")] = '\0';
    if (strlen(expected) != len || memcmp(expected, line, len) != 0)
        fail_msg("%s:%u: %s\nis        %.*s\nshould be %s", golden->name, golden->line, golden->topic, (int)len, line,
                 expected);
}

/* Each line of the text. */
static VT_UNUSED void golden_text(struct golden *golden, const struct vt_text *text)
{
    for (const char *at = text->text; at < text->text + text->len;) {
        size_t len = strcspn(at, "\n");

        golden_line(golden, at, len);
        at += len + 1;
    }
}

static VT_UNUSED void golden_close(struct golden *golden)
{
    if (!golden->writes)
        assert_int_equal(fgetc(golden->file), EOF);
    assert_int_equal(fclose(golden->file), 0);
}

#endif
