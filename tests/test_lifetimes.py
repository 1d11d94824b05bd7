"""How long an object lives, and who removes it."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import procshare
from nesting import exists
from procshare import Closed, NotFound, SegmentInfo, SharedArray, SharedCounter
from scripts import SHM, Script, entries, run, until

if TYPE_CHECKING:
    from collections.abc import Callable

UID = os.geteuid()
ANY: Any = procshare  # whose classes infer nothing
KINDS: dict[str, Callable[..., Any]] = {
    "counter": partial(ANY.SharedCounter, 7),
    "number": partial(ANY.SharedValue, 7, "i"),
    "object": partial(ANY.SharedValue, b"7" * 100_000),
    "array": partial(ANY.SharedArray, [7, 8]),
    "list": partial(ANY.SharedList, [7, "eight"]),
}


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes an object of each kind in turn."""
    return KINDS[request.param]


def own(name: str) -> str:
    """*name*, made this process's own, so that parallel runs do not meet."""
    return f"lives-{os.getpid()}-{name}"


def described(name: str) -> SegmentInfo:
    """What `segments()` says of it."""
    (info,) = [info for info in procshare.segments() if info.name == name]
    return info


# ---- one process ----


def test_what_was_never_exported_has_no_name(make: Callable[..., Any]) -> None:
    """Nothing appears in /dev/shm, so nothing can be left of it."""
    before = entries()
    with make() as made:
        made.set(made.value)
        assert repr(copy.copy(made))
        assert entries() == before


def test_collecting_what_was_never_exported_frees_it() -> None:
    """The memory goes with the last handle; a named or exported one stays."""
    gc.collect()
    before = len(shm_descriptors())
    array = SharedArray.zeros(100_000)
    assert len(shm_descriptors()) == before + 1
    del array
    assert len(shm_descriptors()) == before


def shm_descriptors() -> list[int]:
    """This process's open files in /dev/shm."""
    found: list[int] = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("/dev/shm/"):
                found.append(int(fd))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", ["name", "segment", "pickle", "named"])
def test_the_exported_stays_until_it_is_unlinked(make: Callable[..., Any], how: str) -> None:
    """Collecting or closing its creator's last handle does not remove it, since another process may know it."""
    made = make(name=own("stays")) if how == "named" else make()
    if how == "pickle":
        pickle.dumps(made)
    elif how != "named":
        getattr(made, how)
    name, value = made.name, str(made.value)
    del made
    gc.collect()

    again = procshare.attach(name)
    assert str(getattr(again, "value")) == value
    again.close()
    gone = procshare.attach(name)
    gone.unlink()
    gone.close()
    assert not exists(name)


def test_close_and_unlink_are_idempotent(make: Callable[..., Any]) -> None:
    """In any order, and after each other; also where the name leads elsewhere by now."""
    made = make(name=own("twice"))
    for _ in range(3):
        made.unlink()
    other = make(name=own("twice"))
    made.unlink()
    made.close()
    made.close()
    made.unlink()

    assert exists(other.name)
    other.unlink()
    other.close()
    assert not exists(own("twice"))


def test_use_after_close_is_refused(make: Callable[..., Any]) -> None:
    """Every way to use it raises Closed; the name can still be read if it was read before."""
    made, read = make(), make()
    name, value = read.name, read.value
    for handle in (made, read):
        handle.unlink()
        handle.close()
        uses: list[Callable[[Any], Any]] = [
            lambda h: h.value,
            lambda h: h.set(value),
            lambda h: h.modify(id),
            lambda h: h.locked().__enter__(),
            lambda h: h.wait_until(bool, timeout=0),
            lambda h: h.hand_over(),
            lambda h: h.__enter__(),
        ]
        for use in uses:
            with pytest.raises(Closed):
                use(handle)
        assert handle.closed
        assert "closed" in repr(handle)
    for each in ("name", "segment"):
        with pytest.raises(Closed):
            getattr(made, each)
    with pytest.raises(Closed):
        pickle.dumps(made)
    assert read.name == name


