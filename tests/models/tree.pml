/* SPDX-License-Identifier: MIT */
/*
 * tree.pml - the protocol of the tree's readers and its writer (src/tree/node.h, docs/locking.md), for Spin.
 *
 * One leaf at a time hangs under the root. It has two slots; `order` says which of them holds the entry. The leaf's version
 * is odd while it is edited, and the tree's count of edits while the tree is. The writer fills the free slot, stores `order`
 * and frees the old slot; or it changes the entry in place, twice, a word each time; or it writes the leaf anew elsewhere,
 * stores the root's pointer, marks the old leaf dead and retires it. An entry is two words that must belong together:
 * equal, or as they were between two changes of a word. The numbers of the entries rise, so that a reader's answer must lie
 * between the entry at its begin and the one at its end.
 *
 * The reader is one of three:
 *   a lookup          takes the short way (an even version, the same afterwards) or the long one (order and version the same
 *                     afterwards)
 *   -DAREAS           looks into the entry's area as well, and asks then whether the leaf is still as it was. There are two
 *                     areas: the one that an edit takes out of the leaf is used again by the next edit, at once
 *   -DSEARCH          a search believes what it read here and there if the count of edits was even, and still is, and no
 *                     lanes were open; in lanes the writer does not count, and what the root says (`gap`) lags until they
 *                     close.
 *
 * Stores do not reach memory in order: each waits in a buffer, which is emptied at any time; a release store only after
 * those that wait when it is made, and a release fence empties all. Loads stay in order but for those that only an
 * acquire keeps apart.
 *
 * Each of these leaves one thing out, and a violation must be found. Of a lookup:
 *   NO_VERSION_FENCE   the odd version may come after what is written to the slots
 *   NO_ORDER_RELEASE   the order may come before what was written to the slot
 *   NO_ROOT_RELEASE    the root's pointer may come before the new leaf's words
 *   NO_ACQUIRE         the reader compares order and version before it has read the entry
 *   NO_RECHECK         the reader compares nothing
 *   VERSION_FIRST      the long way compares the version before the order, which may have come back to its value
 *   NOT_ODD            the version stays even in an edit
 *   SHORT_WHEN_ODD     the short way is taken at an odd version too
 *   EVEN_EARLY         the version is even again before the order is stored
 *   NO_GRACE           a retired leaf is freed at once
 * of a look into an area:
 *   NO_HOLDS           what was seen there is believed
 *   NO_AREA_FENCE      what is written to the area may come before the order that no longer has its entry
 *   NO_DEAD            a leaf that has left the tree is not marked
 * and of a search:
 *   NO_COUNT_FENCE     the odd count may come after the edit's stores
 *   NO_COUNT_RELEASE   the even count may come before the edit's stores
 *   NO_COUNT_ACQUIRE   the count is compared before the rest is read
 *   NO_COUNT_RECHECK   the count is not compared
 *   COUNT_WHEN_ODD     an odd count is taken
 *   OPEN_LATE          lanes are said to be open after the count went up
 *   NO_OPEN_COUNT      the count does not go up when lanes open
 *   NO_CLOSE_RELEASE   that lanes are closed may be seen before what the root says is right again
 */

#ifndef EDITS
#define EDITS 3
#endif
#ifndef LOOKUPS
#define LOOKUPS 2
#endif

#define NODES  2
#define WORDS  8 /* of a node: version, order, and two slots of three words */
#define ROOT   (NODES * WORDS)
#define EXTRA  (ROOT + 1) /* more words: of areas or of the tree */
#define POISON 99
#define FREED  98  /* the first word of an entry in a slot that is free */
#define DEAD   128 /* a bit of the version */

#define VERSION(node)     ((node) * WORDS)
#define ORDER(node)       ((node) * WORDS + 1)
#define FIRST(node, slot) ((node) * WORDS + 2 + 3 * (slot))
#define LAST(node, slot)  ((node) * WORDS + 3 + 3 * (slot))
#define ITEM(node, slot)  ((node) * WORDS + 4 + 3 * (slot))
#ifdef SEARCH
#define COUNT  EXTRA
#define GAP    (EXTRA + 1)
#define OPEN   (EXTRA + 2)
#define MEMORY (EXTRA + 3)
#else
#define AREA(item) (EXTRA + (item))
#define MEMORY     (EXTRA + 3)
#endif

