/* SPDX-License-Identifier: MIT */
/* record_names.c - the words of recorded traces: calls, arguments, flags, errors. strace writes the same names. */
#include "record.h"

#include <inttypes.h>
#include <string.h>

enum { NR_ERRNOS = 134 };

static const struct {
    const char *name;
    const char *args[RECORD_ARGS_MAX + 1];
} calls[] = {
#define RECORD_CALL_ROW(call, ...) {#call, {__VA_ARGS__}},
    RECORD_CALLS(RECORD_CALL_ROW)
#undef RECORD_CALL_ROW
};

const char *record_call_name(enum record_call call)
{
    return calls[call].name;
}

const char *record_arg_name(enum record_call call, size_t i)
{
    return i < RECORD_ARGS_MAX ? calls[call].args[i] : NULL;
}

static bool is_word(const char *word, const char *text, size_t len)
{
    return strlen(word) == len && memcmp(word, text, len) == 0;
}

int record_call_find(const char *name, size_t len)
{
    for (int i = 0; i < RECORD_CALL_COUNT; i++)
        if (is_word(calls[i].name, name, len))
            return i;
    return -1;
}

/* ---- Flags ---- */

enum flag_set {
    SET_NONE,
    SET_PROT,
    SET_MAP_TYPE, /* the low four bits of mmap's flags: one of them */
    SET_MAP,
    SET_ADVICE, /* one of them */
    SET_MREMAP,
    SET_MS,
    SET_MLOCK,
    SET_MCL,
    SET_SHM,
    SET_MPOL, /* one of them, and SET_MPOL_F */
    SET_MPOL_F,
    SET_MPOL_MF,
    SET_ACCESS,
    SET_FAULT,
    SET_RLIMIT, /* one of them */
    SET_SIGNAL, /* one of them */
    SET_PERSONALITY,
    SET_UFFD,
    SET_MDWE,
    SET_OTHER
};

struct flag_name {
    const char *name;
    uint64_t value;
    enum flag_set set;
};

#define ROW(set, prefix, name)                                                                                         \
    {                                                                                                                  \
#prefix #name, VMK_##prefix##name, set                                                                         \
    }

