"""Mistakes in what operators are told, in who is let in, and in what a refused write leaves behind."""

from __future__ import annotations

from mutant import Mutant, mutant

LOGGING, STATS, PERMISSIONS = "test_logging.py::test", "test_stats.py::test", "test_permissions.py::test"
REFUSED = "test_refused_handles.py::test"

COUNTS: dict[str, Mutant] = {
    "a death that is not counted": mutant(
        "deaths.c",
        "    count_one(&tally_of(seg, slot)->owner_deaths);\n",
        "    (void)count_one;\n",
        f"{STATS}_a_death_is_counted_by_whoever_takes_over[lock]",
    ),
    "a wait that counts each time it wakes": mutant(
        "lock.c",
        "            if (!slept) count_one(",
        "            count_one(",
        f"{STATS}_waits_for_a_block_and_for_a_change[counter]",
    ),
    "a try that counts as a time-out": mutant(
        "lock.c",
        "            if (timeout > 0) count_one(",
        "            count_one(",
        f"{STATS}_waits_for_a_block_and_for_a_change[counter]",
    ),
    "a slot with the counts of the one before": mutant(
        "slab.c",
        "    memset(tally_of(seg, slot), 0, sizeof(tally_t));\n",
        "",
        f"{STATS}_an_object_in_a_slab_begins_with_nothing",
    ),
    "an item of the dead that is not counted": mutant(
        "inspect.c",
        "        length += dead || state == LEASE_BACK;",
        "        length += !dead && state == LEASE_BACK;",
        f"{STATS}_an_item_on_lease_counts_again_when_its_holder_is_dead",
    ),
    "a holder that is shown after its death": mutant(
        "inspect.c",
        "    if (lock == 0 || seat >= SEAT_COUNT || !seat_taken(w->fd, seat)) return 0;",
        "    if (lock == 0 || seat >= SEAT_COUNT) return 0;",
        f"{STATS}_a_death_is_counted_by_whoever_takes_over[lock]",
    ),
}

DEATHS: dict[str, Mutant] = {
    "a death of which nobody is told": mutant(
        "deaths.c",
        "    arrange();\n}",
        "    (void)arrange;\n}",
        f"{LOGGING}_whoever_takes_over_says_so[counter]",
    ),
    "a death that a forked child tells again": mutant(
        "deaths.c",
        "void deaths_after_fork(void) {\n    noted = unnoted = 0;\n    arranged = false;",
        "void deaths_after_fork(void) {\n    arranged = false;\n    if (noted > 0) arrange();",
        f"{LOGGING}_a_forked_child_does_not_say_it_again",
    ),
    "a handler's error that comes out of a call": mutant(
        "deaths.c",
        "    if (!PyErr_ExceptionMatches(PyExc_Exception)) return -1;\n    PyErr_Clear();\n    return 0;",
        "    return -1;",
        f"{LOGGING}_logging_never_gets_in_the_way[a handler raises]",
    ),
}

LET_IN: dict[str, Mutant] = {
    "a group that nobody trusted": mutant(
        "trust.c",
        "(st->st_mode & 070) && ",
        "false && ",
        f"{PERMISSIONS}_who_is_let_in_is_trusted_or_it_is_refused[SharedDict-432]",
    ),
    "a mode that the file does not get": mutant(
        "segment.c",
        "    if (fchmod(seg->fd, mode) < 0) return",
        "    if (false) return",
        f"{PERMISSIONS}_an_object_has_the_mode_that_it_was_given[SharedDict-432]",
    ),
    "a removal that a foreign user is not refused": mutant(
        "segment.c",
        "    return me == owner || me == 0 ||",
        "    return true || me == owner || me == 0 ||",
        f"{PERMISSIONS}_only_its_user_and_root_remove_an_object",
    ),
    "an object that is kept abroad and swept": mutant(
        "links.c",
        "    if (child->uid != seg->uid) atomic_fetch_or(&child->header->flags, SEG_ABROAD);\n",
        "",
        f"{PERMISSIONS}_what_another_users_container_keeps_is_not_swept",
    ),
}

WITHDRAWN: dict[str, Mutant] = {
    "a refused object that stays": mutant(
        "links.c",
        "    if (Py_REFCNT(list) == 1) ",
        "    if (false) ",
        f"{REFUSED}_it_is_gone_when_nobody_has_it[list-dict]",
    ),
    "a refused object that is gone though its name was told": mutant(
        "handle.c",
        " || h->quiet != h->exports + 1) return;",
        " || h->quiet == 0) return;",
        f"{REFUSED}_it_stays_if_its_name_was_told_while_it_was_to_be_written",
    ),
    "a refused object that is gone though another value waits": mutant(
        "handle.c",
        "    if (h->waiting > 0 && --h->waiting > 0) return;\n",
        "",
        f"{REFUSED}_one_value_of_two_that_is_written_keeps_it",
    ),
    "an object of a ring that is taken for a refused one": mutant(
        "links.c",
        "        ((handle_t *)handle)->quiet = 0; /* from now on a record names it */\n",
        "",
        f"{REFUSED}_what_a_record_names_is_kept_though_nothing_claims_it",
    ),
}

OPERATING = {**COUNTS, **DEATHS, **LET_IN, **WITHDRAWN}
