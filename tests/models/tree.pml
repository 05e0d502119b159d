/* SPDX-License-Identifier: MIT */
/*
 * tree.pml - the protocol of the tree's readers and its writer (src/tree/node.h, docs/locking.md), for Spin.
 *
 * One leaf at a time hangs under the root. It has two slots; `order` says which of them holds the entry. The writer fills
 * the free slot and stores `order`; or it changes the entry in place, twice, a word each time; or it writes the leaf anew
 * elsewhere, stores the root's pointer, marks the old leaf dead and retires it. An entry is two words that must belong
 * together: equal, or as they were between two changes of a word. The numbers of the entries rise, so that a reader's
 * answer must lie between the entry at its begin and the one at its end.
 *
 * Stores do not reach memory in order: each waits in a buffer of its own, which is emptied at any time, unless a release
 * empties all of them first. Loads stay in order but for those that only an acquire keeps apart.
 *
 * Each of these leaves one thing out, and a violation must be found:
 *   NO_VERSION_FENCE   the new version may come after what is written to the slots
 *   NO_ORDER_RELEASE   the order may come before what was written to the slot
 *   NO_ROOT_RELEASE    the root's pointer may come before the new leaf's words
 *   NO_ACQUIRE         the reader compares order and version before it has read the entry
 *   VERSION_FIRST      the reader compares the version before the order, which may have come back to its value
 *   NO_GRACE           a retired leaf is freed at once
 */

#ifndef EDITS
#define EDITS 3
#endif
#ifndef LOOKUPS
#define LOOKUPS 2
#endif

#define NODES  2
#define WORDS  6 /* of a node: version, order, and two slots of two words */
#define ROOT   (NODES * WORDS)
#define POISON 99
#define FREED  98 /* the first word of an entry in a slot that is free */

#define VERSION(node)     ((node) * WORDS)
#define ORDER(node)       ((node) * WORDS + 1)
#define FIRST(node, slot) ((node) * WORDS + 2 + 2 * (slot))
#define LAST(node, slot)  ((node) * WORDS + 3 + 2 * (slot))

byte memory[NODES * WORDS + 1];
byte pending[NODES * WORDS + 1];
bool is_pending[NODES * WORDS + 1];
byte nr_pending;
bool started;
byte halfway; /* a bit for each entry that came to be word by word */

/* The reader's section, and the leaf that waits for its end. */
bool in_section, holds_up;
byte retired = 255;

inline store(word, value)
{
    atomic {
        !is_pending[word] -> pending[word] = value;
        is_pending[word] = true;
        nr_pending++
    }
}

/* All earlier stores come before all later ones. */
inline release()
{
    nr_pending == 0
}

inline free_leaf(node)
{
    d_step {
        memory[VERSION(node)] = POISON;
        memory[ORDER(node)] = 0;
        memory[FIRST(node, 0)] = POISON;
        memory[LAST(node, 0)] = POISON;
        memory[FIRST(node, 1)] = POISON;
        memory[LAST(node, 1)] = POISON
    }
}

#define EMPTY(word)                                                                                                    \
    atomic {                                                                                                           \
        is_pending[word] -> memory[word] = pending[word];                                                              \
        pending[word] = 0;                                                                                             \
        is_pending[word] = false;                                                                                      \
        nr_pending--                                                                                                   \
    }

/* Stores reach memory in any order. */
active proctype buffers()
{
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
    od
}

inline begin_edit(node)
{
    version++;
    release();
    store(VERSION(node), version);
#ifndef NO_VERSION_FENCE
    release()
#endif
}

inline edit_in_place(node, number)
{
    slot = 1 - order;
    begin_edit(node);
    store(LAST(node, slot), number);
    store(FIRST(node, slot), number);
#ifndef NO_ORDER_RELEASE
    release();
#endif
    store(ORDER(node), slot);
    release();
    store(FIRST(node, order), FREED);
    order = slot
}

/* Each store is a release, but the version's fence comes before it as well. */
inline edit_words(node, number)
{
    begin_edit(node);
    halfway = halfway | 1 << number;
    store(LAST(node, order), number);
    begin_edit(node);
    store(FIRST(node, order), number);
    release()
}

inline edit_anew(node, number)
{
    retired == 255; /* there are only two leaves: the one that waits must have gone */
    store(VERSION(1 - node), 0);
    store(ORDER(1 - node), 0);
    store(LAST(1 - node, 0), number);
    store(FIRST(1 - node, 0), number);
    store(FIRST(1 - node, 1), FREED);
#ifndef NO_ROOT_RELEASE
    release();
#endif
    store(ROOT, 1 - node);
    release();
    version++;
    store(VERSION(node), 50 + version); /* dead */
    release();
    atomic {
#ifdef NO_GRACE
        free_leaf(node)
#else
        if
        :: in_section -> retired = node;
            holds_up = true
        :: else -> free_leaf(node)
        fi
#endif
    }
    node = 1 - node;
    version = 0;
    order = 0
}

active proctype writer()
{
    byte node = 0, version = 0, order = 0, slot, number;

    started;
    for (number : 1 .. EDITS) {
        if
        :: edit_in_place(node, number)
        :: edit_words(node, number)
        :: edit_anew(node, number)
        fi
    }
}

/* What is there now, for the check alone. */
#define CURRENT_NODE memory[ROOT]
#define CURRENT      memory[FIRST(CURRENT_NODE, memory[ORDER(CURRENT_NODE)])]

active proctype reader()
{
    byte i, node, version, order, first, last, low, high, again_order, again_version;

    started;
    for (i : 1 .. LOOKUPS) {
        atomic {
            low = CURRENT;
            in_section = true
        }
again:
        node = memory[ROOT];
        version = memory[VERSION(node)];
        order = memory[ORDER(node)];
#ifdef NO_ACQUIRE
        again_order = memory[ORDER(node)];
        again_version = memory[VERSION(node)];
#endif
        first = memory[FIRST(node, order)];
        last = memory[LAST(node, order)];
#ifdef VERSION_FIRST
        again_version = memory[VERSION(node)];
        again_order = memory[ORDER(node)];
#else
#ifndef NO_ACQUIRE
        again_order = memory[ORDER(node)];
        again_version = memory[VERSION(node)];
#endif
#endif
        assert(version != POISON && again_version != POISON);
        if
        :: order != again_order || version != again_version -> goto again
        :: else
        fi;
        atomic {
            high = CURRENT;
            assert(first == last || (first + 1 == last && (halfway >> last & 1) == 1));
            assert(first >= low && first <= high);
            in_section = false;
            if
            :: holds_up ->
                free_leaf(retired);
                retired = 255;
                holds_up = false
            :: else
            fi
        }
    }
}

init
{
    d_step {
        memory[FIRST(0, 1)] = FREED;
        started = true
    }
}