static const struct flag_name flags[] = {
    ROW(SET_PROT, PROT_, READ),
    ROW(SET_PROT, PROT_, WRITE),
    ROW(SET_PROT, PROT_, EXEC),
    ROW(SET_PROT, PROT_, SEM),
    ROW(SET_PROT, PROT_, BTI),
    ROW(SET_PROT, PROT_, MTE),
    ROW(SET_PROT, PROT_, GROWSDOWN),
    ROW(SET_PROT, PROT_, GROWSUP),
    ROW(SET_OTHER, PROT_, NONE),
    ROW(SET_MAP_TYPE, MAP_, SHARED),
    ROW(SET_MAP_TYPE, MAP_, PRIVATE),
    ROW(SET_MAP_TYPE, MAP_, SHARED_VALIDATE),
    ROW(SET_MAP_TYPE, MAP_, DROPPABLE),
    ROW(SET_MAP, MAP_, FIXED),
    ROW(SET_MAP, MAP_, ANONYMOUS),
    ROW(SET_MAP, MAP_, 32BIT),
    ROW(SET_MAP, MAP_, ABOVE4G),
    ROW(SET_MAP, MAP_, GROWSDOWN),
    ROW(SET_MAP, MAP_, DENYWRITE),
    ROW(SET_MAP, MAP_, EXECUTABLE),
    ROW(SET_MAP, MAP_, LOCKED),
    ROW(SET_MAP, MAP_, NORESERVE),
    ROW(SET_MAP, MAP_, POPULATE),
    ROW(SET_MAP, MAP_, NONBLOCK),
    ROW(SET_MAP, MAP_, STACK),
    ROW(SET_MAP, MAP_, HUGETLB),
    ROW(SET_MAP, MAP_, SYNC),
    ROW(SET_MAP, MAP_, FIXED_NOREPLACE),
    {"MAP_ANON", VMK_MAP_ANONYMOUS, SET_OTHER},
    {"MAP_FILE", 0, SET_OTHER},
    {"MAP_UNINITIALIZED", VMK_MAP_UNINITIALIZED, SET_OTHER}, /* shares a bit with the huge page sizes */
    {"MAP_HUGE_SHIFT", VMK_MAP_HUGE_SHIFT, SET_OTHER},
    {"MAP_HUGE_2MB", UINT64_C(21) << VMK_MAP_HUGE_SHIFT, SET_OTHER},
    {"MAP_HUGE_1GB", UINT64_C(30) << VMK_MAP_HUGE_SHIFT, SET_OTHER},
    ROW(SET_ADVICE, MADV_, NORMAL),
    ROW(SET_ADVICE, MADV_, RANDOM),
    ROW(SET_ADVICE, MADV_, SEQUENTIAL),
    ROW(SET_ADVICE, MADV_, WILLNEED),
    ROW(SET_ADVICE, MADV_, DONTNEED),
    ROW(SET_ADVICE, MADV_, FREE),
    ROW(SET_ADVICE, MADV_, REMOVE),
    ROW(SET_ADVICE, MADV_, DONTFORK),
    ROW(SET_ADVICE, MADV_, DOFORK),
    ROW(SET_ADVICE, MADV_, MERGEABLE),
    ROW(SET_ADVICE, MADV_, UNMERGEABLE),
    ROW(SET_ADVICE, MADV_, HUGEPAGE),
    ROW(SET_ADVICE, MADV_, NOHUGEPAGE),
    ROW(SET_ADVICE, MADV_, DONTDUMP),
    ROW(SET_ADVICE, MADV_, DODUMP),
    ROW(SET_ADVICE, MADV_, WIPEONFORK),
    ROW(SET_ADVICE, MADV_, KEEPONFORK),
    ROW(SET_ADVICE, MADV_, COLD),
    ROW(SET_ADVICE, MADV_, PAGEOUT),
    ROW(SET_ADVICE, MADV_, POPULATE_READ),
    ROW(SET_ADVICE, MADV_, POPULATE_WRITE),
    ROW(SET_ADVICE, MADV_, DONTNEED_LOCKED),
    ROW(SET_ADVICE, MADV_, COLLAPSE),
    ROW(SET_ADVICE, MADV_, HWPOISON),
    ROW(SET_ADVICE, MADV_, SOFT_OFFLINE),
    ROW(SET_ADVICE, MADV_, GUARD_INSTALL),
    ROW(SET_ADVICE, MADV_, GUARD_REMOVE),
    ROW(SET_MREMAP, MREMAP_, MAYMOVE),
    ROW(SET_MREMAP, MREMAP_, FIXED),
    ROW(SET_MREMAP, MREMAP_, DONTUNMAP),
    ROW(SET_MS, MS_, ASYNC),
    ROW(SET_MS, MS_, INVALIDATE),
    ROW(SET_MS, MS_, SYNC),
    ROW(SET_MLOCK, MLOCK_, ONFAULT),
    ROW(SET_MCL, MCL_, CURRENT),
    ROW(SET_MCL, MCL_, FUTURE),
    ROW(SET_MCL, MCL_, ONFAULT),
    ROW(SET_SHM, SHM_, RDONLY),
    ROW(SET_SHM, SHM_, RND),
    ROW(SET_SHM, SHM_, REMAP),
    ROW(SET_SHM, SHM_, EXEC),
    ROW(SET_MPOL, MPOL_, DEFAULT),
    ROW(SET_MPOL, MPOL_, PREFERRED),
    ROW(SET_MPOL, MPOL_, BIND),
    ROW(SET_MPOL, MPOL_, INTERLEAVE),
    ROW(SET_MPOL, MPOL_, LOCAL),
    ROW(SET_MPOL, MPOL_, PREFERRED_MANY),
    ROW(SET_MPOL, MPOL_, WEIGHTED_INTERLEAVE),
    ROW(SET_MPOL_F, MPOL_F_, NUMA_BALANCING),
    ROW(SET_MPOL_F, MPOL_F_, RELATIVE_NODES),
    ROW(SET_MPOL_F, MPOL_F_, STATIC_NODES),
    ROW(SET_MPOL_MF, MPOL_MF_, STRICT),
    ROW(SET_MPOL_MF, MPOL_MF_, MOVE),
    ROW(SET_MPOL_MF, MPOL_MF_, MOVE_ALL),
    {"read", VMK_ACCESS_READ, SET_ACCESS},
    {"write", VMK_ACCESS_WRITE, SET_ACCESS},
    {"exec", VMK_ACCESS_EXEC, SET_ACCESS},
    {"foreign", VMK_ACCESS_FOREIGN, SET_ACCESS},
    {"force", VMK_ACCESS_FORCE, SET_ACCESS},
    {"remote", VMK_ACCESS_REMOTE, SET_ACCESS},
    {"user", VMK_FAULT_USER, SET_FAULT},
    {"nowait", VMK_FAULT_NOWAIT, SET_FAULT},
    {"present", VMK_FAULT_PRESENT, SET_FAULT},
    {"has_table", VMK_FAULT_HAS_TABLE, SET_FAULT},
    {"guard", VMK_FAULT_GUARD, SET_FAULT},
    {"no_grow", VMK_FAULT_NO_GROW, SET_FAULT},
    {"pkey", VMK_FAULT_PKEY, SET_FAULT},
    {"uffd_wp", VMK_FAULT_UFFD_WP, SET_FAULT},
    {"cached", VMK_FAULT_CACHED, SET_FAULT},
    {"as", RECORD_RLIMIT_AS, SET_RLIMIT},
    {"data", RECORD_RLIMIT_DATA, SET_RLIMIT},
    {"stack", RECORD_RLIMIT_STACK, SET_RLIMIT},
    {"memlock", RECORD_RLIMIT_MEMLOCK, SET_RLIMIT},
    {"SIGBUS", VMK_SIGBUS, SET_SIGNAL},
    {"SIGSEGV", VMK_SIGSEGV, SET_SIGNAL},
    {"SEGV_MAPERR", RECORD_SIGNAL(VMK_SIGSEGV, VMK_SEGV_MAPERR), SET_SIGNAL},
    {"SEGV_ACCERR", RECORD_SIGNAL(VMK_SIGSEGV, VMK_SEGV_ACCERR), SET_SIGNAL},
    {"SEGV_PKUERR", RECORD_SIGNAL(VMK_SIGSEGV, VMK_SEGV_PKUERR), SET_SIGNAL},
    {"BUS_ADRERR", RECORD_SIGNAL(VMK_SIGBUS, VMK_BUS_ADRERR), SET_SIGNAL},
    {"BUS_MCEERR_AR", RECORD_SIGNAL(VMK_SIGBUS, VMK_BUS_MCEERR_AR), SET_SIGNAL},
    {"ADDR_NO_RANDOMIZE", VMK_ADDR_NO_RANDOMIZE, SET_PERSONALITY},
    {"MMAP_PAGE_ZERO", VMK_MMAP_PAGE_ZERO, SET_PERSONALITY},
    {"ADDR_COMPAT_LAYOUT", VMK_ADDR_COMPAT_LAYOUT, SET_PERSONALITY},
    {"READ_IMPLIES_EXEC", VMK_READ_IMPLIES_EXEC, SET_PERSONALITY},
    {"missing", VMK_UFFD_MODE_MISSING, SET_UFFD},
    {"wp", VMK_UFFD_MODE_WP, SET_UFFD},
    {"minor", VMK_UFFD_MODE_MINOR, SET_UFFD},
    {"REFUSE_EXEC_GAIN", VMK_MDWE_REFUSE_EXEC_GAIN, SET_MDWE},
    {"NO_INHERIT", VMK_MDWE_NO_INHERIT, SET_MDWE},
    {"unlimited", UINT64_MAX, SET_OTHER},
    {"NULL", 0, SET_OTHER},
};

