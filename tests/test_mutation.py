"""The properties are worth something: a core with one mistake in it fails them.

Each mutant is the C core with one passage replaced, compiled from a copy of its sources and put in a copy of the
package. The named test must pass on an unchanged copy and fail on the mutant.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

import procshare
from procshare.backends import native_built

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src" / "procshare" / "_native"
COMPILER = shlex.split(sysconfig.get_config_var("CC") or "")
FLAGS = ["-std=c11", "-O1", "-fPIC", "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}"]

# A failure is enough: no time for Hypothesis to look for a smaller one.
PYTEST = """
import sys
import pytest
from hypothesis import Phase, settings
settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("mutation")
quiet = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore:Module already imported"]
sys.exit(pytest.main([*quiet, *sys.argv[1:]]))
"""

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="the C sources are not here"),
    pytest.mark.skipif(not COMPILER or shutil.which(COMPILER[0]) is None, reason="there is no C compiler"),
]


class Mutant(NamedTuple):
    """One passage of one source file, what stands in its place, and the test that must notice; and perhaps more."""

    source: str
    passage: str
    replacement: str
    caught_by: str
    more: tuple[tuple[str, str, str], ...] = ()
    """Further passages, each with its source and what stands in its place."""

    @property
    def passages(self) -> tuple[tuple[str, str, str], ...]:
        """All of them."""
        return ((self.source, self.passage, self.replacement), *self.more)


TOTALS = "test_properties.py::test_concurrent_changes_total_exactly[fork]"
LOCKS = "test_properties.py::test_concurrent_modifications_total_exactly[fork]"
OVERFLOW = "test_properties.py::test_a_counter_ends_where_it_should_or_stays"
READERS = "test_properties.py::test_no_reader_sees_half_of_a_value"
WAKING = "test_properties.py::test_a_change_wakes_who_waits_for_it"
STATES = "test_containers_concurrent.py::test_readers_see_real_states_while_all_grows_and_shrinks"
SUMS = "test_containers_concurrent.py::test_a_sum_is_kept_for_readers_without_a_lock"
EVERY_WAY = "test_container_order.py::test_a_key_or_item_that_was_seen_is_seen_in_every_way"
BLOCKS = "test_container_order.py::test_a_block_is_seen_at_all_its_places_from_one_moment_on"
TOGETHER = "test_container_order.py::test_a_transaction_is_seen_in_all_its_containers_from_one_moment_on"

PAUSE = "extern int usleep(unsigned);\n#define PAUSE() usleep(20)\n"
INCLUDE = '#include "container.h"\n'
READER = "    uint64_t pending = atomic_load_explicit(&container_of(seg)->pending, memory_order_acquire);\n"
COPYING = "    taken->large = NULL;\n"


def slowed(source: str) -> tuple[str, str, str]:
    """Where the core's test build has its fault points, the mutant's file has a pause."""
    return source, INCLUDE, f"{INCLUDE}{PAUSE}#undef FAULT\n#define FAULT(point) PAUSE()\n"


def paused(source: str) -> tuple[str, str, str]:
    """The mutant's file may pause."""
    return source, INCLUDE, INCLUDE + PAUSE


