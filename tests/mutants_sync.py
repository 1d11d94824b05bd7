"""Mistakes in semaphores, events, conditions, barriers and read-write locks."""

from __future__ import annotations

from mutant import Change, Mutant, mutant

WAKES = "test_wakes.py::test_a_wake_is_no_slice"
STOPS = "test_sync_stops.py::test"

SEMAPHORES: dict[str, Mutant] = {
    "a bound that is not kept": mutant(
        "semaphore.c",
        "    if (LIKELY(new <= limit)) return 0;\n",
        "    (void)limit, (void)new;\n    return 0;\n",
        "conformance/test_semaphore.py::test_a_bounded_one_does_not[shm]",
    ),
    "a bound that is one too high": mutant(
        "semaphore.c",
        "    if (LIKELY(new <= limit)) return 0;\n",
        "    if (LIKELY(new <= limit + 1)) return 0;\n",
        "conformance/test_semaphore.py::test_a_bounded_one_does_not[shm]",
    ),
    "permits given back that wake nobody": mutant(
        "semaphore.c",
        "    signal_some(&slot->change, (int)n);\n    return 0;",
        "    return 0;",
        f"{WAKES}[for_permits]",
    ),
    "permits given back that wake one": mutant(
        "semaphore.c",
        "    signal_some(&slot->change, (int)n);\n    return 0;",
        "    signal_some(&slot->change, 1);\n    return 0;",
        f"{WAKES}[for_permits]",
    ),
    "robust permits that the dead keep": mutant(
        "semaphore.c",
        "        if (of_dead(seg, seat, word)) {\n            atomic_store(held_at(seg, seat), 0);",
        "        if (false) {\n            atomic_store(held_at(seg, seat), 0);",
        "test_sync_deaths.py::test_robust_permits_of_the_dead_come_back",
    ),
    "robust permits that nobody looks for": mutant(
        "semaphore.c",
        "    if (LIKELY(!any_of_dead(h->seg))) return 0;\n",
        "    return 0;\n",
        "test_sync_deaths.py::test_robust_permits_of_the_dead_come_back",
    ),
    "robust permits of the seat's last occupant": mutant(
        "semaphore.c",
        "    if (LIKELY(before >> 32 == seg->token)) return word;\n",
        "    if (true) return word;\n",
        "test_seats.py::test_permits",
    ),
    "robust permits of the seat's last occupant that are lost": mutant(
        "semaphore.c",
        "    count_again(seg, slot);\n    return word;",
        "    return word;",
        "test_seats.py::test_permits",
    ),
    "robust permits given back by who has none": mutant(
        "semaphore.c",
        "have >= n && left >= 0",
        "left >= 0",
        "test_sync_holders.py::test_robust_permits_belong_to_the_process",
    ),
    "a robust count that its dead counter leaves": mutant(
        "semaphore.c",
        "    if (UNLIKELY(got == 1)) count_again(seg, h->slot);\n",
        "",
        f"{STOPS}_permits_that_a_dead_one_was_giving_back_are_free",
    ),
}

EVENTS: dict[str, Mutant] = {
    "an event that wakes nobody": mutant(
        "sync.c", "    change_notify(h->slot); /* also where", "    /* also where", f"{WAKES}[for_an_event]"
    ),
    "an event whose clear takes the wake away": mutant(
        "sync.c",
        "if (atomic_load(&slot->word) != first) break;",
        "if (atomic_load(&slot->word) & 1) break;",
        "test_sync_holders.py::test_an_event_that_is_set_and_cleared_at_once_wakes_all_who_waited",
    ),
    "an event that is set by its clear": mutant(
        "sync.c",
        "    atomic_fetch_and(h->word, ~(int64_t)1);\n",
        "    atomic_fetch_add(h->word, 1);\n",
        "conformance/test_event.py::test_it_is_set_and_cleared[shm]",
    ),
}