enum { NR_FLAGS = sizeof(flags) / sizeof(flags[0]) };

static const struct flag_name *flag_find(const char *name, size_t len)
{
    for (size_t i = 0; i < NR_FLAGS; i++)
        if (is_word(flags[i].name, name, len))
            return &flags[i];
    return NULL;
}

/* Which names an argument is written with. */
static enum flag_set set_of(enum record_call call, const char *arg)
{
    static const struct {
        enum record_call call;
        const char *arg;
        enum flag_set set;
    } rows[] = {
        {RECORD_mmap, "flags", SET_MAP},          {RECORD_mremap, "flags", SET_MREMAP},
        {RECORD_mlock2, "flags", SET_MLOCK},      {RECORD_mlockall, "flags", SET_MCL},
        {RECORD_msync, "flags", SET_MS},          {RECORD_remap_file_pages, "flags", SET_MAP},
        {RECORD_shmat, "flags", SET_SHM},         {RECORD_mbind, "mode", SET_MPOL},
        {RECORD_mbind, "flags", SET_MPOL_MF},     {RECORD_set_mempolicy, "mode", SET_MPOL},
        {RECORD_fault, "access", SET_ACCESS},     {RECORD_fault, "flags", SET_FAULT},
        {RECORD_rlimit, "which", SET_RLIMIT},     {RECORD_personality, "value", SET_PERSONALITY},
        {RECORD_uffd_register, "mode", SET_UFFD}, {RECORD_mdwe, "value", SET_MDWE},
    };
    if (strcmp(arg, "prot") == 0)
        return SET_PROT;
    if (strcmp(arg, "advice") == 0)
        return SET_ADVICE;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].call == call && strcmp(rows[i].arg, arg) == 0)
            return rows[i].set;
    return SET_NONE;
}