MUTANTS = {
    "a counter without atomicity": Mutant(
        "counter.c",
        '#include "native.h"\n',
        '#include "native.h"\n'
        "#include <sched.h>\n"
        "#undef atomic_compare_exchange_weak\n"
        "#define atomic_compare_exchange_weak(word, old, new) (sched_yield(), atomic_store(word, new), true)\n",
        TOTALS,
    ),
    "a counter that looks for a block only once": Mutant(
        "counter.c",
        "    } while (done == 1 && !atomic_compare_exchange_weak(&slot->word, old, *new));\n",
        "        for (int i = 0; i < 500000 && atomic_load(&slot->word) != COUNTER_LOCKED; i++) {}\n"
        "        while (done == 1 && !atomic_compare_exchange_weak(&slot->word, old, *new))\n"
        "            done = step(op, *old, arg, expected, new);\n"
        "    } while (false);\n",
        TOTALS,
    ),
    "a counter that wraps": Mutant(
        "counter.c",
        "__builtin_add_overflow(old, n, &new)",
        "(new = (int64_t)((uint64_t)old + (uint64_t)n), false)",
        OVERFLOW,
    ),
    "a lock that never excludes": Mutant(
        "lock.c",
        "    int64_t start = now_ns(), left = timeout;\n",
        "    return 0;\n    int64_t start = now_ns(), left = timeout;\n",
        LOCKS,
    ),
    "a lock that is taken from the living": Mutant("lock.c", "if (!seat_alive(seg, seen))", "if (true)", LOCKS),
    "a record that is published before it is written": Mutant(
        "store.c",
        "    atomic_store((_Atomic uint64_t *)at, (uint64_t)tag << 56 | length);\n",
        "    atomic_store(&slot->word, tagged_record(atomic_load(&slot->version) + 1, i));\n"
        "    extern int usleep(unsigned);\n"
        "    usleep(20);\n"
        "    atomic_store((_Atomic uint64_t *)at, (uint64_t)tag << 56 | length);\n",
        READERS,
    ),
    "an array whose readers look at no sequence": Mutant(
        "array.c", "PyLong_FromLongLong(atomic_load(&h->slot->word))", "PyLong_FromLong(0)", READERS
    ),
    "a change that wakes nobody": Mutant(
        "change.c", "    futex_wake(&slot->change, INT32_MAX);\n", "    (void)slot;\n", WAKING
    ),
    "a map that publishes the word before the key": Mutant(
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
        STATES,
        (paused("map.c"),),
    ),
    "a map that counts an entry when it is published already": Mutant(
        "map.c",
        "    map_set_word(seg, number, word);\n    commit_end(seg);\n",
        "    if (!spot.live) put(&current(seg)->span, number);\n"
        "    map_set_word(seg, number, word);\n"
        "    commit_end(seg);\n"
        "    PAUSE();\n"
        "    if (!spot.live) put(&current(seg)->span, number + 1);\n",
        EVERY_WAY,
        (paused("map.c"),),
    ),
    "a redo that is not pending any more when it is applied": Mutant(
        "redo.c",
        "        if (done == 1) apply(",
        "        atomic_store(&c->pending, 0);\n        if (done == 1) apply(",
        BLOCKS,
        (slowed("redo.c"),),
    ),
    "a redo that is applied from the front": Mutant(
        "redo.c",
        "    for (uint64_t i = count; i-- > 0;) {\n",
        "    for (uint64_t i = 0; i < count; i++) {\n",
        BLOCKS,
        (
            slowed("redo.c"),
            paused("map.c"),
            ("map.c", READER, f"{READER}    PAUSE();\n"),
        ),
    ),
    "a redo without an odd sequence": Mutant(
        "redo.c",
        INCLUDE,
        f"{INCLUDE}{PAUSE}#define commit_begin(seg) ((void)0)\n",
        SUMS,
        # Now and then: where four processes want two cores, each pause can take milliseconds.
        (
            (
                "redo.c",
                "        FAULT(redo_applying);\n",
                "        if (i % 2 && get(&container_of(seg)->sequence) % 64 == 0) PAUSE();\n",
            ),
        ),
    ),
    "a reader that does not look at the generation again": Mutant(
        "items.c",
        "    if (LIKELY(get(&c->generation) == generation && at != NULL && !PyErr_Occurred())) return 1;\n",
        "    if (at != NULL && !PyErr_Occurred()) return 1;\n",
        STATES,
        (
            paused("items.c"),
            ("items.c", COPYING, f"{COPYING}    PAUSE();\n"),
            ("readers.c", "    if (seg->quiet >= number) return true;\n", "    return true;\n"),  # nobody waits for it
        ),
    ),
    "a compaction that gives the old arena back before the new one is published": Mutant(
        "container.c",
        "    FAULT(container_switching);\n",
        "    generation_t *old = generation_of(seg, number - 1), *new = generation_of(seg, number);\n"
        "    for (unsigned a = 0; a < old->arenas && (new->arenas == 0 || new->arena[0] != old->arena[0]); a++)\n"
        "        fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(old->arena[a] * PAGE),\n"
        "                  (off_t)(1ull << old->arena_order[a]));\n"
        "    PAUSE();\n",
        STATES,
        (paused("container.c"),),
    ),
    "a list that counts an item before it is there": Mutant(
        "vector.c",
        "    uint64_t span = get(&current(seg)->span), end = span_start(span) + span_length(span);\n",
        "    uint64_t span = get(&current(seg)->span), end = span_start(span) + span_length(span);\n"
        "    put(&current(seg)->span, span + count);\n"
        "    PAUSE();\n",
        EVERY_WAY,
        (paused("vector.c"),),
    ),
    "a transaction that commits the first before the others are prepared": Mutant(
        "transaction.c",
        "    for (Py_ssize_t i = 1; i < n; i++) {\n        atomic_store(",
        "    atomic_store(&container_of(first)->pending, with[0]->offset << 2 | REDO_COMMITTED);\n"
        "    PAUSE();\n"
        "    for (Py_ssize_t i = 1; i < n; i++) {\n        atomic_store(",
        TOGETHER,
        (paused("transaction.c"),),
    ),
}