/* Buffers: one for each word, and two more for each version. */
#define BUFFERS            (20 + 2 * NODES)
#define MORE(node, nr)     (20 + 2 * (node) + (nr))
#define WORD_OF(buffer)    ((buffer) < 20 -> (buffer) : VERSION(((buffer) - 20) / 2))

byte memory[MEMORY];
byte pending[BUFFERS];
int is_pending;     /* a bit for each buffer */
int after[BUFFERS]; /* the buffers that must be emptied first */
bool started;
byte halfway; /* a bit for each entry that came to be word by word */
#ifdef AREAS
byte born[EDITS + 1]; /* the entry for which the area of an entry was taken */
#endif

/* The reader's section; whether the grace period waits for its end; and for which leaf. */
bool in_section, holds_up;
byte retired = 255;

#define IS_PENDING(word) (is_pending >> (word) & 1)

inline store(word, value)
{
    atomic {
        !IS_PENDING(word) -> pending[word] = value;
        is_pending = is_pending | 1 << (word)
    }
}

/* All earlier stores come before this one; later ones may as well. */
inline store_release(word, value)
{
    atomic {
        !IS_PENDING(word) -> pending[word] = value;
        after[word] = is_pending;
        is_pending = is_pending | 1 << (word)
    }
}

inline store_version(leaf, number_of_edits)
{
    atomic {
        if
        :: !IS_PENDING(VERSION(leaf)) -> buffer = VERSION(leaf)
        :: else ->
            if
            :: !IS_PENDING(MORE(leaf, 0)) -> buffer = MORE(leaf, 0)
            :: else -> buffer = MORE(leaf, 1)
            fi
        fi;
        store_release(buffer, number_of_edits);
        buffer = 0
    }
}

/* All earlier stores come before all later ones. */
inline fence_release()
{
    is_pending == 0
}

inline free_leaf(node)
{
    d_step {
        memory[VERSION(node)] = POISON;
        memory[ORDER(node)] = 0;
        memory[FIRST(node, 0)] = POISON;
        memory[LAST(node, 0)] = POISON;
        memory[ITEM(node, 0)] = 0;
        memory[FIRST(node, 1)] = POISON;
        memory[LAST(node, 1)] = POISON;
        memory[ITEM(node, 1)] = 0
    }
}

#define EMPTY(word)                                                                                                    \
    d_step {                                                                                                           \
        IS_PENDING(word) && after[word] == 0 -> memory[WORD_OF(word)] = pending[word];                                 \
        pending[word] = 0;                                                                                             \
        is_pending = is_pending ^ 1 << (word);                                                                         \
        for (each in after) {                                                                                          \
            after[each] = after[each] & ~(1 << (word))                                                                 \
        }                                                                                                              \
        each = 0                                                                                                       \
    }

/* Stores reach memory in any order. And what is retired goes: a grace period begins when all stores so far are seen. */
active proctype buffers()
{
    byte each;

    started;
end:
    do
    :: EMPTY(0)
    :: EMPTY(1)
    :: EMPTY(2)
    :: EMPTY(3)
    :: EMPTY(4)
    :: EMPTY(5)
    :: EMPTY(6)
    :: EMPTY(7)
    :: EMPTY(8)
    :: EMPTY(9)
    :: EMPTY(10)
    :: EMPTY(11)
    :: EMPTY(12)
    :: EMPTY(13)
    :: EMPTY(14)
    :: EMPTY(15)
    :: EMPTY(16)
    :: EMPTY(17)
    :: EMPTY(18)
    :: EMPTY(19)
    :: EMPTY(20)
    :: EMPTY(21)
    :: EMPTY(22)
    :: EMPTY(23)
    :: atomic {
           retired != 255 && !holds_up && is_pending == 0 ->
           if
           :: in_section -> holds_up = true
           :: else -> free_leaf(retired);
               retired = 255
           fi
       }
    od
}

/* ---- The writer ---- */