/* A writer into a buffer that may be too small. */
struct cut {
    char *buffer;
    size_t size, len;
};

static void put(struct cut *cut, const char *text)
{
    for (; *text != '\0'; text++, cut->len++)
        if (cut->len + 1 < cut->size)
            cut->buffer[cut->len] = *text;
}

static void put_number(struct cut *cut, uint64_t value)
{
    char text[32];
    if (value >= UINT64_C(0) - 4096)
        snprintf(text, sizeof(text), "-%" PRIu64, UINT64_C(0) - value);
    else
        snprintf(text, sizeof(text), value < 10 ? "%" PRIu64 : "0x%" PRIx64, value);
    put(cut, text);
}

static void put_or(struct cut *cut, const char *text)
{
    if (cut->len != 0)
        put(cut, "|");
    put(cut, text);
}

/* One of a set, by its whole value; true when it has a name. */
static bool put_one_of(struct cut *cut, enum flag_set set, uint64_t value)
{
    for (size_t i = 0; i < NR_FLAGS; i++) {
        if (flags[i].set == set && flags[i].value == value) {
            put_or(cut, flags[i].name);
            return true;
        }
    }
    return false;
}

/* The bits of a set that are there; returns those without a name. */
static uint64_t put_bits(struct cut *cut, enum flag_set set, uint64_t value)
{
    for (size_t i = 0; i < NR_FLAGS; i++) {
        if (flags[i].set == set && flags[i].value != 0 && (value & flags[i].value) == flags[i].value) {
            put_or(cut, flags[i].name);
            value &= ~flags[i].value;
        }
    }
    return value;
}

static void put_flags(struct cut *cut, enum flag_set set, uint64_t value)
{
    uint64_t rest = value;

    if (set == SET_ADVICE || set == SET_RLIMIT) {
        if (!put_one_of(cut, set, value))
            put_number(cut, value);
        return;
    }
    if (set == SET_MAP && put_one_of(cut, SET_MAP_TYPE, value & VMK_MAP_TYPE))
        rest &= ~(uint64_t)VMK_MAP_TYPE;
    if (set == SET_MPOL && put_one_of(cut, SET_MPOL, value & 0xff))
        rest = put_bits(cut, SET_MPOL_F, value & ~UINT64_C(0xff));
    else
        rest = put_bits(cut, set, rest);
    if (rest != 0 && cut->len != 0)
        put(cut, "|");
    if (rest != 0 || cut->len == 0)
        put_number(cut, rest);
}

const char *record_signal_name(int64_t result)
{
    for (size_t i = 0; result > 0 && i < NR_FLAGS; i++)
        if (flags[i].set == SET_SIGNAL && flags[i].value == (uint64_t)result)
            return flags[i].name;
    return NULL;
}

size_t record_format_arg(enum record_call call, size_t i, struct record_value value, char *buffer, size_t size)
{
    struct cut cut = {buffer, size, 0};
    const char *arg = record_arg_name(call, i);

    if (value.event != 0) {
        char text[32];
        snprintf(text, sizeof(text), "r%" PRIu64, value.event);
        put(&cut, text);
        if (value.number != 0) {
            bool down = value.number >> 63 != 0;
            snprintf(text, sizeof(text), "%c0x%" PRIx64, down ? '-' : '+',
                     down ? UINT64_C(0) - value.number : value.number);
            put(&cut, text);
        }
    } else {
        enum flag_set set = arg == NULL ? SET_NONE : set_of(call, arg);
        if (set == SET_NONE)
            put_number(&cut, value.number);
        else
            put_flags(&cut, set, value.number);
    }
    if (size != 0)
        buffer[cut.len < size ? cut.len : size - 1] = '\0';
    return cut.len;
}