CONDITIONS: dict[str, Mutant] = {
    "a notification for the dead": mutant(
        "condition.c",
        "        if (!seat_alive(seg, asleep[i].token)) {",
        "        if (false) {",
        f"{STOPS}_a_notification_is_not_kept_by_the_dead",
    ),
    "a notification that was lost on the dead": mutant(
        "condition.c",
        "n += (state & 3) == PARTY_RELEASED;",
        "(void)n;",
        "test_sync_deaths.py::test_a_notification_that_met_the_dead_goes_to_another[condition.woken]",
    ),
    "a lost notification that nobody looks for": mutant(
        "condition.c",
        "        if (going > 0 && full && any_lost(seg)) wake(seg, 0);\n",
        "        (void)full;\n",
        "test_sync_deaths.py::test_a_notification_that_met_the_dead_goes_to_another[condition.woken]",
    ),
    "a notification to anybody": mutant(
        "condition.c",
        "    qsort(asleep, count, sizeof *asleep, by_ticket);\n",
        "    (void)by_ticket;\n",
        f"{STOPS}_the_place_in_the_table_is_not_the_place_in_the_queue",
    ),
    "one notification that is two": mutant(
        "condition.c",
        "    for (uint32_t i = 0; i < count && n > 0; i++) {\n        party_t *party = party_at(seg, asleep",
        "    for (uint32_t i = 0; i < count && n + 1 > 0; i++) {\n        party_t *party = party_at(seg, asleep",
        "conformance/test_condition.py::test_notify_wakes_as_many_as_it_says[shm]",
    ),
    "a notification without a wake": mutant(
        "condition.c", "        futex_wake(&party->state, 1);\n", "", f"{WAKES}[for_a_notification]"
    ),
    "a notification that goes with who was interrupted": mutant(
        "condition.c",
        "    if (marked && passes) wake(seg, 1);\n",
        "    (void)passes;\n",
        "test_sync_holders.py::test_a_notification_of_who_left_goes_to_another",
    ),
    "a wait that keeps one of its holds": mutant(
        "condition.c",
        "    s.hold->depth = 1;\n",
        "",
        "conformance/test_condition.py::test_a_wait_with_two_holds_ends[shm]",
    ),
    "a wait that returns with one of its holds": mutant(
        "condition.c",
        "        s->hold->depth = s->depth;\n",
        "",
        "conformance/test_condition.py::test_a_wait_lets_go_of_every_hold[shm]",
    ),
    "an entry that stays when its time is over": mutant(
        "condition.c",
        "    bool mine = party_leave(s->party, s->token);\n",
        "    bool mine = true;\n",
        f"{STOPS}_waits_in_vain_use_nothing_up",
    ),
    "entries of the dead that are never free": mutant(
        "parties.c",
        "            if (!seat_alive(seg, token)) party_leave(party_at(seg, i), token);\n",
        "            (void)token;\n",
        "test_sync_deaths.py::test_the_dead_leave_room_for_others",
    ),
}

BARRIERS: dict[str, Mutant] = {
    "a barrier that lets one less pass": mutant(
        "barrier.c",
        "&a->number) + 1 >= parties;",
        "&a->number) + 2 >= parties;",
        "conformance/test_barrier.py::test_nobody_passes_alone[shm]",
    ),
    "a barrier that stays in its phase": mutant(
        "barrier.c",
        "(int64_t)((phase + 1) << 3 | FILLING)",
        "(int64_t)(phase << 3 | FILLING)",
        f"{STOPS}_an_action_that_lasts_into_the_next_round_ends_its_own",
    ),
    "a barrier that is broken for who was let go": mutant(
        "barrier.c",
        "state == RELEASING ? PARTY_RELEASED : PARTY_BROKEN",
        "PARTY_BROKEN",
        "conformance/test_barrier.py::test_parties_pass_together_again_and_again[shm]",
    ),
    "a barrier that marks the parties of any phase": mutant(
        "barrier.c",
        "memory_order_relaxed) != waiting || atomic_load(&party->token) == 0) continue;",
        "memory_order_relaxed) == 0 || atomic_load(&party->token) == 0) continue;",
        f"{STOPS}_a_party_that_was_stopped_goes_by_its_own_round",
    ),
    "a barrier that wakes nobody": mutant(
        "barrier.c", "    change_notify(slot);\n", "    (void)slot;\n", f"{WAKES}[for_the_last_party]"
    ),
    "a dead party that is waited for": mutant(
        "barrier.c",
        "if (going == 0 || (going > 0 && next_dead(w->seg, a->party, a->phase))) going",
        "if (going == 0) going",
        "test_sync_deaths.py::test_a_barrier_breaks_when_a_party_dies_that_waits",
    ),
    "a dead party that counts for the last one": mutant(
        "barrier.c",
        "    bool whole = !any_dead(seg, a->phase);\n    if (acts",
        "    bool whole = true;\n    if (acts",
        "test_sync_deaths.py::test_the_last_party_does_not_pass_with_a_dead_one",
    ),
    "a dead party that is not seen from outside": mutant(
        "barrier.c",
        "    if (is_open(word) && !any_dead(seg, phase_of(word))) return 0;\n",
        "    if (is_open(word)) return 0;\n",
        "test_sync_deaths.py::test_a_barrier_is_seen_to_be_broken_by_who_does_not_wait",
    ),
    "a late party that breaks nothing": mutant(
        "barrier.c",
        "    if (is_open(word) && phase_of(word) == a->phase) move(seg, BROKEN);\n    end(hold);\n    return 1;",
        "    end(hold);\n    return -1;",
        "conformance/test_barrier.py::test_time_that_runs_out_breaks_it[shm]",
    ),
    "a dead one's commit that is not finished": mutant(
        "barrier.c",
        "    finish(seg, hold->slot); /* what a dead one left */\n",
        "",
        f"{STOPS}_the_last_party_dies_and_the_others_pass_together_or_not[barrier.committed-True]",
    ),
    "parties that are marked before it is committed": mutant(
        "barrier.c",
        "    FAULT(barrier_committing);\n",
        "    mark(seg, phase_of(word_of(slot)), to == RELEASING ? PARTY_RELEASED : PARTY_BROKEN);\n"
        "    FAULT(barrier_committing);\n",
        f"{STOPS}_the_last_party_dies_and_the_others_pass_together_or_not[barrier.committing-False]",
        dies=True,
    ),
    "an action that all parties run": mutant(
        "barrier.c",
        "    if (!last) return 2;\n",
        "    if (!last && !acts) return 2;\n",
        "conformance/test_barrier.py::test_the_action_runs_once_a_round[shm]",
    ),
    "an action that raises and breaks nothing": mutant(
        "barrier.c",
        "move(seg, raised ? BROKEN : RELEASING)",
        "move(seg, RELEASING)",
        "conformance/test_barrier.py::test_an_action_that_raises_breaks_the_barrier[shm]",
    ),
}

