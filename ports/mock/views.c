/* SPDX-License-Identifier: MIT */
/*
 * views.c - the memory that atomic operations see: C11's release and acquire, operationally.
 *
 * A word keeps all values that were stored to it, numbered. A thread has a view: for each word the number of the oldest
 * value that it may still see. A load may return any value from there on; what it returns, the view includes. A release
 * store leaves the thread's view beside the value, and an acquire load that returns this value takes it over. A relaxed
 * store leaves what the thread's last release fence saw; a relaxed load keeps what it found until an acquire fence. Locks
 * carry views as well. Plain accesses see the newest value: that none races is the thread sanitizer's business.
 */
#include "mock.h"

#include <string.h>

#include "atomic.h"

enum { MAX_WORDS = 512, TABLE = 2048, MAX_VALUES = 4096, MAX_LOCKS = 64, MAX_EVER = 1 << 14 };

struct view {
    uint16_t oldest[MAX_WORDS];
};

struct value {
    uint64_t value;
    unsigned before; /* index of the value before it plus 1; 0: the first */
    uint16_t number;
    struct view released; /* of the first nr_words only */
};

struct word {
    const void *address;
    unsigned newest;
};

struct thread_views {
    struct view now, fence, pending;
};

static struct word words[MAX_WORDS];
static unsigned nr_words;
static uint16_t table[TABLE]; /* by hash: index of a word plus 1 */
static struct value values[MAX_VALUES];
static unsigned nr_values;
static struct thread_views threads[MOCK_MAX_THREADS];
static struct view locks[MAX_LOCKS];

/* Words that were stored to beside other threads, in any run: loads of others are no scheduling points. */
static const void *ever[MAX_EVER];
static unsigned nr_ever;
static bool grew;

static unsigned hash(const void *address)
{
    return (unsigned)((uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 40);
}

static const void **ever_place(const void *address)
{
    unsigned at = hash(address) % MAX_EVER;

    while (ever[at] != NULL && ever[at] != address)
        at = (at + 1) % MAX_EVER;
    return &ever[at];
}

static bool was_ever_stored(const void *address)
{
    return *ever_place(address) != NULL;
}

static void note_stored(const void *address)
{
    const void **place = ever_place(address);

    if (*place != NULL)
        return;
    if (nr_ever++ > MAX_EVER / 2)
        mock_violation("more words than the mock port remembers");
    *place = address;
    grew = true;
}

bool mock_views_grew(void)
{
    bool result = grew;

    grew = false;
    return result;
}

void mock_views_forget(void)
{
    memset(ever, 0, sizeof(ever));
    nr_ever = 0;
}

void mock_views_reset(void)
{
    memset(table, 0, sizeof(table));
    memset(threads, 0, sizeof(threads));
    memset(locks, 0, sizeof(locks));
    nr_words = 0;
    nr_values = 0;
}

void mock_views_start(unsigned nr_threads)
{
    (void)nr_threads; /* all begin with what is there: no word has two values yet */
    mock_views_reset();
}

static void join(struct view *view, const struct view *other)
{
    for (unsigned i = 0; i < nr_words; i++)
        if (other->oldest[i] > view->oldest[i])
            view->oldest[i] = other->oldest[i];
}

void mock_views_lock(unsigned lock, unsigned thread)
{
    join(&threads[thread].now, &locks[lock]);
}

void mock_views_unlock(unsigned lock, unsigned thread)
{
    join(&locks[lock], &threads[thread].now);
}

void mock_views_meet(void)
{
    for (unsigned thread = 0; thread < MOCK_MAX_THREADS; thread++)
        for (unsigned i = 0; i < nr_words; i++)
            threads[thread].now.oldest[i] = values[words[i].newest].number;
}

static uint64_t memory_get(const void *word, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, word, size);
    return value;
}

static struct word *find_word(const void *address, unsigned **place)
{
    static unsigned at;

    for (at = hash(address) % TABLE; table[at] != 0; at = (at + 1) % TABLE)
        if (words[table[at] - 1].address == address)
            return &words[table[at] - 1];
    *place = &at;
    return NULL;
}