def test_leaving_the_block_unlinks_for_the_creator_only(make: Callable[..., Any]) -> None:
    """An attached handle's block closes that handle."""
    with make() as made:
        with ANY.attach(made.name) as attached:
            assert str(attached.value) == str(made.value)
        assert attached.closed
        assert exists(made.name)
        name = made.name
    assert made.closed
    assert not exists(name)


def test_handles_share_a_mapping() -> None:
    """However often a segment is attached, it is mapped once and open once."""
    with SharedArray.zeros(50_000) as array, SharedCounter() as counter:
        again: list[Any] = [SharedArray.attach(array.name) for _ in range(3)]
        again.append(pickle.loads(pickle.dumps(array)))
        counters = [SharedCounter.attach(counter.name) for _ in range(3)]
        maps = Path("/proc/self/maps").read_text().splitlines()
        inode = str((SHM / array.segment).stat().st_ino)
        assert len([line for line in maps if inode in line.split()]) == 1
        again[0].array[5] = 3
        assert [each.array[5] for each in again] == [3] * 4
        counters[0].increment()
        assert counter.value == 1
        for each in [*again, *counters]:
            each.close()
        assert array.array[5] == 3


def test_views_outlive_everything() -> None:
    """An ndarray works on, for reading and writing, when its handle is closed, unlinked and collected."""
    source = """
a = SharedArray.attach(sys.stdin.readline().strip())
say(a.array[1])
sys.stdin.readline()
say(a.array[1])
"""
    with Script(source) as script:
        made = SharedArray(np.arange(10_000))
        live, part = made.array, made.array[5:].reshape(-1, 5)
        script.tell(made.name)
        assert script.hear() == "1"
        made.close()
        made.unlink()
        with pytest.raises(NotFound):
            SharedArray.attach(made.name)
        del made
        gc.collect()
        live[1] = 99
        part[0, 0] = 5555
        script.tell()
        assert script.hear() == "99"
        assert script.ended() == (0, "", "")
    assert live[5] == 5555
    del live
    gc.collect()
    assert part[0, 0] == 5555


@pytest.mark.parametrize("named", [False, True])
def test_a_closed_handle_can_still_remove_its_object(named: bool) -> None:
    """Closing lets go and no more: `unlink()` and the end of `with` then remove what was exported."""
    with SharedCounter(1, name="closed-early" if named else None) as counter:
        name = counter.name
        counter.close()
        SharedCounter.attach(name).close()
    with pytest.raises(NotFound):
        SharedCounter.attach(name)
    array = SharedArray([1], name="closed-early" if named else None)
    name = array.name
    array.close()
    array.unlink()
    array.unlink()
    with pytest.raises(NotFound):
        SharedArray.attach(name)


def test_a_slot_whose_name_was_known_is_gone() -> None:
    """Its name leads nowhere, and no later object of its slab has its place."""
    with SharedCounter(1) as beside:
        gone = SharedCounter(2)
        name, place = gone.name, gone.name.rpartition(".")[0]
        assert beside.name.startswith(gone.segment)
        gone.unlink()
        assert not exists(name)
        gone.close()
        later = [SharedCounter(n) for n in range(50)]
        assert place not in {each.name.rpartition(".")[0] for each in later}
        assert not exists(name)
        for each in later:
            each.unlink()


@pytest.mark.parametrize("end", ["close", "unlink", "__exit__"])
def test_a_name_that_is_anothers_by_now_is_left_alone(end: str) -> None:
    """Its file was removed by hand, and another has taken the name."""
    made = SharedCounter(7, name=own("x"))
    path = SHM / made.segment
    path.unlink()
    with SharedCounter(8, name=own("x")) as other:
        getattr(made, end)(*[None] * (3 if end == "__exit__" else 0))
        made.unlink()
        assert path.exists()
        assert SharedCounter.attach(own("x")).value == other.value == 8