RWLOCKS: dict[str, Mutant] = {
    "a reader that does not mind a writer who waits": Mutant(
        (  # it looks twice: before it counts itself, which spares the writer, and afterwards
            Change("rwlock.c", "    if (!regardless && (atomic_load(&slot->word) & 1)) return 0;\n", ""),
            Change(
                "rwlock.c",
                "    if (LIKELY(regardless || !(atomic_load(&slot->word) & 1))) return 1;\n",
                "    return (void)slot, (void)regardless, 1;\n",
            ),
        ),
        "conformance/test_rwlock.py::test_a_writer_that_waits_goes_first[shm]",
    ),
    "a reader that looks before it counts": mutant(
        "rwlock.c",
        "    if (LIKELY(regardless || !(atomic_load(&slot->word) & 1))) return 1;\n",
        "    return 1;\n",
        f"{STOPS}_a_reader_looks_again_when_it_has_counted_itself",
        dies=True,
    ),
    "a writer that does not wait for readers": mutant(
        "rwlock.c",
        "    int going = 1;\n    if ((*reader = any_reader(seg)) == 0) return 1;\n",
        "    int going = 1;\n    return 1;\n",
        "conformance/test_rwlock.py::test_many_read_or_one_writes[shm]",
    ),
    "a writer that waits for its own process's readers alone": mutant(
        "rwlock.c",
        "seats = seats_in_use(seg), token; seat < seats; seat++)\n        if ((token",
        "seats = 0, token; seat < seats; seat++)\n        if ((token",
        "conformance/test_rwlock.py::test_processes_read_together_and_write_alone[shm-fork]",
    ),
    "a dead reader that is waited for": mutant(
        "rwlock.c",
        "    if (token >> 21 == seat + 1 && seat_alive(seg, token)) return token;\n",
        "    if (token >> 21 == seat + 1) return token;\n",
        "test_sync_deaths.py::test_what_dead_readers_and_writers_had_is_free[writing-reading]",
    ),
    "a dead writer that is waited for": mutant(
        "rwlock.c",
        "if (also_has && lock != 0 && holder_alive(seg, &slot->lock, lock, slot)) return false;",
        "if (also_has && lock != 0) return false;",
        "test_sync_deaths.py::test_what_dead_readers_and_writers_had_is_free[reading-writing]",
    ),
    "a reader that ends and wakes no writer": mutant(
        "rwlock.c", "    signal_some(&table(seg)->gate, 1);\n", "", f"{WAKES}[for_a_reader]"
    ),
    "a writer that ends and wakes no reader": mutant(
        "rwlock.c",
        "    FAULT(rwlock_unhinted);\n    change_notify(slot);\n",
        "    FAULT(rwlock_unhinted);\n",
        f"{WAKES}[for_the_writer]",
    ),
    "a writer that leaves its hint": mutant(
        "rwlock.c", "        clear_hint(hold->seg, false);\n", "", f"{WAKES}[for_the_writer]"
    ),
    "a writer that gave up and has the lock": mutant(
        "rwlock.c",
        "        if (got <= 0 && held_here(hold)) end_writing(hold);",
        "        if (got < 0 && held_here(hold)) end_writing(hold);",
        f"{STOPS}_a_writer_that_gave_up_has_nothing",
    ),
    "a writer that clears the hint of another": mutant(
        "rwlock.c",
        "        if (any_wants(seg)) return false;\n",
        "",
        f"{STOPS}_a_writer_that_leaves_does_not_open_the_door_that_another_has_shut",
    ),
    "a count of readers that is of the seat's last occupant": mutant(
        "rwlock.c",
        "new = seen >> 32 == token ? seen : (uint64_t)token << 32;",
        "new = (uint64_t)token << 32 | (uint32_t)seen;",
        "test_seats.py::test_reading",
    ),
    "an ended thread that reads for ever": mutant(
        "rwlock.c",
        "    if (reading->seg->token != 0) uncount_reader(reading->seg);\n",
        "    (void)reading;\n",
        f"{STOPS}_a_reading_thread_that_ended_is_gone_for_other_processes_too",
    ),
    "a thread that reads and becomes the writer": mutant(
        "rwlock.c",
        "    if (reading_here(seg) != NULL) return refuse(",
        "    if (false) return refuse(",
        "conformance/test_rwlock.py::test_a_reader_cannot_become_a_writer[shm-0]",
    ),
}

SYNC: dict[str, Mutant] = {**SEMAPHORES, **EVENTS, **CONDITIONS, **BARRIERS, **RWLOCKS}
