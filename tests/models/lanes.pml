/* SPDX-License-Identifier: MIT */
/*
 * lanes.pml - whose a part of the tree is (src/mm/lane.c, docs/locking.md), for Spin.
 *
 * One part, its home, and a lane for each of two threads. Each thread makes calls that change the part: in its own lane if the
 * part is there; else in the home, from where it may move the part to its own lane; else it moves the part home from the
 * other's lane first. A call that finds anything else than it thought takes mm.lock, and with it the locks of all lanes: it
 * may lay the lanes out anew, or close them. Any call may need mm.lock besides.
 *
 * Never are two calls in the part, nor one beside who holds mm.lock, nor one while lanes are closed; and nobody waits in a
 * circle (Spin's invalid end states).
 * Stores reach memory in order here: what a thread believes it has read with a lock held under which it is written.
 *
 * Each of these leaves one thing out, and a violation must be found:
 *   NO_LOOK      whose the part is is not asked again with the lock held
 *   NO_LOOK_HOME nor when it is moved home, after the lock was given back
 *   NO_OLD_LOCK  a part moves to its thread's lane without its home's lock
 *   WRONG_ORDER  the lane of the thread is not given back before the home's lock is taken
 *   NO_STOP      who takes mm.lock does not wait for one of the lanes
 */

#ifndef CALLS
#define CALLS 3
#endif

#define HOME 0
#define OWN  (1 + _pid)    /* the threads are the first processes */
#define NONE 3

byte owner = HOME;
bool lane[3];              /* locks */
bool mm_lock;
bool closed;               /* no part is laid out */
byte in_part, in_mm;

#define LOCK(lock)   atomic { !lock; lock = true }
#define UNLOCK(lock) lock = false

/* The change itself: a step, and another one. */
inline change()
{
    in_part++;
    assert(in_part == 1 && in_mm == 0 && !closed);
    in_part--
}

inline call_with_mm_lock()
{
    LOCK(mm_lock);
    LOCK(lane[HOME]);
    LOCK(lane[1]);
#ifndef NO_STOP
    LOCK(lane[2]);
#endif
    in_mm++;
    assert(in_part == 0);
    if
    :: skip
    :: owner = HOME; closed = false
    :: owner = NONE; closed = true
    fi;
    in_mm--;
#ifndef NO_STOP
    UNLOCK(lane[2]);
#endif
    UNLOCK(lane[1]);
    UNLOCK(lane[HOME]);
    UNLOCK(mm_lock)
}

/* In the home, with its lock: here, or the part moves first. */
inline call_at_home()
{
    if
    :: change(); UNLOCK(lane[HOME])
    :: true ->
#ifdef NO_OLD_LOCK
        UNLOCK(lane[HOME]);
#endif
        LOCK(lane[OWN]);
        owner = OWN;
#ifndef NO_OLD_LOCK
        UNLOCK(lane[HOME]);
#endif
        change();
        UNLOCK(lane[OWN])
    fi
}

/* From the other's lane, with its lock. */
inline call_after_moving_home()
{
#ifdef WRONG_ORDER
    LOCK(lane[HOME]);
#else
    UNLOCK(lane[seen]);
    LOCK(lane[HOME]);
    LOCK(lane[seen]);
#endif
#ifdef NO_LOOK_HOME
    if
    :: true ->
#else
    if
    :: owner != seen -> UNLOCK(lane[seen]); UNLOCK(lane[HOME]); call_with_mm_lock()
    :: else ->
#endif
        owner = HOME;
        UNLOCK(lane[seen]);
        change();
        UNLOCK(lane[HOME])
    fi
}

active [2] proctype thread()
{
    byte calls, seen;

    do
    :: calls == CALLS -> break
    :: calls < CALLS ->
        calls++;
        if
        :: call_with_mm_lock()
        :: true ->
            seen = owner;
            if
            :: seen == NONE -> call_with_mm_lock()
            :: else ->
                LOCK(lane[seen]);
#ifndef NO_LOOK
                if
                :: owner != seen -> UNLOCK(lane[seen]); call_with_mm_lock(); goto next
                :: else
                fi;
#endif
                if
                :: seen == OWN -> change(); UNLOCK(lane[seen])
                :: seen == HOME -> call_at_home()
                :: else -> call_after_moving_home()
                fi
            fi
        fi;
next:   skip
    od
}