static unsigned add_value(uint64_t value, unsigned before)
{
    if (nr_values == MAX_VALUES) {
        mock_violation("more stores than the mock port's memory holds");
        return 0;
    }
    values[nr_values] = (struct value){.value = value, .before = before};
    return nr_values++;
}

/* The word begins anew: with the value that memory has, for everybody. Plain stores made it so. */
static void restart_word(struct word *word, uint64_t value)
{
    unsigned number = values[word->newest].number + 1u;
    unsigned index = add_value(value, 0);

    values[index].number = (uint16_t)number;
    word->newest = index;
    for (unsigned thread = 0; thread < MOCK_MAX_THREADS; thread++)
        threads[thread].now.oldest[word - words] = (uint16_t)number;
}

static struct word *known_word(const void *address, unsigned size)
{
    unsigned *place;
    struct word *word = find_word(address, &place);

    if (word != NULL && values[word->newest].value != memory_get(address, size))
        restart_word(word, memory_get(address, size));
    return word;
}

static struct word *make_word(const void *address, unsigned size)
{
    unsigned *place;
    struct word *word = known_word(address, size);

    if (word != NULL)
        return word;
    find_word(address, &place);
    if (nr_words == MAX_WORDS) {
        mock_violation("more words than the mock port's memory holds");
        return &words[0];
    }
    table[*place] = (uint16_t)(nr_words + 1);
    word = &words[nr_words++];
    *word = (struct word){address, add_value(memory_get(address, size), 0)};
    return word;
}

/* The value that the load returns: one of those that the thread may still see. */
static const struct value *pick_value(const struct word *word, const struct view *view)
{
    const struct value *value = &values[word->newest];
    uint16_t oldest = view->oldest[word - words];
    unsigned nr = 1, skip;

    for (const struct value *at = value; at->before != 0 && values[at->before - 1].number >= oldest; nr++)
        at = &values[at->before - 1];
    for (skip = mock_choose_value(nr); skip > 0; skip--)
        value = &values[value->before - 1];
    return value;
}

uint64_t mock_load(const void *address, unsigned size, enum mock_order order)
{
    struct thread_views *mine = &threads[mock_current()];
    const struct value *value;
    struct word *word;

    if (!mock_is_running())
        return memory_get(address, size);
    if (was_ever_stored(address) || mock_memory_was_freed_once(address))
        mock_yield();
    mock_memory_check(address, size);
    word = known_word(address, size);
    if (word == NULL)
        return memory_get(address, size);
    value = pick_value(word, &mine->now);
    if (value->number > mine->now.oldest[word - words])
        mine->now.oldest[word - words] = value->number;
    if (order == MOCK_ORDERED && (mock_weaknesses() & MOCK_WEAK_ACQUIRE) == 0)
        join(&mine->now, &value->released);
    join(&mine->pending, &value->released);
    return value->value;
}

void mock_store(void *address, unsigned size, uint64_t value, enum mock_order order)
{
    struct thread_views *mine = &threads[mock_current()];
    struct value *stored;
    struct word *word;
    uint16_t number;

    if (!mock_is_running()) {
        memcpy(address, &value, size);
        return;
    }
    note_stored(address);
    mock_yield();
    mock_memory_check(address, size);
    word = make_word(address, size);
    number = (uint16_t)(values[word->newest].number + 1);
    word->newest = add_value(value, word->newest + 1);
    stored = &values[word->newest];
    stored->number = number;
    mine->now.oldest[word - words] = number;
    stored->released = order == MOCK_ORDERED && (mock_weaknesses() & MOCK_WEAK_RELEASE) == 0 ? mine->now : mine->fence;
    memcpy(address, &value, size);
}

void mock_fence_acquire(void)
{
    struct thread_views *mine = &threads[mock_current()];

    if ((mock_weaknesses() & MOCK_WEAK_FENCE_ACQUIRE) == 0)
        join(&mine->now, &mine->pending);
}

void mock_fence_release(void)
{
    struct thread_views *mine = &threads[mock_current()];

    if ((mock_weaknesses() & MOCK_WEAK_FENCE_RELEASE) == 0)
        mine->fence = mine->now;
}
