/* SPDX-License-Identifier: MIT */
/* record_write.c - writes recorded traces; docs/trace-format.md describes the lines. */
#include "record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct record_writer {
    FILE *out;
    bool owns, strip;
    uint64_t nr_events;
    int error; /* of the first write that failed, -errno */
};

/* ---- Opening and closing ---- */

static void note_error(struct record_writer *writer)
{
    if (writer->error == 0 && ferror(writer->out))
        writer->error = errno != 0 ? -errno : -EIO;
}

int record_open_stream(FILE *stream, struct record_writer **writer)
{
    struct record_writer *new = calloc(1, sizeof(*new));
    if (new == NULL)
        return -ENOMEM;
    new->out = stream;
    fprintf(stream, "vmakit-trace %d\n", RECORD_VERSION);
    note_error(new);
    *writer = new;
    return 0;
}

int record_open(const char *path, struct record_writer **writer)
{
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(path, "we");
    if (out == NULL)
        return -errno;
    int error = record_open_stream(out, writer);
    if (error == 0)
        (*writer)->owns = !is_stdout;
    else if (!is_stdout)
        fclose(out);
    return error;
}

int record_close(struct record_writer *writer)
{
    if (fflush(writer->out) != 0 && writer->error == 0)
        writer->error = -errno;
    note_error(writer);
    if (writer->owns && fclose(writer->out) != 0 && writer->error == 0)
        writer->error = -errno;
    int error = writer->error;
    free(writer);
    return error;
}

void record_strip_results(struct record_writer *writer, bool strip)
{
    writer->strip = strip;
}

/* ---- Values ---- */

/* A text between quotes; what a line cannot hold is escaped. */
static void write_text(struct record_writer *writer, const char *text)
{
    putc('"', writer->out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(writer->out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", writer->out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(writer->out, "\\x%02x", c);
        else
            putc(c, writer->out);
    }
    putc('"', writer->out);
}

static void write_named_text(struct record_writer *writer, const char *name, const char *text)
{
    if (text == NULL || *text == '\0')
        return;
    fprintf(writer->out, " %s=", name);
    write_text(writer, text);
}

/* " name=0x12", left out when it is 0. */
static void write_hex(struct record_writer *writer, const char *name, uint64_t value)
{
    if (value != 0)
        fprintf(writer->out, " %s=0x%" PRIx64, name, value);
}

static void write_limit(struct record_writer *writer, const char *name, const struct vmk_rlimit *limit)
{
    const uint64_t values[2] = {limit->soft, limit->hard};

    fprintf(writer->out, " %s=", name);
    for (size_t i = 0; i < 2; i++) {
        if (i != 0)
            putc(':', writer->out);
        if (values[i] == VMK_RLIM_INFINITY)
            fputs("unlimited", writer->out);
        else
            fprintf(writer->out, "%" PRIu64, values[i]);
    }
}

static void end_line(struct record_writer *writer)
{
    putc('\n', writer->out);
    note_error(writer);
}

void record_comment(struct record_writer *writer, const char *text)
{
    fputs("# ", writer->out);
    for (; *text != '\0'; text++)
        putc(*text == '\n' ? ' ' : *text, writer->out);
    end_line(writer);
}

/* ---- Settings, files, processes ---- */

void record_settings(struct record_writer *writer, const struct vmk_settings *settings, const struct vmk_sysctl *sysctl)
{
#define WRITE_SETTING(name, judged, meaning) fprintf(writer->out, "setting " #name "=%" PRIu64 "\n", settings->name);
    VMK_SETTINGS(WRITE_SETTING)
#undef WRITE_SETTING
#define WRITE_SYSCTL(name) fprintf(writer->out, "sysctl " #name "=%" PRIu64 "\n", sysctl->name);
    RECORD_SYSCTLS(WRITE_SYSCTL)
#undef WRITE_SYSCTL
    note_error(writer);
}

static void write_mode(struct record_writer *writer, uint32_t mode)
{
    static const char *const names[] = {"read", "write", "path", "noexec", "thp_align", "sync"};
    const char *between = "";

    fputs(" mode=", writer->out);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((mode & 1u << i) == 0)
            continue;
        fprintf(writer->out, "%s%s", between, names[i]);
        between = "|";
    }
    if (*between == '\0')
        putc('0', writer->out);
}