def compile_core(sources: list[Path], objects: Path) -> None:
    """Each source to an object of the same name."""
    objects.mkdir(exist_ok=True)
    subprocess.run([*COMPILER, *FLAGS, f"-I{SOURCES}", "-c", *map(str, sources)], cwd=objects, check=True, timeout=60)


def package(home: Path, objects: list[Path]) -> Path:
    """A copy of the package in *home*, with a core linked of these objects."""
    ignored = shutil.ignore_patterns("*.so", "_native", "__pycache__")
    shutil.copytree(Path(procshare.__file__).parent, home / "procshare", ignore=ignored)
    core = home / "procshare" / "_native.abi3.so"
    subprocess.run([*COMPILER, "-shared", *map(str, objects), "-o", str(core)], check=True, timeout=60)
    return home


def run_tests(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """These tests, on the package in *home*."""
    nodes = [str(TESTS / name) for name in names]
    environ = {**os.environ, "PYTHONPATH": str(home), "PROCSHARE_BACKEND": "shm"}
    command = [sys.executable, "-c", PYTEST, *nodes]
    return subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The objects of the unchanged core."""
    directory = tmp_path_factory.mktemp("objects")
    compile_core(sorted(SOURCES.glob("*.c")), directory)
    return directory


def test_the_unchanged_core_passes(objects: Path, tmp_path: Path) -> None:
    """Built the same way as the mutants, and run by the same tests: it is the mistakes that make them fail."""
    home = package(tmp_path / "home", sorted(objects.glob("*.o")))
    done = run_tests(home, *sorted({mutant.caught_by for mutant in MUTANTS.values()}))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, objects: Path, tmp_path: Path) -> None:
    """The named test fails, on an assertion or an error of its workers."""
    mutant = MUTANTS[name]
    changed: dict[str, str] = {}
    for source, passage, replacement in mutant.passages:
        text = changed.get(source) or (SOURCES / source).read_text()
        assert text.count(passage) == 1, f"the passage to change is not in {source}; write it anew: {passage}"
        changed[source] = text.replace(passage, replacement)
    for source, text in changed.items():
        (tmp_path / source).write_text(text)
    compile_core([tmp_path / source for source in changed], tmp_path / "objects")
    made = sorted((tmp_path / "objects").glob("*.o"))
    kept = [each for each in sorted(objects.glob("*.o")) if each.name not in {new.name for new in made}]
    home = package(tmp_path / "home", [*kept, *made])
    done = run_tests(home, mutant.caught_by)
    for _ in range(7):  # on a busy machine two processes may hardly meet
        if done.returncode == 0:
            done = run_tests(home, mutant.caught_by)

    assert done.returncode == 1, f"{mutant.caught_by} did not notice {name}:\n{done.stdout}{done.stderr}"
    assert "1 failed" in done.stdout, done.stdout + done.stderr
