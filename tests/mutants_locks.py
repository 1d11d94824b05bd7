"""Mistakes in locks, seats, holds and forks."""

from __future__ import annotations

from mutant import Change, Mutant, mutant, race

EXCLUSION = "test_properties.py::test_concurrent_modifications_total_exactly[fork]"
WAKES = "test_wakes.py::test_a_wake_is_no_slice"

LOCKS: dict[str, Mutant] = {
    # ---- taking ----
    "a lock that never excludes": race(
        EXCLUSION,
        Change(
            "lock.c",
            "    int64_t start = now_ns(), left = timeout;\n",
            "    return 0;\n    int64_t start = now_ns(), left = timeout;\n",
        ),
    ),
    "a lock that is taken from the living": mutant(
        "lock.c",
        "    if (!seat_alive(seg, seen)) return false;\n    if ((seen",
        "    return false;\n    if ((seen",
        "test_sync_holders.py::test_a_stopped_holder_is_never_robbed[lock]",
    ),
    "a dead holder's lock that nobody takes over": mutant(
        "lock.c",
        "if (!holder_alive(seg, word, seen, slot)) {",
        "if (false) {",
        "test_sync_deaths.py::test_a_dead_holders_lock_is_free_however_it_is_asked_for[lock-how1]",
    ),
    "a takeover that is believed though another was faster": race(
        "test_seats.py::test_two_take_over",
        Change(
            "lock.c",
            "if (!atomic_compare_exchange_strong(word, &seen, seg->token | LOCK_WAITERS)) continue;",
            "usleep(3000), atomic_store(word, seg->token | LOCK_WAITERS);",
        ),
    ),
    "a seat that counts as taken when its process is dead": mutant(
        "seat.c",
        "return segment_fd(seg) < 0 || seat_taken(seg->fd, seat);",
        "return true;",
        "test_sync_deaths.py::test_a_dead_holders_lock_is_free_however_it_is_asked_for[lock-how1]",
    ),
    "a seat whose next occupant has the generation of the last": mutant(
        "seat.c",
        "memory_order_relaxed) + 1;\n            atomic_store(&mine",
        "memory_order_relaxed);\n            atomic_store(&mine",
        "test_seats.py::test_a_lock",
    ),
    "a seat of another generation that counts as the holder's": mutant(
        "seat.c",
        "if ((generation & LOCK_GENERATION) != (lock & LOCK_GENERATION)) return false;",
        "(void)generation;",
        "test_seats.py::test_a_lock",
    ),
    "a taken-over lock of which nobody is told": mutant(
        "lock.c",
        "    hold_begin(hold, owner, got == 1);",
        "    hold_begin(hold, owner, false);",
        "test_sync_deaths.py::test_a_dead_holders_lock_is_free_however_it_is_asked_for[lock-how1]",
    ),
    "a wait that does not end in time": mutant(
        "lock.c",
        "(left = start + timeout - now_ns()) <= 0)",
        "(left = start + timeout - now_ns()) <= -200000000)",
        "test_locks.py::test_a_timeout_of_zero_tries_once[counter]",
    ),
    # ---- letting go ----
    "a release that wakes nobody": mutant(
        "lock.c",
        "    if (UNLIKELY(was & LOCK_WAITERS)) futex_wake(word, 1);",
        "    (void)was;",
        f"{WAKES}[for_a_lock]",
    ),
    "a waiter that forgets the other waiters": mutant(
        "lock.c",
        "if (atomic_compare_exchange_strong(word, &seen, seg->token | bit)) return 0;",
        "if (atomic_compare_exchange_strong(word, &seen, seg->token)) return 0;",
        f"{WAKES}[for_a_lock]",
    ),
    "a waiter that waits for what is not so": mutant(  # and so does not sleep at all
        "lock.c",
        "if (!(seen & LOCK_WAITERS) && !atomic_compare_exchange_strong(word, &seen, seen | LOCK_WAITERS)) continue;",
        "(void)seen;",
        f"{WAKES}[for_a_lock]",
    ),
    "a waiter that sets no bit": mutant(
        "lock.c",
        "if (doze(word, seen | LOCK_WAITERS,",
        "seen = atomic_fetch_and(word, ~LOCK_WAITERS) & ~LOCK_WAITERS;\n if (doze(word, seen,",
        f"{WAKES}[for_a_lock]",
    ),
    "a release of one level that is one of all": mutant(
        "lock.c",
        "    if (--hold->depth > 0) return;\n    seg_t *seg = hold->seg;\n    hold_end",
        "    hold->depth = 0;\n    seg_t *seg = hold->seg;\n    hold_end",
        "conformance/test_locks.py::test_an_rlock_is_free_after_as_many_releases[shm]",
    ),
    "a commit of a block that wakes nobody": mutant(
        "lock.c", "    if (changed) change_notify(hold->slot);\n", "    (void)changed;\n", f"{WAKES}[for_a_value]"
    ),
    # ---- a thread that ends ----
    "a thread that takes its holds along": mutant(
        "lock.c",
        "    while (holds.first != NULL) abandon(holds.first);\n",
        "",
        "test_sync_holders.py::test_a_thread_that_ends_lets_go[lock]",
    ),
    "an ended thread's lock that is let go as if by itself": mutant(
        "lock.c",
        "told ? LOCK_ABANDONED : 0",
        "told ? 0 : 0",
        "test_sync_holders.py::test_a_thread_that_ends_lets_go[lock]",
    ),
    "an abandoned lock whose waiters are left asleep": mutant(
        "lock.c",
        "    if (was & LOCK_WAITERS) futex_wake(&hold->slot->lock, 1);\n",
        "    (void)was;\n",
        f"{WAKES}[for_a_thread_to_end]",
    ),
    # ---- a fork ----
    "a forked child with its parent's holds": mutant(
        "lock.c",
        "                atomic_store_explicit(&seg->holds[i]->thread, 0, memory_order_relaxed);\n"
        "                seg->holds[i]->depth = 0;\n",
        "",
        "test_forks.py::test_a_child_waits_while_its_parent_holds[slab counter]",
    ),
    "a forked child that reads because its parent does": mutant(
        "lock.c",
        "            atomic_store_explicit(&reading->thread, 0, memory_order_relaxed);\n"
        "            reading->depth = 0;\n",
        "",
        "test_sync_holders.py::test_a_forked_child_is_in_no_block_of_a_readers_writer_lock",
    ),
    "a forked child that keeps its parent's seat alive": mutant(
        "window.c",
        "        mmap(seg->base, seg->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, seg->fd, 0);\n",
        "",
        "test_forks.py::test_a_child_neither_holds_nor_keeps_what_its_dead_parent_held[slab counter]",
    ),
    "a forked child that allocates from its parent's slabs": mutant(
        "seat.c",
        "    process.slabs = NULL;\n",
        "",
        "test_forks.py::test_a_child_does_not_allocate_from_its_parents_slabs",
    ),
}