def test_views_taken_inside_a_block_outlive_it() -> None:
    """The guard of an array is the live array."""
    with SharedArray([1, 2, 3]) as made:
        with made.locked() as guard:
            guard[:] = 4
        held = made.locked()
        live = held.__enter__()
        made.close()
        live[0] = 9
        held.__exit__(None, None, None)
    assert live.tolist() == [9, 4, 4]


def test_copies_are_the_same_object(make: Callable[..., Any]) -> None:
    """Of a handle, shallow or deep, also within other objects."""
    with make() as made:
        assert copy.copy(made) is made
        assert copy.deepcopy(made) is made
        assert copy.deepcopy({"a": [made]})["a"][0] is made


class Hits(SharedCounter):
    """A user's class, with attributes and methods of its own."""

    def __init__(self, initial: int = 0, *, page: str = "/", **options: Any) -> None:
        super().__init__(initial, **options)
        self.page = page

    def hit(self) -> str:
        return f"{self.page}: {self.increment()}"


class Matrix(SharedArray[Any]):
    """A user's class of array."""

    def trace(self) -> Any:
        return self.array.trace()


def test_a_users_class_attaches_as_itself() -> None:
    """And pickles with its attributes; attaching runs no `__init__`."""
    with Hits(5, page="/index") as hits, Matrix([[1, 2], [3, 4]]) as matrix:
        assert hits.hit() == "/index: 6"
        again = pickle.loads(pickle.dumps(hits))
        assert isinstance(again, Hits)
        assert again.hit() == "/index: 7"
        attached = Hits.attach(hits.name)
        assert isinstance(attached, Hits)
        assert attached.value == 7
        assert not hasattr(attached, "page")
        assert Matrix.attach(matrix.name).trace() == pickle.loads(pickle.dumps(matrix)).trace() == 5
        assert type(procshare.attach(hits.name)) is type(SharedCounter.attach(hits.name))
    opened = Hits.open(own("hits"), 3, page="/open")
    assert opened.hit() == "/open: 4"
    assert Hits.open(own("hits"), 3, page="/other").value == 4
    opened.close()


# ---- other processes ----

ATTACH = """
handle = procshare.attach(sys.argv[1])
say("attached")
for line in sys.stdin:
    say(eval(line))
"""


def test_the_attached_work_on_after_unlink(make: Callable[..., Any]) -> None:
    """Nobody can attach any more; those who did share it still, and a new one can have the name."""
    made = make(name=own("on"))
    with Script(ATTACH, made.name) as script:
        assert script.hear() == "attached"
        made.unlink()
        assert not exists(own("on"))
        with make(name=own("on")) as new:
            new_value = str(new.value)
            made.set(made.value * 0)
            script.tell("handle.value")
            assert script.hear() == str(made.value)
            assert str(new.value) == new_value
        made.close()
        script.tell("handle.value * 1 is not None")
        assert script.hear() == "True"


def test_collecting_where_it_is_attached_removes_nothing(make: Callable[..., Any]) -> None:
    """Only the creator's end, its `unlink()` or its `with` does."""
    with make() as made, Script(ATTACH, made.name) as script:
        assert script.hear() == "attached"
        script.tell("globals().pop('handle').close()")
        assert script.hear() == "None"
        assert exists(made.name)
        script.kill()
        assert exists(made.name)


def test_a_forked_child_owns_nothing_of_its_parents(make: Callable[..., Any]) -> None:
    """Its blocks, collections and exits leave them alone."""
    with make() as anonymous, make() as exported, make(name=own("fork")) as named:
        names = exported.name, named.name
        child = os.fork()
        if child == 0:
            try:
                for each in (anonymous, exported, named):
                    with each:
                        assert str(each.value)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert all(map(exists, names))
        assert str(anonymous.value) == str(named.value)