void record_file(struct record_writer *writer, const struct record_file *file)
{
    static const char *const kinds[] = {"regular", "shmem", "hugetlb", "zero", "secret", "device", "none"};

    fprintf(writer->out, "file %" PRIu64, file->id);
    if (file->object != 0)
        fprintf(writer->out, " object=%" PRIu64, file->object);
    fprintf(writer->out, " kind=%s", kinds[file->kind]);
    write_mode(writer, file->mode);
    fprintf(writer->out, " size=%" PRIu64, file->nr_bytes);
    write_hex(writer, "seals", file->seals);
    if (file->huge_shift != 0)
        fprintf(writer->out, " huge_shift=%u", file->huge_shift);
    if (file->inode != 0 || file->dev_major != 0 || file->dev_minor != 0)
        fprintf(writer->out, " dev=%02x:%02x inode=%" PRIu64, file->dev_major, file->dev_minor, file->inode);
    write_named_text(writer, "name", file->name);
    end_line(writer);
}

void record_process(struct record_writer *writer, const struct record_process *process)
{
    const struct vmk_mm_layout *layout = &process->layout;

    fprintf(writer->out, "process %" PRIu64, process->pid);
    write_limit(writer, "as", &process->rlimits.as);
    write_limit(writer, "data", &process->rlimits.data);
    write_limit(writer, "stack", &process->rlimits.stack);
    write_limit(writer, "memlock", &process->rlimits.memlock);
    write_hex(writer, "capabilities", process->capabilities);
    write_hex(writer, "personality", process->personality);
    if (process->peak_pages != 0)
        fprintf(writer->out, " peak=%" PRIu64, process->peak_pages);
#define WRITE_MARK(name) write_hex(writer, #name, layout->name);
    RECORD_MARKS(WRITE_MARK)
#undef WRITE_MARK
    fprintf(writer->out, " top_down=%d", layout->top_down);
    end_line(writer);
}

void record_expect(struct record_writer *writer, uint64_t pid)
{
    fprintf(writer->out, "expect %" PRIu64, pid);
    end_line(writer);
}

void record_area(struct record_writer *writer, const struct record_area *area)
{
    char text[VMK_VMFLAGS_TEXT_MAX];
    size_t len = vmk_vmflags_text(NULL, area->flags, text, sizeof(text));

    if (len != 0 && len < sizeof(text))
        text[len - 1] = '\0';
    fprintf(writer->out, "area %" PRIx64 "-%" PRIx64 " flags=\"%s\"", area->start, area->end, text);
    write_hex(writer, "offset", area->offset);
    if (area->file != 0)
        fprintf(writer->out, " file=%" PRIu64, area->file);
    fprintf(writer->out, " anon_vma=%s", record_anon_words[area->anon_vma]);
    write_named_text(writer, "name", area->name);
    end_line(writer);
}

/* ---- Events ---- */

static void write_result(struct record_writer *writer, const struct record_event *event)
{
    const int64_t result = event->result;
    const char *name = result < 0 && result > -4096 ? record_errno_name((int)-result) : NULL;

    if (!event->has_result || writer->strip)
        fputs(" = ?", writer->out);
    else if (name != NULL)
        fprintf(writer->out, " = -%s", name);
    else if (result < 0 && result > -4096)
        fprintf(writer->out, " = %" PRId64, result);
    else if (event->call == RECORD_fault && record_signal_name(result) != NULL)
        fprintf(writer->out, " = %s", record_signal_name(result));
    else
        fprintf(writer->out, result >= 0 && result < 10 ? " = %" PRId64 : " = 0x%" PRIx64, result);
}

/* "file=none", "file=3" or "file=-EBADF". */
static void write_file_arg(struct record_writer *writer, uint64_t value)
{
    int64_t number = (int64_t)value;
    const char *name = number < 0 && number > -4096 ? record_errno_name((int)-number) : NULL;

    if (number == 0)
        fputs("none", writer->out);
    else if (name != NULL)
        fprintf(writer->out, "-%s", name);
    else
        fprintf(writer->out, "%" PRId64, number);
}

uint64_t record_call(struct record_writer *writer, const struct record_event *event)
{
    char text[256];

    fprintf(writer->out, "%" PRIu64 " %s", event->pid, record_call_name(event->call));
    for (size_t i = 0; record_arg_name(event->call, i) != NULL; i++) {
        const char *name = record_arg_name(event->call, i);
        if (strcmp(name, "text") == 0) {
            if (event->text != NULL) {
                fputs(" text=", writer->out);
                write_text(writer, event->text);
            }
        } else if (strcmp(name, "file") == 0) {
            fputs(" file=", writer->out);
            write_file_arg(writer, event->args[i].number);
        } else {
            record_format_arg(event->call, i, event->args[i], text, sizeof(text));
            fprintf(writer->out, " %s=%s", name, text);
        }
    }
    write_result(writer, event);
    end_line(writer);
    return ++writer->nr_events;
}

