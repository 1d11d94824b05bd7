"""Mistakes in dicts, lists, sets and namespaces: the order of stores, above all."""

from __future__ import annotations

from mutant import Change, Mutant, race

STATES = "test_containers_concurrent.py::test_readers_see_real_states_while_all_grows_and_shrinks"
SUMS = "test_containers_concurrent.py::test_a_sum_is_kept_for_readers_without_a_lock"
EVERY_WAY = "test_container_order.py::test_a_key_or_item_that_was_seen_is_seen_in_every_way"
BLOCKS = "test_container_order.py::test_a_block_is_seen_at_all_its_places_from_one_moment_on"
TOGETHER = "test_container_order.py::test_a_transaction_is_seen_in_all_its_containers_from_one_moment_on"

PAUSE = "extern int usleep(unsigned);\n#define PAUSE() usleep(20)\n"
INCLUDE = '#include "container.h"\n'
READER = "    uint64_t pending = atomic_load_explicit(&container_of(seg)->pending, memory_order_acquire);\n"
COPYING = "    taken->large = NULL;\n"


def paused(source: str) -> Change:
    """The mutant's file may pause."""
    return Change(source, INCLUDE, INCLUDE + PAUSE)


def slowed(source: str) -> Change:
    """Where the core's test build has its fault points, the mutant's file has a pause."""
    return Change(source, INCLUDE, f"{INCLUDE}{PAUSE}#undef FAULT\n#define FAULT(point) PAUSE()\n")


CONTAINERS: dict[str, Mutant] = {
    "a map that publishes the word before the key": race(
        STATES,
        paused("map.c"),
        Change(
            "map.c",
            "    number = spot.number;\n",
            "    number = spot.number;\n"
            "    if (!spot.live) {\n"
            "        uint64_t at = get(&current(seg)->span);\n"
            "        put(&entry(seg->geometry, at)->word, word);\n"
            "        put(&current(seg)->span, at + 1);\n"
            "        PAUSE();\n"
            "        put(&current(seg)->span, at);\n"
            "    }\n",
        ),
    ),
    "a map that counts an entry when it is published already": race(
        EVERY_WAY,
        paused("map.c"),
        Change(
            "map.c",
            "    map_set_word(seg, number, word);\n    commit_end(seg);\n",
            "    if (!spot.live) put(&current(seg)->span, number);\n"
            "    map_set_word(seg, number, word);\n"
            "    commit_end(seg);\n"
            "    PAUSE();\n"
            "    if (!spot.live) put(&current(seg)->span, number + 1);\n",
        ),
    ),
    "a redo that is not pending any more when it is applied": race(
        BLOCKS,
        slowed("redo.c"),
        Change(
            "redo.c",
            "        if (done == 1) apply(",
            "        atomic_store(&c->pending, 0);\n        if (done == 1) apply(",
        ),
    ),
    "a redo that is applied from the front": race(
        BLOCKS,
        slowed("redo.c"),
        paused("map.c"),
        Change("redo.c", "    for (uint64_t i = count; i-- > 0;) {\n", "    for (uint64_t i = 0; i < count; i++) {\n"),
        Change("map.c", READER, f"{READER}    PAUSE();\n"),
    ),
    "a redo without an odd sequence": race(
        SUMS,
        Change("redo.c", INCLUDE, f"{INCLUDE}{PAUSE}#define commit_begin(seg) ((void)0)\n"),
        # Now and then: where four processes want two cores, each pause can take milliseconds.
        Change(
            "redo.c",
            "        FAULT(redo_applying);\n",
            "        if (i % 2 && get(&container_of(seg)->sequence) % 64 == 0) PAUSE();\n",
        ),
    ),
    "a reader that does not look at the generation again": race(
        STATES,
        paused("items.c"),
        Change(
            "items.c",
            "    if (LIKELY(get(&c->generation) == generation && at != NULL && !PyErr_Occurred())) return 1;\n",
            "    if (at != NULL && !PyErr_Occurred()) return 1;\n",
        ),
        Change("items.c", COPYING, f"{COPYING}    PAUSE();\n"),
        # Nobody waits for it.
        Change("readers.c", "    if (seg->quiet >= number) return true;\n", "    return true;\n"),
    ),
    "a compaction that gives the old arena back before the new one is published": race(
        STATES,
        paused("container.c"),
        Change(
            "container.c",
            "    FAULT(container_switching);\n",
            "    generation_t *old = generation_of(seg, number - 1), *new = generation_of(seg, number);\n"
            "    for (unsigned a = 0; a < old->arenas && (new->arenas == 0 || new->arena[0] != old->arena[0]); a++)\n"
            "        fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(old->arena[a] * PAGE),\n"
            "                  (off_t)(1ull << old->arena_order[a]));\n"
            "    PAUSE();\n",
        ),
    ),
    "a list that counts an item before it is there": race(
        EVERY_WAY,
        paused("vector.c"),
        Change(
            "vector.c",
            "    uint64_t span = get(&current(seg)->span), end = span_start(span) + span_length(span);\n",
            "    uint64_t span = get(&current(seg)->span), end = span_start(span) + span_length(span);\n"
            "    put(&current(seg)->span, span + count);\n"
            "    PAUSE();\n",
        ),
    ),
    "a transaction that commits the first before the others are prepared": race(
        TOGETHER,
        paused("transaction.c"),
        Change(
            "transaction.c",
            "    for (Py_ssize_t i = 1; i < n; i++) {\n        atomic_store(",
            "    atomic_store(&container_of(first)->pending, with[0]->offset << 2 | REDO_COMMITTED);\n"
            "    PAUSE();\n"
            "    for (Py_ssize_t i = 1; i < n; i++) {\n        atomic_store(",
        ),
    ),
}