GIVE = """
import gc
kinds = {
    "counter": lambda: SharedCounter(7),
    "number": lambda: SharedValue(7, "i"),
    "object": lambda: SharedValue(b"7" * 100_000),
    "array": lambda: SharedArray([7, 8]),
    "list": lambda: SharedList([7, "eight"]),
}
kept = [kinds[sys.argv[1]]() for _ in range(3)]
given = kinds[sys.argv[1]]().hand_over()
say(given.name)
say(*[x.name for x in kept])
for line in sys.stdin:
    exec(line)
    say("done")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_handed_over_from_a_process_that_forgets(kind: str) -> None:
    """Whoever attaches has it from now on, and the last one out unlinks; the giver's other objects stay its own."""
    with Script(GIVE, kind) as giver:
        name, kept = giver.hear(), giver.hear().split()
        giver.tell("del given; gc.collect()")
        giver.hear()
        one, two = procshare.attach(name), procshare.attach(name)
        assert described(name).owner is None
        one.close()
        assert exists(name)
        del two
        gc.collect()
        if kind == "array":
            assert not exists(name)
        assert all(map(exists, kept))
        giver.tell("[x.value for x in kept]")
        assert giver.hear() == "done"
        giver.hang_up()
        assert giver.ended() == (0, "", "")
    assert not any(map(exists, [name, *kept]))