/* Around all stores of an edit of the tree, if a search is what counts. */
inline begin_tree()
{
#ifdef SEARCH
    if
    :: open
    :: else ->
        count++;
        store(COUNT, count);
#ifndef NO_COUNT_FENCE
        fence_release()
#endif
    fi
#else
    skip
#endif
}

inline end_tree(number)
{
#ifdef SEARCH
    if
    :: open
    :: else ->
        store(GAP, number);
        count++;
#ifdef NO_COUNT_RELEASE
        store(COUNT, count)
#else
        store_release(COUNT, count)
#endif
    fi
#else
    skip
#endif
}

/* Lanes open and close between two edits. That the writer goes on with another lock orders all that came before. */
inline open_lanes()
{
#ifdef SEARCH
    fence_release();
#ifndef OPEN_LATE
    store(OPEN, 1);
#endif
#ifndef NO_OPEN_COUNT
    count = count + 2;
    store_release(COUNT, count);
#endif
#ifdef OPEN_LATE
    store_release(OPEN, 1);
#endif
    open = true;
    was_open = true;
    fence_release()
#else
    skip
#endif
}

inline close_lanes(number)
{
#ifdef SEARCH
    fence_release();
    store(GAP, number);
#ifdef NO_CLOSE_RELEASE
    store(OPEN, 0);
#else
    store_release(OPEN, 0);
#endif
    open = false
#else
    skip
#endif
}

/* The area that no entry has becomes the new one's. */
inline take_area(number)
{
#ifdef AREAS
    item = 1 - item;
    born[number] = number;
#ifndef NO_AREA_FENCE
    fence_release();
#endif
    store(AREA(item), number);
#else
    skip
#endif
}

inline begin_edit(node)
{
#ifdef NOT_ODD
    version = version + 2;
#else
    version++;
#endif
    store_version(node, version);
#ifndef NO_VERSION_FENCE
    fence_release()
#endif
}

inline end_edit(node)
{
#ifndef NOT_ODD
    version++;
    store_version(node, version);
#else
    skip
#endif
}

inline edit_in_place(node, number)
{
    slot = 1 - order;
    take_area(number);
    begin_tree();
    begin_edit(node);
    store(LAST(node, slot), number);
    store(FIRST(node, slot), number);
#ifdef AREAS
    store(ITEM(node, slot), item);
#endif
#ifdef EVEN_EARLY
    end_edit(node);
#endif
#ifdef NO_ORDER_RELEASE
    store(ORDER(node), slot);
#else
    store_release(ORDER(node), slot);
#endif
    store_release(FIRST(node, order), FREED);
#ifndef EVEN_EARLY
    end_edit(node);
#endif
    order = slot;
    end_tree(number)
}

/* Two edits of a word. */
inline edit_words(node, number)
{
    halfway = halfway | 1 << number;
#ifdef AREAS
    born[number] = born[number - 1];
#endif
    begin_tree();
    begin_edit(node);
    store_release(LAST(node, order), number);
    end_edit(node);
    end_tree(number);
    begin_tree();
    begin_edit(node);
    store_release(FIRST(node, order), number);
    end_edit(node);
    end_tree(number)
}

inline edit_anew(node, number)
{
    retired == 255; /* there are only two leaves: the one that waits must have gone */
    take_area(number);
    begin_tree();
    store_version(1 - node, 0);
    store(ORDER(1 - node), 0);
    store(LAST(1 - node, 0), number);
    store(FIRST(1 - node, 0), number);
#ifdef AREAS
    store(ITEM(1 - node, 0), item);
#endif
    store(FIRST(1 - node, 1), FREED);
#ifdef SEARCH
    if
    :: open
    :: else -> store(GAP, number) /* as a pivot that is lowered first */
    fi;
#endif
#ifdef NO_ROOT_RELEASE
    store(ROOT, 1 - node);
#else
    store_release(ROOT, 1 - node);
#endif
#ifndef NO_DEAD
    store_version(node, DEAD + version + 2);
#endif
    end_tree(number);
#ifdef NO_GRACE
    free_leaf(node);
#else
    retired = node;
#endif
    node = 1 - node;
    version = 0;
    order = 0
}

