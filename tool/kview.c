/* SPDX-License-Identifier: MIT */
/* kview.c - reads an address space as /proc shows it. Comparison and import are in kview_compare.c. */
#include "kview.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A position in a text that ends with a zero byte at `end`. */
struct scan {
    char *at, *end;
    size_t line;
};

/* ---- Whole files ---- */

/* Makes room for `len` bytes and the final zero. */
static int reserve_text(struct kview *view, size_t len)
{
    if (len < view->text_room)
        return 0;
    size_t room = view->text_room < 32768 ? 65536 : view->text_room * 2;
    if (room <= len)
        room = len + 1;
    char *text = realloc(view->text, room);
    if (text == NULL)
        return -ENOMEM;
    view->text = text;
    view->text_room = room;
    return 0;
}

/* The text ends with a whole line, and its last area begins at or above `limit`. */
static bool is_above(const char *text, size_t len, vmk_addr limit)
{
    const char *line = text + len;
    if (len == 0 || line[-1] != '\n')
        return false;
    for (line--; line > text; line--)
        if (line[-1] == '\n' && ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')))
            break;
    return strtoull(line, NULL, 16) >= limit;
}

/* Reads the file, up to the areas at `limit`, into view->text; *len is the length. */
static int slurp_fd(struct kview *view, int fd, vmk_addr limit, size_t *len)
{
    size_t used = 0;
    while (limit == UINT64_MAX || !is_above(view->text, used, limit)) {
        int error = reserve_text(view, used + 16384);
        if (error != 0)
            return error;
        ssize_t got = read(fd, view->text + used, view->text_room - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    view->text[used] = '\0';
    *len = used;
    return 0;
}

static int slurp(struct kview *view, const char *path, vmk_addr limit, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = slurp_fd(view, fd, limit, len);
    close(fd);
    return error;
}

/* ---- Lines of maps ---- */

/* A hexadecimal number, then `stop`; false when it is neither. */
static bool read_hex(struct scan *scan, char stop, uint64_t *value)
{
    uint64_t v = 0;
    char *p = scan->at;
    for (;; p++) {
        unsigned digit;
        if (*p >= '0' && *p <= '9')
            digit = (unsigned)(*p - '0');
        else if (*p >= 'a' && *p <= 'f')
            digit = (unsigned)(*p - 'a') + 10;
        else
            break;
        if (v >> 60 != 0)
            return false;
        v = v << 4 | digit;
    }
    if (p == scan->at || *p != stop)
        return false;
    scan->at = p + 1;
    *value = v;
    return true;
}

static bool read_dec(struct scan *scan, uint64_t *value)
{
    uint64_t v = 0;
    char *p = scan->at;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == scan->at)
        return false;
    scan->at = p;
    *value = v;
    return true;
}

/* "rw-p " and what the four letters say of the flags. */
static bool read_perms(struct scan *scan, struct kview_area *area)
{
    static const char letters[4][3] = {"r-", "w-", "x-", "sp"};
    static const vmk_vm_flags bits[4] = {VMK_VM_READ, VMK_VM_WRITE, VMK_VM_EXEC, VMK_VM_SHARED};

    area->flags = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = scan->at[i];
        if (c == '\0' || (c != letters[i][0] && c != letters[i][1]))
            return false;
        area->perms[i] = c;
        if (c == letters[i][0])
            area->flags |= bits[i];
    }
    area->perms[4] = '\0';
    if (scan->at[4] != ' ')
        return false;
    scan->at += 5;
    return true;
}

/* The zero byte that ends this line is written here; the scan stands on the next line afterwards. */
static char *end_line(struct scan *scan)
{
    char *stop = memchr(scan->at, '\n', (size_t)(scan->end - scan->at));
    char *line_end = stop == NULL ? scan->end : stop;
    *line_end = '\0';
    scan->at = stop == NULL ? scan->end : stop + 1;
    scan->line++;
    return line_end;
}

/* start-end perms offset major:minor inode   name */
static bool read_area(struct scan *scan, struct kview_area *area)
{
    uint64_t major, minor;

    area->anonymous_kb = 0;
    if (!read_hex(scan, '-', &area->start) || !read_hex(scan, ' ', &area->end) || area->start >= area->end ||
        !read_perms(scan, area) || !read_hex(scan, ' ', &area->offset) || !read_hex(scan, ':', &major) ||
        !read_hex(scan, ' ', &minor) || !read_dec(scan, &area->inode) || major > UINT32_MAX || minor > UINT32_MAX)
        return false;
    area->dev_major = (unsigned)major;
    area->dev_minor = (unsigned)minor;
    if (*scan->at != ' ' && *scan->at != '\n' && *scan->at != '\0')
        return false;
    while (*scan->at == ' ')
        scan->at++;
    area->name = scan->at;
    end_line(scan);
    return true;
}

/* The vsyscall page belongs to no address space. */
static bool is_vsyscall(const struct kview_area *area)
{
    return area->start >= UINT64_C(0xffffffffff000000) && strcmp(area->name, "[vsyscall]") == 0;
}

static struct kview_area *new_area(struct kview *view)
{
    if (view->nr_areas == view->room) {
        size_t room = view->room == 0 ? 64 : view->room * 2;
        struct kview_area *areas = realloc(view->areas, room * sizeof(*areas));
        if (areas == NULL)
            return NULL;
        view->areas = areas;
        view->room = room;
    }
    return &view->areas[view->nr_areas];
}

/* ---- Lines of smaps below an area's ---- */

/* "VmFlags: rd wr" and "Anonymous:   4 kB"; the other lines are passed over. `area` may be NULL. */
static bool read_detail(struct scan *scan, struct kview *view, struct kview_area *area)
{
    char *line = scan->at;
    end_line(scan);
    if (strncmp(line, "Anonymous:", 10) == 0) {
        struct scan value = {line + 10, NULL, 0};
        while (*value.at == ' ')
            value.at++;
        uint64_t kb;
        if (!read_dec(&value, &kb))
            return false;
        if (area != NULL)
            area->anonymous_kb = kb;
    } else if (strncmp(line, "VmFlags:", 8) == 0) {
        vmk_vm_flags flags = 0;
        if (vmk_vmflags_parse(line + 8, &flags, NULL) != 0)
            return false;
        view->has |= KVIEW_FLAGS;
        if (area != NULL)
            area->flags = flags;
    }
    return true;
}

/* A detail line is a word that starts with a capital letter and a colon. */
static bool is_detail(const char *line)
{
    if (*line < 'A' || *line > 'Z')
        return false;
    while (*line != '\0' && *line != '\n' && *line != ':')
        line++;
    return *line == ':';
}

/* Reads view->text, which is changed: names are ended with zero bytes. */
static int parse_text(struct kview *view, size_t len, size_t *bad_line)
{
    struct scan scan = {view->text, view->text + len, 1};
    struct kview_area *area = NULL;

    while (scan.at < scan.end) {
        bool good = true;
        size_t line = scan.line;
        if (*scan.at == '\n') {
            end_line(&scan);
        } else if (is_detail(scan.at)) {
            good = read_detail(&scan, view, area);
        } else {
            area = new_area(view);
            if (area == NULL)
                return -ENOMEM;
            vmk_addr before = view->nr_areas == 0 ? 0 : area[-1].end;
            good = read_area(&scan, area) && area->start >= before;
            if (good && is_vsyscall(area))
                area = NULL;
            else if (good)
                view->nr_areas++;
        }
        if (!good) {
            if (bad_line != NULL)
                *bad_line = line;
            return -EINVAL;
        }
    }
    return 0;
}

static void clear_view(struct kview *view)
{
    view->nr_areas = 0;
    view->has = 0;
    memset(&view->status, 0, sizeof(view->status));
}

int kview_parse(struct kview *view, const char *text, size_t len, size_t *bad_line)
{
    clear_view(view);
    if (memchr(text, '\0', len) != NULL) {
        if (bad_line != NULL) {
            *bad_line = 1;
            for (const char *p = text; *p != '\0'; p++)
                *bad_line += *p == '\n';
        }
        return -EINVAL;
    }
    int error = reserve_text(view, len);
    if (error != 0)
        return error;
    memcpy(view->text, text, len);
    view->text[len] = '\0';
    return parse_text(view, len, bad_line);
}

/* The number of the last line when no newline ends it, otherwise 0. */
static size_t cut_line(const char *text, size_t len)
{
    size_t line = 1;

    if (len == 0 || text[len - 1] == '\n')
        return 0;
    for (size_t i = 0; i < len; i++)
        line += text[i] == '\n';
    return line;
}

int kview_read_file(struct kview *view, const char *path, size_t *bad_line)
{
    size_t len = 0;

    *bad_line = 0;
    clear_view(view);
    int error = slurp(view, path, UINT64_MAX, &len);
    if (error != 0)
        return error;
    char *zero = memchr(view->text, '\0', len);
    if (zero != NULL) {
        *bad_line = 1;
        for (const char *p = view->text; p < zero; p++)
            *bad_line += *p == '\n';
        return -EINVAL;
    }
    size_t cut = cut_line(view->text, len); /* parsing puts zero bytes in place of newlines */
    error = parse_text(view, len, bad_line);
    if (cut == 0 || (error != 0 && *bad_line != cut))
        return error;
    *bad_line = cut;
    return -ENODATA;
}

/* ---- status ---- */

static void status_line(struct kview_status *status, const char *line)
{
    static const struct {
        char name[8];
        size_t offset;
    } fields[] = {
        {"VmPeak:", offsetof(struct kview_status, peak)}, {"VmSize:", offsetof(struct kview_status, size)},
        {"VmLck:", offsetof(struct kview_status, lck)},   {"VmPin:", offsetof(struct kview_status, pin)},
        {"VmData:", offsetof(struct kview_status, data)}, {"VmStk:", offsetof(struct kview_status, stk)},
        {"VmExe:", offsetof(struct kview_status, exe)},   {"VmLib:", offsetof(struct kview_status, lib)},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t len = strlen(fields[i].name);
        if (strncmp(line, fields[i].name, len) == 0) {
            uint64_t kb = strtoull(line + len, NULL, 10);
            memcpy((char *)status + fields[i].offset, &kb, sizeof(kb));
        }
    }
}

void kview_take_status(struct kview *view, const char *text)
{
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL)
        if (line[0] == 'V' && line[1] == 'm')
            status_line(&view->status, line);
    view->has |= KVIEW_STATUS;
}

static int read_status(struct kview *view, pid_t pid)
{
    char path[64], text[8192];

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    ssize_t got;
    while ((got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)got;
    int error = got < 0 ? -errno : 0;
    close(fd);
    text[used] = '\0';
    if (error == 0)
        kview_take_status(view, text);
    return error;
}

int kview_read_below(struct kview *view, pid_t pid, unsigned what, vmk_addr limit)
{
    char path[64];
    size_t len = 0;

    clear_view(view);
    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, what & KVIEW_FLAGS ? "smaps" : "maps");
    int error = slurp(view, path, limit, &len);
    if (error == 0)
        error = parse_text(view, len, NULL);
    if (error == 0 && what & KVIEW_STATUS)
        error = read_status(view, pid);
    return error;
}

int kview_read(struct kview *view, pid_t pid, unsigned what)
{
    return kview_read_below(view, pid, what, UINT64_MAX);
}

void kview_free(struct kview *view)
{
    free(view->areas);
    free(view->text);
    memset(view, 0, sizeof(*view));
}