@pytest.mark.parametrize("end", ["sys.exit()", "os._exit(0)", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("kind", KINDS)
def test_handed_over_by_a_process_that_is_gone(kind: str, end: str) -> None:
    """It waits for whoever attaches, of whom the last one out unlinks it."""
    with Script(GIVE, kind) as giver:
        name, kept = giver.hear(), giver.hear().split()
        giver.tell(end)
        giver.ended()
    assert not any(map(exists, kept)) or kind != "array"
    with Script(ATTACH, name) as one, Script(ATTACH, name) as two:
        assert one.hear() == two.hear() == "attached"
        one.tell("str(handle.value)[0:4]")
        assert one.hear()
        for script in (one, two):
            assert (SHM / name.partition("#")[0]).exists()
            script.hang_up()
            assert script.ended() == (0, "", "")
    assert not exists(name)
    assert not (SHM / name.partition("#")[0]).exists()


@pytest.mark.parametrize("kind", ["counter", "object"])
def test_a_givers_exit_ends_what_it_kept(kind: str) -> None:
    """Also where it lives in one slab with what was given away."""
    with Script(GIVE, kind) as giver:
        name, kept = giver.hear(), giver.hear().split()
        received = procshare.attach(name)
        giver.hang_up()
        assert giver.ended() == (0, "", "")
    assert not any(map(exists, kept))
    assert exists(name)
    received.close()


def test_handed_over_and_never_attached() -> None:
    """`prune()` clears it away once its giver is gone, and not before."""
    with Script(GIVE, "array") as giver:
        name = giver.hear()
        assert name not in {info.segment for info in procshare.prune()}
        giver.hang_up()
        giver.ended()
    run("SharedCounter()")
    assert (SHM / name).exists()
    assert name in {info.segment for info in procshare.prune(dry_run=True)}
    assert name in {info.segment for info in procshare.prune()}
    assert not exists(name)


# ---- open ----

RACE = """
say("ready")
sys.stdin.readline()
name, number = sys.argv[1], int(sys.argv[2])
counter = SharedCounter.open(name, number * 1_000_000)
value = SharedValue.open(name + "v", (number, "x" * 1000))
for _ in range(100):
    counter.increment()
say(*value.value)
sys.stdin.readline()
"""


def test_opened_by_twenty_at_once() -> None:
    """Exactly one initial value wins, no increment is lost, and nothing is left."""
    scripts: list[Script] = []
    try:
        for number in range(1, 21):
            scripts.append(Script(RACE, own("race"), number))
        for script in scripts:
            assert script.hear() == "ready"
        for script in scripts:
            script.tell()
        values = {script.hear() for script in scripts}
        total = SharedCounter.attach(own("race")).value
        for script in scripts:
            script.tell()
        assert all(script.ended() == (0, "", "") for script in scripts)
    finally:
        for script in scripts:
            script.__exit__()
    assert len(values) == 1
    assert total % 1_000_000 == 2000
    assert 1 <= total // 1_000_000 <= 20
    assert not exists(own("race"))
    assert not exists(own("racev"))


def test_opened_and_left_over_and_over() -> None:
    """Whoever opens while the last one leaves gets an object that lives: no error, and nothing is left."""
    source = """
say("ready")
sys.stdin.readline()
for _ in range(300):
    handle = SharedCounter.open(sys.argv[1], 0)
    assert handle.increment() >= 1
    again = SharedCounter.attach(handle.name)
    handle.close()
    assert again.increment() >= 2
    del again
"""
    scripts = [Script(source, own("churn")) for _ in range(4)]
    try:
        assert [script.hear() for script in scripts] == ["ready"] * 4
        for script in scripts:
            script.tell()
        assert [script.ended() for script in scripts] == [(0, "", "")] * 4
    finally:
        for script in scripts:
            script.__exit__()
    assert not exists(own("churn"))


def test_attached_and_left_by_many_at_once() -> None:
    """Whoever looks whether it is the last one keeps nobody else out."""
    source = """
say("ready")
sys.stdin.readline()
for _ in range(300):
    for name in sys.argv[1:]:
        handle = SharedCounter.attach(name)
        handle.increment()
        handle.close()
"""
    SharedCounter.open(own("many"), 0, persist=True).close()
    scripts = [Script(source, own("many")) for _ in range(6)]
    try:
        assert [script.hear() for script in scripts] == ["ready"] * 6
        for script in scripts:
            script.tell()
        assert [script.ended() for script in scripts] == [(0, "", "")] * 6
    finally:
        for script in scripts:
            script.__exit__()
    counter = SharedCounter.attach(own("many"))
    assert counter.value == 1800
    counter.unlink()
    counter.close()


OPEN = """
handle = SharedValue.open(sys.argv[1], "fresh", persist=len(sys.argv) > 2)
say(handle.value)
for line in sys.stdin:
    say(eval(line))
"""


def test_the_last_one_out_unlinks_what_was_opened() -> None:
    """Not the one who happened to create it."""
    with Script(OPEN, own("last")) as first, Script(OPEN, own("last")) as second:
        assert first.hear() == second.hear() == "fresh"
        assert described(own("last")).owner is None
        first.tell("handle.set('used')")
        first.hear()
        for script in sorted((first, second), key=lambda s: s.process.pid):
            assert exists(own("last"))
            script.hang_up()
            assert script.ended() == (0, "", "")
    assert not exists(own("last"))


def test_opened_after_all_were_killed_it_is_fresh() -> None:
    """Nobody is attached, so the next to open it starts anew."""
    with Script(OPEN, own("killed")) as first, Script(OPEN, own("killed")) as second:
        assert first.hear() == second.hear() == "fresh"
        first.tell("handle.set('used')")
        first.hear()
        first.kill()
        assert ANY.SharedValue.attach(own("killed")).value == "used"
        second.kill()
    with ANY.SharedValue.open(own("killed"), "anew") as handle:
        assert handle.value == "anew"
    assert not exists(own("killed"))


def test_what_the_killed_left_is_cleared_at_the_next_creation() -> None:
    """By any process of this user, once it creates its first object."""
    with Script(OPEN, own("dead")) as script:
        script.hear()
        script.kill()
    path = SHM / f"procshare.{UID}.{own('dead')}"
    assert path.exists()
    assert run("import procshare\nprocshare.segments()\nsay('looked')") == (0, "looked\n", "")
    assert path.exists()
    run("SharedCounter()")
    assert not path.exists()


def test_persist_keeps_it_until_it_is_unlinked() -> None:
    """Whoever leaves or dies; neither `prune()` nor a creation removes it."""
    with Script(OPEN, own("keep")) as first, Script(OPEN, own("keep"), "persist") as second:
        assert first.hear() == second.hear() == "fresh"
        first.tell("handle.set('used')")
        first.hear()
        first.hang_up()
        assert first.ended() == (0, "", "")
        second.kill()
    run("SharedCounter()")
    assert own("keep") not in {info.name for info in procshare.prune()}
    assert described(own("keep")).persist
    assert described(own("keep")).attached == ()
    with ANY.SharedValue.open(own("keep"), "fresh") as handle:
        assert handle.value == "used"
    assert exists(own("keep"))
    handle = ANY.SharedValue.attach(own("keep"))
    handle.unlink()
    handle.close()
    assert not exists(own("keep"))


def test_who_attaches_alone_is_seated() -> None:
    """Having held all seats for a moment, to see that nobody is there, it keeps its own."""
    ANY.SharedValue.open(own("alone"), "x", persist=True).close()
    with ANY.SharedValue.attach(own("alone")) as handle:
        assert described(own("alone")).attached == (os.getpid(),)
        handle.unlink()


def test_opening_what_someone_owns_attaches() -> None:
    """Its owner's end is its end."""
    with SharedCounter(5, name=own("owned")) as counter:
        opened = SharedCounter.open(own("owned"), 99)
        assert opened.increment() == 6
        opened.close()
        assert counter.value == 6
        assert exists(own("owned"))
    assert not exists(own("owned"))


# ---- slabs ----


def test_a_slot_is_used_again_only_if_nobody_can_know_it() -> None:
    """Not when it was exported, nor when a fork copied its handle."""
    source = """
def place(counter):
    return counter.name.partition("#")[2]

a = SharedCounter()
a.close()
b = SharedCounter()  # in a's place
first = place(b)
b.close()  # exported: stays
c, d = SharedCounter(10), SharedCounter(20)
child = os.fork()
if child == 0:
    sys.stdin.readline()
    os._exit(c.value + d.increment())
d.unlink()
d.close()
e = SharedCounter(1000)
os.close(0)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
f = SharedCounter()
f.close()
g = SharedCounter()
say(first, place(c), place(e), place(g), status, e.value, procshare.attach(b.name).value)
"""
    with Script(source) as script:
        script.tell()
        said = script.hear().split()
        assert script.ended().code == 0
    assert said == ["1.2", "2.1", "4.1", "5.2", "31", "1000", "0"]


def test_ten_thousand_counters_cost_little() -> None:
    """At most 2 MiB of shared memory, and few descriptors."""
    source = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
counters = [SharedCounter(i) for i in range(10_000)]
assert sum(c.increment() for c in counters) == sum(range(10_001))
names = [c.name for c in counters]
taken = 0
for fd in os.listdir("/proc/self/fd"):
    try:
        if os.readlink(f"/proc/self/fd/{fd}").startswith("/dev/shm/"):
            taken += os.stat(f"/proc/self/fd/{fd}").st_blocks * 512
    except FileNotFoundError:
        pass
say(taken, len(os.listdir("/proc/self/fd")))
assert [SharedCounter.attach(n).value for n in names] == list(range(1, 10_001))
[c.unlink() for c in counters]
"""
    ended = run(source)
    assert (ended.code, ended.err) == (0, "")
    taken, descriptors = map(int, ended.out.split())
    assert 10_000 * 128 < taken <= 2 << 20
    assert descriptors < 50


def test_unlinked_one_by_one_a_slab_goes_with_its_last(make: Callable[..., Any]) -> None:
    """What is unlinked is not found; what is not, is; and no file is left after the last."""
    before = entries()
    many = [make() for _ in range(600)]
    names = [each.name for each in many]
    for number, each in enumerate(many):
        each.unlink()
        if number % 100 == 0:
            assert not exists(names[number])
            assert exists(names[number + 1])
        each.close()
    assert entries() <= before


# ---- what exists ----


def test_segments_tells_what_exists(make: Callable[..., Any]) -> None:
    """Name, kind, size, owner, who is attached, and who holds the lock."""
    source = """
handle = procshare.attach(sys.argv[1])
with handle.locked():
    say("locked")
    sys.stdin.readline()
say("free")
sys.stdin.readline()
"""
    with make() as made:
        assert made.segment not in {info.segment for info in procshare.segments() if info.name != made.name}
        info = described(made.name)
        assert (info.segment, info.kind, info.owner, info.holder) == (made.segment, made.kind, os.getpid(), None)
        assert info.attached == (os.getpid(),)
        assert info.size == 128 if "#" in made.name else info.size > 8192
        assert not info.persist
        with Script(source, made.name) as script:
            assert script.hear() == "locked"
            info = described(made.name)
            assert info.attached == tuple(sorted((os.getpid(), script.process.pid)))
            assert info.holder == script.process.pid
            script.tell()
            assert script.hear() == "free"
            assert described(made.name).holder is None
            script.kill()
        assert until(lambda: described(made.name).attached == (os.getpid(),))
        with made.locked():
            assert described(made.name).holder == os.getpid()
        listed = [info.name for info in procshare.segments()]
        assert listed == sorted(listed)
    assert made.name not in {info.name for info in procshare.segments()}


def test_prune_takes_only_what_nobody_uses() -> None:
    """What a living process is attached to stays; `dry_run` removes nothing."""
    with (
        SharedCounter(1) as counter,
        SharedCounter(2, name=own("mine")) as named,
        SharedArray([1]) as array,
        Script(OPEN, own("theirs")) as living,
        Script(OPEN, own("dead")) as dead,
    ):
        assert living.hear() == dead.hear() == "fresh"
        alive = {counter.name, named.name, array.name, own("theirs")}
        dead.kill()
        segment = f"procshare.{UID}.{own('dead')}"
        listed = {info.segment for info in procshare.prune(dry_run=True)}
        assert segment in listed
        assert (SHM / segment).exists()
        assert segment in {info.segment for info in procshare.prune()}
        assert not (SHM / segment).exists()
        assert segment not in {info.segment for info in procshare.prune()}
        assert all(map(exists, alive))
        living.tell("handle.value")
        assert living.hear() == "fresh"
        assert (counter.increment(), named.increment(), array.array.sum()) == (2, 3, 1)
        living.hang_up()
        assert living.ended() == (0, "", "")


def test_prune_leaves_what_is_not_ours() -> None:
    """Files of other modes, no segments, and other names."""
    strange = [SHM / f"procshare-{own('strange')}", SHM / f"procshare.{UID}.{own('strange')}", SHM / own("strange")]
    try:
        for path in strange:
            path.write_bytes(b"procshr\x01" * 10)
            path.chmod(0o600)
        procshare.prune()
        assert all(path.exists() for path in strange)
        assert not {path.name for path in strange} & {info.segment for info in procshare.segments()}
    finally:
        for path in strange:
            path.unlink()


def test_shared_memory_opened_by_hand_sees_the_same_bytes() -> None:
    """The elements of an array begin at 8192."""
    with SharedArray(np.arange(100, dtype="i4")) as array:
        options: Any = {"track": False} if "track" in SharedMemory.__init__.__code__.co_varnames else {}
        memory = SharedMemory(name=array.segment, **options)
        seen: Any = np.ndarray((100,), "i4", buffer=memory.buf, offset=8192)
        assert seen.tolist() == list(range(100))
        seen[3] = -1
        array.array[4] = -2
        assert array.value[:5].tolist() == [0, 1, 2, -1, -2]
        assert seen[4] == -2
        del seen
        memory.close()


def test_a_signal_to_the_attached_is_noticed() -> None:
    """A seat goes with its process at once: `segments()` never lists the dead."""
    with SharedCounter() as counter, Script(ATTACH, counter.name) as script:
        assert script.hear() == "attached"
        assert script.process.pid in described(counter.name).attached
        script.signal(signal.SIGTERM)
        script.process.wait()
        assert described(counter.name).attached == (os.getpid(),)
