"""Mistakes in counters, values and arrays."""

from __future__ import annotations

from mutant import Change, Mutant, mutant

TOTALS = "test_properties.py::test_concurrent_changes_total_exactly[fork]"
OVERFLOW = "test_properties.py::test_a_counter_ends_where_it_should_or_stays"
READERS = "test_properties.py::test_no_reader_sees_half_of_a_value"
WAKING = "test_properties.py::test_a_change_wakes_who_waits_for_it"

STATES: dict[str, Mutant] = {
    "a counter without atomicity": Mutant(
        (
            Change(
                "counter.c",
                '#include "native.h"\n',
                '#include "native.h"\n'
                "#include <sched.h>\n"
                "#undef atomic_compare_exchange_weak\n"
                "#define atomic_compare_exchange_weak(word, old, new) (sched_yield(), atomic_store(word, new), true)\n",
            ),
        ),
        TOTALS,
        races=True,
    ),
    "a counter that looks for a block only once": Mutant(
        (
            Change(
                "counter.c",
                "    } while (done == 1 && !atomic_compare_exchange_weak(&slot->word, old, *new));\n",
                "        for (int i = 0; i < 500000 && atomic_load(&slot->word) != COUNTER_LOCKED; i++) {}\n"
                "        while (done == 1 && !atomic_compare_exchange_weak(&slot->word, old, *new))\n"
                "            done = step(op, *old, arg, expected, new);\n"
                "    } while (false);\n",
            ),
        ),
        TOTALS,
        races=True,
    ),
    "a counter that wraps": mutant(
        "counter.c",
        "__builtin_add_overflow(old, n, &new)",
        "(new = (int64_t)((uint64_t)old + (uint64_t)n), false)",
        OVERFLOW,
    ),
    "a counter that may have the number that means locked": mutant(
        "counter.c", "|| *new == COUNTER_LOCKED) return would_overflow", ") return would_overflow", OVERFLOW
    ),
    "a dead holder's mark that stays": mutant(
        "counter.c",
        "atomic_store(&slot->word, atomic_load(&slot->saved)); /* a dead one's mark */",
        "(void)0;",
        "test_deaths.py::test_a_change_without_a_block_takes_over_as_well[counter-counter.marked]",
    ),
    "a dead holder's mark that counts as a value": mutant(
        "counter.c",
        "        if (n == COUNTER_LOCKED) n = atomic_load(&slot->saved);",
        "        (void)0;",
        "test_locks.py::test_a_killed_holder_commits_nothing_and_its_waiters_go_on[counter]",
    ),
    "a record that is published before it is written": Mutant(
        (
            Change(
                "store.c",
                "    atomic_store((_Atomic uint64_t *)at, (uint64_t)tag << 56 | length);\n",
                "    atomic_store(&slot->word, tagged_record(atomic_load(&slot->version) + 1, i));\n"
                "    extern int usleep(unsigned);\n"
                "    usleep(20);\n"
                "    atomic_store((_Atomic uint64_t *)at, (uint64_t)tag << 56 | length);\n",
            ),
        ),
        READERS,
        races=True,
    ),
    "a record in the place of the one that is read": Mutant(
        (Change("store.c", "!(~(uint64_t)current & 1) : 0;", "~(uint64_t)current & 1 : 0;"),), READERS, races=True
    ),
    "a record with the version of the last one": mutant(
        "store.c",
        "tagged_record(version, i), memory_order_release",
        "tagged_record(0, i), memory_order_release",
        "test_checks.py::test_a_values_word_does_not_come_again",
    ),
    "an array whose readers look at no sequence": Mutant(
        (Change("array.c", "PyLong_FromLongLong(atomic_load(&h->slot->word))", "PyLong_FromLong(0)"),),
        READERS,
        races=True,
    ),
    "a change that wakes nobody": mutant(
        "change.c", "    futex_wake(&slot->change, INT32_MAX);\n", "    (void)slot;\n", WAKING
    ),
}