/* ---- Reading values ---- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* "12", "0x1f", "-1", and 017 in octal, as C and strace have them. */
static bool parse_number(const char *text, size_t len, uint64_t *value)
{
    size_t i = 0;
    uint64_t base = 10, v = 0;
    bool negative = len > 0 && text[0] == '-';

    i += negative;
    if (len > i + 2 && text[i] == '0' && (text[i + 1] == 'x' || text[i + 1] == 'X')) {
        base = 16;
        i += 2;
    } else if (len > i + 1 && text[i] == '0') {
        base = 8;
        i++;
    }
    if (i == len)
        return false;
    for (; i < len; i++) {
        int digit = digit_of(text[i]);
        if ((uint64_t)digit >= base || v > (UINT64_MAX - (uint64_t)digit) / base)
            return false;
        v = v * base + (uint64_t)digit;
    }
    *value = negative ? UINT64_C(0) - v : v;
    return true;
}

/* A number, a name, or "21<<MAP_HUGE_SHIFT". */
static bool parse_term(const char *text, size_t len, uint64_t *value)
{
    for (size_t i = 0; i + 1 < len; i++) {
        uint64_t left, right;
        if (text[i] != '<' || text[i + 1] != '<')
            continue;
        const struct flag_name *shift = flag_find(text + i + 2, len - i - 2);
        if (shift != NULL)
            right = shift->value;
        else if (!parse_number(text + i + 2, len - i - 2, &right))
            return false;
        if (!parse_number(text, i, &left))
            return false;
        if (right > 63)
            return false;
        *value = left << right;
        return true;
    }
    if (parse_number(text, len, value))
        return true;
    const struct flag_name *flag = flag_find(text, len);
    if (flag != NULL)
        *value = flag->value;
    return flag != NULL;
}

bool record_parse_flags(const char *text, size_t len, uint64_t *value, const char **bad)
{
    uint64_t sum = 0;
    size_t start = 0;

    for (size_t i = 0; i <= len; i++) {
        if (i != len && text[i] != '|')
            continue;
        uint64_t term;
        if (!parse_term(text + start, i - start, &term)) {
            if (bad != NULL)
                *bad = text + start;
            return false;
        }
        sum |= term;
        start = i + 1;
    }
    *value = sum;
    return true;
}

/* ---- Errors ---- */

static const char *const errnos[NR_ERRNOS] = {
    [VMK_EPERM] = "EPERM",
    [VMK_ENOENT] = "ENOENT",
    [VMK_ESRCH] = "ESRCH",
    [VMK_EINTR] = "EINTR",
    [VMK_EIO] = "EIO",
    [6] = "ENXIO",
    [VMK_E2BIG] = "E2BIG",
    [VMK_ENOEXEC] = "ENOEXEC",
    [VMK_EBADF] = "EBADF",
    [10] = "ECHILD",
    [VMK_EAGAIN] = "EAGAIN",
    [VMK_ENOMEM] = "ENOMEM",
    [VMK_EACCES] = "EACCES",
    [VMK_EFAULT] = "EFAULT",
    [15] = "ENOTBLK",
    [VMK_EBUSY] = "EBUSY",
    [VMK_EEXIST] = "EEXIST",
    [18] = "EXDEV",
    [VMK_ENODEV] = "ENODEV",
    [20] = "ENOTDIR",
    [21] = "EISDIR",
    [VMK_EINVAL] = "EINVAL",
    [23] = "ENFILE",
    [24] = "EMFILE",
    [25] = "ENOTTY",
    [26] = "ETXTBSY",
    [VMK_EFBIG] = "EFBIG",
    [VMK_ENOSPC] = "ENOSPC",
    [29] = "ESPIPE",
    [30] = "EROFS",
    [33] = "EDOM",
    [34] = "ERANGE",
    [35] = "EDEADLK",
    [36] = "ENAMETOOLONG",
    [38] = "ENOSYS",
    [VMK_EIDRM] = "EIDRM",
    [VMK_EOVERFLOW] = "EOVERFLOW",
    [VMK_EOPNOTSUPP] = "EOPNOTSUPP",
    [110] = "ETIMEDOUT",
    [116] = "ESTALE",
    [VMK_EHWPOISON] = "EHWPOISON",
};

const char *record_errno_name(int number)
{
    return number > 0 && number < NR_ERRNOS ? errnos[number] : NULL;
}

int record_errno_find(const char *name, size_t len)
{
    if (is_word("ENOTSUPP", name, len))
        return 524;
    for (int i = 1; i < NR_ERRNOS; i++)
        if (errnos[i] != NULL && is_word(errnos[i], name, len))
            return i;
    return 0;
}

const char *const record_anon_words[RECORD_ANON_WORDS] = {"no", "yes", "unknown", "inherited"};
