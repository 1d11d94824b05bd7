"""Mistakes in queues: their ring, books and leases."""

from __future__ import annotations

from mutant import Change, Mutant, mutant

STATES = "test_queue_deaths.py::test_a_death_leaves_one_of_the_states"
BOOKS = "test_channel_bytes.py::test_damage_to_each_of_the_books[queue-attached]"
ORDER = "conformance/test_queue.py::test_everything_arrives_once_and_in_order[shm-0]"
MOVES = "test_queue_plans.py::test_many_small_items_through_a_small_ring[fork]"
RINGS = "test_queue_rings.py::test"
WAKES = "test_wakes.py::test_a_wake_is_no_slice"

QUEUES: dict[str, Mutant] = {
    # ---- the order of stores ----
    "a head that is published before the bytes": Mutant(
        (
            Change(
                "ring.c",
                "    uint64_t at = b->head & (view->size - 1);\n",
                "    put_books_t early = {b->head + need, b->in + 1, b->large + (p->large ? p->length : 0)};\n"
                "    ring_commit_puts(seg, &early);\n"
                "    extern int usleep(unsigned);\n"
                "    if (b->in % 16 == 0) usleep(50);\n"
                "    uint64_t at = b->head & (view->size - 1);\n",
            ),
        ),
        ORDER,
        races=True,
    ),
    "a put into the books that are valid": mutant(
        "ring.c", "puts_t *p = &q->puts[commits & 1];\n    put", "puts_t *p = &q->puts[~commits & 1];\n    put", ORDER
    ),
    "a larger ring that is published before it is filled": Mutant(
        (
            Change(
                "ring.c",
                "        move(view->ring, view->size, at, 1ull << order, tail, head);\n",
                "        put(&q->ring[(growths + 1) & 1], offset << 6 | order);\n"
                "        atomic_store_explicit(&q->growths, growths + 1, memory_order_release);\n"
                "        FAULT(queue_moved);\n"
                "        atomic_store_explicit(&q->growths, growths, memory_order_release);\n"
                "        move(view->ring, view->size, at, 1ull << order, tail, head);\n",
            ),
        ),
        f"{STATES}[queue.moved]",
        dies=True,
    ),
    "a dead taker whose commit is not finished": mutant(
        "ring.c", "    if (UNLIKELY(got == 1)) do_also(seg);\n", "", f"{STATES}[queue.taken]"
    ),
    "a commit whose second store is not made": mutant(
        "ring.c",
        "    FAULT(queue_taken);\n    do_also(seg);\n",
        "    FAULT(queue_taken);\n",
        "conformance/test_queue.py::test_a_lease_is_done_when_its_block_ends[shm]",
    ),
    "a put that commits before its books are written": mutant(
        "ring.c",
        "    put(&p->head, books->head);\n",
        "    atomic_store_explicit(&q->put_commits, commits, memory_order_release);\n"
        "    FAULT(queue_putting);\n"
        "    put(&p->head, books->head);\n",
        f"{RINGS}_who_dies_before_its_commit_has_changed_nothing",
        dies=True,
    ),
    "a get that commits before its books are written": mutant(
        "ring.c",
        "    put(&t->tail, books->tail);\n",
        "    atomic_store_explicit(&q->take_commits, commits, memory_order_release);\n"
        "    FAULT(queue_taking);\n"
        "    put(&t->tail, books->tail);\n",
        f"{RINGS}_who_dies_before_its_commit_has_changed_nothing",
        dies=True,
    ),
    "a ring that is looked at where it was": mutant(
        "ring.c",
        "if (LIKELY(view->ring != NULL && view->growths == growths)) return 0;",
        "if (LIKELY(view->ring != NULL)) return 0;",
        f"{RINGS}_a_ring_that_has_moved_is_followed",
    ),
    "a larger ring without the last bytes": mutant(
        "ring.c",
        "        move(view->ring, view->size, at, 1ull << order, tail, head);\n",
        "        move(view->ring, view->size, at, 1ull << order, tail, head - 16);\n",
        f"{RINGS}_a_ring_that_has_moved_is_followed",
    ),
    # ---- counts ----
    "a queue of one item more than its maximum": mutant(
        "ring.c",
        "b->in - t->out + back >= view->maxsize",
        "b->in - t->out + back > view->maxsize",
        "conformance/test_queue.py::test_a_full_queue_says_so_in_time[shm]",
    ),
    "a queue that does not count what is on lease": mutant(
        "ring.c",
        "b->in - t->out + back >=",
        "b->in - t->out >=",
        "test_queue_leases.py::test_what_is_back_takes_its_place",
    ),
    "more bytes than the capacity": mutant(
        "ring.c",
        "return used == 0 || (used <= view->capacity && weight(p) <= view->capacity - used);",
        "return used == 0 || ((void)weight(p), used <= view->capacity);",
        f"{WAKES}[for_bytes]",
    ),
    "a put after the shutdown": mutant(
        "ring.c",
        "    } else if (UNLIKELY(atomic_load(&q->shut))) {\n        raise",
        "    } else if (false) {\n        raise",
        f"{RINGS}_a_queue_that_is_shut_takes_nothing_though_it_has_room",
    ),
    "more tasks done than there were": mutant(
        "tasks.c",
        "        if (books.done < in) {",
        "        if (true) {",
        "conformance/test_queue.py::test_task_done_too_often_is_an_error[shm]",
    ),
    "a taker's debt that is forgotten when its seat is taken": mutant(
        "ring.c",
        "    if ((uint32_t)before == 0 || before >> 32 == value >> 32) return;",
        "    return;",
        "test_seats.py::test_debts",
    ),
    # ---- leases ----
    "a dead holder's lease that stays with it": mutant(
        "lease.c",
        "if (look && (uint32_t)state == LEASE_HELD && !seat_alive(seg, (uint32_t)(state >> 32))) {",
        "if (false) {",
        "test_queue_leases.py::test_a_dead_holders_item_is_first_again",
    ),
    "a living holder's lease that is taken away": mutant(
        "lease.c",
        "if (look && (uint32_t)state == LEASE_HELD && !seat_alive(seg, (uint32_t)(state >> 32))) {",
        "if (look && (uint32_t)state == LEASE_HELD) {",
        "test_queue_leases.py::test_a_living_holders_item_stays_with_it",
    ),
    "items that come back in any order": mutant(
        "lease.c",
        "(any && get(&lease->ticket) >= get(&lease_at(seg, *found)->ticket))",
        "false",
        "test_queue_leases.py::test_what_several_dead_held_comes_back_in_order",
    ),
    "a lease that ends well and comes back": mutant(
        "lease.c",
        "done ? LEASE_FREE : LEASE_BACK",
        "LEASE_BACK",
        "conformance/test_queue.py::test_a_lease_is_done_when_its_block_ends[shm]",
    ),
    "a lease that failed and does not come back": mutant(
        "lease.c",
        "done ? LEASE_FREE : LEASE_BACK",
        "LEASE_FREE",
        "conformance/test_queue.py::test_a_lease_that_raises_gives_the_item_back[shm]",
    ),
    "a shutdown that does not wait for leases": mutant(
        "waits.c",
        "if (UNLIKELY(shut) && ring_empty(seg) && !lease_elsewhere(seg)) break;",
        "if (UNLIKELY(shut) && ring_empty(seg)) break;",
        f"{RINGS}_a_shutdown_waits_for_what_another_process_has_on_lease",
    ),
    # ---- waits ----
    "a get that tells nobody of the place": mutant(
        "waits.c",
        "if (view->maxsize > 0) signal_some(&q->space, count < INT32_MAX ? (int)count : INT32_MAX);",
        "if (view->maxsize > 0) (void)count;",
        f"{WAKES}[for_places]",
    ),
    "a put that wakes nobody": mutant(
        "ring.c",
        "    if (done > 0) signal_some(&q->items, done < INT32_MAX ? (int)done : INT32_MAX);\n",
        "",
        f"{WAKES}[for_items]",
    ),
    "a put of many that wakes one": mutant(
        "ring.c", "done < INT32_MAX ? (int)done : INT32_MAX);", "1);", f"{WAKES}[for_items]"
    ),
    "a get that tells nobody of the bytes": mutant(
        "waits.c",
        "    else if (used <= view->capacity / 2) signal_some",
        "    else if (false) signal_some",
        f"{WAKES}[for_bytes]",
    ),
    "a last task that wakes nobody": mutant(
        "tasks.c", "    if (joined) signal_some(&queue_of(seg)->all_done, INT32_MAX);\n", "", f"{WAKES}[for_tasks]"
    ),
    "a lease that comes back and wakes nobody": mutant(
        "lease.c",
        "    if (held && (!done || atomic_load(&q->shut))) signal_some(&q->items, done ? INT32_MAX : 1);\n",
        "    (void)held;\n",
        f"{WAKES}[for_an_item_on_lease]",
    ),
    "a shutdown that getters sleep through": mutant(
        "tasks.c",
        "    signal_some(&q->items, INT32_MAX);\n    signal_some(&q->space",
        "    signal_some(&q->space",
        f"{WAKES}[for_a_shutdown]",
    ),
    "a shutdown that putters sleep through": mutant(
        "tasks.c", "    signal_some(&q->space, INT32_MAX);\n", "", f"{WAKES}[for_a_shutdown_when_full]"
    ),
    # ---- damaged bytes ----
    "a ring anywhere in the header": mutant(
        "ring.c",
        "    if (offset < QUEUE_SIZE && (offset != FIRST_RING || order != FIRST_ORDER)) return NULL;\n",
        "",
        "test_checks.py::test_a_ring_is_refused[over what each process owes]",
    ),
    "a ring that is not aligned": mutant(
        "ring.c",
        "length > 1ull << order || offset % ALIGNED != 0) return NULL;",
        "length > 1ull << order) return NULL;",
        "test_checks.py::test_a_ring_is_refused[not aligned]",
    ),
    "a record that is longer than what is queued": mutant(
        "ring.c",
        "    if (UNLIKELY(*length > there - 8 || record_room(*length) > there)) return queue_corrupt(seg), -1;\n"
        "    *body",
        "    *body",
        f"{RINGS}_a_record_that_is_longer_than_what_is_queued_is_refused",
    ),
    "a ring without room that is written to": mutant(
        "ring.c",
        "    return used > view->size || need > view->size - used;",
        "    return need > view->size - used;",
        BOOKS,
    ),
}