active proctype writer()
{
    byte node = 0, version = 0, order = 0, slot, number, item = 0, buffer = 0;
#ifdef SEARCH
    byte count = 0;
    bool open = false, was_open = false;
#endif

    started;
    for (number : 1 .. EDITS) {
#ifdef SEARCH
        if
        :: !was_open -> open_lanes()
        :: open -> close_lanes(number - 1)
        :: true
        fi;
#endif
        if
        :: edit_in_place(node, number)
        :: edit_words(node, number)
        :: edit_anew(node, number)
        fi
    }
}

/* ---- The reader ---- */

/* What is there now, for the check alone. */
#define CURRENT_NODE memory[ROOT]
#define CURRENT      memory[FIRST(CURRENT_NODE, memory[ORDER(CURRENT_NODE)])]

inline enter()
{
    atomic {
        low = CURRENT;
        in_section = true
    }
}

inline check_and_leave()
{
    atomic {
        assert(first == last || (first + 1 == last && (halfway >> last & 1) == 1));
        assert(first >= low && first <= CURRENT);
        leave()
    }
}

inline leave()
{
    in_section = false;
    if
    :: holds_up ->
        free_leaf(retired);
        retired = 255;
        holds_up = false
    :: else
    fi
}

#ifndef SEARCH
active proctype reader()
{
    byte i, node, version, order, first, last, item, born_for, low, again_order, again_version;

    started;
    for (i : 1 .. LOOKUPS) {
        enter();
again:
        node = memory[ROOT];
look:
        version = memory[VERSION(node)];
        order = memory[ORDER(node)];
#ifdef NO_ACQUIRE
        again_order = memory[ORDER(node)];
        again_version = memory[VERSION(node)];
#endif
        first = memory[FIRST(node, order)];
        last = memory[LAST(node, order)];
#ifdef AREAS
        item = memory[ITEM(node, order)];
#endif
#ifndef NO_ACQUIRE
#ifdef VERSION_FIRST
        again_version = memory[VERSION(node)];
        again_order = memory[ORDER(node)];
#else
        if
        :: (version & 1) == 1 -> again_order = memory[ORDER(node)]
        :: else -> again_order = order /* the short way asks for the version alone */
        fi;
        again_version = memory[VERSION(node)];
#endif
#endif
#ifdef SHORT_WHEN_ODD
        again_order = order;
#endif
#ifdef NO_RECHECK
        again_order = order;
        again_version = version;
#endif
        assert(version != POISON && again_version != POISON);
        if
        :: order != again_order || version != again_version -> goto look
        :: else
        fi;
#ifdef AREAS
        born_for = memory[AREA(item)];
#ifndef NO_HOLDS
        if
        :: (version & DEAD) != 0 -> goto again
        :: else
        fi;
        again_order = memory[ORDER(node)];
        again_version = memory[VERSION(node)];
        if
        :: order != again_order || version != again_version -> goto again
        :: else
        fi;
#endif
        assert(first <= EDITS && born_for == born[first]);
#endif
        check_and_leave()
    }
}
#else
/* Where it cannot be sure, it would take mm.lock: nothing to check. */
active proctype searcher()
{
    byte i, node, order, first, last, gap, low, count, again_count;
    bool open;

    started;
    for (i : 1 .. LOOKUPS) {
        enter();
        count = memory[COUNT];
        open = memory[OPEN];
#ifdef NO_COUNT_ACQUIRE
        again_count = memory[COUNT];
#endif
        gap = memory[GAP];
        node = memory[ROOT];
        order = memory[ORDER(node)];
        first = memory[FIRST(node, order)];
        last = memory[LAST(node, order)];
        assert(order != POISON && memory[VERSION(node)] != POISON);
#ifndef NO_COUNT_ACQUIRE
        again_count = memory[COUNT];
#endif
#ifdef NO_COUNT_RECHECK
        again_count = count;
#endif
#ifdef COUNT_WHEN_ODD
        if
        :: open || count != again_count -> atomic { leave() }
#else
        if
        :: open || (count & 1) == 1 || count != again_count -> atomic { leave() }
#endif
        :: else ->
            assert(gap == last);
            check_and_leave()
        fi
    }
}
#endif

init
{
    d_step {
        memory[FIRST(0, 1)] = FREED;
        started = true
    }
}