/* ---- From an address space ---- */

/* What the writer's lines need of one area; false after the last. */
static bool area_of(struct vmk_mm *mm, vmk_addr *cursor, struct record_area *area, char *name, size_t size)
{
    struct vmk_vma_info info = {.size = sizeof(info)};

    vmk_mm_lock_read(mm);
    const struct vmk_vma *vma = vmk_mm_find(mm, *cursor);
    if (vma != NULL) {
        vmk_vma_get_info(vma, &info);
        vmk_vma_name(vma, name, size);
    }
    vmk_mm_unlock_read(mm);
    if (vma == NULL)
        return false;
    *cursor = info.end;
    *area = (struct record_area){
        .start = info.start,
        .end = info.end,
        .flags = info.flags,
        .offset = info.file == NULL ? 0 : info.pgoff << vmk_mm_settings(mm)->page_shift,
        .file = info.file == NULL ? 0 : info.file_id,
        .anon_vma = info.anon_vma_unknown     ? VMK_ANON_UNKNOWN
                    : info.anon_vma_inherited ? VMK_ANON_INHERITED
                    : info.anon_vma != 0      ? VMK_ANON_YES
                                              : VMK_ANON_NO,
    };
    bool named = info.is_special || strncmp(name, "[anon", 5) == 0;
    area->name = named ? name : NULL;
    return true;
}

void record_file_of(struct record_file *line, struct vmk_file *file, uint32_t mode)
{
    struct vmk_object *object = vmk_file_object(file);

    *line = (struct record_file){
        .id = vmk_file_id(file),
        .object = vmk_object_id(object),
        .kind = vmk_object_kind_of(object),
        .mode = mode,
        .seals = vmk_file_seals(file),
        .inode = vmk_object_inode(object),
        .nr_bytes = vmk_object_nr_bytes(object),
        .name = vmk_file_name(file),
    };
    vmk_object_device(object, &line->dev_major, &line->dev_minor);
}

void record_areas_of(struct record_writer *writer, struct vmk_mm *mm)
{
    char name[RECORD_TEXT_MAX];
    struct record_area area;
    vmk_addr cursor = 0;

    while (area_of(mm, &cursor, &area, name, sizeof(name)))
        record_area(writer, &area);
}

void record_process_of(struct record_process *process, uint64_t pid, struct vmk_mm *mm)
{
    struct vmk_mm_stats stats = {.size = sizeof(stats)};

    memset(process, 0, sizeof(*process));
    process->pid = pid;
    vmk_mm_get_rlimits(mm, &process->rlimits);
    process->capabilities = vmk_mm_capabilities(mm);
    vmk_mm_get_layout(mm, &process->layout);
    vmk_mm_get_stats(mm, &stats);
    process->peak_pages = stats.peak_vm;
}

/* Heap and stack have their names from where they are. */
static bool is_given_name(const char *name)
{
    return name[0] == '[' && strcmp(name, "[heap]") != 0 && strcmp(name, "[stack]") != 0;
}

static void expect_status(struct record_writer *writer, uint64_t pid, const struct kview_status *status)
{
    fprintf(writer->out, "expect %" PRIu64, pid);
#define WRITE_STATUS(name) fprintf(writer->out, " " #name "=%" PRIu64, status->name);
    RECORD_STATUS(WRITE_STATUS)
#undef WRITE_STATUS
    end_line(writer);
}

void record_expect_view(struct record_writer *writer, uint64_t pid, const struct kview *view, struct vmk_mm *mm)
{
    if ((view->has & KVIEW_STATUS) != 0)
        expect_status(writer, pid, &view->status);
    else
        record_expect(writer, pid);
    for (size_t i = 0; i < view->nr_areas; i++) {
        const struct kview_area *area = &view->areas[i];
        struct vmk_vma_info info = {.size = sizeof(info)};
        struct record_area line = {
            .start = area->start,
            .end = area->end,
            .flags = area->flags,
            .offset = area->offset,
            .anon_vma = VMK_ANON_UNKNOWN, /* the kernel does not show it */
            .name = is_given_name(area->name) ? area->name : NULL,
        };
        if (area->inode != 0 && vmk_mm_lookup(mm, area->start, &info) == 0 && info.file != NULL)
            line.file = info.file_id;
        record_area(writer, &line);
    }
}
